"""Windowed Frechet distance: how does the look of a dream change with its age?

Lists with one entry for every 16 dreamed frames: entry w is of frames 16 w + 1 to 16 w + 16. All three are Frechet
distances between random features (`worldsim.metrics`) of one half of the windows and of the recorded frames of the
other half, averaged over both ways round. So no dream is compared with the recording that it began from, and all have
samples of one size, since the distance falls with the size:

- `gfvd_window`: dreamed against recorded frames.
- `gfvd_window_copy_last`: the last context frame, repeated, against recorded frames.
- `gfvd_window_floor`: recorded against recorded frames of the same age.
- `score_gfvd_window`: (copy_last - dreamed) / (copy_last - floor). 0 = no better than standing still, 1 = as near as
  the game is to itself; below 0 is worse than standing still.
- `score_gfvd_16`, `score_gfvd_64`: means of that score over the first 16 and the first 64 frames.

Windows are drawn without regard to overlap: where the footage has few long episodes, windows of long dreams share
frames, and the floor is too low. `num_windows` says how many there were.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jaxtyping import Int, UInt8

from worldsim import metrics
from worldsim.data.dataset import Columns
from worldsim.evaluate.dreams import CONTEXT, batches, draw_windows, dream_on
from worldsim.simulator import Simulator

SPAN = 16  # frames
SCORED = (16, 64)
MIN_GAP = 0.01  # of copy-last: a score wants its two references at least that far apart


class WindowedDistance:
    """Collects dreams, batch by batch and age by age, and gives the lists at the end."""

    def __init__(self):
        self._moments: dict[tuple[str, int, int], metrics.Moments] = {}  # by version, age and half

    def add(
        self,
        real: UInt8[np.ndarray, "b t h w c"],
        free: UInt8[np.ndarray, "b t h w c"],
        last: UInt8[np.ndarray, "b h w c"],
        numbers: Int[np.ndarray, " b"],
        *,
        first: int = 0,
    ) -> None:
        """Add dreams of some age.

        Args:
            real: recorded frames; what does not fill 16 frames at the end is left out.
            free: dreamed frames.
            last: the last context frame.
            numbers: number of each window, which decides its half: all ages of a window have the same.
            first: age of the first frame, in spans of 16 frames.
        """
        for half in (0, 1):
            mine = numbers % 2 == half
            if not mine.any():
                continue
            if first == 0:  # the same at every age
                self._pool(("copy_last", 0, half), np.repeat(last[mine][:, None], SPAN, 1))
            for age in range(real.shape[1] // SPAN):
                frames = slice(age * SPAN, (age + 1) * SPAN)
                self._pool(("real", first + age, half), real[mine][:, frames])
                self._pool(("free", first + age, half), free[mine][:, frames])

    def numbers(self) -> dict[str, Any]:
        """The lists and their scores; None with a reason where there are fewer than two windows."""
        ages = 1 + max((age for _, age, _ in self._moments), default=-1)
        if ("real", 0, 0) not in self._moments or ("real", 0, 1) not in self._moments:
            return {"gfvd_window": None, "gfvd_window_reason": "a Frechet distance wants at least 2 windows"}
        rows = np.array([self._distances(age) for age in range(ages)])
        result: dict[str, Any] = dict(
            zip(("gfvd_window", "gfvd_window_copy_last", "gfvd_window_floor"), rows.T.tolist())
        )
        scores = [score(free, zero=still, one=floor) if floor < still else None for free, still, floor in rows.tolist()]
        result["score_gfvd_window"] = scores
        for horizon in (h for h in SCORED if h <= ages * SPAN):
            some = [x for x in scores[: horizon // SPAN] if x is not None]
            result[f"score_gfvd_{horizon}"] = float(np.mean(some)) if len(some) == horizon // SPAN else None
        if None in scores:
            result["score_gfvd_reason"] = (
                "recorded frames of two halves differ as much as from a frame that stands still"
            )
        return result

    def _distances(self, age: int) -> tuple[float, float, float]:
        real = [self._moments["real", age, half] for half in (0, 1)]
        free, still = (
            float(np.mean([metrics.frechet_distance(real[1 - half], self._moments[name, at, half]) for half in (0, 1)]))
            for name, at in (("free", age), ("copy_last", 0))
        )
        return free, still, float(np.mean([metrics.frechet_distance(*pair) for pair in (real, real[::-1])]))

    def _pool(self, key: tuple[str, int, int], video: np.ndarray) -> None:
        part = metrics.video_moments(video)
        self._moments[key] = self._moments[key] + part if key in self._moments else part


def score(value: float, *, zero: float, one: float) -> float | None:
    """Where a number stands between two references, which get 0 and 1; None where these are too near to tell."""
    if abs(one - zero) <= MIN_GAP * abs(zero):
        return None
    return (value - zero) / (one - zero)


def measure_windowed(
    sim: Simulator, columns: Columns, *, horizon: int = 1024, num_windows: int, seed: int, batch_size: int = 32
) -> dict[str, Any]:
    """Measure dreams of up to `horizon` frames, or of the longest multiple of 16 that an episode allows.

    Dreams go on 16 frames at a time, so that memory does not grow with the horizon.

    Raises:
        ValueError: no episode has CONTEXT + 16 frames.
    """
    longest = columns.longest - CONTEXT
    horizon = min(horizon, longest) // SPAN * SPAN
    if horizon < SPAN:
        raise ValueError(
            f"a windowed distance wants a horizon of at least {SPAN} frames and episodes of {CONTEXT + SPAN}, "
            f"the longest episode has {longest + CONTEXT}; record more frames."
        )
    rows = draw_windows(columns, CONTEXT + horizon, num_windows, seed)
    windowed = WindowedDistance()
    for number, (ids, count) in enumerate(batches(rows, batch_size)):
        key = jax.random.fold_in(jax.random.key(seed), number)
        obs, actions = columns.obs[ids[:, :CONTEXT]], columns.prev_action[ids]
        state, _ = sim.reset(key, prompt=obs, prompt_actions=actions[:, :CONTEXT])
        order = number * batch_size + np.arange(count)
        for age in range(horizon // SPAN):
            frames = slice(CONTEXT + age * SPAN, CONTEXT + (age + 1) * SPAN)
            state, out = dream_on(sim, state, actions[:, frames])
            real = columns.obs[ids[:count, frames]]
            windowed.add(real, np.asarray(out.obs)[:count], obs[:count, -1], order, first=age)
    return {**windowed.numbers(), "num_frames_dreamed": horizon, "num_windows": len(rows)}
