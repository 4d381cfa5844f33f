"""Perceptual numbers, where the `metrics` extra is installed; named as what they are, never LPIPS or FVD.

- `efflite0_perceptual_16`: distance of dreamed from recorded frames in EfficientNet-Lite0's features: at each of its
  seven stages the features of a place are scaled to unit length; squared differences, mean over places, frames and
  stages. 0 = alike. Frames 4, 8, 12 and 16, enlarged to at least 128 pixels. No weight was fitted to people's
  judgement.
- `fd_efflite0_16`: Frechet distance between the means over places of its last stage (320 numbers), same frames. It
  falls with the number of frames, which stands beside it.
- `vmaf_free_16`: Netflix's VMAF, 0 to 100, of the dreamed frames 1 to 16 in the order of the windows, by the default
  model of the ffmpeg that comes with imageio-ffmpeg, enlarged to at least 256 pixels by nearest neighbour. It was made
  for compression of natural video.

Beside the first and the last stands the same number for a film that repeats the last context frame. What cannot be
measured here is absent, and `skipped` says why.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from functools import cache, partial
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float, UInt8

from worldsim import metrics
from worldsim.evaluate.fitted.efficientnet import load_weights, taps
from worldsim.evaluate.metric import Metric, Numbers
from worldsim.evaluate.trial import CONTEXT, Clip, Measurement, Parts, Trial
from worldsim.video import enlarge

HORIZON, STRIDE = 16, 4
MAX_CLIPS = 128
_BATCH = 16
METRICS = (Metric("efflite0_perceptual_*", "lower"), Metric("fd_efflite0_16", "lower"), Metric("vmaf_*", "higher"))


def measure_perceptual(trial: Trial) -> Numbers:
    """Measure all that can be measured here, and under "skipped" why others are absent."""
    clips = trial.over_clips(first_frames)
    result: Numbers = {}
    skipped = []
    for measure in (_efficientnet_numbers, _vmaf_numbers):
        try:
            result |= measure(clips)
        except (ModuleNotFoundError, ValueError, OSError, subprocess.SubprocessError) as error:
            skipped.append(f"{measure.__name__.strip('_').removesuffix('_numbers')}: {error}")
    return result | ({"skipped": "; ".join(skipped)} if skipped else {})


def first_frames(trial: Trial, clip: Clip) -> Parts:
    """The first 16 frames of a batch of clips, until there are enough clips."""
    if clip.first >= MAX_CLIPS:
        return {}
    real = clip.real[:, CONTEXT : CONTEXT + HORIZON]
    return {"real": real, "free": clip.free[:, :HORIZON], "copy_last": clip.copy_last(real.shape[1])}


def efflite0_distance(
    real: UInt8[np.ndarray, "n h w c"], other: UInt8[np.ndarray, "n h w c"]
) -> tuple[Float[np.ndarray, " n"], metrics.Moments, metrics.Moments]:
    """Perceptual distance of each frame, and the moments of both samples' pooled features.

    Raises:
        ModuleNotFoundError: the weights are not installed.
    """
    distances, pooled = [], ([], [])
    for start in range(0, len(real), _BATCH):
        rows = np.minimum(np.arange(start, start + _BATCH), len(real) - 1)
        distance, *means = _compare()(_large(real[rows], 128), _large(other[rows], 128))
        count = min(_BATCH, len(real) - start)
        distances.append(np.asarray(distance)[:count])
        for kept, mean in zip(pooled, means):
            kept.append(np.asarray(mean)[:count])
    first, second = (metrics.moments(np.concatenate(part)) for part in pooled)
    return np.concatenate(distances), first, second


def vmaf(real: UInt8[np.ndarray, "n h w c"], other: UInt8[np.ndarray, "n h w c"]) -> float:
    """Mean VMAF of a film against the real one.

    Raises:
        ModuleNotFoundError: imageio-ffmpeg is not installed.
        ValueError: its ffmpeg was built without VMAF.
    """
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('VMAF needs pip install "worldsim-jax[metrics]".') from error
    with tempfile.TemporaryDirectory() as folder:
        films = []
        for name, film in (("other", other), ("real", real)):  # ffmpeg expects the film to be measured first
            large = _large(film, 256)
            size = f"{large.shape[2]}x{large.shape[1]}"
            Path(folder, name).write_bytes(large.tobytes())
            films += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", size, "-framerate", "15", "-i", name]
        colours = "[0:v]format=yuv420p[a];[1:v]format=yuv420p[b];[a][b]libvmaf=log_fmt=json:log_path=log.json"
        command = [get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", *films, "-lavfi", colours, "-f", "null", "-"]
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
        if run.returncode:
            raise ValueError(f"ffmpeg could not measure VMAF: {run.stderr.strip()[-200:]}")
        return float(json.loads(Path(folder, "log.json").read_text())["pooled_metrics"]["vmaf"]["mean"])


def _efficientnet_numbers(clips: Parts) -> Numbers:
    some = {name: video[:, STRIDE - 1 :: STRIDE].reshape(-1, *video.shape[2:]) for name, video in clips.items()}
    free, real_moments, free_moments = efflite0_distance(some["real"], some["free"])
    still, _, _ = efflite0_distance(some["real"], some["copy_last"])
    return {
        "efflite0_perceptual_16": float(free.mean()),
        "efflite0_perceptual_copy_last_16": float(still.mean()),
        "fd_efflite0_16": metrics.frechet_distance(real_moments, free_moments),
        "num_frames_efflite0": len(some["real"]),
    }


def _vmaf_numbers(clips: Parts) -> Numbers:
    film = {name: video.reshape(-1, *video.shape[2:]) for name, video in clips.items()}
    return {
        "vmaf_free_16": vmaf(film["real"], film["free"]),
        "vmaf_copy_last_16": vmaf(film["real"], film["copy_last"]),
    }


def _large(frames: np.ndarray, least: int) -> np.ndarray:
    return enlarge(frames, max(1, -(-least // min(frames.shape[1:3]))))


@cache
def _compare():
    """Compile the comparison of two batches, with the weights read once."""
    weights = {name: value for name, value in load_weights().items() if value.dtype == np.float32}

    @jax.jit
    def compare(weights, real, other):
        stages_real, mean_real = taps(weights, real.astype(np.float32))
        stages_other, mean_other = taps(weights, other.astype(np.float32))
        gaps = [((_unit(a) - _unit(b)) ** 2).sum(-1).mean((1, 2)) for a, b in zip(stages_real, stages_other)]
        return sum(gaps) / len(gaps), mean_real, mean_other

    return partial(compare, weights)


def _unit(x):
    return x * jax.lax.rsqrt((x * x).sum(-1, keepdims=True) + 1e-8)


MEASUREMENT = Measurement(section="perceptual", metrics=METRICS, measure=measure_perceptual, per_clip=first_frames)
