"""What was played, kept: episodes in the footage store, and an mp4 of each to take home.

Dreamed frames and the real game's go into folders of their own, since footage of a dream is not footage of the game.
An episode ends with the game, and where a player jumps: no step leads from before a rewind to after it.
"""

from __future__ import annotations

import math
import secrets
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from worldsim.data.episode import EpisodeWriter
from worldsim.data.store import Footage, FootageMeta, FootageWriter
from worldsim.video import write_video
from worldsim.world import Card

POLICY = "human"
MAX_FRAMES = 108_000  # an hour at 30 frames a second; then the episode is closed


class Recorded(NamedTuple):
    """An episode that is whole and listed."""

    episode: str
    frames: int
    seconds: float
    video: str
    source: str


class Archive:
    """The footage folders of one server, such as `pong-dream` and `pong-game`, opened at their first recording.

    Args:
        folder: that holds them.
        max_bytes: that it may hold; what is being recorded counts uncompressed.
    """

    def __init__(self, folder: Path, max_bytes: float = math.inf):
        self.folder, self.max_bytes = folder, max_bytes
        self.num_bytes = _num_bytes(folder)
        self._writers: dict[str, FootageWriter] = {}
        self._videos: dict[str, tuple[Path, int]] = {}

    def open(self, name: str, meta: FootageMeta, source: str) -> Tape:
        """Begin a recording in the footage folder `name`.

        Raises:
            ValueError: the folder holds something else, or as much as it may.
            BlockingIOError: another process records into it.
            OSError: the disk is full or may not be written to.
        """
        self.check_space()
        if name not in self._writers:
            self._writers[name] = FootageWriter(self.folder / name, meta)
        return Tape(self, self._writers[name], source)

    @property
    def is_full(self) -> bool:
        """Whether the recordings take as much of the disk as they may."""
        return self.num_bytes >= self.max_bytes

    def check_space(self) -> None:
        """Let a recording begin.

        Raises:
            ValueError: the recordings take as much as they may.
        """
        if self.is_full:
            most = f"{self.max_bytes / 1e9:g} GB"
            raise ValueError(f"recordings take {most}, as much as this server's --max-recordings-gb allows.")

    def publish(self, path: Path, index: int) -> str:
        """Give a committed episode of the footage at `path` an address, from the page on, that cannot be guessed."""
        token = secrets.token_urlsafe(12)
        self._videos[token] = path, index
        return f"recordings/{token}.mp4"

    def video(self, token: str) -> bytes | None:
        """The mp4 of a recorded episode, made now; None for an address that nobody was given."""
        if token not in self._videos:
            return None
        path, index = self._videos[token]
        footage = Footage.open(path)
        obs = footage.read_columns(index, "obs")["obs"]
        with tempfile.TemporaryDirectory(prefix="worldsim-play-") as folder:
            return write_video(Path(folder) / "played.mp4", obs, fps=footage.meta.fps).read_bytes()

    def close(self) -> None:
        """Let go of all folders; episodes that were not closed are gone."""
        while self._writers:
            self._writers.popitem()[1].close()


class Tape:
    """One recording that goes on: `begin`, `step` for step, `cut` where an episode ends."""

    def __init__(self, archive: Archive, writer: FootageWriter, source: str):
        self._archive, self._writer, self._source = archive, writer, source
        self._episode: EpisodeWriter | None = None
        self._raw_bytes = 0

    def __len__(self) -> int:
        return 0 if self._episode is None else len(self._episode)

    def begin(self, obs: UInt8[np.ndarray, "h w c"], state: Float[np.ndarray, " s"] | None = None) -> None:
        """Begin an episode at a frame."""
        self._episode = self._writer.new_episode()
        self._episode.reset(obs, state)

    def step(
        self,
        row: Float[np.ndarray, " a"],
        obs: UInt8[np.ndarray, "h w c"],
        reward: float,
        terminated: bool,
        truncated: bool = False,
        state: Float[np.ndarray, " s"] | None = None,
    ) -> None:
        """Add a step."""
        assert self._episode is not None
        self._episode.step(row, obs, reward, terminated, truncated or len(self) >= MAX_FRAMES, state)
        self._raw_bytes += obs.nbytes
        self._archive.num_bytes += obs.nbytes

    @property
    def is_full(self) -> bool:
        """Whether the episode is as long as they get, or the disk as full."""
        return len(self) > MAX_FRAMES or self._archive.is_full

    def cut(self) -> Recorded | None:
        """End the episode and list it; one without a step is dropped."""
        episode, self._episode = self._episode, None
        self._archive.num_bytes -= self._raw_bytes
        self._raw_bytes = 0
        if episode is None:
            return None
        if len(episode) < 2:
            episode.abandon()
            shutil.rmtree(episode.path, ignore_errors=True)
            return None
        info = self._writer.commit(episode.path, episode.close(), seed=None, policy=POLICY)
        index = len(self._writer.episodes) - 1
        self._archive.num_bytes += _num_bytes(self._writer.path / "episodes" / info.name)
        video = self._archive.publish(self._writer.path, index)
        seconds = (info.length - 1) / self._writer.meta.fps
        return Recorded(info.name, info.length, seconds, video, self._source)


def _num_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def dream_meta(card: Card) -> FootageMeta:
    """Describe footage of a dream: it looks like its game's footage, and says that a model painted it."""
    return FootageMeta(
        game=card.game,
        title=f"{card.title}, dreamed",
        size=card.size,
        fps=card.fps,
        action_spec=card.action_spec,
        objects={},
        recorder={"policy": POLICY, "source": "dream", "world": card.name, "weights": card.weights.sha256},
        licence=card.licence.get("weights", "unknown"),
        assets_licence=card.licence.get("assets", "unknown"),
        prompts=card.prompts,
    )


def game_meta(meta: FootageMeta) -> FootageMeta:
    """Describe footage of the real game as a person played it."""
    return replace(meta, recorder={**meta.recorder, "policy": POLICY, "source": "game"})
