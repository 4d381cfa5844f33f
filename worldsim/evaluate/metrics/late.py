"""Late control: do the keys still do in the middle of a dream what they do in the game?

The opposite-action test (`worldsim.evaluate.metrics.opposite`) begun at second 4 and at second 10 of a dream: the world
dreams on from a held-out context under the actions that were recorded after it, and from that state 16 frames under an
action and under its opposite, with the same noise and again with other noise (`worldsim.evaluate.divergence`). Where no
episode is long enough, as where its player dies within seconds, the keys are random, each held for 1 to 8 frames. Of up
to WINDOWS contexts:

- `late_4s`, `late_10s`: do the two lead apart by more than half a pixel in the direction that they do in recorded
  frames? By the place of what the player moves where the footage has it, else by the pictures' shift. The number of
  contexts in which they do over that of those in which the dreams show it, or should: no fewer than in the game, whose
  player may leave the picture too. So a world that lost its player scores 0, and so does one that ignores its actions
  or has left and right swapped.
- `late_4s_shown`: fraction of the contexts in which both dreams show it 4 or 8 frames on.
- `late_shown_real`: the same of recorded windows; 1 where nothing is looked for.
- `late_4s_divergence`: fraction in which the actions cause more than half of the difference between the two.
- `num_late_4s`: contexts that count: those whose dream the world itself had not called over by then, since nobody plays
  on, nor under either action before the object is looked for: who holds a key may die of it, in the game too. None,
  with a reason, where there is none, and where recorded frames show no direction.
"""

from __future__ import annotations

import numpy as np

from worldsim.data.dataset import Columns
from worldsim.evaluate.divergence import LOOK, NUM_ASKED, Divergence, dream_opposites, goes_right, is_directed
from worldsim.evaluate.fitted.opposite import OppositeActions
from worldsim.evaluate.metric import Metric, Numbers, not_measured
from worldsim.evaluate.trial import CONTEXT, Measurement, Trial

SECONDS = (4, 10)
WINDOWS = 16
METRICS = (
    *(
        Metric(
            f"late_{seconds}s",
            "higher",
            f"keys do what they do in the game after {seconds} s",
            chance=0.0,
            perfect=1.0,
            headline=headline,
        )
        for seconds, headline in ((4, None), (10, 2))
    ),
    Metric("late_*_divergence", "higher", chance=0.0, perfect=1.0),
    Metric("late_*_shown", perfect="late_shown_real"),
)


def measure_late(trial: Trial) -> Numbers:
    """Measure opposite actions late in a dream; None, with a reason, where there is no answer."""
    opposite, ages = trial.reference.opposite_actions, [max(1, round(seconds * trial.sim.fps)) for seconds in SECONDS]
    long = CONTEXT + ages[-1]
    rows = trial.windows(long if trial.held_out.longest >= long else CONTEXT + max(LOOK), WINDOWS)
    real = shown_fraction(opposite, trial.held_out, rows)
    result: Numbers = {"late_shown_real": real}
    for seconds, found in zip(SECONDS, dream_opposites(trial, rows, ages, num_pairs=NUM_ASKED)):
        result |= late_numbers(f"late_{seconds}s", opposite, found, real)
    return result


def shown_fraction(opposite: OppositeActions, columns: Columns, rows: np.ndarray) -> float:
    """Fraction of recorded windows `[n t]` in which what the player moves is shown where it is looked for."""
    if opposite.target is None or columns.state is None:
        return 1.0
    frames = rows[:, [CONTEXT + frame - 1 for frame in LOOK]]
    return float(opposite.target.detector.visible(columns.state[frames][:, :, opposite.place]).any(1).mean())


def late_numbers(name: str, opposite: OppositeActions, found: Divergence, shown_real: float) -> Numbers:
    """The numbers of one age."""
    alive = ~found.ended
    if not alive.any():
        reason = f"the world called all {len(alive)} dreams over before"
        return not_measured(reason, [name, f"{name}_divergence"], name) | {f"num_{name}": 0}
    result: Numbers = {f"num_{name}": int(alive.sum()), f"{name}_divergence": float(found.is_apart[alive].mean())}
    known = is_directed(opposite, found.pair) & alive
    if not known.any():
        reason = "no opposite actions move things reliably apart in the recorded frames for calibration"
        return result | not_measured(reason, [name], name)
    result[f"{name}_shown"] = shown = float(np.isfinite(found.gaps[known]).all(-1).mean())
    if max(shown, shown_real) == 0:
        return result | not_measured("neither the game nor the dream shows what the player moves", [name], name)
    return result | {name: float(goes_right(opposite, found)[known].mean() / max(shown, shown_real))}


MEASUREMENT = Measurement(section="control", metrics=METRICS, measure=measure_late)
