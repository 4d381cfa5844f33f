"""Many learned worlds in one batched model, as a Gymnasium vector environment."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import Bool, Float

from worldsim.env.front import Front
from worldsim.env.spaces import action_rows
from worldsim.types import SimState


class WorldVectorEnv(VectorEnv):
    """Many learned worlds in one batched model; arguments as for `WorldEnv`.

    Args:
        num_envs: the number of worlds.
        autoreset_mode: what happens to a world that is over. NEXT_STEP: its next step resets it, whatever the action,
            with reward 0. SAME_STEP: it is reset at once, and the last frame is in `info["final_obs"]`. DISABLED:
            the caller resets it with `reset(options={"reset_mask": mask})`.
    """

    def __init__(
        self, num_envs: int = 1, world: Any = "jump", *, horizon: int | None = 1000,
        num_denoise_steps: int | None = None, noise_scale: float | None = None, render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    ):  # fmt: skip
        if num_envs < 1:
            raise ValueError(f"num_envs wants a number above 0, got {num_envs}.")
        self._front = Front(world, horizon, num_denoise_steps, noise_scale, render_mode)
        self.simulator, self.num_envs, self.render_mode = self._front.sim, num_envs, render_mode
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {
            "render_modes": ["rgb_array"], "render_fps": self.simulator.fps, "autoreset_mode": self.autoreset_mode,
        }  # fmt: skip
        self.single_observation_space, self.single_action_space = (
            self._front.observation_space,
            self._front.action_space,
        )
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._state: SimState | None = None
        self._obs = np.zeros((num_envs, *self._front.observation_space.shape), np.uint8)
        self._num_steps = np.zeros(num_envs, np.int64)
        self._over = np.zeros(num_envs, bool)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        """Begin all worlds anew, or those of `options["reset_mask"]` (bool [num_envs]); a seed gives the same bits."""
        super().reset(seed=seed)
        options = dict(options or {})
        mask = np.asarray(options.pop("reset_mask", np.ones(self.num_envs, bool)))
        if mask.dtype != bool or mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(
                f"reset_mask wants bool [{self.num_envs}] with at least one True, got {mask.dtype} {list(mask.shape)}."
            )
        self._restart(mask, *self._front.prompt(options, self.num_envs))
        return self._obs.copy(), {}

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict]:
        """Dream one frame on in every world.

        Raises:
            ValueError: an action is not in the action space.
            ResetNeeded: before the first reset; with DISABLED, when a world is over.
        """
        rows = action_rows(self._front.action_spec, actions, (self.num_envs,))
        over, mode = self._over.copy(), self.autoreset_mode
        if self._state is None or (mode is AutoresetMode.DISABLED and over.any()):
            raise ResetNeeded(
                f"a world wants a reset() before its first step and after its last: {np.flatnonzero(over)}."
            )
        self._state, out = self.simulator.step(self._state, jnp.asarray(rows))
        self._obs, self._num_steps = np.array(out.obs), self._num_steps + 1
        reward, terminated = np.array(out.reward, np.float64), np.array(out.terminated)
        truncated = ~terminated & (np.array(out.truncated) | (self._num_steps >= self._front.horizon))
        known, uncertainty = np.ones(self.num_envs, bool), np.array(out.uncertainty)
        if mode is AutoresetMode.NEXT_STEP and over.any():
            self._restart(over)
            reward[over], uncertainty[over], terminated[over], truncated[over], known[over] = (
                0.0,
                0.0,
                False,
                False,
                False,
            )
        self._over = terminated | truncated
        info: dict[str, Any] = {}
        if mode is AutoresetMode.SAME_STEP and self._over.any():
            known = ~self._over
            info = self._final(self._over.copy(), uncertainty)
            self._restart(self._over.copy())
        info |= {"uncertainty": np.where(known, uncertainty, 0.0), "_uncertainty": known}
        return self._obs.copy(), reward, terminated, truncated, info

    def render(self) -> tuple[Any, ...] | None:
        """The present frame of each world, where render_mode is "rgb_array"."""
        return None if self.render_mode is None else tuple(obs.copy() for obs in self._obs)

    def _final(self, over: Bool[np.ndarray, " b"], uncertainty: Float[np.ndarray, " b"]) -> dict:
        final_obs = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(over):
            final_obs[i] = self._obs[i].copy()
        final_info = {"uncertainty": np.where(over, uncertainty, 0.0), "_uncertainty": over}
        return {"final_obs": final_obs, "_final_obs": over, "final_info": final_info, "_final_info": over}

    def _restart(self, which: Bool[np.ndarray, " b"], prompt: Any = None, prompt_actions: Any = None) -> None:
        """Begin some worlds anew, in batches of 1, 4, 16, … worlds: few compilations, and little work for few."""
        ids = np.flatnonzero(which)
        count = min(4 ** int(np.ceil(np.log2(len(ids)) / 2)), self.num_envs)
        slots = np.full(count, self.num_envs)  # what is past the last world is dropped
        slots[: len(ids)] = ids
        if self._state is None:
            count, slots, ids = self.num_envs, np.arange(self.num_envs), np.arange(self.num_envs)
        rows = np.minimum(slots, self.num_envs - 1)
        prompt, prompt_actions = (x[rows] if isinstance(x, np.ndarray) else x for x in (prompt, prompt_actions))
        state, obs = self._front.reset(self.np_random, count, prompt, prompt_actions)
        self._state = (
            state if self._state is None or len(ids) == self.num_envs else _put(self._state, state, jnp.asarray(slots))
        )
        self._obs[ids] = np.asarray(obs)[: len(ids)]
        self._num_steps[ids], self._over[ids] = 0, False


@jax.jit
def _put(state: SimState, fresh: SimState, slots: Any) -> SimState:
    """Lay the worlds of `fresh` into the slots of `state`; slots past the end are dropped."""
    return jax.tree.map(lambda old, new: old.at[slots].set(new, mode="drop"), state, fresh)
