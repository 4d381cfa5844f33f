"""LPIPS and FVD, by weights that the user names: none is included, and without a file neither is measured.

- `lpips_16`: LPIPS (Zhang et al., arXiv:1801.03924) of dreamed from recorded frames, mean over the dreamed frames 1 to
  16 and over windows. 0 = alike; seldom above 1.
- `fvd_16`: FVD (Unterthiner et al., arXiv:1812.01717): Frechet distance between features of dreamed and of recorded
  clips. 0 = the same distribution, no upper end. A clip is the dreamed frames 1 to 16, no context among them, at the
  footage's own rate. Covariances are unbiased, nothing is added to their diagonals.
- `lpips_16_copy_last`, `fvd_16_copy_last`: the same for a film that repeats the last context frame.
- `num_fvd_clips`: FVD falls with the number of clips, so only numbers at the same one compare; papers take 2048.
- `lpips_file`, `lpips_sha256`, `fvd_file`, `fvd_sha256`: which file gave the numbers.

`worldsim.evaluate.fitted.networks` describes what the files take and give.
"""

from __future__ import annotations

import numpy as np

from worldsim.evaluate.fitted.networks import CLIP_FRAMES, fvd_features, lpips_distance
from worldsim.evaluate.metric import Metric, Numbers, families, not_measured
from worldsim.evaluate.trial import CONTEXT, Clip, Measurement, Parts, Trial
from worldsim.metrics import frechet_distance, moments

NOTE = "this path was tested with random weights only; the numbers are as good as the file"
METRICS = (
    Metric("lpips_16", "lower", "LPIPS of 16 dreamed frames", chance="lpips_16_copy_last", perfect=0.0),
    Metric("fvd_16", "lower", "FVD of 16 dreamed frames", chance="fvd_16_copy_last", perfect=0.0),
    *families("lower", "lpips*", "fvd*"),
)


def measure_weights(trial: Trial) -> Numbers:
    """Measure LPIPS and FVD; for the one whose file was not named, None and what to do."""
    parts, result = trial.over_clips(compare_clips), {}
    for name, net in zip(("lpips", "fvd"), trial.reference.networks):
        keys = f"{name}_16", f"{name}_16_copy_last"
        if net is None:
            result |= not_measured(f"name a weights file by --{name}", keys, name)
            continue
        values = parts[name]
        if name == "lpips":
            result |= dict(zip(keys, values.mean(0).tolist()))
        else:
            result |= {"num_fvd_clips": len(values), **_fvd(values, keys)}
        result |= {f"{name}_file": net.name, f"{name}_sha256": net.sha256}
    return result | {"note": NOTE}


def compare_clips(trial: Trial, clip: Clip) -> Parts:
    """Of each clip the LPIPS distances (dreamed, copied) and the FVD features (recorded, dreamed, copied)."""
    lpips, fvd = trial.reference.networks
    still = clip.copy_last(CLIP_FRAMES)
    films = list(zip(clip.real[:, CONTEXT : CONTEXT + CLIP_FRAMES], clip.free[:, :CLIP_FRAMES], still))
    result: Parts = {}
    if lpips is not None:
        distances = [[lpips_distance(lpips, real, x).mean() for x in others] for real, *others in films]
        result["lpips"] = np.array(distances, np.float64)
    if fvd is not None:
        result["fvd"] = np.stack([[fvd_features(fvd, x) for x in three] for three in films])
    return result


def _fvd(features: np.ndarray, keys: tuple[str, str]) -> Numbers:
    if len(features) < 2:
        return not_measured("FVD needs at least 2 clips, record more", keys, "fvd")
    real, *others = (moments(x) for x in np.moveaxis(features, 1, 0))
    return dict(zip(keys, [frechet_distance(real, x, ridge=0.0) for x in others]))


MEASUREMENT = Measurement(
    section="weights",
    metrics=METRICS,
    measure=measure_weights,
    per_clip=compare_clips,
    applies=lambda reference, options: any(reference.networks),
)
