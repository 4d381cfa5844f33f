"""Opposite-action test: from one state, do left and right lead apart, in the right directions, and how soon?

From one context a world dreams HORIZON frames under an action A that is held and, with the same noise, under its
opposite B: e1 is the difference A - B on the pixels that differ by more than 16 grey levels in some channel, else 0.
Then both again with other noise, e2. What the actions do is common to e1 and e2, what the noise does is not, so the
correlation <e1, e2> / (|e1| |e2|), 0 where nothing differs, is the fraction of the difference that the actions cause.

- `opposite_divergence`: fraction of windows in which it is above one half over all frames: A and B diverge by more than
  the sampling noise. A world that ignores its actions scores 0, and so, nearly, does one that only grows restless by
  them.
- `opposite_direction`: fraction of windows in which they diverge by more than half a pixel in the direction that they
  do in recorded frames (`worldsim.evaluate.fitted.motion`). No divergence is wrong too, so a world that ignores its
  actions scores 0 and so does one that has left and right swapped. Where the footage has the place of what the player
  moves, it is looked for in the dreams, at frames 4 and 8, and only windows count whose recorded frames show it there;
  else the pictures' shift over all frames. `opposite_direction_by` says which, and `opposite_lost` in which fraction of
  the windows the object was not found in both dreams; these count as wrong.
- `opposite_direction_real`: the reference from held-out recorded frames: the fraction of pairs of a stretch under A and
  a stretch under B that diverge in the right direction. They begin at different states, so a true world does better.
- `latency_frames`: the first frame at which the correlation in this frame alone is above one half; the median over
  windows, those without such a frame counting as never. 1 is the frame that the action led into: the soonest there is.

Windows take the pairs of `worldsim.evaluate.fitted.opposite` in turn.
"""

from __future__ import annotations

import jax
import numpy as np
from jaxtyping import Bool, Float, Int64, PRNGKeyArray, UInt8

from worldsim.data.dataset import Columns
from worldsim.evaluate.fitted.motion import differs, displacement, held_displacements
from worldsim.evaluate.fitted.opposite import OppositeActions
from worldsim.evaluate.metric import Metric, Numbers, not_measured
from worldsim.evaluate.trial import CONTEXT, Measurement, Trial

HORIZON = 16
LOOK = (4, 8)  # dreamed frames in which the object is looked for
COMMON = 0.5  # of the difference between two dreams: above, the actions caused it
MIN_GAP = 0.5  # pixels
METRICS = (
    Metric("opposite_divergence", "higher", "opposite actions lead apart", chance=0.0, perfect=1.0),
    Metric(
        "opposite_direction",
        "higher",
        "opposite actions lead apart in the right direction",
        chance=0.5,
        perfect=1.0,
        headline=9,
    ),
    Metric("latency_frames", "lower", "frames from key to change", perfect=1.0, digits=1, headline=10),
    Metric("opposite_direction_real", "higher"),
)


def measure_opposite(trial: Trial) -> Numbers:
    """Measure opposite actions; None, with a reason, where there is no answer."""
    opposite, columns, rows = trial.reference.opposite_actions, trial.held_out, trial.windows(CONTEXT + HORIZON)
    which = np.arange(len(rows)) % len(opposite.pairs)
    products, gaps, done = [], [], 0
    for ids, count, key in trial.batches(rows):
        pairs = [opposite.pairs[(done + i) % len(opposite.pairs)] for i in range(len(ids))]
        done += len(ids)
        one, two = jax.random.split(key)
        held = [np.stack([getattr(p, side) for p in pairs]) for side in ("first", "second")]
        a, b = (_dream_held(trial, ids, action, one) for action in held)
        again = [_dream_held(trial, ids, action, two) for action in held]
        products.append(difference_products(visible_difference(a, b), visible_difference(*again))[:, :count])
        gaps.append(_gaps(opposite, columns.obs[ids[:, CONTEXT - 1]], a, b)[:count])
    products = np.concatenate(products, 1)
    result: Numbers = {
        "opposite_divergence": float((correlation(products.sum(-1)) > COMMON).mean()),
        "opposite_pairs": ", ".join(pair.name for pair in opposite.pairs[:8]),
        "num_opposite_pairs": len(opposite.pairs),
        "num_windows": len(rows),
    }
    result |= _latency(correlation(products) > COMMON)
    return result | _directed(opposite, columns, rows, which, np.concatenate(gaps), trial.seed)


def visible_difference(
    one: UInt8[np.ndarray, "b t h w c"], two: UInt8[np.ndarray, "b t h w c"]
) -> Float[np.ndarray, "b t h w c"]:
    """The first less the second, in grey levels, on the pixels that differ visibly."""
    return np.where(differs(one, two)[..., None], np.subtract(one, two, dtype=np.float32), 0)


def difference_products(
    one: Float[np.ndarray, "b t h w c"], two: Float[np.ndarray, "b t h w c"]
) -> Float[np.ndarray, "products b t"]:
    """For every frame <e1, e1>, <e2, e2> and <e1, e2>."""
    return np.stack([(x * y).sum((2, 3, 4), dtype=np.float64) for x, y in ((one, one), (two, two), (one, two))])


def correlation(products: Float[np.ndarray, "products ..."]) -> Float[np.ndarray, "..."]:
    """The correlation of two differences, from their products; 0 where either is nothing."""
    return products[2] / np.sqrt(np.maximum(products[0] * products[1], 1e-12))


def _dream_held(
    trial: Trial, ids: Int64[np.ndarray, "b t"], action: Float[np.ndarray, "b a"], key: PRNGKeyArray
) -> UInt8[np.ndarray, "b horizon h w c"]:
    """Dreams from the contexts of windows, each under one action that is held."""
    actions = trial.held_out.prev_action[ids]  # indexing by rows copies
    actions[:, CONTEXT:] = action[:, None]
    return trial.dream(ids, key, actions)


def _gaps(
    opposite: OppositeActions, last: np.ndarray, first: np.ndarray, second: np.ndarray
) -> Float[np.ndarray, "b 2"]:
    """How far x, y in pixels the first dreams have gone from the second ones; NaN where the object is lost."""
    if opposite.target is None:
        ways = [displacement(np.concatenate([last[:, None], dream], 1)) for dream in (first, second)]
        return ways[0] - ways[1]
    height, width = last.shape[1:3]
    gaps = []
    for frame in LOOK:
        places = [opposite.target.detector.locate(dream[:, frame - 1]) for dream in (first, second)]
        gaps.append((places[0] - places[1]) * [width, height])
    lost = np.isnan(gaps).all(0)
    return np.where(lost, np.nan, np.nansum(gaps, 0) / np.maximum((~np.isnan(gaps)).sum(0), 1))


def _latency(apart: Bool[np.ndarray, "n t"]) -> Numbers:
    """The median first frame at which two dreams are apart."""
    first = np.where(apart.any(1), apart.argmax(1) + 1, np.inf)
    if np.isfinite(median := float(np.median(first))):
        return {"latency_frames": median}
    reason = f"in half of the windows opposite actions lead apart at no frame of {apart.shape[1]}"
    return not_measured(reason, ["latency_frames"], "latency")


def _directed(
    opposite: OppositeActions,
    columns: Columns,
    rows: Int64[np.ndarray, "n t"],
    which: Int64[np.ndarray, " n"],
    gaps: Float[np.ndarray, "n 2"],
    seed: int,
) -> Numbers:
    """The fraction that diverge in the direction of recorded frames, and the same of recorded frames."""
    known = np.array([d is not None for d in opposite.directions])[which] & _shown(opposite, columns, rows)
    result: Numbers = {
        "opposite_direction": None,
        "opposite_direction_real": _directed_real(opposite, columns, seed),
        "num_directed": int(known.sum()),
    }
    if not known.any():
        reason = "no opposite actions move things reliably apart in the recorded frames for calibration"
        if any(d is not None for d in opposite.directions):
            reason = f"what the player moves is seen in none of the {len(rows)} windows"
        return result | {"opposite_reason": reason}
    units = np.stack([np.zeros(2) if d is None else d.unit for d in opposite.directions])[which]
    right = (gaps * units).sum(-1)[known] > MIN_GAP  # False where the object is lost
    result |= {"opposite_direction": float(right.mean()), "opposite_direction_by": "shift"}
    if opposite.target is not None:
        result |= {"opposite_direction_by": "place", "opposite_lost": float(np.isnan(gaps[known]).any(-1).mean())}
    return result


def _shown(opposite: OppositeActions, columns: Columns, rows: Int64[np.ndarray, "n t"]) -> Bool[np.ndarray, " n"]:
    """Windows whose recorded frames show the object at the end of the context and where it is looked for."""
    if opposite.target is None or columns.state is None:
        return np.ones(len(rows), bool)
    frames = rows[:, [CONTEXT - 1, *(CONTEXT + f - 1 for f in LOOK)]]
    return np.asarray(opposite.target.detector.visible(columns.state[frames][:, :, opposite.place]).all(1))


def _directed_real(opposite: OppositeActions, columns: Columns, seed: int) -> float | None:
    rng = np.random.default_rng([seed, 13])
    fractions = []
    for pair, direction in zip(opposite.pairs, opposite.directions):
        if direction is not None:
            first, second = (
                held_displacements(columns, action, rng, opposite.place) @ direction.unit
                for action in (pair.first, pair.second)
            )
            if len(first) and len(second):
                fractions.append(float((first[:, None] - second > MIN_GAP).mean()))
    return float(np.mean(fractions)) if fractions else None


MEASUREMENT = Measurement(section="control", metrics=METRICS, measure=measure_opposite)
