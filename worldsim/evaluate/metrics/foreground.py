"""Foreground: does a dream have what stands out in the game, where the game has it? Without labels.

Pixels that differ from their place's median by more than 24 grey levels in some channel, or, where the camera moves,
that stand out from what is around them (`worldsim.evaluate.fitted.background`). Of the dreamed frame H against the
recorded one, under the recorded actions, all windows together, H = 1, 4, 8, 16, 32, 64:

- `recall_H`: fraction of the game's foreground pixels with one of the dream within 2 pixels in x and in y.
- `precision_H`: fraction of the dream's foreground pixels with one of the game as near. None where the dream has none.
- `f1_H`: their harmonic mean; 0 where the dream has none.
- `recall_copy_last_H`, `precision_copy_last_H`, `f1_copy_last_H`: of a film that repeats the last context frame.
- `recall_tokenizer_H` and so on: of the recorded frame through the tokenizer and back, which no dream can be expected
  to beat.
- `score_H`: (f1 - f1_copy_last) / (f1_tokenizer - f1_copy_last): 0 = as good as standing still, 1 = as the tokenizer,
  below 0 worse than standing still. Where clouds and grass stand out as well as the player, a film that stands still
  finds most of them, and only the score shows what is missing. None where standing still is right: where the two ends
  are less than LEAST_GAP apart.
- `moving_fraction`: of recorded pixels those that differ from their median; `by_contrast`: 1 where that is so many that
  foreground is local contrast.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int64

from worldsim.evaluate.fitted.background import near
from worldsim.evaluate.metric import Metric, Numbers, not_measured
from worldsim.evaluate.metrics.windowed import score
from worldsim.evaluate.trial import CONTEXT, Clip, Measurement, Parts, Trial, always

FRAMES = (1, 4, 8, 16, 32, 64)
REACH = 2  # pixels
LEAST_GAP = 0.05
LABELS = {
    "recall": "foreground recall at frame {}",
    "precision": "foreground precision at frame {}",
    "f1": "foreground F1 at frame {}",
}
METRICS = (
    *(
        Metric(
            f"{name}_{frame}",
            "higher",
            label.format(frame) if frame in (8, 32) and name != "f1" else "",
            chance=f"{name}_copy_last_{frame}",
            perfect=f"{name}_tokenizer_{frame}",
            headline=25 if (name, frame) == ("recall", 32) else None,
        )
        for frame in FRAMES
        for name, label in LABELS.items()
    ),
    *(Metric(f"{name}_*", "higher") for name in LABELS),
    Metric("score_32", "higher", "foreground score at frame 32", chance=0.0, perfect=1.0),
    Metric("score_*", "higher", chance=0.0, perfect=1.0),
)


def measure_foreground(trial: Trial) -> Numbers:
    """Measure recall, precision and F1 of the foreground, 0..1."""
    background = trial.reference.background
    result: Numbers = {"by_contrast": float(background.by_contrast), "moving_fraction": background.moving}
    for (version, frame), counts in trial.over_clips(count_foreground).items():
        ending = f"{version}_{frame}"
        result |= {f"{name}{ending}": value for name, value in scores(*counts.sum(0).tolist()).items()}
        if result[f"recall{ending}"] is None:
            result[f"recall{ending}_reason"] = f"nothing stands out in the recorded frames {frame}"
        if result[f"precision{ending}"] is None:
            result[f"precision{ending}_reason"] = "nothing stands out in what it shows"
    for frame in (h for h in FRAMES if f"f1_{h}" in result):
        value, zero, one = (result[f"f1{version}_{frame}"] for version in ("", "_copy_last", "_tokenizer"))
        if value is None or one - zero < LEAST_GAP:
            result |= not_measured("standing still is as good as the tokenizer", [f"score_{frame}"], f"score_{frame}")
        else:
            result[f"score_{frame}"] = score(value, zero=zero, one=one)
    return result


def count_foreground(trial: Trial, clip: Clip) -> Parts:
    """Of each version and frame the counts of `overlaps`, a row a window."""
    parts: Parts = {}
    see = trial.reference.background.foreground
    last = see(clip.real[:, CONTEXT - 1])
    for frame in (h for h in FRAMES if h <= clip.free.shape[1]):
        game = see(clip.real[:, CONTEXT + frame - 1])
        parts["", frame] = overlaps(game, see(clip.free[:, frame - 1]))
        parts["_copy_last", frame] = overlaps(game, last)
        parts["_tokenizer", frame] = overlaps(game, see(clip.reconstruction[:, CONTEXT + frame - 1]))
    return parts


def overlaps(game: Bool[np.ndarray, "n h w"], dream: Bool[np.ndarray, "n h w"]) -> Int64[np.ndarray, "n counts"]:
    """Pixels of the game near one of the dream, all of the game, of the dream near one of the game, all of it."""
    masks = (game & near(dream, REACH), game, dream & near(game, REACH), dream)
    return np.stack([mask.sum((1, 2)) for mask in masks], -1)


def scores(found_game: int, game: int, found_dream: int, dream: int) -> dict[str, float | None]:
    """Recall, precision and F1 of the counts of `overlaps`; None where there is nothing to find."""
    recall = found_game / game if game else None
    precision = found_dream / dream if dream else None
    if recall is None:
        return {"recall": None, "precision": precision, "f1": None}
    f1 = 2 * recall * precision / (recall + precision) if recall and precision else 0.0
    return {"recall": recall, "precision": precision, "f1": f1}


MEASUREMENT = Measurement(
    section="foreground", metrics=METRICS, measure=measure_foreground, per_clip=count_foreground, applies=always
)
