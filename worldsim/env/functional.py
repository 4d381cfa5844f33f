"""One learned world as pure functions of (key, state, action), to be mapped over many."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import gymnasium as gym
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from worldsim.env.base import BaseWorldEnv, WorldLike, refuse_unknown
from worldsim.env.initial import InitialStates, draw_initial, typed_key
from worldsim.places import FIRST
from worldsim.types import ArrayLike, SimState


class EnvParams(NamedTuple):
    """What may change between calls of a `JaxWorldEnv` without compiling anew."""

    horizon: int | Array = 1000  # frames after which an episode is truncated
    arrays: Any = None
    """Weights and initial contexts, as in `JaxWorldEnv.default_params`: a jitted program that takes params as an
    argument has no constants of them. None = the environment's own."""


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

    Args:
        uncertainty_penalty: times the uncertainty of the frame it is taken off the reward (`worldsim.env.penalty`).
    """

    def __init__(
        self,
        world: WorldLike = FIRST,
        *,
        num_denoise_steps: int | None = None,
        noise_scale: float | None = None,
        obs_type: str = "pixels",
        axis_bins: int | None = None,
        uncertainty_penalty: float = 0.0,
        **unknown: object,
    ):
        refuse_unknown(unknown, JaxWorldEnv)
        sampler = {"num_denoise_steps": num_denoise_steps, "noise_scale": noise_scale}
        super().__init__(world, obs_type=obs_type, axis_bins=axis_bins, **sampler)
        if uncertainty_penalty and self._is_blind:
            raise ValueError("expected two denoising steps or more for uncertainty_penalty: one gives no uncertainty.")
        self._penalty = uncertainty_penalty
        _ = self.default_params  # encoded here, outside of any jit of the caller

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        _ = self.default_params

    @cached_property
    def default_params(self) -> EnvParams:
        """The parameters of a call that gives none."""
        return EnvParams(arrays=(self.simulator.params, self._initial))

    def reset(self, key: PRNGKeyArray, params: EnvParams | None = None) -> tuple[Array, EnvState]:
        """Begin at an initial context of the bundle, drawn by the key: (obs uint8 [h w c] or float32 [n d], state)."""
        initial = self._arrays(params)[1]
        state, obs, _ = draw_initial(initial, typed_key(key)[None])
        return obs[0], EnvState(state, jnp.int32(0))

    def step(
        self, key: PRNGKeyArray, state: EnvState, action: ArrayLike, params: EnvParams | None = None
    ) -> tuple[Array, EnvState, Array, Array, Array, dict]:
        """Dream one frame on, with noise from `key`; a world that is over by it begins again.

        Args:
            key: one key.
            state: from `reset` or `step`.
            action: an int [] in a world of one choice, else a float row [a], or ints [a] with `axis_bins`; not checked.
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
        weights = self._arrays(params)[0]
        world, out = self.simulator.step(world, self._row(action)[None], decode=self._decode, params=weights)
        num_steps = state.num_steps + 1
        terminated = out.terminated[0]
        truncated = ~terminated & (out.truncated[0] | (num_steps >= params.horizon))
        unsure = jnp.full_like(out.uncertainty[0], jnp.nan) if self._is_blind else out.uncertainty[0]
        reward = out.reward[0] - self._penalty * unsure if self._penalty else out.reward[0]
        info = {"step": num_steps, "uncertainty": unsure, "termination_probability": out.termination_probability[0]}
        return out.obs[0], EnvState(world, num_steps), reward, terminated, truncated, info

    def _arrays(self, params: EnvParams | None) -> tuple[Any, InitialStates]:
        return self.default_params.arrays if params is None or params.arrays is None else params.arrays

    def _row(self, action: ArrayLike) -> Array:
        if self.axis_bins is None:
            return jnp.asarray(action)
        columns = self.simulator.action_spec.values(self.axis_bins)
        return jnp.stack([jnp.asarray(values)[jnp.asarray(action)[i]] for i, values in enumerate(columns)])

    def action_space(self, params: EnvParams | None = None) -> gym.Space:
        """The space of one world's actions."""
        return self.single_action_space

    def observation_space(self, params: EnvParams | None = None) -> gym.spaces.Box:
        """The space of one world's observations."""
        return self.single_observation_space
