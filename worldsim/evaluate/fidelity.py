"""Fidelity: how near do the dreamed frames stay to the recorded ones?

`psnr_free_16` is the mean over windows and over the generated frames 1 to 16, the context not counted; so are the other
numbers of a horizon, and beside each stands the same number for a film that repeats the last context frame.
`psnr_teacher_forced` predicts every frame from the true ones before it, `psnr_tokenizer` is the ceiling: the recorded
frames through the tokenizer and back. Curves give the mean over windows of every frame by itself.

`gfvd_16` and `gfvd_64` are Frechet distances between the random features of generated and of recorded clips
(`worldsim.metrics`); `gfvd_16_floor` is that of one half of the recorded windows from the other, which no world can be
expected to beat at this number of windows. A world that plays back something else of the same game would score well
here and badly on PSNR. `gfvd_window` and its kin follow the distance through the dream (`worldsim.evaluate.windowed`).

Scores say where a number stands between its references: `score_psnr_free_16` is (free - copy_last) / (tokenizer -
copy_last), each the mean over frames 1 to 16: 0 = as good as standing still, 1 = the tokenizer's ceiling, below 0 =
worse than standing still. None, with a reason, where the ceiling is no better than standing still.

Where the game itself is left to chance, PSNR and SSIM reward a world that always dreams what is likeliest, above one
that draws what comes as the game does; `crps_skill` and `spread_skill` (`worldsim.evaluate.uncertainty`) do not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from worldsim import metrics
from worldsim.evaluate.dreams import CONTEXT, Clip
from worldsim.evaluate.windowed import WindowedDistance, score

REPORTED = (1, 4, 8, 16, 32, 64)
DISTANCES = (16, 64)
PICTURES = {"psnr": metrics.psnr, "ssim": metrics.ssim}


class Fidelity:
    """Collects clips, batch by batch, and gives the numbers at the end."""

    def __init__(self):
        self._curves: dict[str, list[np.ndarray]] = {}
        self._moments: dict[tuple[int, str], metrics.Moments] = {}
        self._windowed = WindowedDistance()
        self._num_windows = 0

    def add(self, clip: Clip) -> None:
        """Measure a batch of clips."""
        real = clip.real[:, CONTEXT:]
        versions = {
            "free": clip.free,
            "copy_last": np.repeat(clip.real[:, CONTEXT - 1 : CONTEXT], real.shape[1], 1),
            "teacher_forced": clip.teacher_forced[:, CONTEXT:],
            "tokenizer": clip.reconstruction[:, CONTEXT:],
        }
        for metric, measure in PICTURES.items():
            for name, version in versions.items():
                self._curves.setdefault(f"{metric}_{name}", []).append(measure(real, version))
        for horizon in (h for h in DISTANCES if h <= real.shape[1]):
            self._pool((horizon, "free"), clip.free[:, :horizon])
            for half in (0, 1):
                self._pool((horizon, f"real{half}"), real[half::2, :horizon])
        numbers = self._num_windows + np.arange(len(real))
        self._windowed.add(real, clip.free, clip.real[:, CONTEXT - 1], numbers)
        self._num_windows += len(real)

    def numbers(self) -> dict[str, Any]:
        """All numbers; under "curves" one value a frame."""
        curves = {name: np.concatenate(parts).mean(0) for name, parts in self._curves.items()}
        result: dict[str, Any] = {"num_windows": self._num_windows}
        for name, curve in curves.items():
            if name.endswith(("free", "copy_last")):
                result |= {f"{name}_{h}": float(curve[:h].mean()) for h in REPORTED if h <= len(curve)}
            else:
                result[name] = float(curve.mean())
        for horizon in (h for h in DISTANCES if h <= len(curves["psnr_free"])):
            result |= self._distances(horizon)
        for metric in PICTURES:
            result |= _scores(metric, curves)
        result |= self._windowed.numbers()
        result["curves"] = {name: [float(x) for x in curve] for name, curve in curves.items()}
        return result

    def _pool(self, key: tuple[int, str], video: np.ndarray) -> None:
        if len(video):
            part = metrics.video_moments(video)
            self._moments[key] = self._moments[key] + part if key in self._moments else part

    def _distances(self, horizon: int) -> dict[str, Any]:
        free, first, second = (self._moments.get((horizon, name)) for name in ("free", "real0", "real1"))
        if free is None or first is None or second is None:
            reason = f"a Frechet distance wants at least 2 windows, got {self._num_windows}"
            return {f"gfvd_{horizon}": None, f"gfvd_{horizon}_floor": None, "gfvd_reason": reason}
        return {
            f"gfvd_{horizon}": metrics.frechet_distance(first + second, free),
            f"gfvd_{horizon}_floor": metrics.frechet_distance(first, second),
        }


def _scores(metric: str, curves: dict[str, np.ndarray]) -> dict[str, Any]:
    """Where the free-running dream stands between copy-last and the tokenizer, at every horizon."""
    free, still, ceiling = (curves[f"{metric}_{name}"] for name in ("free", "copy_last", "tokenizer"))
    result: dict[str, Any] = {}
    for horizon in (h for h in REPORTED if h <= len(free)):
        value, zero, one = (float(curve[:horizon].mean()) for curve in (free, still, ceiling))
        result[f"score_{metric}_free_{horizon}"] = score(value, zero=zero, one=one) if one > zero else None
    if None in result.values():
        result[f"score_{metric}_reason"] = "the tokenizer's ceiling is no better than repeating the last frame"
    return result
