"""Named arrays in one safetensors file: what a saved game is made of. Reading runs no code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

MAX_ARRAYS_BYTES = 2**30


def save_arrays(arrays: Mapping[str, np.ndarray], path: str | os.PathLike) -> None:
    """Write arrays whole or not at all."""
    part = Path(f"{os.fspath(path)}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(safetensors.numpy.save({name: np.asarray(x, order="C") for name, x in arrays.items()}))
    part.replace(path)


def load_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read arrays.

    Raises:
        ValueError: there is no such file, it is too large, or it is not safetensors.
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"no saved state at {file}.")
    if file.stat().st_size > MAX_ARRAYS_BYTES:
        raise ValueError(f"{file} has {file.stat().st_size} bytes, a saved state at most {MAX_ARRAYS_BYTES}.")
    try:
        return safetensors.numpy.load(file.read_bytes())
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{file} is no saved state: {error}.") from error
