"""Presence: over a minute of free play, is what matters still in the picture?

From the plays of `worldsim.evaluate.metrics.free_play`, all policies together. Of an object "player":

- `player_60s`: the fraction of the frames before the end in which it is found, and not more often than the game has it,
  in the dream over that in the game; 1 is best, and above 1 it is there more often than in the game. Seconds are those
  of `EvalOptions.play_seconds`, fewer where the plays are held-out episodes that were cut earlier.
- `player_extra`: the fraction in which there are more of it than the game has, and `player_extra_game`.
- `player_returns`: of the times that it was not seen for half a second, the fraction after which it was seen again; and
  `player_returns_game`. None where it never goes.
- `worst_60s`: that of the least present object: a world that keeps its ball and loses its player cannot be played.
  Objects that the game itself shows in less than RARE of its frames are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worldsim.evaluate.metric import Metric, Numbers, not_measured
from worldsim.evaluate.metrics.free_play import compare_play
from worldsim.evaluate.plays import over_plays
from worldsim.evaluate.trial import Measurement, Trial

RARE = 0.05
METRICS = (
    Metric("worst_*s", "higher", "least present object over {} s, dream / game", chance=0.0, perfect=1.0, headline=1),
    Metric("*_returns", "higher", "{} comes back after leaving", chance=0.0, perfect="*_returns_game"),
    Metric("*_extra", "lower", "more than one {}", chance=1.0, perfect="*_extra_game"),
    Metric("*_*s", "higher", "{} present over a minute, dream / game", chance=0.0, perfect=1.0),
)


def measure_presence(trial: Trial) -> Numbers:
    """Measure the presence of every object over the plays of all policies."""
    found = over_plays(trial, compare_play)
    spans = [numbers["span_seconds"] for numbers in found.values()] or [trial.options.play_seconds]
    seconds = f"{round(float(np.mean(spans)))}s"
    result: Numbers = {}
    for thing in trial.reference.targets if found else ():
        shares = {side: [numbers[f"{thing}_presence{side}"] for numbers in found.values()] for side in ("", "_game")}
        game = float(np.mean(shares["_game"]))
        if game >= RARE:
            result[f"{thing}_{seconds}"] = float(np.mean(shares[""])) / game
        for side in ("", "_game"):
            result[f"{thing}_extra{side}"] = float(
                np.mean([numbers[f"{thing}_extra{side}"] for numbers in found.values()])
            )
            result[f"{thing}_returns{side}"] = _mean(
                [numbers[f"{thing}_return_fraction{side}"] for numbers in found.values()]
            )
    present = [x for key, x in result.items() if key.endswith(f"_{seconds}")]
    if not present:
        reason = (
            "the game hardly shows any object" if result else "no object's place is known, or no play is long enough"
        )
        return {**not_measured(reason, [f"worst_{seconds}"]), **result}
    return {f"worst_{seconds}": min(present), **result}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [x for x in values if x is not None]
    return float(np.mean(known)) if known else None


MEASUREMENT = Measurement(section="presence", metrics=METRICS, measure=measure_presence, per_play=compare_play)
