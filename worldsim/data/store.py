"""Footage on disk: a folder with `footage.json`, an index `episodes.jsonl`, and one zarr v3 group an episode.

An episode is listed only when it is closed: it is written beside the others under a name that nobody reads,
renamed, and then one process appends its line to the index and syncs it. So a kill -9 at any time loses the
unfinished episode and nothing else: a torn last line is ignored, and cut off by the next writer.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Collection, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from worldsim.claim import LOCK, hold
from worldsim.data.episode import EpisodeWriter, check_columns, disk_errors, read_columns, read_episode, write_json
from worldsim.data.meta import EpisodeInfo, FootageMeta
from worldsim.places import as_path
from worldsim.schema import parse_json
from worldsim.types import Episode
from worldsim.world.files import read_file

__all__ = ["EpisodeInfo", "EpisodeWriter", "Footage", "FootageMeta", "FootageWriter"]
MAX_META_BYTES, MAX_INDEX_BYTES = 2**22, 2**27
_META, _INDEX, _EPISODES = "footage.json", "episodes.jsonl", "episodes"


class Footage:
    """A footage folder, open for reading. `Footage.open(path)`, then `footage[i]` or `for episode in footage`."""

    def __init__(self, path: Path, meta: FootageMeta, episodes: list[EpisodeInfo]):
        self.path, self.meta, self.episodes = path, meta, episodes

    @classmethod
    def open(cls, path: Path | str) -> Footage:
        """Read the description and the index; no pictures yet.

        Raises:
            ValueError: not a footage folder, another schema version, or a damaged file; the message names it.
        """
        path = as_path(path)
        file = path / _META
        if not os.path.lexists(file):
            raise ValueError(f"{path} is not a footage folder: it has no {_META}. Make one with `worldsim record`.")
        try:
            meta = FootageMeta.from_json(parse_json(read_file(file, MAX_META_BYTES)))
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
        return cls(path, meta, _read_index(path / _INDEX)[0])

    def __len__(self) -> int:
        return len(self.episodes)

    @property
    def num_frames(self) -> int:
        """Frames of all episodes together."""
        return sum(e.length for e in self.episodes)

    def __getitem__(self, index: int) -> Episode:
        """Read one episode whole and check it against its hash.

        Raises:
            ValueError: a file is missing, cut short, damaged or from other footage; the message names it.
        """
        info = self.episodes[index]
        return read_episode(self._folder(info), self.meta.columns, info.length, info.sha256)

    def read_columns(self, index: int, *names: str) -> dict[str, np.ndarray]:
        """Read some columns of one episode, without the others."""
        info, shapes = self.episodes[index], self.meta.columns
        unknown = set(names) - set(shapes)
        if unknown:
            raise ValueError(f"expected columns of {sorted(shapes)}, got {sorted(unknown)}.")
        return read_columns(self._folder(info), {n: shapes[n] for n in names}, info.length)

    def read_clip(self, index: int, start: int, stop: int) -> UInt8[np.ndarray, "t h w c"]:
        """Read frames `start:stop` of one episode, and little else from the disk."""
        info = self.episodes[index]
        if not 0 <= start < stop <= info.length:
            raise ValueError(
                f"expected 0 <= start < stop <= {info.length} for a clip of episode {info.name}, got {start}:{stop}."
            )
        obs = {"obs": self.meta.columns["obs"]}
        return read_columns(self._folder(info), obs, info.length, slice(start, stop))["obs"]

    def digest(self) -> str:
        """A hash of the description and of every episode's content, as the index has it. Reads no pictures."""
        data = [self.meta.to_json(), [e.to_json() for e in self.episodes]]
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()

    def _folder(self, info: EpisodeInfo) -> Path:
        return self.path / _EPISODES / info.name


class FootageWriter:
    """Add episodes to a footage folder, new or old; the only one that touches its index.

    Args:
        path: a folder that does not exist, is empty, or holds footage of the same world.
        meta: description of the footage. An older description in the folder stays.

    Raises:
        ValueError: the folder holds something else, or footage of another game, size or action space.
        BlockingIOError: another process is recording into the folder.
    """

    def __init__(self, path: Path | str, meta: FootageMeta):
        self.path = as_path(path)
        _look(self.path)
        with ExitStack() as stack:
            stack.enter_context(hold(self.path, "recording into"))
            old = _look(self.path)
            self.meta = meta if old is None else old
            self.meta.check_same_world(meta)
            with disk_errors(self.path):
                if old is None:
                    (self.path / _EPISODES).mkdir(parents=True, exist_ok=True)
                    write_json(self.path / _META, meta.to_json())
                self._file = stack.enter_context((self.path / _INDEX).open("ab", buffering=0))
            self.episodes, end = _read_index(self.path / _INDEX)
            self._file.truncate(end)
            self._sweep()
            self._held = stack.pop_all()

    def __enter__(self) -> FootageWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def num_frames(self) -> int:
        """Frames listed so far."""
        return sum(e.length for e in self.episodes)

    def part(self) -> Path:
        """A new name for an episode in the making, which no reader looks at."""
        return self.path / _EPISODES / f"{uuid.uuid4().hex}.part"

    def new_episode(self) -> EpisodeWriter:
        """Begin an episode; `commit` lists it once it is closed."""
        actions, states = self.meta.action_spec.size, len(self.meta.state_names)
        return EpisodeWriter(self.part(), size=self.meta.size, num_actions=actions, num_states=states)

    @property
    def next_number(self) -> int:
        """The number of the next episode: one more than that of the last."""
        return max((int(e.name) + 1 for e in self.episodes if e.name.isdecimal()), default=0)

    def commit(
        self, part: Path, summary: Mapping[str, object], *, seed: int | None, policy: str, number: int | None = None
    ) -> EpisodeInfo:
        """List a closed episode.

        Args:
            part: its folder, of `part`.
            summary: what `EpisodeWriter.close` returned.
            seed: of the recording; None for imported footage.
            policy: who played.
            number: its name, `next_number` by default.

        Raises:
            ValueError: its columns are not those of the footage, such as pictures of another size.
        """
        name = f"{self.next_number if number is None else number:06d}"
        info = EpisodeInfo.from_json({**summary, "name": name, "seed": seed, "policy": policy})
        check_columns(part, self.meta.columns, info.length)
        with disk_errors(self.path):
            os.replace(part, self.path / _EPISODES / name)
            _sync_folder(self.path / _EPISODES)
            _append_line(self._file, json.dumps(info.to_json()))
        self.episodes.append(info)
        return info

    def add(self, episode: Episode, *, seed: int | None = None, policy: str = "unknown") -> EpisodeInfo:
        """Write and list one whole episode: for importers, agents and tests."""
        return self.commit(*self.write(episode), seed=seed, policy=policy)

    def write(self, episode: Episode) -> tuple[Path, dict[str, object]]:
        """Write one whole episode, unlisted; returns the arguments of `commit`. Threads may write side by side."""
        writer = self.new_episode()
        state = [None] * len(episode.obs) if episode.state is None else episode.state
        try:
            writer.reset(episode.obs[0], state[0])
            for t in range(len(episode.action)):
                outcome = float(episode.reward[t]), bool(episode.terminated[t]), bool(episode.truncated[t])
                writer.step(episode.action[t], episode.obs[t + 1], *outcome, state[t + 1])
            return writer.path, writer.close()
        except BaseException:
            writer.abandon()
            shutil.rmtree(writer.path, ignore_errors=True)
            raise

    def close(self) -> None:
        """Let go of the folder and delete what was left unfinished."""
        if not self._file.closed:
            self._sweep()
            self._held.close()

    def drop(self, names: Collection[str]) -> None:
        """Take episodes out of the index; their files are deleted."""
        kept = [e for e in self.episodes if e.name not in names]
        part = self.path / f"{_INDEX}.part"
        with disk_errors(self.path):
            part.write_text("".join(f"{json.dumps(e.to_json())}\n" for e in kept), encoding="utf-8")
            self._file.close()
            part.replace(self.path / _INDEX)
        self._file = self._held.enter_context((self.path / _INDEX).open("ab", buffering=0))
        self.episodes = kept
        self._sweep()

    def _sweep(self) -> None:
        listed = {e.name for e in self.episodes}
        for folder in (self.path / _EPISODES).iterdir():
            if folder.name not in listed:
                shutil.rmtree(folder, ignore_errors=True)


def _look(path: Path) -> FootageMeta | None:
    """The description of footage that is already there; None where there is room for new footage."""
    if (path / _META).exists():
        return Footage.open(path).meta
    leftovers = {_META + ".part", _EPISODES, LOCK}  # of a recording that was killed before it began
    if path.exists() and (not path.is_dir() or {f.name for f in path.iterdir()} - leftovers):
        raise ValueError(f"{path} exists and is not a footage folder; give a new folder to record into.")
    return None


def _read_index(file: Path) -> tuple[list[EpisodeInfo], int]:
    """The listed episodes, and where in the file the last whole line ends. A torn last line is not an episode."""
    if not os.path.lexists(file):
        return [], 0
    data = read_file(file, MAX_INDEX_BYTES)
    end = data.rfind(b"\n") + 1
    episodes = []
    for number, line in enumerate(data[:end].splitlines(), 1):
        try:
            info = EpisodeInfo.from_json(parse_json(line))
        except ValueError as error:
            raise ValueError(f"{file} line {number} is damaged ({error}).") from error
        episodes.append(info)
    return episodes, end


def _append_line(file: Any, line: str) -> None:
    """Append a line whole and synced, or leave the file as it was."""
    end, data = os.fstat(file.fileno()).st_size, line.encode() + b"\n"
    try:
        if file.write(data) != len(data):
            raise OSError(errno.ENOSPC, "No space left on device")
        os.fsync(file.fileno())
    except OSError:
        file.truncate(end)
        raise


def _sync_folder(path: Path) -> None:
    with suppress(PermissionError):  # not every system lets a folder be opened
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
