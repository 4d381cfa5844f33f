"""Many learned worlds in one batched model, as a Gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import Bool, Float

from worldsim.env.front import RENDER_MODES, Front, next_seed
from worldsim.env.spaces import action_rows
from worldsim.types import SimState


class WorldVectorEnv(VectorEnv):
    """Many learned worlds in one batched model; arguments as for `WorldEnv`.

    World i of a seed s is the `WorldEnv` of the seed s + i, as in Gymnasium's own vector environments.

    Args:
        num_envs: the number of worlds.
        autoreset_mode: what happens to a world that is over. NEXT_STEP: its next step resets it, whatever the action,
            with reward 0. SAME_STEP: it is reset at once, and the last frame is in `info["final_obs"]`. DISABLED:
            the caller resets it with `reset(options={"reset_mask": mask})`.
    """

    def __init__(
        self,
        num_envs: int = 1,
        world: Any = "jump",
        *,
        horizon: int | None = 1000,
        num_denoise_steps: int | None = None,
        noise_scale: float | None = None,
        obs_type: str = "pixels",
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    ):
        if num_envs < 1:
            raise ValueError(f"num_envs wants a number above 0, got {num_envs}.")
        self._front = Front(world, horizon, num_denoise_steps, noise_scale, obs_type, render_mode)
        self.simulator, self.num_envs, self.render_mode = self._front.sim, num_envs, render_mode
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {
            "render_modes": list(RENDER_MODES),
            "render_fps": self.simulator.fps,
            "autoreset_mode": self.autoreset_mode,
        }
        self.single_observation_space, self.single_action_space = (
            self._front.observation_space,
            self._front.action_space,
        )
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._state: SimState | None = None
        self._obs = np.zeros((num_envs, *self._front.observation_space.shape), self._front.observation_space.dtype)
        self._rngs = [np_random()[0] for _ in range(num_envs)]
        self._num_steps = np.zeros(num_envs, np.int64)
        self._over = np.zeros(num_envs, bool)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict | None = None
    ) -> tuple[np.ndarray, dict]:
        """Begin all worlds anew, or those of `options["reset_mask"]` (bool [num_envs]).

        A seed s gives world i the seed s + i; a sequence has one for each world, or None.
        """
        seeds = _seeds(seed, self.num_envs)
        options = dict(options or {})
        mask = np.asarray(options.pop("reset_mask", np.ones(self.num_envs, bool)))
        if mask.dtype != bool or mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(
                f"reset_mask wants bool [{self.num_envs}] with at least one True, got {mask.dtype} {list(mask.shape)}."
            )
        for i in np.flatnonzero(mask):
            if seeds[i] is not None:
                self._rngs[i] = np_random(seeds[i])[0]
        self._restart(mask, seeds, *self._front.prompt(options, self.num_envs))
        self._front.show(self._obs)
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
        self._state, out = self.simulator.step(self._state, jnp.asarray(rows), decode=self._front.decode)
        self._obs, self._num_steps = np.array(out.obs), self._num_steps + 1
        reward, terminated = np.array(out.reward, np.float64), np.array(out.terminated)
        truncated = ~terminated & (np.array(out.truncated) | (self._num_steps >= self._front.horizon))
        known, uncertainty = np.ones(self.num_envs, bool), np.array(out.uncertainty)
        if mode is AutoresetMode.NEXT_STEP and over.any():
            self._restart(over)
            reward[over] = uncertainty[over] = 0.0
            terminated[over] = truncated[over] = known[over] = False
        self._over = terminated | truncated
        info: dict[str, Any] = {}
        if mode is AutoresetMode.SAME_STEP and self._over.any():
            known = ~self._over
            info = self._final(self._over.copy(), uncertainty)
            self._restart(self._over.copy())
        info |= {"uncertainty": np.where(known, uncertainty, 0.0), "_uncertainty": known}
        self._front.show(self._obs)
        return self._obs.copy(), reward, terminated, truncated, info

    def render(self) -> tuple[Any, ...] | None:
        """The present frame of each world, where render_mode is "rgb_array"; a window shows them by itself."""
        return tuple(self._front.pictures(self._obs)) if self.render_mode == "rgb_array" else None

    def close_extras(self, **kwargs: Any) -> None:
        """Close the window, where there is one."""
        self._front.close()

    def _final(self, over: Bool[np.ndarray, " b"], uncertainty: Float[np.ndarray, " b"]) -> dict:
        final_obs = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(over):
            final_obs[i] = self._obs[i].copy()
        final_info = {"uncertainty": np.where(over, uncertainty, 0.0), "_uncertainty": over}
        return {"final_obs": final_obs, "_final_obs": over, "final_info": final_info, "_final_info": over}

    def _restart(
        self,
        which: Bool[np.ndarray, " b"],
        seeds: list[int | None] | None = None,
        prompt: Any = None,
        prompt_actions: Any = None,
    ) -> None:
        """Begin some worlds anew, in batches of 1, 4, 16, … worlds: few compilations, and little work for few."""
        ids = np.flatnonzero(which if self._state is not None else np.ones_like(which))
        drawn = [next_seed(self._rngs[i], seeds[i] if seeds else None) for i in ids.tolist()]
        count = min(4 ** int(np.ceil(np.log2(len(ids)) / 2)), self.num_envs)
        rows = np.pad(ids, (0, count - len(ids)), mode="edge")
        prompt, prompt_actions = (x[rows] if isinstance(x, np.ndarray) else x for x in (prompt, prompt_actions))
        state, obs = self._front.reset(drawn + drawn[-1:] * (count - len(ids)), prompt, prompt_actions)
        whole = len(ids) == self.num_envs
        self._state = state if whole else _put(self._state, state, jnp.asarray(rows))
        self._obs[ids] = np.asarray(obs)[: len(ids)]
        self._num_steps[ids], self._over[ids] = 0, False


def _seeds(seed: int | Sequence[int | None] | None, count: int) -> list[int | None]:
    """One seed for each of `count` worlds."""
    if seed is None:
        return [None] * count
    if isinstance(seed, (int, np.integer)):
        return [int(seed) + i for i in range(count)]
    if len(seed) != count:
        raise ValueError(f"seed wants one number, or one for each of {count} worlds, got {len(seed)}.")
    return list(seed)


@jax.jit
def _put(state: SimState, fresh: SimState, rows: Any) -> SimState:
    """Lay the worlds of `fresh` into rows of `state`; one that comes twice is twice the same."""
    return jax.tree.map(lambda old, new: old.at[rows].set(new), state, fresh)
