"""Realism: can a dream of some seconds be told from the game, whatever happens in it?

Nothing is compared frame by frame with the recording that a dream began from, so a dream may go its own way. Streams
begin at held-out contexts and dream on under recorded actions (`worldsim.evaluate.ages`); at 1, 4 and 10 seconds
16 frames of each are taken, and of the game the recorded frames of the same ages. Both are divided into two halves that
share no episode. A stream whose dream called itself over before counts no more, its game neither: nobody plays on.

- `score_4s`: (blurred - dreamed) / (blurred - game), of Frechet distances from the game's frames of the other half,
  averaged over both ways round: 0 = as far as the game under a Gaussian of 1.5 pixels, 1 = as near as the game is to
  itself; not below -1. The game is seen through the tokenizer, as in sharpness.
- `score_tokenizer_4s`: where the game through the tokenizer stands between recorded frames, blurred (0) and as they are
  (1). Where it is low the tokenizer itself is far from the game, which no other number here shows.
- `distance_4s`, `distance_blur_4s`, `distance_self_4s`: these distances. They fall with the number of frames, so that
  they compare among equal numbers of windows only; the score hardly does.
- `features`: what the distances are of (`worldsim.evaluate.fitted.textures`): EfficientNet-Lite0 where the metrics
  extra is installed, which sees single frames, so that a dream that stands still may have 1; else random convolutions.
- `auroc_4s`: how well a small network tells 8 frames of a dream from 8 frames of the game through the tokenizer
  (`worldsim.evaluate.fitted.two_sample`): .5 = not at all, 1 = always. It learns on one half and is measured on the
  other; seeds take turns in which. It sees motion, and rises with the number of windows.
- `auroc_floor`: the same of the game against itself, odd streams against even ones, 4 seconds old: how far from .5
  luck goes with half as many clips.
- `num_4s`: streams that count at this age. With fewer than MIN_CLIPS in a half nothing is measured.
- `past_end_fraction`: fraction of the streams that go on after the end of the episode that they began in; their game is
  the episode that follows.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from scipy.ndimage import gaussian_filter

from worldsim.evaluate.ages import Half, TooFewContextsError, dream_halves, through_tokenizer
from worldsim.evaluate.fitted.textures import Look, find_look
from worldsim.evaluate.fitted.two_sample import NUM_STEPS, two_sample_auroc
from worldsim.evaluate.metric import Metric, Numbers, not_measured
from worldsim.evaluate.metrics.windowed import score
from worldsim.evaluate.trial import Measurement, Trial
from worldsim.metrics import Moments, frechet_distance

AGES = (1, 4, 10)  # seconds
FLOOR_AGE = 4
MIN_WINDOWS, MAX_WINDOWS = 32, 512
MIN_CLIPS = 6
BLUR = 1.5  # pixels
LOWEST = -1.0
METRICS = (
    *(
        Metric(
            f"score_{age}s",
            "higher",
            f"realism after {age} s, blurred game to game",
            chance=0.0,
            perfect=1.0,
            headline=headline,
        )
        for age, headline in zip(AGES, (None, 4, None))
    ),
    *(
        Metric(
            f"auroc_{age}s",
            "lower",
            f"dream told from game after {age} s, AUROC",
            chance=1.0,
            perfect=0.5,
            headline=headline,
        )
        for age, headline in zip(AGES, (None, 5, None))
    ),
    Metric("score_tokenizer_*", "higher", chance=0.0, perfect=1.0),
    Metric("distance_*", "lower"),
)


def measure_realism(trial: Trial, *, num_steps: int = NUM_STEPS) -> Numbers:
    """Measure scores and AUROCs; `num_steps` is how long a classifier learns."""
    count = min(trial.options.num_windows, MAX_WINDOWS) // 2 * 2
    keys = [f"{name}_{age}s" for name in ("score", "auroc") for age in AGES]
    if count < MIN_WINDOWS:
        return not_measured(f"realism needs at least {MIN_WINDOWS} windows, got {count}", keys)
    try:
        halves = dream_halves(trial, AGES, count)
    except TooFewContextsError as error:
        return not_measured(str(error), keys)
    name, look = find_look()
    past_end = np.concatenate([half.past_end for half in halves])
    result: Numbers = {"num_windows": count, "features": name, "past_end_fraction": float(past_end.mean())}
    learn, judge = (0, 1) if trial.seed % 2 == 0 else (1, 0)
    for age in AGES:
        result[f"num_{age}s"] = sum(len(half.dream[age]) for half in halves)
        if min(len(half.dream[age]) for half in halves) < MIN_CLIPS:
            reason = f"after {age} s the world had called all but {result[f'num_{age}s']} of {count} dreams over"
            result |= not_measured(reason, [f"score_{age}s", f"auroc_{age}s"], f"{age}s")
            continue
        coded = [through_tokenizer(trial, half.game[age]) for half in halves]
        result |= _scores(halves, age, look, coded)
        pairs = [(half.dream[age], own) for half, own in zip(halves, coded)]
        result[f"auroc_{age}s"] = two_sample_auroc(pairs[learn], pairs[judge], num_steps=num_steps)
        if age == FLOOR_AGE:
            result[f"score_tokenizer_{age}s"] = _tokenizer_score(halves, age, look, coded)
            pairs = [(own[0::2], own[1::2]) for own in coded]
            result["auroc_floor"] = two_sample_auroc(pairs[learn], pairs[judge], num_steps=num_steps)
    return result


def blurred(clips: UInt8[np.ndarray, "n t h w c"]) -> UInt8[np.ndarray, "n t h w c"]:
    """Clips under a Gaussian of BLUR pixels."""
    soft = gaussian_filter(clips.astype(np.float32), (0, 0, BLUR, BLUR, 0), mode="nearest")
    return np.round(soft).astype(np.uint8)


def _scores(halves: tuple[Half, Half], age: int, look: Look, coded: list[np.ndarray]) -> Numbers:
    """The distances of an age from the game through the tokenizer, and the score between them."""
    films = {"": [half.dream[age] for half in halves], "_blur": [blurred(clips) for clips in coded], "_self": coded}
    looks = {name: [look(clips) for clips in own] for name, own in films.items()}
    distance = {name: _across(looks["_self"], own) for name, own in looks.items()}
    found = _between(distance[""], zero=distance["_blur"], one=distance["_self"])
    result: Numbers = {f"distance{name}_{age}s": value for name, value in distance.items()}
    result[f"score_{age}s"] = found
    if found is None:
        result[f"score_{age}s_reason"] = "the game differs from itself as much as from its blurred frames"
    return result


def _tokenizer_score(halves: tuple[Half, Half], age: int, look: Look, coded: list[np.ndarray]) -> float | None:
    """Where the game through the tokenizer stands between the recorded frames, blurred and as they are."""
    game = [look(half.game[age]) for half in halves]
    soft = [look(blurred(half.game[age])) for half in halves]
    own = _across(game, [look(clips) for clips in coded])
    return _between(own, zero=_across(game, soft), one=_across(game, game))


def _across(real: list[Moments], other: list[Moments]) -> float:
    """The distance of each half from the other one's reference, averaged over both ways round."""
    return float(np.mean([frechet_distance(real[1 - half], other[half]) for half in (0, 1)]))


def _between(value: float, *, zero: float, one: float) -> float | None:
    found = score(value, zero=zero, one=one) if one < zero else None
    return None if found is None else max(found, LOWEST)


MEASUREMENT = Measurement(section="realism", metrics=METRICS, measure=measure_realism)
