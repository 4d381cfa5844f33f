"""A World bundle: the folder that holds one learned world, small enough to ship and safe to load.

    card.json                       what it is, how it was made, what it may be used for, where it fails
    weights.safetensors             parameters, named "dynamics/blocks/0/attn/q/kernel"
    initial_contexts.safetensors    recorded frames to start from: obs [s t h w c] and prev_action [s t a]; and those
                                    that words name: named_obs, named_prev_action and what they show, named_labels
    metrics.json                    what it scored, where it was measured
    README.md                       the model card for people; pictures such as preview.gif lie beside it

A bundle is untrusted input. Reading one runs no code, reads no more than the limits below, and answers anything that is
missing, misshapen or changed since it was saved with a ValueError.

This module reads arrays and cards, not models: the simulator gives the arrays their meaning.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jax.typing import DTypeLike

from worldsim import schema
from worldsim.controls import ActionSpec
from worldsim.places import as_path
from worldsim.world.arrays import DTYPES, MAX_HEADER_BYTES, deserialize, flatten, serialize, unflatten
from worldsim.world.card import OPTIONAL_PART, PARTS, Card, ContextsFile, GameCard, WeightsFile, read_card
from worldsim.world.files import read_file, read_json, write_folder
from worldsim.world.games import card_of_game, chosen_game, resized
from worldsim.world.model_card import model_card
from worldsim.world.registry import find_world

KEYS = ("obs", "prev_action")
NAMED_KEYS = ("named_obs", "named_prev_action", "named_labels")
WEIGHTS, CONTEXTS, METRICS = "weights.safetensors", "initial_contexts.safetensors", "metrics.json"
FILM_STRIP = "film_strip.png"
MAX_WEIGHTS_BYTES, MAX_CONTEXTS_BYTES, MAX_METRICS_BYTES = 2**30, 2**28, 2**24
FLOATS = [dtype for dtype in DTYPES.values() if dtype != np.uint8]


@dataclass(frozen=True, kw_only=True)
class World:
    """A learned world: its card, its parameters, the frames it can start from, and what it scored."""

    card: Card
    params: dict[str, Any]
    """One nested dict of arrays for each of `PARTS`, and one for `OPTIONAL_PART` where there is one.

    Keys are strings, list indices are digits.
    """
    initial_contexts: dict[str, np.ndarray]
    """"obs": uint8 [s t h w c], "prev_action": float32 [s t a], in arrival alignment.

    Of footage that says what its frames show there are more, which words name: "named_obs", "named_prev_action", and
    "named_labels" uint8 [s l], what the last frame of each shows, as `Prompt.labels` says it: the value of each
    attribute of `PromptConfig.attributes`, from 1 on; 0 = unknown.
    """
    metrics: dict[str, Any] = field(default_factory=dict)
    """Content of metrics.json: numbers by question. "headline" is what the model card shows of them."""

    @property
    def action_spec(self) -> ActionSpec:
        """The controls of this world."""
        return self.card.action_spec


def save_world(
    world: World,
    path: str | os.PathLike[str],
    *,
    dtype: DTypeLike | None = None,
    extra_files: Mapping[str, bytes] | None = None,
) -> World:
    """Write a bundle in one go: it appears whole, or not at all; one of the same path is replaced.

    Args:
        world: `card.weights` and `card.initial_contexts` are filled in here; NaN in card and metrics becomes null.
        path: the folder to be.
        dtype: float32 or bfloat16 to store every parameter in; None keeps each as it is.
        extra_files: plain file names and contents to lay beside, "preview.gif" say;
            "README.md" replaces the generated one.

    Returns:
        The world as it was written, with the card completed.

    Raises:
        ValueError: the arrays are not those of the card, or a file has no plain name.
    """
    flat = {name: _cast(leaf, dtype) for name, leaf in flatten(world.params).items()}
    weights = serialize(flat)
    contexts = serialize({name: np.array(x, order="C") for name, x in world.initial_contexts.items()})
    described = WeightsFile(
        sha256=_sha256(weights), num_params=sum(x.size for x in flat.values()), dtype=_dtype_names(flat)
    )
    count = len(world.initial_contexts.get("obs", ()))
    card = replace(world.card, weights=described, initial_contexts=ContextsFile(sha256=_sha256(contexts), count=count))
    params = _check_params(flat, described, "the weights to save")
    _check_contexts(world.initial_contexts, card, "the initial contexts to save")
    extra = dict(extra_files or {})
    if bad := [name for name in extra if Path(name).name != name or name.startswith(".")]:
        raise ValueError(f"expected plain names such as preview.gif for extra files, got {bad}.")
    metrics = schema.to_json(world.metrics)
    picture = next((name for name in ("preview.gif", "strip.png") if name in extra), None)
    film_strip = FILM_STRIP if FILM_STRIP in extra else None
    readme = model_card(card, metrics, picture, film_strip).encode()
    files = {WEIGHTS: weights, CONTEXTS: contexts, "README.md": readme}
    files |= {METRICS: _dump(metrics)} if metrics else {}
    write_folder(as_path(path), files | extra | {"card.json": _dump(card.to_json())})
    return replace(world, card=card, params=params, metrics=metrics)


def load_world(
    name: str | os.PathLike,
    *,
    game: str | None = None,
    size: tuple[int, int] | None = None,
    count_params: Callable[[Card], int] | None = None,
) -> World:
    """Read and check a bundle.

    Args:
        name: its folder, the name of a shipped or local world, or a prompt: "play pong please".
        game: which game of a world of several; by default the one that is named behind a # ("arcade#pong") or by the
            prompt, or its first.
        size: height and width of its frames, for a world that is of any size; its own by default.
        count_params: the number of parameters that a card's config makes, for `read_bundle`.

    Raises:
        ValueError: nothing is meant by that name (the message lists what exists), it has no such game or is not of
            that size, or any part of it is missing, misshapen, changed or over the limits.
    """
    if size is not None and (np.shape(size) != (2,) or not all(isinstance(x, int) for x in size)):
        raise TypeError(f"expected height and width, such as (64, 112), for size, got {size!r}.")
    world = read_bundle(find_world(name), count_params)
    card, contexts = world.card, world.initial_contexts
    chosen = chosen_game(card, os.fspath(name), game)
    if chosen is not None and card.games:
        card = card_of_game(card, chosen)
        contexts = {key: x for key in (*KEYS, *NAMED_KEYS) if (x := contexts.get(f"{chosen}/{key}")) is not None}
    if size is not None and tuple(size) != card.size:
        card, contexts = resized(card, contexts, size)
    return replace(world, card=card, initial_contexts=contexts)


def read_bundle(folder: Path, count_params: Callable[[Card], int] | None = None) -> World:
    """Read and check the bundle of a folder, with all of its games.

    Args:
        folder: of the bundle.
        count_params: the number of parameters that a card's config makes (`worldsim.model.modules.count_params`).
            Larger weights are refused before they are opened. By default the card's own number is believed.

    Raises:
        ValueError: a part of it is missing, misshapen, changed or over the limits.
    """
    card = read_card(folder)
    weights, contexts = (folder / name for name in (WEIGHTS, CONTEXTS))
    count = card.weights.num_params if count_params is None else count_params(card)
    limit = min(MAX_WEIGHTS_BYTES, 4 * count + MAX_HEADER_BYTES)
    flat = deserialize(read_file(weights, limit, card.weights.sha256), weights)
    params = _check_params(flat, card.weights, str(weights))
    arrays = deserialize(read_file(contexts, MAX_CONTEXTS_BYTES, card.initial_contexts.sha256), contexts)
    _check_contexts(arrays, card, str(contexts))
    return World(card=card, params=params, initial_contexts=arrays, metrics=read_metrics(folder))


def read_metrics(folder: Path) -> dict[str, object]:
    """Read all numbers of a bundle's evaluation; none where it was never measured.

    Raises:
        ValueError: the file is damaged.
    """
    path = folder / METRICS
    return read_json(path, MAX_METRICS_BYTES) if os.path.lexists(path) else {}


def _dump(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _cast(leaf: Any, dtype: Any) -> np.ndarray:
    array = np.array(leaf, order="C")
    return array if dtype is None else array.astype(np.dtype(dtype))


def _dtype_names(flat: Mapping[str, np.ndarray]) -> str:
    return "+".join(sorted({str(x.dtype) for x in flat.values()}))


def _check_params(flat: Mapping[str, np.ndarray], expected: WeightsFile, where: str) -> dict[str, Any]:
    if bad := [name for name, x in flat.items() if x.dtype not in FLOATS]:
        raise ValueError(f"{where}: expected a float dtype for {bad[0]}, got {flat[bad[0]].dtype}.")
    count = sum(x.size for x in flat.values())
    if count != expected.num_params:
        raise ValueError(f"{where}: the card expects {expected.num_params} parameters, the shapes make {count}.")
    if (dtype := _dtype_names(flat)) != expected.dtype:
        raise ValueError(f"{where}: the card expects dtype {expected.dtype}, got {dtype}.")
    tree = unflatten(flat)
    if not set(PARTS) <= set(tree) <= {*PARTS, OPTIONAL_PART} or not all(isinstance(x, dict) for x in tree.values()):
        raise ValueError(f"{where}: expected the parts {', '.join(PARTS)}, got {', '.join(sorted(tree))[:200]}.")
    return tree


def _check_contexts(contexts: Mapping[str, np.ndarray], card: Card, where: str) -> None:
    expected: list[str] = []
    for one in card.games or (card,):
        prefix = f"{one.name}/" if card.games else ""
        groups = [KEYS, NAMED_KEYS] if f"{prefix}{NAMED_KEYS[0]}" in contexts else [KEYS]
        names = [[f"{prefix}{key}" for key in keys] for keys in groups]
        expected += sum(names, [])
        if not set(expected) <= set(contexts):
            break
        for obs, action, *labels in names:
            _check_context(contexts[obs], contexts[action], one, where, (obs, action))
            if labels:
                _check_labels(contexts[labels[0]], len(contexts[obs]), card, f"{where}: {labels[0]}")
    if sorted(contexts) != sorted(expected):
        raise ValueError(f"{where}: expected {' and '.join(sorted(expected))}, got {str(sorted(contexts))[:200]}.")


def _check_context(
    obs: np.ndarray, action: np.ndarray, card: Card | GameCard, where: str, names: tuple[str, str]
) -> None:
    if obs.dtype != np.uint8 or obs.ndim != 5 or 0 in obs.shape or obs.shape[2:] != (*card.size, 3):
        h, w = card.size
        raise ValueError(f"{where}: {names[0]}: expected uint8 [s t {h} {w} 3], got {obs.dtype} {list(obs.shape)}.")
    expected = (*obs.shape[:2], card.action_spec.size)
    if action.dtype != np.float32 or action.shape != expected:
        raise ValueError(
            f"{where}: {names[1]}: expected float32 {list(expected)}, got {action.dtype} {list(action.shape)}."
        )


def _check_labels(labels: np.ndarray, count: int, card: Card, where: str) -> None:
    prompt = card.config["dynamics"].get("prompt") or {}
    numbers = [len(values) for _, values in prompt.get("attributes", ())]
    if labels.dtype != np.uint8 or labels.shape != (count, len(numbers)):
        raise ValueError(f"{where}: expected uint8 {[count, len(numbers)]}, got {labels.dtype} {list(labels.shape)}.")
    if (labels > np.array(numbers, int)).any():
        raise ValueError(f"{where}: expected a value of each attribute, from 1 on or 0, got one beyond.")
