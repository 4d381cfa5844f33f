"""The card of a World bundle: what it must say, where bundles lie, and which one a name or a prompt means.

A card is untrusted input like the rest of its bundle: it is checked key by key before anybody believes it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.checkpoint.games import check_games, names_of, says_names_alone, split_game, words_in
from worldsim.types import ActionSpec

SCHEMA_VERSION = 1
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
PARTS = ("tokenizer", "dynamics", "outcome")
"""The parameter trees of a bundle, and the sections of its config beside "sampler"."""
OPTIONAL_PART = "opening"
"""One more, of worlds with a network of its own for the first frame."""
MAX_CARD_BYTES = 2**20
SHIPPED = (Path(__file__).parents[1] / "checkpoints", Path(__file__).parents[2] / "checkpoints")
"""Where worlds come with the package: in a wheel, and in a clone."""
CARD_KEYS: dict[str, type | tuple[type, ...]] = {
    "schema_version": int,
    "name": str,
    "title": str,
    "prompts": list,
    "game": str,
    "size": list,
    "fps": (int, float),
    "action_spec": dict,
    "preset": str,
    "config": dict,
    "footage": dict,
    "training": dict,
    "metrics": dict,
    "licence": dict,
    "limits": list,
}


def check_card(card: Any, where: str) -> None:
    """Check that a card has every key, of the right kind.

    Raises:
        ValueError: naming `where`, the key, what was wanted and what came.
    """
    if not isinstance(card, dict):
        raise ValueError(f"{where} wants an object of keys, got {type(card).__name__}.")
    if missing := [key for key in CARD_KEYS if key not in card]:
        raise ValueError(f"{where} lacks {', '.join(missing)}.")
    for key, kind in CARD_KEYS.items():
        if not isinstance(card[key], kind) or isinstance(card[key], bool):
            wanted = kind.__name__ if isinstance(kind, type) else "number"
            raise ValueError(f"{where}: {key} wants {wanted}, got {str(card[key])[:100]!r}.")
    if card["schema_version"] != SCHEMA_VERSION:
        raise ValueError(
            f"{where}: schema_version wants {SCHEMA_VERSION}, got {card['schema_version']}; use a matching worldsim."
        )
    if not re.fullmatch(NAME_PATTERN, card["name"]):
        raise ValueError(f"{where}: name wants letters, digits, '.', '_' and '-', got {card['name'][:80]!r}.")
    size = card["size"]
    if len(size) != 2 or not all(type(x) is int and 1 <= x <= 4096 for x in size):
        raise ValueError(f"{where}: size wants [height, width] of 1..4096 pixels, got {str(size)[:100]}.")
    if not 0 < card["fps"] <= 1000:
        raise ValueError(f"{where}: fps wants 0 < fps <= 1000, got {card['fps']}.")
    for key in ("prompts", "limits"):
        if not all(isinstance(x, str) for x in card[key]):
            raise ValueError(f"{where}: {key} wants strings, got {str(card[key])[:100]}.")
    if missing := [key for key in (*PARTS, "sampler") if not isinstance(card["config"].get(key), dict)]:
        raise ValueError(f"{where}: config lacks an object for {', '.join(missing)}.")
    ActionSpec.from_json(card["action_spec"])
    check_games(card, where)


def read_card(folder: str | os.PathLike) -> dict:
    """Read and check the card of a bundle, without its arrays.

    Raises:
        ValueError: there is none, or it is not a card.
    """
    path = Path(folder) / "card.json"
    raw = read_file(path, MAX_CARD_BYTES)
    try:
        card = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} wants to be JSON: {str(error)[:200]}. Fetch the bundle anew.") from error
    check_card(card, str(path))
    for key, inner in (("weights", ("sha256", "num_params", "dtype")), ("starts", ("sha256",))):
        if not isinstance(card.get(key), dict) or any(k not in card[key] for k in inner):
            raise ValueError(f"{path} wants {key} with {', '.join(inner)}, got {str(card.get(key))[:100]}.")
    return card


def list_worlds() -> list[dict]:
    """List the cards of all shipped and local worlds, each with its folder under "path".

    Looks at ./checkpoints/*, ./runs/*/world and what ships with the package, and leaves out what has no sound card.
    """
    cards: dict[Path, dict] = {}
    for folder in _folders():
        try:
            cards.setdefault(folder.resolve(), read_card(folder) | {"path": str(folder)})
        except ValueError:
            continue
    return list(cards.values())


def say_worlds() -> list[str]:
    """What to say to reach the worlds of `list_worlds`: their names, and "arcade pong" for a game of several."""
    cards = list_worlds()
    return sorted({name for card in cards for name in (card["name"], *_game_phrases(card))})


def find_world(name: str | os.PathLike) -> Path:
    """Find the folder that a path, the name of a world, or a prompt means, each with or without a #game behind it.

    A run folder means the world in it. A prompt means the world of which it says most words.

    Raises:
        ValueError: nothing is meant; lists what exists.
    """
    text = split_game(os.fspath(name))[0]
    path = Path(text)
    for folder in (path, path / "world"):
        if text and (folder / "card.json").is_file():
            return folder
    for folder in _folders():
        if text == _run_name(folder):
            return folder  # a damaged one too: reading it says what is wrong
    is_path = os.sep in text or path.exists()  # a damaged bundle must not be taken for a prompt of its folder's name
    card = _named(text) or (None if is_path else _prompted(text))
    if card is None:
        exist = ", ".join(say_worlds()) or "none; train one with `worldsim train`"
        raise ValueError(f"no world at {text[:200]!r}, nor by that name or prompt. Worlds here: {exist}.")
    return Path(card["path"])


def match_world(text: str) -> Path | None:
    """Find the folder of the world that a name or a prompt means, and never one that it is the path of.

    For words of strangers: they reach the worlds that `list_worlds` lists and nothing else.
    """
    card = _named(text) or _prompted(text)
    return None if card is None else Path(card["path"])


def words_of(name: str | os.PathLike) -> str | None:
    """What a text says beside which world it means: all of it where it is a prompt, None for a path or a name.

    Words that do no more than name one game of several are a name.
    """
    text = split_game(os.fspath(name))[0]
    folder = find_world(text)
    card = read_card(folder)
    is_place = os.sep in text or Path(text).exists() or text in (_run_name(folder), card["name"])
    return None if is_place or says_names_alone(card, text) else text


def _named(text: str) -> dict | None:
    cards = list_worlds()
    folders = [card for card in cards if text == _run_name(Path(card["path"]))]
    return next(iter(folders + [card for card in cards if card["name"] == text]), None)


def _prompted(text: str) -> dict | None:
    """The card of which the text says most."""
    scored = [(_match(text, card), card) for card in list_worlds()]
    best = max((score for score, _ in scored), default=0)
    meant = [card for score, card in scored if best and score == best]
    return min(meant, key=lambda card: len(names_of(card)), default=None)  # before a world of several games that one


def _game_phrases(card: Mapping) -> list[str]:
    return [f"{card['name']} {game}" for game in names_of(card)]


def _run_name(folder: Path) -> str:
    return folder.parent.name if folder.name == "world" else folder.name


def _folders() -> Iterator[Path]:
    yield from sorted(Path("checkpoints").glob("*/"))
    yield from sorted(Path("runs").glob("*/world/"))
    for shipped in SHIPPED:
        yield from sorted(shipped.glob("*/"))


STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "at",
        "for",
        "from",
        "game",
        "i",
        "in",
        "into",
        "like",
        "me",
        "my",
        "of",
        "on",
        "or",
        "play",
        "please",
    ]
    + ["run", "some", "start", "the", "this", "to", "walk", "want", "with", "world", "worlds"]
)


def _match(text: str, card: Mapping) -> int:
    """Count what a prompt says of a card: a whole prompt, name or game counts most, then single words of the title."""
    said = _words(text)
    phrases = [_words(x) for x in (*card["prompts"], card["name"], card["game"], *_game_phrases(card))]
    whole = max((len(phrase) for phrase in phrases if phrase and phrase <= said), default=0)
    return 10 * whole + len(said & _words(card["title"]))


def _words(text: str) -> frozenset[str]:
    return frozenset(words_in(text)) - STOP_WORDS


def model_card(card: Mapping) -> str:
    """Render a card as Markdown, for people; curves and lists stay in the card."""
    rows = "\n".join(
        f"| {name} | {json.dumps(_single(value), ensure_ascii=False)} |" for name, value in card["metrics"].items()
    )
    limits = "\n".join(f"- {x}" for x in card["limits"]) or "- none known"
    parts = {key: json.dumps(card[key], ensure_ascii=False) for key in ("footage", "training", "licence", "weights")}
    h, w = card["size"]
    return (
        f"# {card['title']}\n\nA learned world of `{card['game']}`: {h}x{w} pixels at {card['fps']:g} frames a second, "
        f"preset `{card['preset']}`.\n\nPlay it: `worldsim play {card['name']}`\n\n## Made from\n\n"
        f"- footage: {parts['footage']}\n- training: {parts['training']}\n- weights: {parts['weights']}\n\n"
        f"## Measured\n\n| what | value |\n|---|---|\n{rows}\n\n## Limits\n\n{limits}\n\n"
        f"## Licence\n\n{parts['licence']}\n"
    )


def _single(value: Any) -> Any:
    """Of a question's numbers those that are single values."""
    if not isinstance(value, Mapping):
        return value
    return {name: part for name, part in value.items() if not isinstance(part, (Mapping, list, tuple))}


def finite(value: Any) -> Any:
    """Make a value fit for JSON, which has no NaN: what was not measured is null."""
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_file(path: Path, limit: int, sha256: str | None = None) -> bytes:
    """Read a file of a bundle, of `limit` bytes at most and, where known, of this hash.

    Raises:
        ValueError: it is missing, too large or changed.
    """
    if not path.is_file():
        raise ValueError(f"{path.parent} is not a World bundle: {path.name} is missing.")
    if path.stat().st_size > limit:
        raise ValueError(f"{path} wants at most {limit} bytes, got {path.stat().st_size}.")
    raw = path.read_bytes()
    if sha256 is not None and hashlib.sha256(raw).hexdigest() != sha256:
        raise ValueError(f"{path} is not the file of its card: the sha256 differs. Fetch the bundle anew.")
    return raw
