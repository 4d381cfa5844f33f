"""Motion: which way does the picture move after an action? Fitted to recorded frames, whatever the game.

Between two pictures the shift of what changed is found by block matching: with m = 1 where a pixel changed by more than
16 grey levels in some channel, the shift s is the one, up to an eighth of the frame's width, with the least

    sum over x of m(x) |after(x) - before(x - s)|^2,

which correlations by the fast Fourier transform give for all s at once. A sprite on a still ground moves its own pixels
and little else changes; a camera that turns moves them all; one rule serves both. Of equal shifts the smallest counts.
Where the footage has the place of the object that the player moves, that place is taken instead: in a scene that
scrolls by itself the shift shows the scene.

The direction of a pair of actions comes from recorded stretches in which one of them is held for HOLD frames: with
displacements d it is (mean d | first) - (mean d | second), each axis divided by its variance (a linear discriminant
without the covariance). It counts as known where the means along it lie at least MIN_T standard errors apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64, Shaped, UInt8

from worldsim.data.dataset import Columns

CHANGED = 16  # grey levels
HOLD = 4  # frames that a recorded action is held
STRIDE = 2  # frames between the pictures that are matched, so that slow things move by a pixel
MIN_T = 5.0
MIN_STRETCHES = 8
MAX_STRETCHES = 300
_CHUNK = 256
_STILLNESS = 1.0  # squared grey levels a changed pixel that one more pixel of shift has to win
_JUMP = 0.25  # of the frame: what goes farther in HOLD frames was put elsewhere and did not move


def differs(one: Shaped[np.ndarray, "*n h w c"], two: Shaped[np.ndarray, "*m h w c"]) -> Bool[np.ndarray, "*k h w"]:
    """Where two pictures differ visibly: by more than CHANGED grey levels in some channel."""
    return np.asarray((np.abs(np.subtract(one, two, dtype=np.float32)) > CHANGED).any(-1))


class Direction(NamedTuple):
    """Where the first of two actions moves things, away from the second."""

    unit: np.ndarray  # [2] x, y; of length 1
    t: float  # standard errors that the two means lie apart along it


def displacement(clips: UInt8[np.ndarray, "b t h w c"]) -> Float[np.ndarray, "b 2"]:
    """The way x, y in pixels that what changes goes over each clip, matched every STRIDE frames."""
    frames = clips[:, ::STRIDE]
    return np.sum([shifts(frames[:, t], frames[:, t + 1]) for t in range(frames.shape[1] - 1)], axis=0)


def shifts(before: UInt8[np.ndarray, "n h w c"], after: UInt8[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n 2"]:
    """The shift x, y in pixels of what changed between each two pictures; 0 where nothing did."""
    parts = [_shifts(before[i : i + _CHUNK], after[i : i + _CHUNK]) for i in range(0, len(before), _CHUNK)]
    return np.concatenate(parts) if parts else np.zeros((0, 2))


def held_stretches(
    columns: Columns, action: Float[np.ndarray, " a"], rng: np.random.Generator
) -> Int64[np.ndarray, "n t"]:
    """Rows of up to MAX_STRETCHES stretches of HOLD frames, and the frame before, in which an action is held."""
    same = (columns.prev_action == action).all(-1)
    if len(same) < HOLD:
        return np.zeros((0, HOLD + 1), np.int64)
    runs = np.lib.stride_tricks.sliding_window_view(same, HOLD).all(-1)
    first = np.flatnonzero(runs) - 1  # an episode's first frame has no known action, so no stretch crosses episodes
    return rng.permutation(first)[:MAX_STRETCHES, None] + np.arange(HOLD + 1)


def held_displacements(
    columns: Columns, action: Float[np.ndarray, " a"], rng: np.random.Generator, place: np.ndarray | None = None
) -> Float[np.ndarray, "n 2"]:
    """Displacements in pixels over recorded stretches in which an action is held.

    `place` are the columns of the state with x, y of what the player moves, as fractions of the frame; None takes the
    shift of the pictures. Stretches in which the place is unknown, or leaps, are left out.
    """
    rows = held_stretches(columns, action, rng)
    if place is None:
        return displacement(columns.obs[rows]) if len(rows) else np.zeros((0, 2))
    assert columns.state is not None
    way = columns.state[rows[:, -1]][:, place] - columns.state[rows[:, 0]][:, place]
    way = way[np.isfinite(way).all(-1) & (np.abs(way) < _JUMP).all(-1)]
    height, width = columns.obs.shape[1:3]
    return way * np.array([width, height], np.float64)


def fit_direction(first: Float[np.ndarray, "n 2"], second: Float[np.ndarray, "m 2"]) -> Direction | None:
    """Learn a direction from the displacements under two actions; None where they do not reliably differ."""
    if min(len(first), len(second)) < MIN_STRETCHES:
        return None
    floor = 1e-2  # squared pixels, where every stretch goes the same way
    unit = (first.mean(0) - second.mean(0)) / ((first.var(0) + second.var(0)) / 2 + floor)
    unit = unit / max(float(np.linalg.norm(unit)), 1e-12)
    one, two = first @ unit, second @ unit
    error = np.sqrt((one.var() + floor) / len(one) + (two.var() + floor) / len(two))
    t = float((one.mean() - two.mean()) / error)
    return Direction(unit, t) if t >= MIN_T else None


def _shifts(before, after):
    height, width = before.shape[1:3]
    reach = max(width // 8, 1)
    changed = differs(after, before)
    before, after = before.astype(np.float32), after.astype(np.float32)
    mask = changed[..., None].astype(np.float32)
    cost = _correlate(mask, np.square(before).sum(-1, keepdims=True)).sum(-1)
    cost -= 2 * _correlate(mask * after, before).sum(-1)  # m |after|^2 is the same for every shift
    y, x = (np.fft.fftfreq(n, 1 / n) for n in (height, width))
    distance = np.hypot(y[:, None], x)
    cost += _STILLNESS * changed.sum((1, 2))[:, None, None] * distance
    near = (np.abs(y)[:, None] <= reach) & (np.abs(x) <= reach)
    cost = np.where(near & (np.asarray(changed.any((1, 2)))[:, None, None] | (distance == 0)), cost, np.inf)
    best = cost.reshape(len(cost), -1).argmin(1)
    return np.stack([x[best % width], y[best // width]], -1)


def _correlate(one, two):
    """Sum over x of one(x) two(x - s) for every shift s, around the edges."""
    spectrum = np.fft.rfft2(one, axes=(1, 2)) * np.fft.rfft2(two, axes=(1, 2)).conj()
    return np.fft.irfft2(spectrum, s=one.shape[1:3], axes=(1, 2))
