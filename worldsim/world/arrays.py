"""Named arrays in safetensors files (https://github.com/huggingface/safetensors). Reading runs no code.

`save_arrays` and `load_arrays` keep any arrays, those of a saved game say; `serialize` and `deserialize` are for the
four dtypes of a bundle, which comes from strangers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import PyTree

from worldsim.places import as_path
from worldsim.world.files import read_file

MAX_ARRAYS_BYTES, MAX_HEADER_BYTES = 2**30, 2**24
DTYPES = {
    "F32": np.dtype(np.float32),
    "BF16": np.dtype(jnp.bfloat16),
    "F16": np.dtype(np.float16),
    "U8": np.dtype(np.uint8),
}


def save_arrays(arrays: Mapping[str, np.ndarray], path: str | os.PathLike[str]) -> None:
    """Write arrays whole or not at all."""
    target = as_path(path)
    part = target.with_name(f"{target.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(safetensors.numpy.save({name: np.asarray(x, order="C") for name, x in arrays.items()}))
    part.replace(target)


def load_arrays(path: str | os.PathLike[str], limit: int = MAX_ARRAYS_BYTES) -> dict[str, np.ndarray]:
    """Read arrays from a file of `limit` bytes at most.

    Raises:
        ValueError: there is no such file, it is too large, or it is not safetensors.
    """
    try:
        return safetensors.numpy.load(read_file(as_path(path), limit))
    except (safetensors.SafetensorError, KeyError) as error:
        raise ValueError(f"expected arrays in {path}, got a damaged file or one of another kind.") from error


def serialize(flat: Mapping[str, np.ndarray]) -> bytes:
    """Return the bytes of a safetensors file.

    Raises:
        ValueError: an array is of a dtype that a bundle does not store.
    """
    if bad := [name for name, x in flat.items() if x.dtype not in DTYPES.values()]:
        raise ValueError(f"expected float32, bfloat16, float16 or uint8 for {bad[0]}, got {flat[bad[0]].dtype}.")
    return safetensors.numpy.save(dict(sorted(flat.items())))


def deserialize(raw: bytes, path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a safetensors file, which stay those bytes.

    Raises:
        ValueError: the header is too large, or the file is damaged or holds another dtype.
    """
    header = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 or header > min(len(raw) - 8, MAX_HEADER_BYTES):
        raise ValueError(f"expected a header within {MAX_HEADER_BYTES} bytes and the file {path}, got {header} bytes.")
    try:
        table = safetensors.deserialize(raw)
        return {k: np.frombuffer(x["data"], DTYPES[x["dtype"]]).reshape(x["shape"]) for k, x in table}
    except safetensors.SafetensorError as error:
        raise ValueError(f"expected safetensors in {path}, got a damaged file; fetch the bundle anew.") from error
    except KeyError as error:
        raise ValueError(f"expected arrays of {', '.join(DTYPES)} for {path}, got one of {error}.") from error


def flatten(tree: Mapping, prefix: str = "") -> dict[str, PyTree]:
    """Turn nested dicts into one dict of "a/b/0/c" names; int keys become digits."""
    flat = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, name + "/") if isinstance(value, Mapping) else {name: value}
    return flat


def unflatten(flat: Mapping[str, object]) -> dict[str, PyTree]:
    """Return the inverse of `flatten`, with string keys all the way down.

    Raises:
        ValueError: a name is empty, has odd characters, or is both an array and a folder of arrays.
    """
    tree: dict[str, PyTree] = {}
    for name, value in flat.items():
        if not re.fullmatch(r"[A-Za-z0-9_\-]+(/[A-Za-z0-9_\-]+){0,31}", name):
            raise ValueError(
                f"expected words between slashes for an array name, such as dynamics/blocks/0/kernel, "
                f"got {name[:100]!r}."
            )
        *parents, last = name.split("/")
        node = tree
        for key in parents:
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                raise ValueError(f"array name {name!r} goes through another array.")
        if last in node:
            raise ValueError(f"array name {name!r} comes twice.")
        node[last] = value
    return tree
