"""A World bundle: the folder that holds one learned world, small enough to ship and safe to load.

    card.json             what it is, how it was made, what it scored, what it may be used for, where it fails
    weights.safetensors   parameters, float32 or bfloat16, named "dynamics/blocks/0/attn/q/kernel"
    starts.safetensors    recorded frames to start from: obs [s t h w c] and prev_action [s t a]
    README.md             the card for people; pictures such as preview.gif lie beside it

A bundle is untrusted input. Reading one runs no code, reads no more than the limits below, and answers
anything that is missing, misshapen or changed since it was saved with a ValueError. The format of the
weights is safetensors (https://github.com/huggingface/safetensors): a JSON header, then raw arrays.

This module knows arrays and cards, not models: the simulator gives the arrays their meaning.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from worldsim.checkpoint.card import (
    OPTIONAL_PART,
    PARTS,
    check_card,
    find_world,
    finite,
    model_card,
    read_card,
    read_file,
)
from worldsim.checkpoint.games import chosen_game, game_card, names_of, resized
from worldsim.types import ActionSpec

STARTS = ("obs", "prev_action")
MAX_WEIGHTS_BYTES, MAX_STARTS_BYTES = 2**33, 2**28
MAX_HEADER_BYTES = 2**24
DTYPES = {
    "F32": np.dtype(np.float32),
    "BF16": np.dtype(jnp.bfloat16),
    "F16": np.dtype(np.float16),
    "U8": np.dtype(np.uint8),
}
NAMES = {np.dtype(np.float32): "float32", np.dtype(jnp.bfloat16): "bfloat16", np.dtype(np.float16): "float16"}


@dataclass(frozen=True, kw_only=True)
class World:
    """A learned world: its card, its parameters and the frames it can start from."""

    card: dict
    """Checked content of card.json; see `worldsim.checkpoint.card`."""
    params: dict[str, Any]
    """One nested dict of arrays for each of `PARTS`, and one for an opening where there is one.

    Keys are strings, list indices are digits.
    """
    starts: dict[str, np.ndarray]
    """"obs": uint8 [s t h w c], "prev_action": float32 [s t a], in arrival alignment."""

    @property
    def action_spec(self) -> ActionSpec:
        """The controls of this world."""
        return ActionSpec.from_json(self.card["action_spec"])


def save_world(
    world: World, path: str | os.PathLike, *, dtype: Any = None, extra_files: Mapping[str, bytes] | None = None
) -> World:
    """Write a bundle in one go: it appears whole, or not at all; one of the same path is replaced.

    Args:
        world: `card["weights"]` and `card["starts"]` are filled in here; NaN in the card becomes null.
        path: the folder to be.
        dtype: float32 or bfloat16 to store every parameter in; None keeps each as it is.
        extra_files: plain file names and contents to lay beside, "preview.gif" say;
            "README.md" replaces the generated one.

    Returns:
        The world as it was written, with the card completed.

    Raises:
        ValueError: the card or the arrays are not what a bundle wants.
    """
    flat = {name: _cast(leaf, dtype) for name, leaf in flatten(world.params).items()}
    weights = _serialize(flat)
    starts = _serialize({name: np.array(x, order="C") for name, x in world.starts.items()})
    card = finite(dict(world.card))
    card["weights"] = {
        "sha256": hashlib.sha256(weights).hexdigest(),
        "num_params": sum(x.size for x in flat.values()),
        "dtype": "+".join(sorted({NAMES.get(x.dtype, str(x.dtype)) for x in flat.values()})),
    }
    card["starts"] = {"sha256": hashlib.sha256(starts).hexdigest(), "count": len(world.starts.get("obs", ()))}
    check_card(card, "the card to save")
    params = _check_params(flat, card, "the weights to save")
    _check_starts(world.starts, card, "the starts to save")
    extra = dict(extra_files or {})
    if bad := [name for name in extra if Path(name).name != name or name.startswith(".")]:
        raise ValueError(f"extra files want plain names such as preview.gif, got {bad}.")
    text = json.dumps(card, indent=1, ensure_ascii=False, allow_nan=False)
    files = {"weights.safetensors": weights, "starts.safetensors": starts, "README.md": model_card(card).encode()}
    _write_folder(Path(path), files | extra | {"card.json": text.encode()})
    return replace(world, card=card, params=params)


def load_world(name: str | os.PathLike, *, game: str | None = None, size: tuple[int, int] | None = None) -> World:
    """Read and check a bundle.

    Args:
        name: its folder, the name of a shipped or local world, or a prompt: "play pong please".
        game: which game of a world of several; by default the one that is named behind a # ("arcade#pong") or by the
            prompt, or its first.
        size: height and width of its frames, for a world that is of any size; its own by default.

    Raises:
        ValueError: nothing is meant by that name (the message lists what exists), it has no such game or is not of
            that size, or any part of it is missing, misshapen, changed or over the limits.
    """
    world = read_bundle(find_world(name))
    card, starts = world.card, world.starts
    chosen = chosen_game(card, os.fspath(name), game)
    if chosen is not None and names_of(card):
        card = game_card(card, chosen)
        starts = {key: starts[f"{chosen}/{key}"] for key in STARTS}
    if size is not None and list(size) != card["size"]:
        card, starts = resized(card, starts, size)
    return replace(world, card=card, starts=starts)


def read_bundle(folder: Path) -> World:
    """Read and check the bundle of a folder, with all of its games.

    Raises:
        ValueError: a part of it is missing, misshapen, changed or over the limits.
    """
    card = read_card(folder)
    weights = read_file(folder / "weights.safetensors", MAX_WEIGHTS_BYTES, card["weights"]["sha256"])
    params = _check_params(
        _deserialize(weights, folder / "weights.safetensors"), card, str(folder / "weights.safetensors")
    )
    raw = read_file(folder / "starts.safetensors", MAX_STARTS_BYTES, card["starts"]["sha256"])
    starts = _deserialize(raw, folder / "starts.safetensors")
    _check_starts(starts, card, str(folder / "starts.safetensors"))
    return World(card=card, params=params, starts=starts)


def flatten(tree: Mapping, prefix: str = "") -> dict[str, Any]:
    """Turn nested dicts into one dict of "a/b/0/c" names; int keys become digits."""
    flat = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, name + "/") if isinstance(value, Mapping) else {name: value}
    return flat


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flatten`, with string keys all the way down.

    Raises:
        ValueError: a name is empty, has odd characters, or is both an array and a folder of arrays.
    """
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        if not re.fullmatch(r"[A-Za-z0-9_\-]+(/[A-Za-z0-9_\-]+){0,31}", name):
            raise ValueError(
                f"array name wants words between slashes, such as dynamics/blocks/0/kernel, got {name[:100]!r}."
            )
        *parents, last = name.split("/")
        node = tree
        for key in parents:
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                raise ValueError(f"array name {name!r} goes through another array.")
        if last in node:
            raise ValueError(f"array name {name!r} comes twice.")
        node[last] = value
    return tree


def _cast(leaf: Any, dtype: Any) -> np.ndarray:
    array = np.array(leaf, order="C")
    return array if dtype is None else array.astype(np.dtype(dtype))


def _serialize(flat: Mapping[str, np.ndarray]) -> bytes:
    if bad := [name for name, x in flat.items() if x.dtype not in DTYPES.values()]:
        raise ValueError(f"a bundle stores float32, bfloat16, float16 and uint8, got {flat[bad[0]].dtype} in {bad[0]}.")
    return safetensors.numpy.save(dict(sorted(flat.items())))


def _deserialize(raw: bytes, path: Path) -> dict[str, np.ndarray]:
    header = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 or header > min(len(raw) - 8, MAX_HEADER_BYTES):
        raise ValueError(
            f"{path} wants a header within {MAX_HEADER_BYTES} bytes and the file, its length says {header}."
        )
    try:
        table = safetensors.deserialize(raw)
        return {k: np.frombuffer(x["data"], DTYPES[x["dtype"]]).reshape(x["shape"]) for k, x in table}
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a sound safetensors file: {error}. Fetch the bundle anew.") from error
    except KeyError as error:
        raise ValueError(f"{path} wants arrays of {', '.join(DTYPES)}, got one of {error}.") from error


def _check_params(flat: Mapping[str, np.ndarray], card: Mapping, where: str) -> dict[str, Any]:
    if bad := [name for name, x in flat.items() if x.dtype not in NAMES]:
        raise ValueError(f"{where}: a parameter wants a float dtype, got {flat[bad[0]].dtype} in {bad[0]}.")
    count = sum(x.size for x in flat.values())
    if count != card["weights"]["num_params"]:
        raise ValueError(
            f"{where}: the card wants {card['weights']['num_params']} parameters, the shapes make {count}."
        )
    dtype = "+".join(sorted({NAMES[x.dtype] for x in flat.values()}))
    if dtype != card["weights"]["dtype"]:
        raise ValueError(f"{where}: the card wants dtype {card['weights']['dtype']}, got {dtype}.")
    tree = unflatten(flat)
    if not set(PARTS) <= set(tree) <= {*PARTS, OPTIONAL_PART} or not all(isinstance(x, dict) for x in tree.values()):
        raise ValueError(f"{where}: wants the parts {', '.join(PARTS)}, got {', '.join(sorted(tree))[:200]}.")
    return tree


def _check_starts(starts: Mapping[str, np.ndarray], card: Mapping, where: str) -> None:
    names = names_of(card)
    wanted = sorted(f"{name}/{key}" for name in names for key in STARTS) if names else list(STARTS)
    if sorted(starts) != wanted:
        raise ValueError(f"{where}: wants {' and '.join(wanted)}, got {sorted(starts)}.")
    for name, game in zip(names, card.get("games", []), strict=True):
        _check_starts({key: starts[f"{name}/{key}"] for key in STARTS}, {**game, "games": []}, f"{where}: {name}")
    if names:
        return
    obs, action = starts["obs"], starts["prev_action"]
    if obs.dtype != np.uint8 or obs.ndim != 5 or 0 in obs.shape or list(obs.shape[2:4]) != card["size"]:
        h, w = card["size"]
        raise ValueError(f"{where}: obs wants uint8 [s t {h} {w} c], got {obs.dtype} {list(obs.shape)}.")
    wanted = (*obs.shape[:2], ActionSpec.from_json(card["action_spec"]).size)
    if action.dtype != np.float32 or action.shape != wanted:
        raise ValueError(f"{where}: prev_action wants float32 {list(wanted)}, got {action.dtype} {list(action.shape)}.")


def _write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Write beside, flush, then rename; an older bundle steps aside for the moment between two renames."""
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
