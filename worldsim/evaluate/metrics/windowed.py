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

import numpy as np
from jaxtyping import Int, UInt8

from worldsim.evaluate.metric import Metric, Numbers, not_measured
from worldsim.evaluate.trial import CONTEXT, Clip, Measurement, Parts, Pool, Trial, always, dream_on
from worldsim.initial import InitialContext
from worldsim.metrics import frechet_distance, video_moments

SPAN = 16  # frames
SCORED = (16, 64)
MIN_GAP = 0.01  # of copy-last: the two references of a score must lie at least that far apart
METRICS = (Metric("score_gfvd_*", "higher"), Metric("gfvd_window*", "lower"))


def measure_windowed_clips(trial: Trial) -> Numbers:
    """Measure the distances over the trial's clips."""
    return windowed_numbers(trial.over_clips(pool_clip))


def pool_clip(trial: Trial, clip: Clip) -> Parts:
    """The moments of a batch of clips."""
    numbers = clip.first + np.arange(len(clip.real))
    return windowed_moments(clip.real[:, CONTEXT:], clip.free, clip.real[:, CONTEXT - 1], numbers)


def measure_windowed(trial: Trial) -> Numbers:
    """Measure dreams of `windowed_horizon` frames, or of the longest multiple of 16 that an episode allows.

    Dreams go on 16 frames at a time, so that memory does not grow with the horizon.

    Raises:
        ValueError: no episode has CONTEXT + 16 frames.
    """
    columns, longest = trial.held_out, trial.held_out.longest - CONTEXT
    horizon = min(trial.options.windowed_horizon, longest) // SPAN * SPAN
    if horizon < SPAN:
        raise ValueError(
            f"expected a horizon of at least {SPAN} frames and episodes of {CONTEXT + SPAN} for a windowed distance, "
            f"the longest episode has {longest + CONTEXT}; record more frames."
        )
    rows, pool, first = trial.windows(CONTEXT + horizon), Pool(), 0
    for ids, count, key in trial.batches(rows):
        obs, actions = columns.obs[ids[:, :CONTEXT]], columns.prev_action[ids]
        state, _ = trial.sim.reset(key, initial=InitialContext.frames(obs, actions[:, :CONTEXT]))
        numbers = first + np.arange(count)
        for age in range(horizon // SPAN):
            frames = slice(CONTEXT + age * SPAN, CONTEXT + (age + 1) * SPAN)
            state, out = dream_on(trial.sim, state, actions[:, frames])
            real = columns.obs[ids[:count, frames]]
            pool.add(windowed_moments(real, np.asarray(out.obs)[:count], obs[:count, -1], numbers, age))
        first += count
    return {**windowed_numbers(pool.parts()), "num_frames_dreamed": horizon, "num_windows": len(rows)}


def windowed_moments(
    real: UInt8[np.ndarray, "b t h w c"],
    free: UInt8[np.ndarray, "b t h w c"],
    last: UInt8[np.ndarray, "b h w c"],
    numbers: Int[np.ndarray, " b"],
    first: int = 0,
) -> Parts:
    """The moments of recorded and dreamed frames and of the last context frame, by age and half of the windows.

    Ages are in spans of 16 frames, and `first` is that of the first frame. The number of a window decides its half.
    """
    parts: Parts = {}
    for half in (0, 1):
        mine = numbers % 2 == half
        if not mine.any():
            continue
        if first == 0:  # the same at every age
            parts["copy_last", 0, half] = video_moments(np.repeat(last[mine][:, None], SPAN, 1))
        for age in range(real.shape[1] // SPAN):
            frames = slice(age * SPAN, (age + 1) * SPAN)
            parts["real", first + age, half] = video_moments(real[mine][:, frames])
            parts["free", first + age, half] = video_moments(free[mine][:, frames])
    return parts


def windowed_numbers(parts: Parts) -> Numbers:
    """The lists and their scores; None with a reason where there are fewer than two windows."""
    ages = sum(name == "real" and half == 0 for name, _, half in parts)
    if not ages or ("real", 0, 1) not in parts:
        return not_measured("a Frechet distance needs at least 2 windows", ["gfvd_window"], "gfvd_window")
    rows = np.array([_distances(parts, age) for age in range(ages)])
    result: Numbers = dict(zip(("gfvd_window", "gfvd_window_copy_last", "gfvd_window_floor"), rows.T.tolist()))
    scores = [score(free, zero=still, one=floor) if floor < still else None for free, still, floor in rows.tolist()]
    result["score_gfvd_window"] = scores
    for horizon in (h for h in SCORED if h <= ages * SPAN):
        some = [x for x in scores[: horizon // SPAN] if x is not None]
        result[f"score_gfvd_{horizon}"] = float(np.mean(some)) if len(some) == horizon // SPAN else None
    if None in scores:
        result["score_gfvd_reason"] = "recorded frames of two halves differ as much as from a frame that stands still"
    return result


def score(value: float, *, zero: float, one: float) -> float | None:
    """Where a number stands between two references, which get 0 and 1; None where these are too near to each other."""
    if abs(one - zero) <= MIN_GAP * abs(zero):
        return None
    return (value - zero) / (one - zero)


def _distances(parts: Parts, age: int) -> tuple[float, float, float]:
    real = [parts["real", age, half] for half in (0, 1)]
    free, still = (
        float(np.mean([frechet_distance(real[1 - half], parts[name, at, half]) for half in (0, 1)]))
        for name, at in (("free", age), ("copy_last", 0))
    )
    return free, still, float(np.mean([frechet_distance(*pair) for pair in (real, real[::-1])]))


OF_CLIPS = Measurement(
    section="fidelity", metrics=METRICS, measure=measure_windowed_clips, per_clip=pool_clip, applies=always
)
OF_LONG_DREAMS = Measurement(
    section="windowed",
    metrics=METRICS,
    measure=measure_windowed,
    applies=lambda reference, options: options.windowed_horizon > 0,
)
