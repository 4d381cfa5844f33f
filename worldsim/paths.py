"""Paths as people write them."""

from __future__ import annotations

from pathlib import Path


def as_path(path: Path | str) -> Path:
    """Return a path, with a leading ~ as the home folder."""
    return Path(path).expanduser()
