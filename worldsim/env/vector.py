"""Many learned worlds in one batched model, as a Gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import Array, Bool, Float, Int, Shaped, UInt8

from worldsim.env.base import BaseWorldEnv, WorldLike, next_seed
from worldsim.initial import InitialContext
from worldsim.types import SimState


class WorldVectorEnv(BaseWorldEnv, VectorEnv):
    """Many learned worlds in one batched model.

    World i of a seed s is the `WorldEnv` of the seed s + i, as in Gymnasium's own vector environments.

    Args:
        num_envs: the number of worlds.
        world: as for `BaseWorldEnv`.
        autoreset_mode: what happens to a world that is over. NEXT_STEP: its next step resets it, whatever the action,
            with reward 0. SAME_STEP: it is reset at once, and the last frame is in `info["final_obs"]`. DISABLED:
            the caller resets it with `reset(options={"reset_mask": mask})`.
        settings: the other arguments of `BaseWorldEnv`.
    """

    def __init__(
        self,
        num_envs: int = 1,
        world: WorldLike = "jump",
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **settings: Any,
    ):
        if num_envs < 1:
            raise ValueError(f"expected a number above 0 for num_envs, got {num_envs}.")
        super().__init__(world, **settings)
        self.num_envs, self.autoreset_mode = num_envs, AutoresetMode(autoreset_mode)
        self.metadata |= {"autoreset_mode": self.autoreset_mode}
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._obs = np.repeat(self._obs, num_envs, axis=0)
        self._num_steps, self._over = np.zeros(num_envs, np.int64), np.zeros(num_envs, bool)
        self._rngs = [np_random()[0] for _ in range(num_envs)]

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Mapping[str, object] | None = None
    ) -> tuple[Shaped[np.ndarray, "b ..."], dict[str, object]]:
        """Begin all worlds anew, or those of `options["reset_mask"]` (bool [num_envs]).

        A seed s gives world i the seed s + i; a sequence has one for each world, or None.
        """
        seeds = _seeds(seed, self.num_envs)
        options = dict(options or {})
        mask = np.asarray(options.pop("reset_mask", np.ones(self.num_envs, bool)))
        if mask.dtype != bool or mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(
                f"expected bool [{self.num_envs}] with at least one True for reset_mask, "
                f"got {mask.dtype} {list(mask.shape)}."
            )
        for i in np.flatnonzero(mask):
            if seeds[i] is not None:
                self._rngs[i] = np_random(seeds[i])[0]
        self._restart(mask, seeds, self._initial_of(options))
        self._show()
        return self._obs.copy(), {}

    def step(
        self, actions: object
    ) -> tuple[
        Shaped[np.ndarray, "b ..."],
        Float[np.ndarray, " b"],
        Bool[np.ndarray, " b"],
        Bool[np.ndarray, " b"],
        dict[str, object],
    ]:
        """Dream one frame on in every world.

        Raises:
            ValueError: an action is not in the action space.
            ResetNeeded: before the first reset; with DISABLED, when a world is over.
        """
        over, mode = self._over.copy(), self.autoreset_mode
        stopped = over if mode is AutoresetMode.DISABLED else None
        reward, terminated, truncated, uncertainty = self._step_worlds(actions, (self.num_envs,), stopped)
        reward, known = reward.astype(np.float64), np.ones(self.num_envs, bool)
        if mode is AutoresetMode.NEXT_STEP and over.any():
            self._restart(over)
            reward[over] = uncertainty[over] = 0.0
            terminated[over] = truncated[over] = known[over] = False
        self._over = terminated | truncated
        info: dict[str, object] = {}
        if mode is AutoresetMode.SAME_STEP and self._over.any():
            known = ~self._over
            info = self._final(self._over.copy(), uncertainty)
            self._restart(self._over.copy())
        info |= {"uncertainty": np.where(known, uncertainty, 0.0), "_uncertainty": known}
        self._show()
        return self._obs.copy(), reward, terminated, truncated, info

    def render(self) -> tuple[UInt8[np.ndarray, "h w c"], ...] | None:
        """Return the present frame of each world where render_mode is "rgb_array"; a window shows them by itself."""
        return tuple(self._pictures()) if self.render_mode == "rgb_array" else None

    def close_extras(self, **kwargs: object) -> None:
        """Close the window, where there is one."""
        self._close_window()

    def _final(self, over: Bool[np.ndarray, " b"], uncertainty: Float[np.ndarray, " b"]) -> dict[str, object]:
        final_obs = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(over):
            final_obs[i] = self._obs[i].copy()
        final_info = {"uncertainty": np.where(over, uncertainty, 0.0), "_uncertainty": over}
        return {"final_obs": final_obs, "_final_obs": over, "final_info": final_info, "_final_info": over}

    def _restart(
        self,
        which: Bool[np.ndarray, " b"],
        seeds: list[int | None] | None = None,
        initial: InitialContext | None = None,
    ) -> None:
        """Begin some worlds anew, in batches of 1, 4, 16, … worlds: few compilations, and little work for few."""
        ids = np.flatnonzero(which if self._state is not None else np.ones_like(which))
        drawn = [next_seed(self._rngs[i], seeds[i] if seeds else None) for i in ids.tolist()]
        count = min(4 ** int(np.ceil(np.log2(len(ids)) / 2)), self.num_envs)
        rows = np.pad(ids, (0, count - len(ids)), mode="edge")
        if initial is not None and initial.obs is not None:
            initial = replace(initial, obs=initial.obs[rows], actions=initial.actions[rows])
        state, obs = self._reset_worlds(drawn + drawn[-1:] * (count - len(ids)), initial)
        whole = len(ids) == self.num_envs
        self._state = state if whole else _put(self._state, state, jnp.asarray(rows))
        self._obs[ids] = obs[: len(ids)]
        self._num_steps[ids], self._over[ids] = 0, False


def _seeds(seed: int | Sequence[int | None] | None, count: int) -> list[int | None]:
    """One seed for each of `count` worlds."""
    if seed is None:
        return [None] * count
    if isinstance(seed, (int, np.integer)):
        return [int(seed) + i for i in range(count)]
    if len(seed) != count:
        raise ValueError(f"expected one number, or one for each of {count} worlds, for seed, got {len(seed)}.")
    return list(seed)


@jax.jit
def _put(state: SimState, fresh: SimState, rows: Int[Array, " n"]) -> SimState:
    """Lay the worlds of `fresh` into rows of `state`; one that comes twice is twice the same."""
    return jax.tree.map(lambda old, new: old.at[rows].set(new), state, fresh)
