"""Files of a bundle: read within limits, written all at once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path


def read_file(path: Path, limit: int, sha256: str | None = None) -> bytes:
    """Read a file of a bundle, of `limit` bytes at most and, where known, of this hash.

    Raises:
        ValueError: it is missing, too large or changed.
    """
    if not path.is_file():
        raise ValueError(f"nothing at {path}: the file is missing.")
    if path.stat().st_size > limit:
        raise ValueError(f"expected at most {limit} bytes for {path}, got {path.stat().st_size}.")
    raw = path.read_bytes()
    if sha256 is not None and hashlib.sha256(raw).hexdigest() != sha256:
        raise ValueError(f"{path} is not the file of its card: the sha256 differs. Fetch the bundle anew.")
    return raw


def read_json(path: Path, limit: int) -> dict[str, object]:
    """Read a JSON object of a bundle.

    Raises:
        ValueError: it is missing, too large or no JSON object.
    """
    try:
        data = json.loads(raw := read_file(path, limit))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"expected JSON for {path}: {str(error)[:200]}. Fetch the bundle anew.") from error
    if not isinstance(data, dict):
        raise ValueError(f"expected a JSON object for {path}, got {raw[:80]!r}.")
    return data


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Write beside, flush, then rename; an older bundle steps aside between the two renames.

    Raises:
        ValueError: the folder holds something else than a bundle.
    """
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not (path / "card.json").is_file() and not (path.is_dir() and not any(path.iterdir())):
        raise ValueError(f"{path} holds something else than a World bundle; choose another place.")
    temp = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    aside = path.with_name(f"{temp.name}.old")
    temp.mkdir()
    try:
        for name, content in files.items():
            with open(temp / name, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        if path.exists():
            path.rename(aside)
        temp.rename(path)
    finally:
        if aside.exists() and not path.exists():
            aside.rename(path)
        shutil.rmtree(temp, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)
