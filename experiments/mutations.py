"""Mutations of a folder of files by a seed: hostile JSON, changed bytes, and what is no plain file at all."""

import contextlib
import json
import os
import random
import struct
from pathlib import Path
from typing import Any

SPARSE_BYTES = 2**33
VALUES: list[Any] = [
    *(0, -1, 1, 3, 4096, 10**6, 10**9, 2**62, 10**30, 1e-9, 0.5, 1e300, float("nan"), float("inf"), True, None),
    *(
        "",
        "6",
        "../x",
        "\x1b[31m\u202e\x9b",
        "x" * 10**5,
        [],
        {},
        [[]],
        [0] * 10**4,
        {"a": {}},
        json.loads("[" * 300 + "]" * 300),
    ),
]


def mutate_json(raw: bytes, rng: random.Random) -> bytes:
    """Replace, drop, add or double one value of a JSON text, which may be a line of several."""
    lines = raw.splitlines() if raw.startswith(b'{"') and raw.count(b"\n") > 1 else [raw]
    at = rng.randrange(len(lines))
    if rng.random() < 0.02:
        lines[at] = rng.choice([b"[" * 10**5, b'{"a":' * 10**5, b"9" * 10**5, b"\xff\xfe", b""])
        return b"\n".join(lines)
    data = json.loads(lines[at])
    places: list[tuple[Any, Any]] = []
    level: list[Any] = [data]
    while level:
        level = [x for x in level if isinstance(x, dict | list)]
        places += [(x, key) for x in level for key in (x if isinstance(x, dict) else range(len(x)))]
        level = [part for x in level for part in (x.values() if isinstance(x, dict) else x)]
    parent, key = rng.choice(places or [(data, "x")])
    what = rng.random()
    if what < 0.1:
        del parent[key]
    elif what < 0.2 and isinstance(parent, list):
        parent.extend(parent[:1] * rng.choice([1, 10**4]))
    else:
        new = what < 0.2
        parent[rng.choice(["x", "\x1b[2J"]) if new else key] = rng.choice(VALUES)
    lines[at] = json.dumps(data).encode()
    return b"\n".join(lines) + b"\n" * (len(lines) > 1)


def mutate_bytes(raw: bytes, rng: random.Random) -> bytes:
    """Flip, cut, repeat or insert some bytes."""
    at, what = rng.randrange(len(raw) + 1), rng.randrange(4)
    if what == 0 and raw:
        at = min(at, len(raw) - 1)
        return raw[:at] + bytes([raw[at] ^ (1 << rng.randrange(8))]) + raw[at + 1 :]
    return (raw[:at], raw + raw[at:], raw[:at] + rng.randbytes(rng.randrange(1, 64)) + raw[at:])[what % 3]


def mutate_arrays(raw: bytes, rng: random.Random) -> bytes:
    """Change the header of a safetensors file, its length, or any bytes."""
    what, size = rng.random(), int.from_bytes(raw[:8], "little")
    if what < 0.5 and 8 + size <= len(raw):
        header = mutate_json(raw[8 : 8 + size], rng)
        return struct.pack("<Q", len(header)) + header + raw[8 + size :]
    if what < 0.6:
        return struct.pack("<Q", rng.choice([0, 1, 2**24, 2**40, 2**64 - 1])) + raw[8:]
    return mutate_bytes(raw, rng)


def swap(path: Path, rng: random.Random) -> None:
    """Put something else in place of a file."""
    raw = path.read_bytes()
    path.unlink()
    kind = rng.randrange(6)
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.symlink_to(rng.choice(["/dev/zero", "/dev/stdin", path.name, "/etc/hostname"]))
    elif kind == 2:
        path.mkdir()
    elif kind in (3, 4):
        path.write_bytes(raw if kind == 4 else b"")
        os.truncate(path, SPARSE_BYTES)


def mutate(folder: Path, rng: random.Random) -> None:
    """Change one to three files of a folder of hard links, each a new file."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        files = sorted(x for x in folder.rglob("*") if x.is_file() and not x.is_symlink())
        small = [x for x in files if x.stat().st_size < 2**26]
        named = [x for x in small if x.name in ("card.json", "footage.json", "episodes.jsonl", "zarr.json")]
        if not small:
            return
        path = rng.choice(named if named and rng.random() < 0.5 else small)
        if rng.random() < 0.12:
            swap(path, rng)
            continue
        raw = path.read_bytes()
        is_json, is_arrays = path.suffix in (".json", ".jsonl"), path.suffix == ".safetensors"
        change = mutate_arrays if is_arrays else mutate_json if is_json and rng.random() < 0.85 else mutate_bytes
        with contextlib.suppress(ValueError, RecursionError):  # a second change of what is JSON no more
            raw = change(raw, rng)
        path.unlink()
        path.write_bytes(raw)
