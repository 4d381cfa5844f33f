"""One learned world as pure functions of (key, state, action), to be mapped over many."""

from __future__ import annotations

from typing import NamedTuple

import gymnasium as gym
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from worldsim.env.base import BaseWorldEnv, WorldLike
from worldsim.env.initial import draw_initial, typed_key
from worldsim.types import ArrayLike, SimState


class EnvParams(NamedTuple):
    """What may change between calls of a `JaxWorldEnv` without compiling anew."""

    horizon: int | Array = 1000  # frames after which an episode is truncated


class EnvState(NamedTuple):
    """The state of one world in a `JaxWorldEnv`."""

    world: SimState  # with a leading axis of 1
    num_steps: Array  # int32 []

    @property
    def key(self) -> PRNGKeyArray:
        """The world's own stream of noise: stepping with it gives the transitions of `WorldEnv`."""
        return self.world.key[..., 0]


class JaxWorldEnv(BaseWorldEnv):
    """One learned world as pure functions, to be mapped over many with `jax.vmap`.

    The calls are those of gymnax 1: `reset(key, params)` and `step(key, state, action, params)` with a 6-tuple, and a
    world that is over begins again within the same step. `step_env` is `step` without that.

    Arguments are as for `BaseWorldEnv`; the horizon is one of `EnvParams`.
    """

    def __init__(
        self,
        world: WorldLike = "jump",
        *,
        num_denoise_steps: int | None = None,
        noise_scale: float | None = None,
        obs_type: str = "pixels",
    ):
        super().__init__(world, num_denoise_steps=num_denoise_steps, noise_scale=noise_scale, obs_type=obs_type)
        self.default_params = EnvParams()
        _ = self._initial  # encoded here, outside of any jit of the caller

    def reset(self, key: PRNGKeyArray, params: EnvParams | None = None) -> tuple[Array, EnvState]:
        """Begin at an initial context of the bundle, drawn by the key: (obs uint8 [h w c] or float32 [n d], state)."""
        state, obs = draw_initial(self._initial, typed_key(key)[None])
        return obs[0], EnvState(state, jnp.int32(0))

    def step(
        self, key: PRNGKeyArray, state: EnvState, action: ArrayLike, params: EnvParams | None = None
    ) -> tuple[Array, EnvState, Array, Array, Array, dict]:
        """Dream one frame on, with noise from `key`; a world that is over by it begins again.

        Args:
            key: one key.
            state: from `reset` or `step`.
            action: an int [] in a world of one choice, else a float row [a]; not checked.
            params: `EnvParams`; None = the default.

        Returns:
            (obs, state, reward [], terminated [], truncated [], info). Where the episode is over, obs and state are the
            next one's; `info["final_observation"]` is always this one's.
        """
        obs, stepped, reward, terminated, truncated, info = self.step_env(key, state, action, params)
        # The step drew from split(key, 3); this is none of them.
        fresh = self.reset(jax.random.fold_in(typed_key(key), 3), params)
        over = terminated | truncated
        following = jax.tree.map(lambda new, old: jnp.where(over, new, old), fresh, (obs, stepped))
        return *following, reward, terminated, truncated, info | {"final_observation": obs}

    def step_env(
        self, key: PRNGKeyArray, state: EnvState, action: ArrayLike, params: EnvParams | None = None
    ) -> tuple[Array, EnvState, Array, Array, Array, dict]:
        """Dream one frame on as `step` does, and leave the reset to the caller."""
        params = self.default_params if params is None else params
        world = state.world._replace(key=typed_key(key)[None])
        world, out = self.simulator.step(world, jnp.asarray(action)[None], decode=self._decode)
        num_steps = state.num_steps + 1
        terminated = out.terminated[0]
        truncated = ~terminated & (out.truncated[0] | (num_steps >= params.horizon))
        info = {"uncertainty": out.uncertainty[0]}
        return out.obs[0], EnvState(world, num_steps), out.reward[0], terminated, truncated, info

    def action_space(self, params: EnvParams | None = None) -> gym.Space:
        """The space of one world's actions."""
        return self.single_action_space

    def observation_space(self, params: EnvParams | None = None) -> gym.spaces.Box:
        """The space of one world's observations."""
        return self.single_observation_space
