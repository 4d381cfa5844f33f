"""Which run a folder belongs to, and which process writes to it."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

from worldsim.schema import parse_json

try:
    import fcntl
except ImportError:  # a system without such locks
    fcntl = None

_NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK}  # what a disk without such locks says
LOCK, MAX_BYTES = ".lock", 2**22


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
        old = read_run(record)
        if differ := [key for key in wanted if old.get(key) != wanted[key]]:
            raise ValueError(f"{out} holds a run with another {differ[0]}; resume with the same one.")
        return
    if not is_shared and out.exists() and any(file.name != LOCK for file in out.iterdir()):
        raise FileExistsError(f"{out} is not empty and holds no run; choose another folder.")
    if resume:
        raise ValueError(f"{out} holds no run to resume; leave out --resume to begin one.")
    out.mkdir(parents=True, exist_ok=True)
    part = record.with_suffix(".part")
    part.write_text(json.dumps(wanted, indent=1), encoding="utf-8")
    part.replace(record)


def read_run(record: Path) -> dict[str, object]:
    """Read the settings of a run.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        settings = parse_json(record.read_bytes()[:MAX_BYTES])
    except ValueError as error:
        raise ValueError(f"{record}: {error}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"expected an object in {record}, got {str(settings)[:80]!r}.")
    return settings


@contextmanager
def hold(folder: Path, doing: str) -> Iterator[None]:
    """Be the one process that writes to a folder, which is made where it is missing.

    The lock is the operating system's: it ends with the process, however that ends.

    Args:
        folder: the folder.
        doing: what the holder does, for the message: "recording into".

    Raises:
        BlockingIOError: another process holds the folder; the message says which, and since when.
    """
    is_new = not check_folder(folder).exists()
    folder.mkdir(parents=True, exist_ok=True)
    file = _take(folder / LOCK, f"another process is {doing} {folder}")
    try:
        yield
    finally:
        if fcntl is not None:
            (folder / LOCK).unlink(missing_ok=True)  # before it is let go: whoever waits for it looks again
        file.close()
        if is_new and not any(folder.iterdir()):
            folder.rmdir()


def _take(path: Path, busy: str) -> IO[str]:
    if fcntl is None:
        return path.open("a+", encoding="utf-8")
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                file.truncate(0)
                print(f"process {os.getpid()} since {datetime.now():%Y-%m-%d %H:%M:%S}", file=file, flush=True)
                return file
        except FileNotFoundError:
            pass  # its holder has just ended
        except BlockingIOError as error:
            owner = _owner(file)
            file.close()
            raise BlockingIOError(error.errno, f"{busy} ({owner}); wait for it, or choose another folder") from None
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return file
            file.close()
            raise
        except BaseException:
            file.close()
            raise
        file.close()


def _owner(file: IO[str]) -> str:
    for _ in range(40):  # the holder writes its name after it took the lock
        file.seek(0)
        if owner := file.read(200).strip():
            return owner
        time.sleep(0.05)
    return "a process without a name"
