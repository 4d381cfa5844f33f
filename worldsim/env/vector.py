"""Many learned worlds in one batched model, as a Gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import Array, Bool, Float, Int, Shaped, UInt8

from worldsim.env.base import NOWHERE, BaseWorldEnv, Info, Option, WorldLike, next_seed
from worldsim.places import FIRST
from worldsim.types import SimState

NO_LIMIT = -1  # of `max_episode_steps`, as in Gymnasium


class WorldVectorEnv(BaseWorldEnv, VectorEnv):
    """Many learned worlds in one batched model.

    World i of a seed s is the `WorldEnv` of the seed s + i, as in Gymnasium's own vector environments.

    Args:
        num_envs: the number of worlds.
        world: as for `BaseWorldEnv`.
        autoreset_mode: what happens to a world that is over. NEXT_STEP: its next step resets it, whatever the action,
            with reward 0. SAME_STEP: it is reset at once, and the last frame is in `info["final_obs"]`. DISABLED:
            the caller resets it with `reset(options={"reset_mask": mask})`.
        max_episode_steps: as for `gymnasium.make`: frames after which an episode is truncated, where `horizon` is more.
        settings: the other arguments of `BaseWorldEnv`.
    """

    def __init__(
        self,
        num_envs: int = 1,
        world: WorldLike = FIRST,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        max_episode_steps: int | None = None,
        **settings: Any,
    ):
        if num_envs < 1:
            raise ValueError(f"expected a number above 0 for num_envs, got {num_envs}.")
        super().__init__(world, **settings)
        if max_episode_steps is not None and max_episode_steps != NO_LIMIT:
            if max_episode_steps < 1:
                raise ValueError(f"expected a number above 0 for max_episode_steps, got {max_episode_steps}.")
            self._horizon = min(self._horizon, max_episode_steps)
        self.num_envs, self.autoreset_mode = num_envs, _mode(autoreset_mode)
        self.metadata |= {"autoreset_mode": self.autoreset_mode}
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._obs = np.repeat(self._obs, num_envs, axis=0)
        self._num_steps, self._start = np.zeros(num_envs, np.int64), np.full(num_envs, NOWHERE)
        self._over = np.zeros(num_envs, bool)
        self._rngs = [np_random()[0] for _ in range(num_envs)]

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Mapping[str, object] | None = None
    ) -> tuple[Shaped[np.ndarray, "b ..."], dict[str, object]]:
        """Begin all worlds anew, or those of `options["reset_mask"]` (bool [num_envs]).

        A seed s gives world i the seed s + i; a sequence has one for each world, or None.
        """
        self._check_open()
        seeds = _seeds(seed, self.num_envs)
        options = dict(options or {})
        mask = np.asarray(options.pop("reset_mask", np.ones(self.num_envs, bool)))
        if mask.dtype != bool or mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(
                f"expected bool [{self.num_envs}] with at least one True for reset_mask, "
                f"got {mask.dtype} {list(mask.shape)}."
            )
        option = self._read_options(options)
        for i in np.flatnonzero(mask):
            if seeds[i] is not None:
                self._rngs[i] = np_random(seeds[i])[0]
        begun = self._restart(mask, seeds, option)
        self._show()
        return self._obs.copy(), _masked(self._info(), begun)

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
            ClosedEnvironmentError: after `close`.
        """
        over, mode = self._over.copy(), self.autoreset_mode
        stopped = over if mode is AutoresetMode.DISABLED else None
        reward, terminated, truncated, found = self._step_worlds(actions, (self.num_envs,), stopped)
        reward, stepped = reward.astype(np.float64), np.ones(self.num_envs, bool)
        if mode is AutoresetMode.NEXT_STEP and over.any():
            self._restart(over)
            reward[over], terminated[over], truncated[over], stepped = 0.0, False, False, ~over
        self._over = terminated | truncated
        info: dict[str, object] = {}
        if mode is AutoresetMode.SAME_STEP and self._over.any():
            info, stepped = self._final(self._over.copy(), found), ~self._over
            self._restart(self._over.copy())
        info |= _masked(found, stepped) | _masked(self._info(), np.ones_like(stepped))
        self._show()
        return self._obs.copy(), reward, terminated, truncated, info

    def render(self) -> tuple[UInt8[np.ndarray, "h w c"], ...] | None:
        """Return the present frame of each world where render_mode is "rgb_array"; a window shows them by itself."""
        return tuple(self._pictures()) if self.render_mode == "rgb_array" else None

    def close_extras(self, **kwargs: object) -> None:
        """Close the window, where there is one."""
        self._close_window()

    def call(self, name: str, *args: object, **kwargs: object) -> tuple[Any, ...]:
        """Call a method of the batch, or read an attribute: one result a world, the same for all where it has one."""
        value: Any = getattr(self, name)
        value = value(*args, **kwargs) if callable(value) else value
        is_each = isinstance(value, (tuple, list, np.ndarray)) and len(value) == self.num_envs
        return tuple(value) if is_each else (value,) * self.num_envs

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Return an attribute, once for each world: they share it."""
        return (getattr(self, name),) * self.num_envs

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute that the worlds share: one value, or the same for each world.

        Raises:
            ValueError: the values differ, or there is no such attribute.
        """
        each = list(values) if isinstance(values, (list, tuple)) else [values] * self.num_envs
        if len(each) != self.num_envs or any(value != each[0] for value in each):
            raise ValueError(f"expected one value for {name}, which the worlds of a batch share, got {values!r}.")
        if not hasattr(self, name):
            raise ValueError(f"expected an attribute of the batch, got {name}.")
        setattr(self, name, each[0])

    def _final(self, over: Bool[np.ndarray, " b"], found: Info) -> dict[str, object]:
        final_obs = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(over):
            final_obs[i] = self._obs[i].copy()
        return {"final_obs": final_obs, "_final_obs": over, "final_info": _masked(found, over), "_final_info": over}

    def _restart(
        self, which: Bool[np.ndarray, " b"], seeds: list[int | None] | None = None, option: Option = ("recorded", None)
    ) -> Bool[np.ndarray, " b"]:
        """Begin some worlds anew, in batches of 1, 4, 16, … worlds: few compilations, and little work for few.

        Returns those that began; before the first reset all do.
        """
        which = which if self._state is not None else np.ones_like(which)
        ids = np.flatnonzero(which)
        drawn = [next_seed(self._rngs[i], seeds[i] if seeds else None) for i in ids.tolist()]
        count = min(4 ** int(np.ceil(np.log2(len(ids)) / 2)), self.num_envs)
        rows = np.pad(ids, (0, count - len(ids)), mode="edge")
        state, *begun = self._begin(option, drawn + drawn[-1:] * (count - len(ids)), rows)
        self._state = state if which.all() else _put(self._state, state, jnp.asarray(rows))
        self._obs[ids], self._num_steps[ids], self._start[ids] = (x[: len(ids)] for x in begun)
        self._over[ids] = False
        return which


def _mode(mode: AutoresetMode | str) -> AutoresetMode:
    """Return an autoreset mode by itself, its name or its value: SAME_STEP or "SameStep"."""
    modes = {name: x for x in AutoresetMode for name in (x, x.name, x.value)}
    if mode not in modes:
        raise ValueError(f"expected {', '.join(x.name for x in AutoresetMode)} for autoreset_mode, got {mode!r}.")
    return modes[mode]


def _masked(info: Info, mask: Bool[np.ndarray, " b"]) -> dict[str, object]:
    """Return an info of some worlds as Gymnasium has it: 0 for the others, and beside each entry whose it is."""
    kept: dict[str, object] = {name: np.where(mask, x, 0).astype(x.dtype) for name, x in info.items()}
    return kept | {f"_{name}": mask.copy() for name in info}


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
