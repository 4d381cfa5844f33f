"""Objects: are the ball, the paddle and the player there, and where the game has them?

PSNR cannot certify a ball: a picture without it scores 30 dB. So each object of which the footage has the ground truth
is looked for by templates from recorded frames (`worldsim.evaluate.fitted.detector`). For an object "ball":

- `ball_recall_reconstruction`: fraction of recorded frames with a ball in which the tokenizer's picture has one within
  2 pixels of the true place; `ball_recall` is the same number under its short name.
- `ball_recall_free_32`, `ball_error_free_32`: the same for dreamed frames 1 to 32, against the place that the recorded
  game has; and the mean distance of the best match, which counts as 6 pixels where there is none so near.
  Every fourth frame is looked at: 4, 8, ..., 32.
- `ball_recall_copy_last_32`: that of a film that repeats the last context frame: what luck gives.
- `ball_recall_real`, `ball_false_positive_real`: the detector itself, on recorded frames that it was not calibrated on:
  the fraction that it finds, and the fraction of frames in which it fires far from every true place. Below .99 the
  other numbers are that much too low.

Pixels are those of a frame 64 pixels wide. An object counts only while it lies wholly inside the frame. Objects that
look alike count together. Where the footage gives an object a "kind", such as "paddle", the mean over the objects of a
kind is reported too.
"""

from __future__ import annotations

import numpy as np

from worldsim.evaluate.metric import Metric, Numbers, families
from worldsim.evaluate.trial import CONTEXT, Clip, Measurement, Parts, Trial, always

HORIZON = 32
STRIDE = 4
RECALL = Metric("*_recall", "higher", "{} recall, tokenizer", chance=0.0, perfect="*_recall_real", digits=3)
RECALL_32 = Metric(
    "*_recall_free_32",
    "higher",
    "{} recall, 32 dreamed frames",
    chance="*_recall_copy_last_32",
    perfect="*_recall_real",
    digits=3,
)
ERROR_32 = Metric(
    "*_error_free_32",
    "lower",
    "{} error, 32 dreamed frames",
    chance="*_error_copy_last_32",
    perfect="*_error_real",
    unit="px at 64",
)
METRICS = (
    RECALL,
    RECALL_32,
    ERROR_32,
    Metric("*_recall_*", "higher"),
    *families("lower", "*_error_*", "*_false_positive_real"),
)


def measure_objects(trial: Trial) -> Numbers:
    """Measure recall in 0..1 and errors in pixels of a frame 64 pixels wide, of each object and kind."""
    targets = trial.reference.targets
    result: Numbers = {str(key): float(x.mean()) for key, x in trial.over_clips(look_for).items() if x.size}
    for name, target in targets.items():
        result |= {f"{name}_{key}": value for key, value in target.real.items()}
        if f"{name}_recall_reconstruction" in result:
            result[f"{name}_recall"] = result[f"{name}_recall_reconstruction"]
    means: Numbers = {}
    for kind in sorted({t.kind for t in targets.values() if t.kind}):
        names = [name for name, target in targets.items() if target.kind == kind]
        endings = {key.removeprefix(f"{name}_") for name in names for key in result if key.startswith(f"{name}_")}
        for ending in sorted(endings):
            values = [result[f"{name}_{ending}"] for name in names if f"{name}_{ending}" in result]
            means.setdefault(f"{kind}_{ending}", float(np.mean(values)))
    return result | {key: value for key, value in means.items() if key not in result}


def look_for(trial: Trial, clip: Clip) -> Parts:
    """Of each object and version of the clips, whether it is found and its distance, where it is in the frame."""
    horizon = min(HORIZON, clip.free.shape[1])
    if clip.state is None:
        return {}
    span = slice(CONTEXT + STRIDE - 1, CONTEXT + horizon, STRIDE)
    versions = {
        "reconstruction": clip.reconstruction[:, span],
        f"free_{horizon}": clip.free[:, STRIDE - 1 : horizon : STRIDE],
        f"copy_last_{horizon}": clip.copy_last(horizon // STRIDE),
    }
    parts: Parts = {}
    for name, target in trial.reference.targets.items():
        places = clip.state[:, span][:, :, target.columns]  # [b t m 2]
        flat = places.reshape(-1, *places.shape[2:])
        visible = target.detector.visible(flat)
        for version, frames in versions.items():
            found, error = target.detector.check(frames.reshape(-1, *frames.shape[2:]), flat)
            parts |= {f"{name}_recall_{version}": found[visible], f"{name}_error_{version}": error[visible]}
    return parts


MEASUREMENT = Measurement(
    section="objects", metrics=METRICS, measure=measure_objects, per_clip=look_for, applies=always
)
