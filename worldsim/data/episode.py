"""One episode on disk: a zarr v3 group with one sharded array a column, written and read through tensorstore.

`obs` and `state` have one row more than the other columns, as in Gymnasium. Pictures are compressed 16 at a time
(so a short clip reads little) and 256 lie in a file (so an episode is a handful of files). Every chunk carries a
crc32c, so a flipped or missing byte is an error and never a wrong picture. No code of ours touches bytes, and
zarr-python reads the same files.

Measured on two cores, 64x64 games: about 600 bytes a frame; this shape of storage survived kill -9 where
array_record, mp4 and plain hdf5 lost the file.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from worldsim.types import ArrayLike, Episode
from worldsim.world.files import check_file, read_json

CHUNK, SHARD = 16, 256
MAX_FRAMES = 1 << 24  # rows an array is created with; closing cuts it to what was written
MAX_LAYOUT_BYTES = 1 << 16
_DTYPES = {
    "obs": "uint8",
    "action": "float32",
    "reward": "float32",
    "terminated": "bool",
    "truncated": "bool",
    "state": "float32",
}


def column_shapes(size: tuple[int, int], num_actions: int, num_states: int) -> dict[str, tuple[int, ...]]:
    """The shape of one row of each column of an episode, without time."""
    shapes = {"obs": (*size, 3), "action": (num_actions,), "reward": (), "terminated": (), "truncated": ()}
    return shapes | ({"state": (num_states,)} if num_states else {})


@contextmanager
def disk_errors(path: Path | str) -> Iterator[None]:
    """Turn what the disk and tensorstore raise while writing into an OSError that names the folder."""
    try:
        yield
    except (OSError, ValueError) as error:
        full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
        if full:
            message = f"no room left on the disk while writing {path}; nothing half-written is listed. Free some space"
            raise OSError(errno.ENOSPC, f"{message} and run the same command again to go on.") from error
        if isinstance(error, OSError):
            raise
        raise OSError(errno.EIO, f"could not write {path}: {error}") from error


class _Column:
    """One array, appended to a shard at a time; a shard is compressed while the next one fills."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: str):
        self._array = ts.open(_spec(path, shape, dtype), create=True).result()
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._buffer, self._fill, self._written = self._new_buffer(), 0, 0
        self._pending: Any = None
        self._hash = hashlib.sha256()

    def _new_buffer(self) -> np.ndarray:
        return np.empty((SHARD, *self._shape), self._dtype)

    @property
    def length(self) -> int:
        return self._written + self._fill

    def append(self, row: ArrayLike) -> None:
        self._buffer[self._fill] = row
        self._fill += 1
        if self._fill == SHARD:
            self._flush()

    def _flush(self) -> None:
        self.wait()
        if self._fill:
            rows = self._buffer[: self._fill]
            self._hash.update(rows.tobytes())
            self._pending = self._array[self._written : self._written + self._fill].write(rows)
            self._buffer, self._written, self._fill = self._new_buffer(), self._written + self._fill, 0

    def wait(self) -> None:
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def close(self) -> bytes:
        """Write what is left, cut the array to its length and give back the sha256 of its bytes."""
        self._flush()
        self.wait()
        limits = [self._written] + [None] * len(self._shape)
        self._array.resize(exclusive_max=limits, resize_metadata_only=True).result()
        return self._hash.digest()


class EpisodeWriter:
    """Write one episode into a new folder: `reset` once, `step` for every action, then `close`.

    Args:
        path: a folder that does not exist yet. Nobody lists it before a `FootageWriter` commits it.
        size: height and width of the pictures in pixels.
        num_actions: columns of an action row.
        num_states: columns of the engine's ground truth, 0 where there is none.
    """

    def __init__(self, path: Path | str, *, size: tuple[int, int], num_actions: int, num_states: int = 0):
        self.path = Path(path)
        self.shapes = column_shapes(size, num_actions, num_states)
        self.return_ = 0.0
        self.terminated = False
        with disk_errors(self.path):
            self.path.mkdir(parents=True)
            self._columns = {k: _Column(self.path / k, s, _DTYPES[k]) for k, s in self.shapes.items()}

    def reset(self, obs: np.ndarray, state: np.ndarray | None = None) -> None:
        """Give the first picture, uint8 `[h w 3]`, and the ground truth beside it."""
        if len(self):
            raise ValueError("expected reset as the first call of an EpisodeWriter, got a second one.")
        self._append(obs=obs, state=state)

    def step(
        self,
        action: np.ndarray,
        obs: np.ndarray,
        reward: float,
        terminated: bool,
        truncated: bool,
        state: np.ndarray | None = None,
    ) -> None:
        """Give an action row `[a]` and what it led to."""
        if not len(self):
            raise ValueError("expected a reset before step, got none.")
        self._append(action=action, obs=obs, reward=reward, terminated=terminated, truncated=truncated, state=state)
        self.return_ += float(reward)
        self.terminated = bool(terminated)

    def __len__(self) -> int:
        return self._columns["obs"].length

    def _append(self, **values: Any) -> None:
        row = {name: value for name, value in values.items() if value is not None}
        if ("state" in row) != ("state" in self.shapes):
            raise ValueError(f"expected columns {sorted(self.shapes)}, got {sorted(row)}.")
        for name, value in row.items():
            array = np.asarray(value)
            if name == "reward" and not np.isfinite(array).all():
                raise ValueError(f"expected a finite reward, got {array}.")
            if array.shape != self.shapes[name]:
                raise ValueError(f"expected shape {self.shapes[name]} for {name}, got {array.shape}.")
            if name == "obs" and array.dtype != np.uint8:
                raise ValueError(f"expected uint8 in 0..255 for obs, got {array.dtype}.")
        with disk_errors(self.path):
            for name, value in row.items():
                self._columns[name].append(value)

    def close(self) -> dict[str, object]:
        """Finish the files; returns the index's entry of the episode (all but its name, seed and policy).

        Raises:
            ValueError: no step was taken.
            OSError: no room on the disk.
        """
        if len(self) < 2:
            raise ValueError("expected at least one step in an episode, got none.")
        with disk_errors(self.path):
            digests = {name: column.close() for name, column in self._columns.items()}
            group = {"zarr_format": 3, "node_type": "group", "attributes": {"frames": len(self)}}
            write_json(self.path / "zarr.json", group)
        return {"length": len(self), "return": self.return_, "terminated": self.terminated, "sha256": _combine(digests)}

    def abandon(self) -> None:
        """Let the writes in flight end, whatever becomes of them, so that the folder can be deleted."""
        for column in self._columns.values():
            try:
                column.wait()
            except (OSError, ValueError):
                continue


def read_episode(path: Path, shapes: Mapping[str, tuple[int, ...]], length: int, sha256: str) -> Episode:
    """Read a whole episode of `length` frames and check it against its hash.

    Raises:
        ValueError: a file is missing, cut short, damaged or of another shape; the message names it.
    """
    columns = read_columns(path, shapes, length)
    found = _combine({k: hashlib.sha256(np.ascontiguousarray(v).tobytes()).digest() for k, v in columns.items()})
    if found != sha256:
        raise ValueError(f"{path} is not the episode of the index: expected hash {sha256[:12]}, got {found[:12]}.")
    return Episode(**columns)


def read_columns(
    path: Path, shapes: Mapping[str, tuple[int, ...]], length: int, rows: slice = slice(None)
) -> dict[str, np.ndarray]:
    """Read rows of the columns named in `shapes` of an episode of `length` frames, all at once."""
    arrays = {name: _open_column(path / name, name, shape, length, rows) for name, shape in shapes.items()}
    futures = {name: array[rows].read() for name, array in arrays.items()}
    return {name: _result(future, path / name) for name, future in futures.items()}


def check_columns(path: Path, shapes: Mapping[str, tuple[int, ...]], length: int) -> None:
    """Check that an episode of `length` frames has these columns; reads no values.

    Raises:
        ValueError: a column is missing, or of another shape.
    """
    for name, shape in shapes.items():
        _open_column(path / name, name, shape, length, slice(None))


def _open_column(path: Path, name: str, shape: tuple[int, ...], length: int, rows: slice) -> Any:
    """Open one column for reading and check its layout, shape and dtype, and the files that hold these rows.

    A lying chunk shape or codec would unpack to any size, and a pipe in place of a file would never end.
    """
    wanted = (length if name in ("obs", "state") else length - 1, *shape)
    if not _matches(read_json(path / "zarr.json", MAX_LAYOUT_BYTES), _spec(path, shape, _DTYPES[name])["metadata"]):
        raise ValueError(f"expected the layout of {_DTYPES[name]} {wanted} in {path}, got another: damaged or foreign.")
    start, stop, _ = rows.indices(wanted[0])
    limit = 2 * SHARD * math.prod(shape) * np.dtype(_DTYPES[name]).itemsize + MAX_LAYOUT_BYTES
    for shard in range(start // SHARD, -(-stop // SHARD)):
        check_file(path.joinpath("c", str(shard), *("0",) * len(shape)), limit)
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}, "fill_missing_data_reads": False}
    array = _result(ts.open(spec, open=True, read=True), path)
    if array.shape != wanted or array.dtype.name != _DTYPES[name]:
        got = f"{array.dtype.name} {array.shape}"
        raise ValueError(f"expected {_DTYPES[name]} {wanted} in {path}, got {got}: damaged, or from other footage.")
    return array


def _matches(found: Any, wanted: Any) -> bool:
    """Whether JSON has all that is wanted but for "shape", which has its own message."""
    if isinstance(wanted, dict):
        keys = wanted.keys() - {"shape"}
        return isinstance(found, dict) and all(key in found and _matches(found[key], wanted[key]) for key in keys)
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(_matches, found, wanted))
    return found == wanted


def write_json(path: Path, data: object) -> None:
    """Write a JSON file so that it is there whole or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(data, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def _result(future: Any, path: Path) -> Any:
    try:
        return future.result()
    except (ValueError, OSError, NotImplementedError) as error:
        reason = str(error).split(" [")[0][:300]
        raise ValueError(f"cannot read {path}: missing, cut short or damaged ({reason}).") from error


def _combine(digests: Mapping[str, bytes]) -> str:
    return hashlib.sha256(b"".join(digests[name] for name in sorted(digests))).hexdigest()


def _spec(path: Path, shape: tuple[int, ...], dtype: str) -> dict[str, Any]:
    bytes_codec: dict[str, Any] = {"name": "bytes"}
    if np.dtype(dtype).itemsize > 1:
        bytes_codec["configuration"] = {"endian": "little"}
    inner = [bytes_codec, {"name": "zstd", "configuration": {"level": 3}}, {"name": "crc32c"}]
    sharding = {
        "chunk_shape": [CHUNK if len(shape) == 3 else SHARD, *shape],
        "codecs": inner,
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
    }
    return {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": str(path)},
        "store_data_equal_to_fill_value": True,  # else a missing file would read as a black clip
        "metadata": {
            "shape": [MAX_FRAMES, *shape],
            "data_type": np.dtype(dtype).name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [SHARD, *shape]}},
            "chunk_key_encoding": {"name": "default"},
            "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        },
    }
