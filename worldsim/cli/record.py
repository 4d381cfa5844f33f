"""`worldsim record`: play a game and keep its frames."""

from __future__ import annotations

import shlex
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from worldsim.cli import console
from worldsim.places import FIRST, plain_name

if TYPE_CHECKING:
    from worldsim.data.store import Footage


@dataclass(frozen=True, kw_only=True)
class Record:
    """Record a game as footage: whole episodes, lossless. A folder that holds footage of the game is continued.

    Example: worldsim record jump --out footage/jump --frames 20000 --workers 2
    """

    game: Positional[str] = FIRST
    """A game of `worldsim games`, or any Gymnasium id with pictures."""
    out: Path
    """Folder of the footage, new or of an earlier recording of the same game."""
    frames: int
    """Frames that the folder holds in the end."""
    policy: str = "noisy"
    """noisy: the game's scripted player with 10 to 30 % random actions; lapsing: the same, who at times leaves the keys
    to chance for a while, so that more episodes end; random: held random actions; noop: no key is pressed;
    agent:PATH: a trained agent, by samples."""
    seed: int = 0
    """Episode i is a function of the seed and i alone, whatever the number of workers."""
    workers: int = 1
    """Processes that play."""
    size: tuple[int, int] | None = None
    """Height and width in pixels; the game's own by default, scaled to 96 pixels where it has more than 128."""
    frame_skip: int | None = None
    """Frames of the game that an action is held; the game's own by default."""
    max_episode_len: int = 1000
    """Actions after which an episode is cut."""
    obs_key: str | None = None
    """Which entry of a Dict of observations is the picture, where several are."""
    channels: Literal["first", "last"] | None = None
    """Where the colours of a picture stand, where its shape leaves it open."""
    fps: float | None = None
    """Steps of the game for each second; what the environment says by default, or 30."""
    json: bool = False
    """Print one JSON object."""

    resume_hint = "the whole episodes are kept; the same command goes on after them"

    def run(self) -> None:
        """Record, and print what the folder holds."""
        from worldsim.agent import record_game

        with closing(console.Counter("frames")) as on_progress:
            footage = record_game(
                self.game,
                self.out,
                num_frames=self.frames,
                policy=self.policy,
                seed=self.seed,
                num_workers=self.workers,
                size=self.size,
                frame_skip=self.frame_skip,
                max_episode_len=self.max_episode_len,
                obs_key=self.obs_key,
                channels=self.channels,
                fps=self.fps,
                on_progress=on_progress,
            )
        meta, (h, w) = footage.meta, footage.meta.size
        result = {
            "path": str(self.out),
            "game": meta.game,
            "size": meta.size,
            "fps": meta.fps,
            "frames": footage.num_frames,
            "episodes": len(footage),
            "digest": footage.digest(),
        }
        console.report(
            self.json,
            result,
            f"{self.out}: {footage.num_frames:,} frames of {meta.title} at {h}x{w}, {len(footage)} episodes",
            f"what is in it: {console.command('inspect', self.out)}",
            *self._notes(footage),
        )

    def _notes(self, footage: Footage) -> list[str]:
        """Return what was decided here and may be decided otherwise, and how to go on."""
        own = footage.meta.recorder.get("own_size") if self.size is None else None
        notes = [f"its pictures are {own[0]}x{own[1]}; --size HEIGHT WIDTH in a new folder keeps more"] if own else []
        run = f"runs/{plain_name(self.out.resolve().name) or 'world'}"
        is_enough = len(footage) > 1
        if is_enough:
            return [*notes, f"next: {console.command('train', self.out, '--out', run)}"]
        more = 4 * max(self.frames, footage.num_frames)
        again = f"{footage.meta.recorder['command']} {shlex.join(('--out', str(self.out), '--frames', str(more)))}"
        return [*notes, f"next: {again}  (training needs two episodes, one to be measured on)"]
