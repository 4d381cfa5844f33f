"""One learned world as pure functions of (key, state, action), to be mapped over many."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from worldsim.env.front import simulator_of
from worldsim.types import SimState


class EnvParams(NamedTuple):
    """What may change between calls of a `JaxWorldEnv` without compiling anew."""

    horizon: Any = 1000  # frames after which an episode is truncated


class EnvState(NamedTuple):
    """The state of one world in a `JaxWorldEnv`."""

    world: SimState  # with a leading axis of 1
    num_steps: Any  # int32 []


class JaxWorldEnv:
    """One learned world as pure functions, to be mapped over many with `jax.vmap`; there is no automatic reset.

    The calls are those of gymnax 1: `reset(key, params)` and `step(key, state, action, params)` with a 6-tuple.
    Every start of the bundle is watched once, when this is made, so that a reset is a look-up.
    """

    def __init__(self, world: Any = "jump", *, num_denoise_steps: int | None = None, noise_scale: float | None = None):
        self.simulator = simulator_of(world, num_denoise_steps, noise_scale)
        self.default_params = EnvParams()
        starts = self.simulator.world.starts
        self._num_starts = len(starts["obs"])
        self._starts = self.simulator.reset(
            jax.random.key(0), batch_size=self._num_starts, prompt=starts["obs"], prompt_actions=starts["prev_action"]
        )

    def reset(self, key: PRNGKeyArray, params: EnvParams | None = None) -> tuple[Array, EnvState]:
        """Begin at one of the bundle's starts, drawn by the key: (obs uint8 [h w c], state)."""
        key_start, key_world = jax.random.split(key)
        index = jax.random.randint(key_start, (1,), 0, self._num_starts)
        state, obs = jax.tree.map(lambda x: x[index], self._starts)
        return obs[0], EnvState(state._replace(key=key_world[None]), jnp.int32(0))

    def step(
        self, key: PRNGKeyArray, state: EnvState, action: Any, params: EnvParams | None = None
    ) -> tuple[Array, EnvState, Array, Array, Array, dict]:
        """Dream one frame on, with noise from `key`.

        Args:
            key: one key.
            state: from `reset` or `step`.
            action: an int [] in a world of one choice, else a float row [a]; not checked.
            params: `EnvParams`; None = the default.

        Returns:
            (obs uint8 [h w c], state, reward [], terminated [], truncated [], info).
        """
        params = self.default_params if params is None else params
        world, out = self.simulator.step(state.world._replace(key=key[None]), jnp.asarray(action)[None])
        num_steps = state.num_steps + 1
        terminated = out.terminated[0]
        truncated = ~terminated & (out.truncated[0] | (num_steps >= params.horizon))
        info = {"uncertainty": out.uncertainty[0]}
        return out.obs[0], EnvState(world, num_steps), out.reward[0], terminated, truncated, info
