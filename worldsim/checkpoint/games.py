"""One game of a world of several, and a world at another size: the same weights under another card."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from worldsim.types import ActionSpec

OWN = ("title", "prompts", "game", "size", "fps", "action_spec", "footage", "licence")
"""What an entry of a card's "games" says in place of the card."""


def check_games(card: Mapping[str, Any], where: str) -> None:
    """Check the games of a card, where it has several.

    Raises:
        ValueError: an entry lacks something, or has controls that the world has not.
    """
    count = ActionSpec.from_json(card["action_spec"]).size
    games = card.get("games", [])
    if not isinstance(games, list) or not all(isinstance(game, dict) for game in games):
        raise ValueError(f"{where}: games wants a list of objects, got {str(games)[:100]}.")
    for game in games:
        if missing := [key for key in ("name", "columns", *OWN) if key not in game]:
            raise ValueError(f"{where}: a game lacks {', '.join(missing)}.")
        columns, size = game["columns"], ActionSpec.from_json(game["action_spec"]).size
        sound = isinstance(columns, list) and all(type(x) is int and 0 <= x < count for x in columns)
        if not sound or len(set(columns)) != size or len(columns) != size:
            raise ValueError(f"{where}: {game['name']} wants {size} different columns of {count}, got {columns}.")


def names_of(card: Mapping[str, Any]) -> list[str]:
    """The names of the games of a card, none where it has one only."""
    return [game["name"] for game in card.get("games", [])]


def screens_of(card: Mapping[str, Any]) -> list[str]:
    """Height, width and pace of the frames of a world, or of each of its games."""
    return [f"{g['size'][0]}x{g['size'][1]}, {g['fps']:g} fps" for g in card.get("games") or [card]]


def split_game(text: str) -> tuple[str, str | None]:
    """Split "arcade#pong" into the world and its game; None where no game is named so, or a folder is called so."""
    world, mark, game = text.rpartition("#")
    return (world, game) if mark and not Path(text).exists() else (text, None)


def chosen_game(card: Mapping[str, Any], name: str, game: str | None = None) -> str | None:
    """The name of the game that somebody asks for: by itself, behind the # of a world's name, or by words in it.

    Raises:
        ValueError: there is no such game.
    """
    text, marked = split_game(name)
    wanted = marked if game is None else game
    return meant_game(card, text) if wanted is None else _entry(card, wanted)["name"]


def meant_game(card: Mapping[str, Any], text: str) -> str | None:
    """The name of the game that words mean, of a world of several; its first where they name none; or None."""
    games = card.get("games", [])
    return max(games, key=lambda game: _says(text, game))["name"] if games else None  # the first of equals


def says_names_alone(card: Mapping[str, Any], text: str) -> bool:
    """Whether a text says no more than what a world of several games, or one of them, is called."""
    games = card.get("games", [])
    names = [card["name"], *(name for game in games for name in _names(game))]
    return bool(games) and set(words_in(text)) <= {word for name in names for word in words_in(name)}


def game_card(card: dict[str, Any], wanted: str) -> dict[str, Any]:
    """Give the card of one game of a world of several.

    Raises:
        ValueError: there is no such game.
    """
    entry = _entry(card, wanted)
    config = dict(card["config"])
    dynamics = config["dynamics"] = config["dynamics"] | {"columns": entry["columns"]}
    if "camera" in entry:
        dynamics["camera"] = entry["camera"]
    if dynamics.get("prompt"):
        dynamics["prompt"] = dynamics["prompt"] | {"always": entry["title"]}
    own = {key: entry[key] for key in OWN}
    training = card["training"] | {"held_out_episodes": entry.get("held_out_episodes", [])}
    one = {key: value for key, value in card.items() if key != "games"} | own
    return sized(one | {"config": config, "training": training}, entry["size"])


def sized(card: dict[str, Any], size: Any) -> dict[str, Any]:
    """Give the card of a world at another size of frame, height and width in pixels."""
    config = dict(card["config"])
    unit = config["tokenizer"]["patch"] * config["tokenizer"]["pack"]
    config["tokenizer"] = config["tokenizer"] | {"size": list(size)}
    for part in ("dynamics", "opening"):
        if config.get(part):
            config[part] = config[part] | {"grid": [-(-length // unit) for length in size]}
            if config[part].get("camera"):
                config[part]["camera"] = config[part]["camera"] | {"size": list(size)}
    return card | {"size": list(size), "config": config}


def resized(card: dict[str, Any], starts: dict[str, np.ndarray], size: tuple[int, int]) -> tuple[dict, dict]:
    """Give card and starts of a world at another size: the middle of every picture is kept, and its shape.

    Raises:
        ValueError: the world is of one size, or this one is too small for it or too large.
    """
    tokenizer = card["config"]["tokenizer"]
    if not tokenizer.get("free"):
        raise ValueError(f"{card['name']} is of {card['size']} pixels alone; a world of several games is of any size.")
    least = tokenizer["patch"] * tokenizer["pack"]
    if not all(least <= length <= 4096 for length in size):
        raise ValueError(f"size wants height and width of {least}..4096 pixels, got {list(size)}.")
    frames = starts["obs"].reshape(-1, *starts["obs"].shape[2:])
    fitted = [np.asarray(ImageOps.fit(Image.fromarray(x), (size[1], size[0]), Image.Resampling.BOX)) for x in frames]
    obs = np.stack(fitted).reshape(*starts["obs"].shape[:2], *size, 3)
    return sized(card, size), {**starts, "obs": obs}


def _entry(card: Mapping[str, Any], wanted: str) -> dict[str, Any]:
    games = card.get("games") or [{**card}]
    for game in games:
        if wanted in (game["name"], game["game"], game["title"]):
            return game
    raise ValueError(f"{card['name']} has no game {wanted[:80]!r}; it has {', '.join(g['name'] for g in games)}.")


def _says(text: str, game: Mapping[str, Any]) -> int:
    """How much of a game's names a text says: the words of the longest that it says whole."""
    said = set(words_in(text))
    names = [words_in(name) for name in _names(game)]
    return max((len(words) for words in names if words and set(words) <= said), default=0)


def _names(game: Mapping[str, Any]) -> list[str]:
    return [game["name"], game["game"], game["title"], *game["prompts"]]


def words_in(text: str) -> list[str]:
    """The words of a text in any script, without case."""
    return re.findall(r"[^\W_]+", text.casefold())
