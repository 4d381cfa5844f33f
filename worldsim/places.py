"""Paths as people write them, and where worlds lie on disk: folders alone, nothing of them is read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

SHIPPED = (Path(__file__).parent / "checkpoints", Path(__file__).parents[1] / "checkpoints")
"""Where worlds come with the package: in a wheel, and in a clone."""

FIRST = "snake"
"""The world, and the game, of those who name none."""


def as_path(path: str | os.PathLike[str]) -> Path:
    """Return a path, with a leading ~ as the home folder."""
    return Path(path).expanduser()


def plain_name(name: str) -> str:
    """Return a name that is fit for a file and for a world: letters and digits, with hyphens between."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")


def world_folders() -> Iterator[Path]:
    """Yield the folders of all local and shipped worlds: ./checkpoints/*, ./runs/*/world, then `SHIPPED`."""
    yield from sorted(Path("checkpoints").glob("*/"))
    yield from sorted(Path("runs").glob("*/world/"))
    for shipped in SHIPPED:
        yield from sorted(shipped.glob("*/"))


def run_name(folder: Path) -> str:
    """Return the name that a world goes by: of its run, or of its folder."""
    return folder.parent.name if folder.name == "world" else folder.name
