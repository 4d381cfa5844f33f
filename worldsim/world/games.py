"""One game of a world of several, and a world at another size: the same weights under another card."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from worldsim.world.card import Card, GameCard

_SHARED = ("title", "prompts", "game", "fps", "action_spec", "footage", "held_out_episodes", "licence")


def split_game(text: str) -> tuple[str, str | None]:
    """Split "arcade#pong" into the world and its game; None where no game is named so, or a folder is called so."""
    world, mark, game = text.rpartition("#")
    return (world, game) if mark and not Path(text).exists() else (text, None)


def chosen_game(card: Card, name: str, game: str | None = None) -> str | None:
    """Return the name of the game that is meant: by itself, behind the # of a world's name, or by words in it.

    Raises:
        ValueError: there is no such game.
    """
    text, marked = split_game(name)
    wanted = marked if game is None else game
    if wanted is None:
        return match_game(card, text)
    games = card.games or (card,)
    for one in games:
        if wanted in (one.name, one.game, one.title):
            return one.name
    raise ValueError(f"{card.name} has no game {wanted[:80]!r}; it has {', '.join(one.name for one in games)}.")


def match_game(card: Card, text: str) -> str | None:
    """Return the game that a text names most of, of a world of several, the first by default; None for one game."""
    return max(card.games, key=lambda game: _overlap(text, game)).name if card.games else None  # the first of equals


def is_bare_name(card: Card, text: str) -> bool:
    """Whether a text is no more than what a world of several games, or one of them, is called."""
    names = [card.name, *(name for game in card.games for name in _names(game))]
    return bool(card.games) and set(words_in(text)) <= {word for name in names for word in words_in(name)}


def card_of_game(card: Card, name: str) -> Card:
    """Return the card of the game of this name, of a world of several."""
    game = next(game for game in card.games if game.name == name)
    dynamics = {**card.config["dynamics"], "columns": list(game.columns)}
    if game.camera is not None:
        dynamics["camera"] = game.camera
    if dynamics.get("prompt"):
        dynamics["prompt"] = dynamics["prompt"] | {"always": game.title}
    own = {key: getattr(game, key) for key in _SHARED}
    return sized(replace(card, games=(), config={**card.config, "dynamics": dynamics}, **own), game.size)


def sized(card: Card, size: tuple[int, int]) -> Card:
    """Return the card of a world at another size of frame, height and width in pixels."""
    config: dict[str, Any] = dict(card.config)
    unit = config["tokenizer"]["patch"] * config["tokenizer"]["pack"]
    config["tokenizer"] = config["tokenizer"] | {"size": list(size)}
    for part in ("dynamics", "first_frame"):
        if config.get(part):
            config[part] = config[part] | {"grid": [-(-length // unit) for length in size]}
            if config[part].get("camera"):
                config[part]["camera"] = config[part]["camera"] | {"size": list(size)}
    return replace(card, size=size, config=config)


def resized(card: Card, contexts: dict[str, np.ndarray], size: tuple[int, int]) -> tuple[Card, dict[str, np.ndarray]]:
    """Return card and initial contexts of a world at another size: the middle of every picture is kept, and its shape.

    Raises:
        ValueError: the world is of one size, or this one is too small for it or too large.
    """
    tokenizer = card.config["tokenizer"]
    if not tokenizer.get("size_agnostic"):
        height, width = card.size
        raise ValueError(f"{card.name} is of {height}x{width} pixels alone; a world of several games is of any size.")
    least = tokenizer["patch"] * tokenizer["pack"]
    if not all(least <= length <= 4096 for length in size):
        raise ValueError(f"expected height and width of {least}..4096 pixels for size, got {list(size)}.")
    pictures = {key: _fitted(obs, size) for key, obs in contexts.items() if key in ("obs", "named_obs")}
    return sized(card, size), {**contexts, **pictures}


def _fitted(obs: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cut and scale pictures `[s t h w c]` to another height and width."""
    frames = (Image.fromarray(frame) for frame in obs.reshape(-1, *obs.shape[2:]))
    fitted = [np.asarray(ImageOps.fit(frame, (size[1], size[0]), Image.Resampling.BOX)) for frame in frames]
    return np.stack(fitted).reshape(*obs.shape[:2], *size, 3)


def _overlap(text: str, game: GameCard) -> int:
    """The number of words of the longest name of a game that a text says whole."""
    said = set(words_in(text))
    names = [words_in(name) for name in _names(game)]
    return max((len(words) for words in names if words and set(words) <= said), default=0)


def _names(game: GameCard) -> list[str]:
    return [game.name, game.game, game.title, *game.prompts]


def words_in(text: str) -> list[str]:
    """The words of a text in any script, without case."""
    return re.findall(r"[^\W_]+", text.casefold())
