"""A trial: one world on recorded windows under one seed, and how it dreams them.

A window is CONTEXT recorded frames and then `horizon` more of one episode; the world gets the context and dreams the
rest under the recorded actions. All frames of a window are real: none reaches past the end of its episode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int64, PRNGKeyArray, UInt8

from worldsim.data.dataset import Columns, Windows
from worldsim.evaluate.metric import Metric, Numbers
from worldsim.evaluate.options import EvalOptions
from worldsim.evaluate.reference import Reference
from worldsim.initial import InitialContext
from worldsim.metrics import Moments
from worldsim.simulator import Simulator
from worldsim.types import SimState, StepOutput

CONTEXT = 8
HORIZONS = (64, 32, 16)
Parts = dict[Any, Any]
"""What one batch gives: arrays with an entry for each window, and moments."""


class Clip(NamedTuple):
    """A batch of windows and the world's versions of them; t = CONTEXT + horizon frames."""

    first: int  # number of its first window
    real: UInt8[np.ndarray, "b t h w c"]
    free: UInt8[np.ndarray, "b horizon h w c"]  # dreamed from the context on
    reconstruction: UInt8[np.ndarray, "b t h w c"]  # through the tokenizer and back
    teacher_forced: UInt8[np.ndarray, "b t h w c"]  # each frame from the true ones before it; the first is a copy
    state: Float[np.ndarray, "b t s"] | None  # the engine's ground truth

    def copy_last(self, num_frames: int) -> UInt8[np.ndarray, "b t h w c"]:
        """A film that repeats the last context frame."""
        return np.repeat(self.real[:, CONTEXT - 1 : CONTEXT], num_frames, 1)


PerClip = Callable[["Trial", Clip], Parts]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One world, recorded frames, and one seed: all that a measurement works with."""

    sim: Simulator
    reference: Reference
    options: EvalOptions
    seed: int
    horizon: int
    """Frames of a clip after the context."""
    on_clips: tuple[PerClip, ...] = ()
    """Functions of the measurements that share the trial's clips."""
    on_plays: tuple[Callable[..., Any], ...] = ()
    """Functions of the measurements that share the trial's plays (`worldsim.evaluate.plays`)."""
    cache: dict[Callable[..., Any], Any] = field(default_factory=dict)
    """What the functions of `on_clips` and `on_plays` gave."""

    @property
    def held_out(self) -> Columns:
        """The recorded frames to measure on."""
        return self.reference.held_out

    def windows(self, length: int, limit: int | None = None) -> Int64[np.ndarray, "n t"]:
        """Rows of the trial's windows of some length, at most `limit`."""
        count = self.options.num_windows if limit is None else min(self.options.num_windows, limit)
        return draw_windows(self.held_out, length, count, self.seed)

    def batches(self, rows: Int64[np.ndarray, "n t"]) -> Iterator[tuple[Int64[np.ndarray, "b t"], int, PRNGKeyArray]]:
        """Batches of rows, as `batches` gives them, each with a key of its own."""
        for number, (ids, count) in enumerate(batches(rows, self.options.batch_size)):
            yield ids, count, jax.random.fold_in(jax.random.key(self.seed), number)

    def rollout(
        self,
        ids: Int64[np.ndarray, "b t"],
        key: PRNGKeyArray,
        actions: Float[np.ndarray, "b t a"] | None = None,
        context: int = CONTEXT,
    ) -> StepOutput:
        """Dream windows on from their context, under the recorded actions where no others are given."""
        recorded = self.held_out.prev_action[ids] if actions is None else actions
        return rollout(self.sim, self.held_out.obs[ids[:, :context]], recorded, key)

    def dream(
        self, ids: Int64[np.ndarray, "b t"], key: PRNGKeyArray, actions: Float[np.ndarray, "b t a"] | None = None
    ) -> UInt8[np.ndarray, "b horizon h w c"]:
        """The frames of `rollout`."""
        return np.asarray(self.rollout(ids, key, actions).obs)

    def over_clips(self, per_clip: PerClip) -> Parts:
        """What a function gives for all clips, pooled; the clips are dreamed once for all functions of `on_clips`."""
        if per_clip not in self.cache:
            pools = {function: Pool() for function in (*self.on_clips, per_clip)}
            how = {"num_windows": self.options.num_windows, "batch_size": self.options.batch_size, "seed": self.seed}
            for clip in dream_clips(self.sim, self.held_out, horizon=self.horizon, **how):
                for function, pool in pools.items():
                    pool.add(function(self, clip))
            self.cache.update({function: pool.parts() for function, pool in pools.items()})
        return self.cache[per_clip]


def always(reference: Reference, options: EvalOptions) -> bool:
    """A measurement that every evaluation includes."""
    return True


def full_only(reference: Reference, options: EvalOptions) -> bool:
    """A measurement that a quick evaluation leaves out."""
    return not options.quick


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A question to a world: the function that answers it, and the metrics among the numbers that it gives."""

    section: str
    """The key of its numbers in the results; several measurements may share a section."""
    metrics: tuple[Metric, ...]
    measure: Callable[[Trial], Numbers]
    """Gives the numbers; a ValueError says that the footage or the world cannot be measured."""
    per_clip: PerClip | None = None
    """What the measurement takes from each batch of clips, where it uses them."""
    per_play: Callable[..., Any] | None = None
    """What it takes from the plays of a policy, where it uses them: a function of the trial and a `Play`."""
    applies: Callable[[Reference, EvalOptions], bool] = full_only
    """Whether an evaluation includes it."""


class Pool:
    """Puts together what batches give: arrays are concatenated, moments pooled as they come."""

    def __init__(self):
        self._arrays: dict[Any, list[np.ndarray]] = {}
        self._moments: dict[Any, Moments] = {}

    def add(self, part: Parts) -> None:
        """Add the parts of a batch."""
        for name, value in part.items():
            if isinstance(value, Moments):
                self._moments[name] = self._moments[name] + value if name in self._moments else value
            else:
                self._arrays.setdefault(name, []).append(value)

    def parts(self) -> Parts:
        """All that was added."""
        return {**self._moments, **{name: np.concatenate(parts) for name, parts in self._arrays.items()}}


def longest_horizon(columns: Columns, limit: int = HORIZONS[0]) -> int:
    """The largest of 64, 32 and 16 frames, at most `limit`, for which an episode is long enough.

    Raises:
        ValueError: no episode has CONTEXT + 16 frames.
    """
    longest = columns.longest
    for horizon in HORIZONS:
        if horizon <= limit and CONTEXT + horizon <= longest:
            return horizon
    raise ValueError(
        f"expected held-out episodes of at least {CONTEXT + HORIZONS[-1]} frames for evaluation, the longest has "
        f"{longest}; record more frames."
    )


def draw_windows(columns: Columns, length: int, count: int, seed: int) -> Int64[np.ndarray, "n t"]:
    """Draw rows of up to `count` different windows of real frames; fewer where the footage has fewer."""
    windows = Windows(columns, length, min_real=length)
    ids = np.random.default_rng([seed, length]).permutation(len(windows))[:count]
    return windows.rows(ids)[0]


def all_windows(columns: Columns, length: int) -> Int64[np.ndarray, "n t"]:
    """Rows of all windows of real frames."""
    windows = Windows(columns, length, min_real=length)
    return windows.rows(np.arange(len(windows)))[0]


def batches(rows: Int64[np.ndarray, "n t"], batch_size: int) -> Iterator[tuple[Int64[np.ndarray, "b t"], int]]:
    """Split rows into batches of one size, the last filled up with its first row; the count leaves the filling out."""
    batch_size = max(1, min(batch_size, len(rows)))
    for start in range(0, len(rows), batch_size):
        part = rows[start : start + batch_size]
        yield np.concatenate([part, np.repeat(part[:1], batch_size - len(part), 0)]), len(part)


def whole_chunks(series: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Split a series `[b t ...]` into chunks of `size` frames, so that one program serves all.

    The last is filled up with the last entry.
    """
    for start in range(0, series.shape[1], size):
        chunk = series[:, start : start + size]
        yield np.concatenate([chunk, np.repeat(chunk[:, -1:], size - chunk.shape[1], 1)], 1)


def rollout(
    sim: Simulator, context: UInt8[np.ndarray, "b n h w c"], actions: Float[np.ndarray, "b t a"], key: PRNGKeyArray
) -> StepOutput:
    """Dream on from recorded frames under `actions` (by arrival, those of the context included)."""
    length = context.shape[1]
    state, _ = sim.reset(key, initial=InitialContext.frames(context, actions[:, :length]))
    return dream_on(sim, state, actions[:, length:])[1]


def dream_on(sim: Simulator, state: SimState, actions: Float[np.ndarray, "b horizon a"]) -> tuple[SimState, StepOutput]:
    """Take steps, as `Simulator.rollout` does, and check that the output can be measured.

    Pictures of whole numbers do not show that they come from NaN, so the uncertainty and the reward are checked.

    Raises:
        ValueError: the world gives NaN or infinity, or pictures that are not uint8.
    """
    state, out = sim.rollout(state, actions)
    for name in ("uncertainty", "reward"):
        values = getattr(out, name)
        if values is not None and (bad := ~np.isfinite(np.asarray(values))).any():
            frame = int(bad.any(0).argmax()) + 1
            raise ValueError(
                f"the world gave NaN or infinity as {name} in {int(bad.any(1).sum())} of {len(bad)} dreams, "
                f"first in frame {frame} of {bad.shape[1]}: nothing that it dreams can be measured."
            )
    if (dtype := np.asarray(out.obs).dtype) != np.uint8:
        raise ValueError(f"expected uint8 frames from the world, got {dtype}.")
    return state, out


def dream_clips(
    sim: Simulator, columns: Columns, *, horizon: int, num_windows: int, seed: int, batch_size: int = 32
) -> Iterator[Clip]:
    """Draw windows and let the world dream, reconstruct and predict them, batch by batch."""
    rows, first = draw_windows(columns, CONTEXT + horizon, num_windows, seed), 0
    for number, (ids, count) in enumerate(batches(rows, batch_size)):
        key_free, key_teacher = jax.random.split(jax.random.fold_in(jax.random.key(seed), number))
        obs, actions = columns.obs[ids], columns.prev_action[ids]
        yield Clip(
            first=first,
            real=obs[:count],
            free=np.asarray(rollout(sim, obs[:, :CONTEXT], actions, key_free).obs)[:count],
            reconstruction=np.asarray(sim.reconstruct(obs))[:count],
            teacher_forced=np.asarray(sim.teacher_forced(obs, actions, key_teacher))[:count],
            state=None if columns.state is None else columns.state[ids[:count]],
        )
        first += count
