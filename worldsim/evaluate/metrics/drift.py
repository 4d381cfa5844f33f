"""Drift: how long does a dream last, under random keys and under none?

Several streams begin at held-out contexts and dream on: half of them under random actions that are each held for
1 to 8 frames, as in recording, half standing still. None begins anew, not even where the game would be over. Of
every frame four statistics are taken, all in grey levels: brightness (mean), contrast (standard deviation), sharpness
(mean absolute Laplacian, of the four neighbours) and motion (mean absolute difference to the frame before).

The band of a statistic is what it does in recorded footage: the 1 % and 99 % quantiles of its means over one second. A
stream has collapsed at the first frame from which on a statistic's mean over one second stays outside its band until
the end, for at least one second. Standing still, motion may be as small as it likes.

- `collapse_seconds_policy`, `collapse_seconds_still`: mean over streams; one that never collapsed counts with the whole
  length, `num_seconds`, so that is the highest score.
- `collapse_share_policy`, `collapse_share_still`: fraction of streams that collapsed, and
  `collapse_brightness_policy` and so on: fraction of streams in which this statistic, maybe with others, left for good.
- `outside_share_policy`, `outside_share_still`: fraction of the one-second means at which some statistic was outside;
  `outside_share_real` is that of recorded footage, which is above 0 because a band of 98 % leaves something out.

"curves" gives the means over streams at about 100 points, "bands" the two bounds of each statistic.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from worldsim.data.dataset import Columns
from worldsim.evaluate.metric import Metric, Numbers, not_measured
from worldsim.evaluate.streams import dream_streams
from worldsim.evaluate.trial import Measurement, Trial

STATISTICS = ("brightness", "contrast", "sharpness", "motion")
QUANTILES = (0.01, 0.99)
POINTS = 100
KINDS = ("policy", "still")
PIECE = 512
NUM_STREAMS = 2  # a seed, and as many standing still
METRICS = (
    Metric(
        "collapse_seconds_policy",
        "higher",
        "seconds until a dream under random keys collapses",
        chance=0.0,
        perfect="num_seconds",
        digits=0,
        headline=14,
    ),
    Metric("collapse_seconds_*", "higher", chance=0.0, perfect="num_seconds"),
    Metric("collapse_share_*", "lower", perfect=0.0),
    Metric("outside_share_*", "lower", perfect="outside_share_real"),
)


class Bands(NamedTuple):
    """What is usual in recorded footage: bounds of each statistic's mean over one second."""

    low: np.ndarray  # [s]
    high: np.ndarray  # [s]
    outside: float  # fraction of the recorded one-second means at which some statistic is outside


def measure_drift(trial: Trial, *, num_streams: int = NUM_STREAMS) -> Numbers:
    """Dream streams under random actions and as many standing still, and report when they collapse."""
    columns, fps = trial.held_out, trial.sim.fps
    second, num_frames = max(1, round(fps)), round(trial.options.drift_seconds * fps)
    if num_streams < 1 or num_frames < 2 * second:
        raise ValueError(
            f"expected at least 1 stream and 2 seconds, {2 * second} frames, for drift, got num_streams={num_streams} "
            f"and num_frames={num_frames}."
        )
    if (longest := columns.longest) <= second:
        reason = f"the bands need an episode of more than one second, {second} frames; the longest has {longest}"
        return not_measured(reason, [f"collapse_seconds_{kind}" for kind in KINDS], "drift")
    bands = real_bands(columns, second)
    statistics = _stream_statistics(trial, num_frames, num_streams)
    result: Numbers = {"num_seconds": num_frames / fps, "num_streams": num_streams, "outside_share_real": bands.outside}
    curves: dict[str, list[float]] = {"seconds": points(np.arange(1, num_frames + 1) / fps)}
    for kind, own in zip(KINDS, np.split(statistics, 2)):
        result |= _collapse(own, bands, kind, second, fps)
        curves |= {f"{name}_{kind}": points(own[..., i].mean(0)) for i, name in enumerate(STATISTICS)}
    ends = zip(STATISTICS, bands.low.tolist(), bands.high.tolist())
    return result | {"curves": curves, "bands": {name: [low, high] for name, low, high in ends}}


def frame_statistics(obs: UInt8[np.ndarray, "b t h w c"]) -> Float[np.ndarray, "b t_minus_1 s"]:
    """Brightness, contrast, sharpness and motion of every frame but the first, in grey levels."""
    grey = obs.mean(-1, dtype=np.float32)
    later = grey[:, 1:]
    middle = later[..., 1:-1, 1:-1]
    around = later[..., :-2, 1:-1] + later[..., 2:, 1:-1] + later[..., 1:-1, :-2] + later[..., 1:-1, 2:]
    motion = np.abs(np.diff(obs.astype(np.int16), axis=1)).mean((2, 3, 4))
    parts = [later.mean((2, 3)), later.std((2, 3)), np.abs(around - 4 * middle).mean((2, 3)), motion]
    return np.stack(parts, -1).astype(np.float64)


def real_bands(columns: Columns, second: int) -> Bands:
    """Learn what is usual from recorded episodes of more than one second."""
    means = []
    for start, stop in zip(columns.bounds[:-1], columns.bounds[1:]):
        if stop - start > second:
            # pieces that share one frame, so that a long episode does not fill the memory
            pieces = [columns.obs[i : min(i + PIECE, stop - 1) + 1] for i in range(start, stop - 1, PIECE)]
            statistics = np.concatenate([frame_statistics(piece[None])[0] for piece in pieces])
            means.append(_second_means(statistics[None], second)[0])
    every = np.concatenate(means)
    low, high = np.quantile(every, QUANTILES, axis=0)
    return Bands(low, high, float(((every < low) | (every > high)).any(-1).mean()))


def _stream_statistics(trial: Trial, num_frames: int, num_streams: int) -> Float[np.ndarray, "b t s"]:
    """Statistics of the streams: those under random actions first, then as many standing still."""
    streams = dream_streams(trial, num_frames, num_streams, also_still=True)
    last, parts = next(streams)[:, -1:], []
    for obs in streams:
        dreamed = np.concatenate([last, obs], 1)
        parts.append(frame_statistics(dreamed))
        last = dreamed[:, -1:]
    return np.concatenate(parts, 1)


def _collapse(statistics: np.ndarray, bands: Bands, kind: str, second: int, fps: float) -> Numbers:
    """When and by what the streams `[b t s]` collapsed."""
    means = _second_means(statistics, second)
    low = bands.low.copy()
    if kind == "still":
        low[STATISTICS.index("motion")] = -np.inf
    outside = (means < low) | (means > bands.high)  # [b t s]
    stays = np.logical_and.accumulate(outside[:, ::-1], axis=1)[:, ::-1]
    length = stays.sum(1)  # [b s], means that lie outside at the end without a break
    for_good = length >= second
    frame = np.where(for_good, outside.shape[1] - length, np.inf)
    seconds = np.minimum(frame.min(1), statistics.shape[1]) / fps
    by_statistic = {f"collapse_{name}_{kind}": float(for_good[:, i].mean()) for i, name in enumerate(STATISTICS)}
    return {
        f"collapse_seconds_{kind}": float(seconds.mean()),
        f"collapse_share_{kind}": float(for_good.any(1).mean()),
        f"outside_share_{kind}": float(outside.any(-1).mean()),
        **by_statistic,
    }


def _second_means(statistics: np.ndarray, second: int) -> np.ndarray:
    """Means over every run of `second` frames `[b t s]`; entry i is that of frames i to i + second - 1."""
    total = np.cumsum(np.pad(statistics, ((0, 0), (1, 0), (0, 0))), axis=1)
    return (total[:, second:] - total[:, :-second]) / second


def points(curve: np.ndarray) -> list[float]:
    """The means of about POINTS equal parts of a curve."""
    return [float(part.mean()) for part in np.array_split(curve, min(POINTS, len(curve)))]


MEASUREMENT = Measurement(section="drift", metrics=METRICS, measure=measure_drift)
