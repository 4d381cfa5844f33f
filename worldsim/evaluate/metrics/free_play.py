"""Free play: is a minute in the dream like a minute in the game, for whoever plays?

The game is played from its start by somebody who presses nothing ("noop"), by one who holds random keys ("random") and,
where the game has one, by its scripted player with some noise ("noisy"); the world dreams the same actions on from the
same first frames (`worldsim.evaluate.plays`). Where no plays were recorded, the held-out episodes are the plays
("recorded"). Of a policy "random", each number for the dream, and as `.._game` for the game:

- `random_reward_per_1000`: reward in 1,000 frames, those after an end left out.
- `random_length_seconds`: mean time until the end, at most `play_seconds`.
- `random_ended_fraction`: fraction of the plays that ended within it, 0..1.
- `random_player_presence`: fraction of the frames before the end in which the object "player" is found by its detector
  (`worldsim.evaluate.fitted.detector`), looked at LOOKS times a second: once, or at most as often as the game has it.
  Where there are two heroes, neither is the one that obeys.
- `random_player_extra`: fraction in which there are more of it than that.
- `random_player_return_fraction`: of the times that it was not seen for GONE seconds, the fraction after which it was
  seen again; those that began in the last PATIENCE seconds are left out. None where it never goes.
- `random_span_seconds`: mean time over which dream and game can be compared: `play_seconds`, or until the recording of
  an episode was cut.
- `num_random_plays`, `num_random_frames`: plays, and frames of the dreams before their ends.

`worldsim.evaluate.metrics.presence` puts the presence of all policies together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from worldsim.evaluate.metric import Metric, Numbers, not_measured
from worldsim.evaluate.plays import Play, over_plays
from worldsim.evaluate.trial import Measurement, Trial

LOOKS = 8  # a second
GONE = 0.5
PATIENCE = 4.0
METRICS = (
    Metric("*_presence", label="{} in the picture", perfect="*_presence_game"),
    Metric("*_extra", "lower", "more than one {}", perfect="*_extra_game"),
    Metric("*_return_fraction", "higher", "{} comes back", perfect="*_return_fraction_game"),
    Metric("*_reward_per_1000", label="reward in 1,000 frames, {}", perfect="*_reward_per_1000_game"),
    Metric("*_length_seconds", label="seconds until it ends, {}", perfect="*_length_seconds_game", digits=1),
    Metric("*_ended_fraction", label="ended plays, {}", perfect="*_ended_fraction_game"),
)


class _Side(NamedTuple):
    """The dream or the game of a play."""

    obs: UInt8[np.ndarray, "b t h w c"]
    length: Int64[np.ndarray, " b"]
    ended: Bool[np.ndarray, " b"]
    reward: np.ndarray | None


def measure_free_play(trial: Trial) -> Numbers:
    """Compare plays of the game with dreams of the same actions, for each policy."""
    found = over_plays(trial, compare_play)
    if not found:
        return not_measured("no episode is long enough for a play", ())
    result: Numbers = {}
    for policy, numbers in found.items():
        result |= {
            (f"num_{policy}_{k[4:]}" if k.startswith("num_") else f"{policy}_{k}"): x for k, x in numbers.items()
        }
    return result


def compare_play(trial: Trial, play: Play) -> Numbers:
    """The numbers of one policy."""
    columns, fps = play.columns, trial.sim.fps
    sides = {
        "": _Side(play.dream, play.dream_length, play.dream_ended, play.dream_reward),
        "_game": _Side(columns.obs[play.rows], play.game_length, play.game_ended, columns.reward[play.rows]),
    }
    result: Numbers = {"num_plays": len(play.rows), "num_frames": int(play.dream_length.sum())}
    result["span_seconds"] = float(play.horizon.mean() / fps)
    for name, side in sides.items():
        before_end = play.alive(side.length)
        if side.reward is not None:
            result[f"reward_per_1000{name}"] = float(1000 * side.reward[before_end].sum() / before_end.sum())
        result[f"length_seconds{name}"] = float(side.length.mean() / fps)
        result[f"ended_fraction{name}"] = float(side.ended.mean())
    for thing, target in trial.reference.targets.items():
        stride = max(1, round(fps / LOOKS))
        for name, side in sides.items():
            looks = play.alive(side.length)[:, ::stride]
            count = np.zeros(looks.shape, int)
            count[looks] = target.detector.num_seen(side.obs[:, ::stride][looks])
            extra = count[looks] > len(target.columns)
            result[f"{thing}_presence{name}"] = float(((count[looks] > 0) & ~extra).mean())
            result[f"{thing}_extra{name}"] = float(extra.mean())
            result[f"{thing}_return_fraction{name}"] = return_fraction(count > 0, looks, fps / stride)
    return result


def return_fraction(seen: Bool[np.ndarray, "b t"], looks: Bool[np.ndarray, "b t"], rate: float) -> float | None:
    """Of the times that a thing was not seen for GONE seconds, the fraction after which it was seen again.

    Args:
        seen: whether it was seen in each look.
        looks: which looks come before the end; these are the first of each row.
        rate: looks a second.
    """
    gone, patience = max(1, round(GONE * rate)), round(PATIENCE * rate)
    came_back = []
    for row, count in zip(seen, looks.sum(1)):
        at = np.flatnonzero(row[:count])
        if not len(at):
            continue
        came_back += [True for here, there in zip(at, at[1:]) if gone < there - here and here + patience < count]
        came_back += [False] if count - at[-1] > patience else []
    return float(np.mean(came_back)) if came_back else None


MEASUREMENT = Measurement(section="free_play", metrics=METRICS, measure=measure_free_play, per_play=compare_play)
