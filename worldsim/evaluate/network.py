"""A network that the user names: an ONNX file, run on the CPU by onnxruntime, without torch.

The hash is of all that runs: a file that keeps its weights in a second file is refused.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

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
                f"{self.name} wants to have {num_inputs} input(s) and 1 output of float32, "
                f"it has {len(inputs)} and {len(outputs)}: {has}."
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
            raise ValueError(f"{self.name} wants to give finite numbers; it gave NaN or infinity.")
        return output


def _open(data: bytes, name: str) -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('LPIPS and FVD want pip install "worldsim-jax[weights]".') from error
    options = onnxruntime.SessionOptions()
    with tempfile.TemporaryDirectory() as nowhere:
        options.add_session_config_entry(_ELSEWHERE, nowhere)
        try:
            return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common base
            raise ValueError(f"{name} wants to be an ONNX file with its weights inside: {error}") from error
