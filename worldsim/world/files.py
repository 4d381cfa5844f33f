"""Files from outside, read within limits and only where they are plain ones; a bundle, written all at once."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Mapping
from pathlib import Path

from worldsim.schema import parse_json


def check_file(path: Path, limit: int) -> None:
    """Refuse what is no plain file of `limit` bytes at most: a pipe, a device, a folder, a link out of its folder.

    Raises:
        ValueError: it is missing, of another kind or too large.
    """
    try:
        about, real = path.stat(), path.resolve()
    except (FileNotFoundError, NotADirectoryError, RuntimeError) as error:  # or links in a circle
        raise ValueError(f"nothing at {path}: the file is missing.") from error
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENAMETOOLONG):
            raise  # such as no permission, which says nothing of the file
        raise ValueError(f"nothing at {path}: the file cannot be reached.") from error
    if not stat.S_ISREG(about.st_mode) or real.parent != path.parent.resolve():
        raise ValueError(f"expected a plain file for {path}, got a folder, a pipe, a device or a link elsewhere.")
    if about.st_size > limit:
        raise ValueError(f"expected at most {limit} bytes for {path}, got {about.st_size}.")


def read_file(path: Path, limit: int, sha256: str | None = None) -> bytes:
    """Read a plain file, of `limit` bytes at most and, where known, of this hash.

    Raises:
        ValueError: it is missing, of another kind, too large or changed.
    """
    check_file(path, limit)
    raw = path.read_bytes()
    if sha256 is not None and hashlib.sha256(raw).hexdigest() != sha256:
        raise ValueError(f"{path} is not the file of its card: the sha256 differs. Fetch the bundle anew.")
    return raw


def read_json(path: Path, limit: int) -> dict[str, object]:
    """Read a JSON object from outside.

    Raises:
        ValueError: it is missing, too large, nested too deep or no JSON object.
    """
    raw = read_file(path, limit)
    try:
        data = parse_json(raw)
    except ValueError as error:
        raise ValueError(f"expected JSON for {path}: {str(error)[:200]} Fetch it anew.") from error
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
