"""LPIPS and FVD networks that the user names: ONNX files, run on the CPU by onnxruntime, without torch.

The LPIPS file takes two batches of RGB pictures `[n 3 h w]` in -1..1 and gives their distances `[n]`. Frames go in at
their own size, as they did when the reference's heads were fitted, to patches of 64x64 pixels; less than 32x32 has no
place in AlexNet and is refused. The FVD file takes clips `[1 3 16 224 224]`, RGB in -1..1, and gives features `[1 d]`;
in the reference these are the 400 logits of an I3D trained on Kinetics-400, mean over time. I3D needs at least 9
frames. Frames are enlarged to 224x224 as the reference does, bilinear and without regard to their shape, pixel centres
at halves as in StyleGAN-V's export; the first TensorFlow put them at whole numbers, which gives slightly other numbers.

A file is tried before anything is measured. Whether it is the reference's network cannot be seen from here. Its hash is
of all that runs: a file that keeps its weights in a second file is refused.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, UInt8

CLIP_FRAMES = 16
FVD_SIZE = 224  # pixels: the side of I3D's pictures
MIN_LPIPS_SIZE = 32  # pixels: onnxruntime ends the whole process where nothing is left to pool
_ZERO = 1e-4  # what rounding may leave of the distance of a picture from itself
_ELSEWHERE = "session.model_external_initializers_file_folder_path"  # onnxruntime: where a second file would be


class Network:
    """A function from batches of floats to one batch of floats, with the name and the hash of its file."""

    def __init__(self, path: Path | str, *, num_inputs: int):
        """Read the file.

        Raises:
            ModuleNotFoundError: onnxruntime is not installed.
            OSError: the file cannot be read.
            ValueError: it is no ONNX file, or has other than `num_inputs` inputs and one output, all of float32.
        """
        data = Path(path).read_bytes()
        self.name = Path(path).name
        self.sha256 = hashlib.sha256(data).hexdigest()
        self._session = _open(data, self.name)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != num_inputs or len(outputs) != 1 or {x.type for x in (*inputs, *outputs)} != {"tensor(float)"}:
            has = ", ".join(f"{x.name} {x.type} {x.shape}" for x in (*inputs, *outputs))
            raise ValueError(
                f"expected {num_inputs} input(s) and 1 output of float32 in {self.name}, "
                f"got {len(inputs)} and {len(outputs)}: {has}."
            )
        self._names = [x.name for x in inputs]

    def __call__(self, *inputs: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "..."]:
        """Run on inputs, in the order in which the file has them.

        Raises:
            ValueError: the file's graph takes inputs of other shapes, or gives NaN or infinity.
        """
        try:
            (output,) = self._session.run(None, dict(zip(self._names, inputs, strict=True)))
        except Exception as error:  # onnxruntime's errors have no common base
            shapes = " and ".join(str(x.shape) for x in inputs)
            raise ValueError(f"{self.name} cannot be run on inputs of shape {shapes}: {error}") from error
        if not np.isfinite(output).all():
            raise ValueError(f"expected finite numbers from {self.name}, got NaN or infinity.")
        return output


class Networks(NamedTuple):
    """The networks that were named; None where none was."""

    lpips: Network | None
    fvd: Network | None


def load_networks(lpips: Path | str | None, fvd: Path | str | None, size: tuple[int, int]) -> Networks:
    """Open the files that were named, and try them on noise of the footage's size.

    Raises:
        ModuleNotFoundError: onnxruntime is not installed.
        OSError: a file cannot be read.
        ValueError: a file is no ONNX, has other inputs or outputs, gives NaN, or measures nothing; or frames are too
            small for LPIPS.
    """
    return Networks(None if lpips is None else _load_lpips(lpips, size), None if fvd is None else _load_fvd(fvd, size))


def lpips_distance(
    net: Network, real: UInt8[np.ndarray, "n h w 3"], other: UInt8[np.ndarray, "n h w 3"]
) -> Float[np.ndarray, " n"]:
    """LPIPS of each picture from its other version.

    Raises:
        ValueError: the network gives other than one number a pair, or NaN.
    """
    distance = net(*(np.ascontiguousarray(np.moveaxis(_signed(x), -1, 1)) for x in (real, other)))
    if distance.size != len(real):
        raise ValueError(f"expected one number a pair, {len(real)} in all, from {net.name}, got {distance.shape}.")
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
        raise ValueError(f"expected features of shape (1, d) for one clip from {net.name}, got {features.shape}.")
    return features[0]


def _load_lpips(path: Path | str, size: tuple[int, int]) -> Network:
    if min(size) < MIN_LPIPS_SIZE:
        raise ValueError(f"expected frames of at least {MIN_LPIPS_SIZE} pixels a side for LPIPS, got {size}.")
    net = Network(path, num_inputs=2)
    one, two = _noise(size)
    same, apart = lpips_distance(net, one, one), lpips_distance(net, one, two)
    if np.abs(same).max() > _ZERO or apart.min() <= np.abs(same).max():
        raise ValueError(
            f"expected 0 for a picture and itself and more for two of noise from {net.name}, "
            f"got {same.max():.3g} and {apart.min():.3g}."
        )
    return net


def _load_fvd(path: Path | str, size: tuple[int, int]) -> Network:
    net = Network(path, num_inputs=1)
    one, two = (fvd_features(net, clip) for clip in _noise(size))
    if np.array_equal(one, two):
        raise ValueError(f"expected features that differ between clips from {net.name}, got the same for two of noise.")
    return net


def _noise(size: tuple[int, int]) -> UInt8[np.ndarray, "2 t h w 3"]:
    return np.random.default_rng(0).integers(256, size=(2, CLIP_FRAMES, *size, 3), dtype=np.uint8)


def _signed(obs: UInt8[np.ndarray, "*lead h w c"]) -> Float[np.ndarray, "*lead h w c"]:
    return obs.astype(np.float32) / 127.5 - 1


def _open(data: bytes, name: str) -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('LPIPS and FVD need pip install "worldsim-jax[weights]".') from error
    options = onnxruntime.SessionOptions()
    with tempfile.TemporaryDirectory() as nowhere:
        options.add_session_config_entry(_ELSEWHERE, nowhere)
        try:
            return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common base
            raise ValueError(f"expected an ONNX file with its weights inside, got {name}: {error}") from error
