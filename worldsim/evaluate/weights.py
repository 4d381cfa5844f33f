"""LPIPS and FVD, by weights that the user names: none comes along, and without a file neither is measured.

- `lpips_16`: LPIPS (Zhang et al., arXiv:1801.03924) of dreamed from recorded frames, mean over the dreamed frames 1 to
  16 and over windows. 0 = alike; seldom above 1. The file takes two batches of RGB pictures `[n 3 h w]` in -1..1 and
  gives their distances `[n]`. Frames go in at their own size, as they did when the reference's heads were fitted, to
  patches of 64x64 pixels; less than 32x32 has no place in AlexNet and is refused.
- `fvd_16`: FVD (Unterthiner et al., arXiv:1812.01717): Frechet distance between features of dreamed and of recorded
  clips. 0 = the same distribution, no upper end. The file takes clips `[1 3 16 224 224]`, RGB in -1..1, and gives
  features `[1 d]`; in the reference these are the 400 logits of an I3D trained on Kinetics-400, mean over time. I3D
  wants at least 9 frames; here a clip is the dreamed frames 1 to 16, no context among them, at the footage's own rate.
  Frames are enlarged to 224x224 as the reference does, bilinear and without regard to their shape, pixel centres at
  halves as in StyleGAN-V's export; the first TensorFlow put them at whole numbers, which gives slightly other numbers.
  Covariances are unbiased, nothing is added to their diagonals.
- `lpips_16_copy_last`, `fvd_16_copy_last`: the same for a film that repeats the last context frame.
- `num_fvd_clips`: FVD falls with the number of clips, so only numbers at the same one compare; papers take 2048.
- `lpips_file`, `lpips_sha256`, `fvd_file`, `fvd_sha256`: which file gave the numbers.

A file is tried before anything is measured. That it is the reference's network cannot be seen from here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, UInt8

from worldsim import metrics
from worldsim.evaluate.dreams import CONTEXT, Clip
from worldsim.evaluate.network import Network

HORIZON = 16
FVD_SIZE = 224  # pixels: the side of I3D's pictures
MIN_LPIPS_SIZE = 32  # pixels: onnxruntime ends the whole process where nothing is left to pool
NOTE = "this path was tested with random weights only; the numbers are as good as the file"
_ZERO = 1e-4  # what rounding may leave of the distance of a picture from itself


class Judges(NamedTuple):
    """The networks that were named; None where none was."""

    lpips: Network | None
    fvd: Network | None


def load_judges(lpips: Path | str | None, fvd: Path | str | None, size: tuple[int, int]) -> Judges:
    """Open the files that were named, and try them on noise of the footage's size.

    Raises:
        ModuleNotFoundError: onnxruntime is not installed.
        OSError: a file cannot be read.
        ValueError: a file is no ONNX, has other inputs or outputs, gives NaN, or measures nothing; or frames are too
            small for LPIPS.
    """
    return Judges(None if lpips is None else _load_lpips(lpips, size), None if fvd is None else _load_fvd(fvd, size))


class NamedWeights:
    """Collects the answers of the named networks, batch by batch, and gives the numbers at the end."""

    def __init__(self, judges: Judges):
        self._judges = judges
        self._distances: list[list[float]] = []  # of each clip: dreamed, copied
        self._features: list[list[np.ndarray]] = []  # of each clip: recorded, dreamed, copied

    def add(self, clip: Clip) -> None:
        """Judge the first 16 frames of a batch of clips."""
        for recorded, free in zip(clip.real, clip.free):
            real, free = recorded[CONTEXT : CONTEXT + HORIZON], free[:HORIZON]
            still = recorded[CONTEXT - 1 : CONTEXT].repeat(len(real), 0)
            if self._judges.lpips is not None:
                judge = self._judges.lpips
                self._distances.append([float(lpips_distance(judge, real, x).mean()) for x in (free, still)])
            if self._judges.fvd is not None:
                judge = self._judges.fvd
                self._features.append([fvd_features(judge, x) for x in (real, free, still)])

    def numbers(self) -> dict[str, Any]:
        """All numbers; for the measure whose file was not named, None and what to do."""
        return self._lpips_numbers() | self._fvd_numbers() | {"note": NOTE}

    def _lpips_numbers(self) -> dict[str, Any]:
        if self._judges.lpips is None:
            return {**dict.fromkeys(_names("lpips")), "lpips_reason": "name a weights file by --lpips"}
        means = np.mean(self._distances, 0).tolist()
        return dict(zip(_names("lpips"), means)) | _identity("lpips", self._judges.lpips)

    def _fvd_numbers(self) -> dict[str, Any]:
        if self._judges.fvd is None:
            return {**dict.fromkeys(_names("fvd")), "fvd_reason": "name a weights file by --fvd"}
        known = {"num_fvd_clips": len(self._features), **_identity("fvd", self._judges.fvd)}
        if len(self._features) < 2:
            return {**dict.fromkeys(_names("fvd")), "fvd_reason": "FVD wants at least 2 clips, record more", **known}
        real, *others = (metrics.moments(np.stack(features)) for features in zip(*self._features))
        return dict(zip(_names("fvd"), [metrics.frechet_distance(real, x, ridge=0.0) for x in others])) | known


def lpips_distance(
    net: Network, real: UInt8[np.ndarray, "n h w 3"], other: UInt8[np.ndarray, "n h w 3"]
) -> Float[np.ndarray, " n"]:
    """LPIPS of each picture from its other version.

    Raises:
        ValueError: the network gives other than one number a pair, or NaN.
    """
    distance = net(*(np.ascontiguousarray(np.moveaxis(_signed(x), -1, 1)) for x in (real, other)))
    if distance.size != len(real):
        raise ValueError(f"LPIPS wants one number a pair, {len(real)} in all; {net.name} gave {distance.shape}.")
    return distance.reshape(len(real))


def fvd_features(net: Network, clip: UInt8[np.ndarray, "t h w 3"]) -> Float[np.ndarray, " d"]:
    """The features of one clip, enlarged to 224x224.

    Raises:
        ValueError: the network gives other than one vector, or NaN.
    """
    large = (len(clip), FVD_SIZE, FVD_SIZE, 3)
    pictures = np.asarray(jax.image.resize(_signed(clip), large, "linear", antialias=False))
    features = net(np.ascontiguousarray(np.moveaxis(pictures, -1, 0))[None])
    if features.ndim != 2 or len(features) != 1:
        raise ValueError(f"FVD wants features of shape (1, d) for one clip; {net.name} gave {features.shape}.")
    return features[0]


def _load_lpips(path: Path | str, size: tuple[int, int]) -> Network:
    if min(size) < MIN_LPIPS_SIZE:
        raise ValueError(f"LPIPS wants frames of at least {MIN_LPIPS_SIZE} pixels a side, the footage has {size}.")
    net = Network(path, num_inputs=2)
    one, two = _noise(size)
    same, apart = lpips_distance(net, one, one), lpips_distance(net, one, two)
    if np.abs(same).max() > _ZERO or apart.min() <= np.abs(same).max():
        raise ValueError(
            f"LPIPS wants 0 for a picture and itself, and more for two of noise; "
            f"{net.name} gave {same.max():.3g} and {apart.min():.3g}."
        )
    return net


def _load_fvd(path: Path | str, size: tuple[int, int]) -> Network:
    net = Network(path, num_inputs=1)
    one, two = (fvd_features(net, clip) for clip in _noise(size))
    if np.array_equal(one, two):
        raise ValueError(f"FVD wants features that tell clips apart; {net.name} gave the same for two of noise.")
    return net


def _noise(size: tuple[int, int]) -> UInt8[np.ndarray, "2 t h w 3"]:
    return np.random.default_rng(0).integers(256, size=(2, HORIZON, *size, 3), dtype=np.uint8)


def _signed(obs: UInt8[np.ndarray, "*lead h w c"]) -> Float[np.ndarray, "*lead h w c"]:
    return obs.astype(np.float32) / 127.5 - 1


def _names(measure: str) -> tuple[str, str]:
    return f"{measure}_16", f"{measure}_16_copy_last"


def _identity(measure: str, net: Network) -> dict[str, str]:
    return {f"{measure}_file": net.name, f"{measure}_sha256": net.sha256}
