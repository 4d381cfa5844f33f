"""Commands around footage: which games there are, recording one, looking at what was recorded."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from worldsim.cli import console

_NAMESPACE = "worldsim_envs"


@dataclass(frozen=True, kw_only=True)
class Games:
    """List the games that can be recorded, whether each is ready here, and how to make it ready.

    Example: worldsim games
    """

    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Print the list."""
        games = list_games()
        if self.json:
            return console.print_json({"games": games})
        rows = [(g["name"], g["title"], "yes" if g["ready"] else g["install"], g["licence"]) for g in games]
        console.say(console.table(("game", "title", "ready", "licence"), rows))
        console.say("\nAny Gymnasium id with pictures works too: worldsim record CartPole-v1 --out footage/cartpole")


@dataclass(frozen=True, kw_only=True)
class Record:
    """Record a game as footage: whole episodes, lossless. A folder that has some already goes on from there.

    Example: worldsim record jump --out footage/jump --frames 20000 --workers 2
    """

    game: Positional[str] = "jump"
    """A game of `worldsim games`, or any Gymnasium id with pictures."""
    out: Path
    """Folder of the footage, new or of an earlier recording of the same game."""
    frames: int
    """Frames wanted in the folder."""
    policy: str = "noisy"
    """noisy: the game's scripted player with 10 to 30 % random actions; random: held random actions; agent:PATH: a
    trained agent, by samples."""
    seed: int = 0
    """Episode i is a function of the seed and i alone, whatever the number of workers."""
    workers: int = 1
    """Processes that play."""
    size: tuple[int, int] | None = None
    """Height and width in pixels; the game's own where left out."""
    frame_skip: int | None = None
    """Frames of the game that an action is held; the game's own where left out."""
    json: bool = False
    """Print one JSON object."""

    resume_hint = "the whole episodes are kept; the same command goes on after them"

    def run(self) -> None:
        """Record, and say what is there."""
        from worldsim.agent import record

        with closing(console.Counter("frames")) as on_progress:
            footage = record(
                self.game,
                self.out,
                num_frames=self.frames,
                policy=self.policy,
                seed=self.seed,
                num_workers=self.workers,
                size=self.size,
                frame_skip=self.frame_skip,
                on_progress=on_progress,
            )
        result = {
            "path": str(self.out),
            "game": footage.meta.game,
            "size": footage.meta.size,
            "fps": footage.meta.fps,
            "frames": footage.num_frames,
            "episodes": len(footage),
            "digest": footage.digest(),
        }
        if self.json:
            return console.print_json(result)
        h, w = footage.meta.size
        console.say(
            f"{self.out}: {footage.num_frames:,} frames of {footage.meta.title} at {h}x{w}, {len(footage)} episodes"
        )
        console.say(f"next: worldsim inspect {self.out} · worldsim train {self.out} --out runs/{footage.meta.game}")


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Say what is in a footage folder, and draw a contact sheet of it.

    Example: worldsim inspect footage/jump --sheet sheet.png
    """

    path: Positional[Path]
    """The footage folder."""
    sheet: Path | None = None
    """Where to draw the contact sheet (.png); none is drawn where left out."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Print the summary."""
        from worldsim.data.inspect import contact_sheet, summarize
        from worldsim.data.store import Footage

        if self.sheet is not None and self.sheet.suffix.lower() != ".png":
            raise ValueError(f"the contact sheet wants a name that ends in .png, got {str(self.sheet)!r}.")
        footage = Footage.open(self.path)
        result = summarize(footage)
        if self.sheet is not None:
            from PIL import Image

            sheet = contact_sheet(footage)
            self.sheet.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(sheet).save(self.sheet)
            result = {**result, "sheet": str(self.sheet)}
        if self.json:
            return console.print_json(result)
        console.say(console.tree(result))


def list_games() -> list[dict[str, Any]]:
    """Describe every registered game, without importing its engine."""
    import importlib
    from contextlib import suppress

    import gymnasium
    from gymnasium.envs.registration import load_env_creator

    with suppress(ModuleNotFoundError):
        importlib.import_module(_NAMESPACE)
    games = []
    for spec in gymnasium.registry.values():
        if spec.namespace == _NAMESPACE:
            kind: Any = load_env_creator(str(spec.entry_point))
            about = kind.describe(**spec.kwargs)
            install = f'pip install "worldsim-jax[{about["extra"]}]"'
            missing = [program for program in about.get("programs", ()) if not _has_program(program)]
            if missing:
                install = f"{install} and the programs {', '.join(missing)}"
            ready = _is_installed(about["package"]) and not missing
            games.append({**about, "id": spec.id, "ready": ready, "install": install})
    return sorted(games, key=lambda g: (g["package"] != "pyxel", g["package"], g["name"]))


def _has_program(name: str) -> bool:
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/games") is not None


def _is_installed(package: str) -> bool:
    from importlib import metadata

    try:
        return bool(metadata.version(package))
    except metadata.PackageNotFoundError:
        return False
