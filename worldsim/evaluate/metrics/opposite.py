"""Opposite-action test: from one state, do left and right lead apart, in the right directions, and how soon?

From one context a world dreams 16 frames under an action and under its opposite, with the same noise and again with
other noise (`worldsim.evaluate.divergence`).

- `opposite_divergence`: fraction of windows in which the actions cause more than half of the difference between the
  two, over all frames: it is more than the sampling noise. A world that ignores its actions scores 0, and so, nearly,
  does one that only grows restless by them.
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

`worldsim.evaluate.metrics.late` measures the same later in the dream.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int64

from worldsim.data.dataset import Columns
from worldsim.evaluate.divergence import (
    COMMON,
    HORIZON,
    LOOK,
    MIN_GAP,
    Divergence,
    correlation,
    dream_opposites,
    goes_right,
    is_directed,
)
from worldsim.evaluate.fitted.motion import held_displacements
from worldsim.evaluate.fitted.opposite import OppositeActions
from worldsim.evaluate.metric import Metric, Numbers, not_measured
from worldsim.evaluate.trial import CONTEXT, Measurement, Trial

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
    [found] = dream_opposites(trial, rows)
    result: Numbers = {
        "opposite_divergence": float(found.is_apart.mean()),
        "opposite_pairs": ", ".join(pair.name for pair in opposite.pairs[:8]),
        "num_opposite_pairs": len(opposite.pairs),
        "num_windows": len(rows),
    }
    result |= _latency(correlation(found.products) > COMMON)
    return result | _directed(opposite, columns, rows, found, trial.seed)


def _latency(apart: Bool[np.ndarray, "n t"]) -> Numbers:
    """The median first frame at which two dreams are apart."""
    first = np.where(apart.any(1), apart.argmax(1) + 1, np.inf)
    if np.isfinite(median := float(np.median(first))):
        return {"latency_frames": median}
    reason = f"in half of the windows opposite actions lead apart at no frame of {apart.shape[1]}"
    return not_measured(reason, ["latency_frames"], "latency")


def _directed(
    opposite: OppositeActions, columns: Columns, rows: Int64[np.ndarray, "n t"], found: Divergence, seed: int
) -> Numbers:
    """The fraction that diverge in the direction of recorded frames, and the same of recorded frames."""
    known = is_directed(opposite, found.pair) & _shown(opposite, columns, rows)
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
    right = goes_right(opposite, found)[known]  # False where the object is lost
    result |= {"opposite_direction": float(right.mean()), "opposite_direction_by": "shift"}
    if opposite.target is not None:
        result |= {"opposite_direction_by": "place", "opposite_lost": float(np.isnan(found.gaps[known]).any(-1).mean())}
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
