"""Which run a folder belongs to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


def check_folder(out: Path) -> Path:
    """Return a folder to write to.

    Raises:
        ValueError: a file is in its place.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"expected a folder, got the file {out}; choose another place.")
    return out


def claim(
    out: Path, settings: Mapping[str, object], resume: bool, *, file: str = "run.json", is_shared: bool = False
) -> None:
    """Take a run folder, or check that it holds the run that is to go on.

    Args:
        out: the folder.
        settings: plain values that decide what comes out of the run.
        resume: go on with the run that the folder holds.
        file: where the settings are kept.
        is_shared: the folder may hold other things than this run.

    Raises:
        FileExistsError: the folder holds a run, or something else, and `resume` is off.
        ValueError: there is no run to resume, or one of other settings.
    """
    record, wanted = check_folder(out) / file, json.loads(json.dumps(settings))
    if record.is_file():
        if not resume:
            raise FileExistsError(f"{out} already holds a run; go on with --resume, or choose another folder.")
        old = json.loads(record.read_text(encoding="utf-8"))
        if differ := [key for key in wanted if old.get(key) != wanted[key]]:
            raise ValueError(f"{out} holds a run with another {differ[0]}; resume with the same one.")
        return
    if not is_shared and out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty and holds no run; choose another folder.")
    if resume:
        raise ValueError(f"{out} holds no run to resume; leave out --resume to begin one.")
    out.mkdir(parents=True, exist_ok=True)
    part = record.with_suffix(".part")
    part.write_text(json.dumps(wanted, indent=1), encoding="utf-8")
    part.replace(record)
