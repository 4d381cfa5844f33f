"""Sharpness: is a dream as sharp as the game, after a second and after a minute?

A frame's sharpness is the mean over pixels of the magnitude of the gradient of its grey values. Plays and the dreams
beside them (`worldsim.evaluate.plays`), of all policies together, are looked at LOOKS times a second:

- `ratio_1s`, `ratio_4s`, `ratio_10s`, `ratio_30s`, `ratio_60s`: the dreams' sharpness within half a second around that
  age over the game's through the tokenizer and back, at the same age under the same actions. 1 = as sharp as the game;
  fog has less, noise and flicker more. A play that is over by then counts with the mean of its policy at any age. A
  dream counts until the world itself calls it over, since nobody plays on; where no dream is left, and where the dreams
  are not so long, the number is None, with a reason.
- `nearness_1s` and so on: min(ratio, 1 / ratio), which is better the higher it is.
- `segments`: the ratio in each tenth of the dreams, so that a collapse that heals shows; None where no dream is left.
- `num_dreams_1s` and so on: dreams that count.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from worldsim.evaluate.metric import Metric, Numbers, not_measured
from worldsim.evaluate.plays import Play, over_plays
from worldsim.evaluate.trial import Measurement, Trial, whole_chunks
from worldsim.simulator import Simulator

AGES = (1, 4, 10, 30, 60)  # seconds
LOOKS = 8  # a second
AROUND = 0.5  # seconds
SEGMENTS = 10
CHUNK = 64  # frames of a play that are reconstructed by one call
METRICS = (
    *(
        Metric(
            f"ratio_{age}s",
            label=f"sharpness after {age} s, dream over game",
            perfect=1.0,
            headline=3 if age == 10 else None,
        )
        for age in AGES
    ),
    Metric("nearness_*", "higher", perfect=1.0),
)


class Looks(NamedTuple):
    """Sharpness of one policy's dreams and of the game beside them, in grey levels a pixel; b plays, t looks."""

    age: Float[np.ndarray, " t"]  # seconds
    dream: Float[np.ndarray, "b t"]
    game: Float[np.ndarray, "b t"]
    """Of the play at that age, and where it is over by then, the policy's mean."""
    counts: Bool[np.ndarray, "b t"]
    """Looks before the dream is called over."""


def measure_sharpness(trial: Trial) -> Numbers:
    """Compare the sharpness of dreams with that of the game at the same age."""
    looks = list(over_plays(trial, look_at_play).values())
    if not looks:
        return not_measured("no episode is long enough for a play", [f"ratio_{age}s" for age in AGES])
    last, result = max(x.age[-1] for x in looks), {}
    for age in AGES:
        names = [f"ratio_{age}s", f"nearness_{age}s"]
        if age > last + AROUND:
            result |= not_measured(f"the dreams last {last:.3g} s", names, names[0])
            continue
        near = [np.abs(x.age - age) <= AROUND for x in looks]
        value = _ratio(looks, near)
        result[f"num_dreams_{age}s"] = int(sum(x.counts[:, at].any(1).sum() for x, at in zip(looks, near)))
        if value is None:
            result |= not_measured("every dream is called over by then, or the game has no edges", names, names[0])
        else:
            result |= dict(zip(names, (value, min(value, 1 / value) if value > 0 else 0.0)))
    bounds = np.linspace(0, last, SEGMENTS + 1)
    parts = [[(x.age > start) & (x.age <= stop) for x in looks] for start, stop in zip(bounds, bounds[1:])]
    return result | {"segments": [_ratio(looks, part) for part in parts]}


def look_at_play(trial: Trial, play: Play) -> Looks:
    """The sharpness of one policy's dreams and plays."""
    fps = trial.sim.fps
    stride = max(1, round(fps / LOOKS))
    at = np.arange(stride - 1, play.rows.shape[1], stride)
    game = _reconstructed_sharpness(trial.sim, play.columns.obs[play.rows[:, at]])
    going = play.alive(play.game_length)[:, at]
    game = np.where(going, game, game[going].mean() if going.any() else game.mean())
    over = np.where(play.dream_ended, play.dream_length, play.rows.shape[1])
    return Looks((at + 1) / fps, sharpness(play.dream[:, at]), game, play.alive(over)[:, at])


def sharpness(obs: UInt8[np.ndarray, "b t h w c"]) -> Float[np.ndarray, "b t"]:
    """The mean magnitude of the gradient of grey values, in grey levels a pixel."""
    rows = []
    for film in obs:  # one by one, since whole plays in floats are large
        grey = film.mean(-1, dtype=np.float32)
        across, down = np.diff(grey, axis=2)[:, :-1], np.diff(grey, axis=1)[:, :, :-1]
        rows.append(np.hypot(across, down).mean((1, 2), dtype=np.float64))
    return np.stack(rows)


def _reconstructed_sharpness(sim: Simulator, obs: UInt8[np.ndarray, "b t h w c"]) -> Float[np.ndarray, "b t"]:
    """The sharpness of frames through the tokenizer and back."""
    parts = [sharpness(np.asarray(sim.reconstruct(part))) for part in whole_chunks(obs, CHUNK)]
    return np.concatenate(parts, 1)[:, : obs.shape[1]]


def _ratio(looks: list[Looks], chosen: list[Bool[np.ndarray, " t"]]) -> float | None:
    """The sharpness of dreams over that of the game in the chosen looks, those after a dream's end left out."""
    kept = [x.counts & at for x, at in zip(looks, chosen)]
    dream, game = (
        sum(float(values[k].sum()) for values, k in zip(of, kept))
        for of in ([x.dream for x in looks], [x.game for x in looks])
    )
    return dream / game if game > 0 else None


MEASUREMENT = Measurement(section="sharpness", metrics=METRICS, measure=measure_sharpness, per_play=look_at_play)
