"""One learned world as pure functions of (key, state, action), to be mapped over many."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from worldsim.env.front import simulator_of
from worldsim.env.spaces import action_space, observation_space
from worldsim.env.starts import begin, typed, watch_starts
from worldsim.types import SimState


class EnvParams(NamedTuple):
    """What may change between calls of a `JaxWorldEnv` without compiling anew."""

    horizon: Any = 1000  # frames after which an episode is truncated


class EnvState(NamedTuple):
    """The state of one world in a `JaxWorldEnv`."""

    world: SimState  # with a leading axis of 1
    num_steps: Any  # int32 []

    @property
    def key(self) -> Any:
        """The world's own stream of noise: stepping with it gives the transitions of `WorldEnv`."""
        return self.world.key[..., 0]


class JaxWorldEnv:
    """One learned world as pure functions, to be mapped over many with `jax.vmap`.

    The calls are those of gymnax 1: `reset(key, params)` and `step(key, state, action, params)` with a 6-tuple, and a
    world that is over begins again within the same step. `step_env` is `step` without that.

    Args:
        world: the name or path of a bundle, a prompt, a `World` or a `Simulator`.
        num_denoise_steps: model passes a frame; None = as the simulator has it.
        noise_scale: how much the dream varies; 0 = the same each time, None = as the simulator has it.
        obs_type: "pixels" or "latent"; latents are what the model dreams in, and cost no decoder.
    """

    def __init__(
        self,
        world: Any = "jump",
        *,
        num_denoise_steps: int | None = None,
        noise_scale: float | None = None,
        obs_type: str = "pixels",
    ):
        self.simulator = simulator_of(world, num_denoise_steps, noise_scale)
        self.default_params = EnvParams()
        self._observation_space = observation_space(self.simulator, obs_type)
        self._decode = obs_type == "pixels"
        self._starts = watch_starts(self.simulator, self._decode)

    def reset(self, key: PRNGKeyArray, params: EnvParams | None = None) -> tuple[Array, EnvState]:
        """Begin at one of the bundle's starts, drawn by the key: (obs uint8 [h w c] or float32 [n d], state)."""
        state, obs = begin(self._starts, typed(key)[None])
        return obs[0], EnvState(state, jnp.int32(0))

    def step(
        self, key: PRNGKeyArray, state: EnvState, action: Any, params: EnvParams | None = None
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
        fresh = self.reset(jax.random.fold_in(typed(key), 3), params)
        over = terminated | truncated
        following = jax.tree.map(lambda new, old: jnp.where(over, new, old), fresh, (obs, stepped))
        return *following, reward, terminated, truncated, info | {"final_observation": obs}

    def step_env(
        self, key: PRNGKeyArray, state: EnvState, action: Any, params: EnvParams | None = None
    ) -> tuple[Array, EnvState, Array, Array, Array, dict]:
        """Dream one frame on as `step` does, and leave the reset to the caller."""
        params = self.default_params if params is None else params
        world = state.world._replace(key=typed(key)[None])
        world, out = self.simulator.step(world, jnp.asarray(action)[None], decode=self._decode)
        num_steps = state.num_steps + 1
        terminated = out.terminated[0]
        truncated = ~terminated & (out.truncated[0] | (num_steps >= params.horizon))
        info = {"uncertainty": out.uncertainty[0]}
        return out.obs[0], EnvState(world, num_steps), out.reward[0], terminated, truncated, info

    def action_space(self, params: EnvParams | None = None) -> gym.Space:
        """The space of one world's actions."""
        return action_space(self.simulator.action_spec)

    def observation_space(self, params: EnvParams | None = None) -> gym.spaces.Box:
        """The space of one world's observations."""
        return self._observation_space
