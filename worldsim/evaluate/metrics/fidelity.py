"""Fidelity: how near do the dreamed frames stay to the recorded ones?

`psnr_free_16` is the mean over windows and over the generated frames 1 to 16, the context not counted; so are the other
numbers of a horizon, and beside each stands the same number for a film that repeats the last context frame.
`psnr_teacher_forced` predicts every frame from the true ones before it, `psnr_tokenizer` is the ceiling: the recorded
frames through the tokenizer and back. Curves give the mean over windows of every frame by itself.

`gfvd_16` and `gfvd_64` are Frechet distances between the random features of generated and of recorded clips
(`worldsim.metrics`); `gfvd_16_floor` is that of one half of the recorded windows from the other, which no world can be
expected to beat at this number of windows. A world that plays back something else of the same game would score well
here and badly on PSNR. `gfvd_window` and its kin follow the distance through the dream
(`worldsim.evaluate.metrics.windowed`).

Scores say where a number stands between its references: `score_psnr_free_16` is (free - copy_last) / (tokenizer -
copy_last), each the mean over frames 1 to 16: 0 = as good as standing still, 1 = the tokenizer's ceiling, below 0 =
worse than standing still. None, with a reason, where the ceiling is no better than standing still.

Where the game itself is left to chance, PSNR and SSIM reward a world that always dreams what is likeliest, above one
that draws what comes as the game does; `crps_skill` and `spread_skill` (`worldsim.evaluate.metrics.uncertainty`) do
not.
"""

from __future__ import annotations

import numpy as np

from worldsim.evaluate.metric import Metric, Numbers, families, not_measured
from worldsim.evaluate.metrics.windowed import score
from worldsim.evaluate.trial import CONTEXT, Clip, Measurement, Parts, Trial, always
from worldsim.metrics import frechet_distance, psnr, ssim, video_moments

REPORTED = (1, 4, 8, 16, 32, 64)
DISTANCES = (16, 64)
PICTURES = {"psnr": psnr, "ssim": ssim}
VERSIONS = ("free", "copy_last", "teacher_forced", "tokenizer")
PSNR_TOKENIZER = Metric("psnr_tokenizer", "higher", "PSNR of the tokenizer", unit="dB")
PSNR_16, PSNR_64 = (
    Metric(
        f"psnr_free_{horizon}",
        "higher",
        f"PSNR of {horizon} dreamed frames",
        chance=f"psnr_copy_last_{horizon}",
        perfect=PSNR_TOKENIZER.key,
        unit="dB",
        digits=1,
        headline=headline,
    )
    for horizon, headline in ((16, 6), (64, 7))
)
PSNR_NEXT = Metric("psnr_teacher_forced", "higher", "PSNR of the next frame", unit="dB", digits=1)
SSIM_16 = Metric(
    "ssim_free_16", "higher", "SSIM of 16 dreamed frames", chance="ssim_copy_last_16", perfect="ssim_tokenizer"
)
METRICS = (
    PSNR_16,
    PSNR_64,
    PSNR_TOKENIZER,
    PSNR_NEXT,
    SSIM_16,
    *families("higher", "psnr_*", "ssim_*", "score_psnr_*", "score_ssim_*"),
    Metric("gfvd_*", "lower"),
)


def measure_fidelity(trial: Trial) -> Numbers:
    """Measure PSNR, SSIM and Frechet distances; under "curves" one value a frame."""
    parts = trial.over_clips(compare_clips)
    curves = {f"{metric}_{name}": parts[metric, name].mean(0) for metric in PICTURES for name in VERSIONS}
    horizon = len(curves["psnr_free"])
    num_windows = len(parts["psnr", "free"])
    result: Numbers = {"num_windows": num_windows}
    for name, curve in curves.items():
        if name.endswith(("free", "copy_last")):
            result |= {f"{name}_{h}": float(curve[:h].mean()) for h in REPORTED if h <= horizon}
        else:
            result[name] = float(curve.mean())
    for length in (h for h in DISTANCES if h <= horizon):
        result |= _distances(parts, length, num_windows)
    for metric in PICTURES:
        result |= _scores(metric, curves)
    return result | {"curves": {name: [float(x) for x in curve] for name, curve in curves.items()}}


def compare_clips(trial: Trial, clip: Clip) -> Parts:
    """Of each frame PSNR and SSIM, and the moments of the features of generated and recorded frames."""
    real = clip.real[:, CONTEXT:]
    films = (
        clip.free,
        clip.copy_last(real.shape[1]),
        clip.teacher_forced[:, CONTEXT:],
        clip.reconstruction[:, CONTEXT:],
    )
    parts: Parts = {
        (metric, name): measure(real, film)
        for metric, measure in PICTURES.items()
        for name, film in zip(VERSIONS, films)
    }
    for length in (h for h in DISTANCES if h <= real.shape[1]):
        videos = {"free": clip.free[:, :length], "real 0": real[0::2, :length], "real 1": real[1::2, :length]}
        parts |= {(length, name): video_moments(video) for name, video in videos.items() if len(video)}
    return parts


def _distances(parts: Parts, length: int, num_windows: int) -> Numbers:
    free, first, second = (parts.get((length, name)) for name in ("free", "real 0", "real 1"))
    if free is None or first is None or second is None:
        reason = f"a Frechet distance needs at least 2 windows, got {num_windows}"
        return not_measured(reason, [f"gfvd_{length}", f"gfvd_{length}_floor"], "gfvd")
    return {
        f"gfvd_{length}": frechet_distance(first + second, free),
        f"gfvd_{length}_floor": frechet_distance(first, second),
    }


def _scores(metric: str, curves: dict[str, np.ndarray]) -> Numbers:
    """Where the free-running dream stands between copy-last and the tokenizer, at every horizon."""
    free, still, ceiling = (curves[f"{metric}_{name}"] for name in ("free", "copy_last", "tokenizer"))
    result: Numbers = {}
    for horizon in (h for h in REPORTED if h <= len(free)):
        value, zero, one = (float(curve[:horizon].mean()) for curve in (free, still, ceiling))
        result[f"score_{metric}_free_{horizon}"] = score(value, zero=zero, one=one) if one > zero else None
    if None in result.values():
        result[f"score_{metric}_reason"] = "the tokenizer's ceiling is no better than repeating the last frame"
    return result


MEASUREMENT = Measurement(
    section="fidelity", metrics=METRICS, measure=measure_fidelity, per_clip=compare_clips, applies=always
)
