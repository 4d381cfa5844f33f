"""Where worlds lie, and which of them a path, a name or a prompt means."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from worldsim.stop_words import STOP_WORDS
from worldsim.world.card import Card, read_card
from worldsim.world.games import is_bare_name, split_game, words_in

SHIPPED = (Path(__file__).parents[1] / "checkpoints", Path(__file__).parents[2] / "checkpoints")
"""Where worlds come with the package: in a wheel, and in a clone."""


def list_worlds() -> dict[Path, Card]:
    """Return the cards of all shipped and local worlds by their folders.

    Looks at ./checkpoints/*, ./runs/*/world and what ships with the package, and leaves out what has no sound card.
    """
    cards: dict[Path, tuple[Path, Card]] = {}
    for folder in _folders():
        try:
            cards.setdefault(folder.resolve(), (folder, read_card(folder)))
        except ValueError:
            continue
    return dict(cards.values())


def valid_names(is_open: Callable[[Path], bool] = lambda folder: True) -> list[str]:
    """Return the names of the worlds of `list_worlds` that are open, with "arcade pong" for a game of several."""
    cards = [card for folder, card in list_worlds().items() if is_open(folder)]
    return sorted({name for card in cards for name in (card.name, *_game_phrases(card))})


def find_world(name: str | os.PathLike) -> Path:
    """Return the folder that a path, the name of a world, or a prompt means, each with or without a #game behind it.

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
    folder = _named(text) or (None if is_path else _prompted(text))
    if folder is None:
        exist = ", ".join(valid_names()) or "none; train one with `worldsim train`"
        raise ValueError(f"no world at {text[:200]!r}, nor by that name or prompt. Worlds here: {exist}.")
    return folder


def match_world(text: str) -> Path | None:
    """Return the folder of the world that a name or a prompt means, and never one that it is the path of.

    For text of strangers: it reaches the worlds that `list_worlds` lists and nothing else.
    """
    return _named(text) or _prompted(text)


def parse_prompt(name: str | os.PathLike) -> str | None:
    """Return what a text says beside which world it means: all of it for a prompt, None for a path or a name.

    Words that do no more than name one game of several are a name.
    """
    text = split_game(os.fspath(name))[0]
    folder = find_world(text)
    card = read_card(folder)
    is_name = os.sep in text or Path(text).exists() or text in (_run_name(folder), card.name)
    return None if is_name or is_bare_name(card, text) else text


def _named(text: str) -> Path | None:
    worlds = list_worlds()
    by_run = [folder for folder in worlds if text == _run_name(folder)]
    return next(iter(by_run + [folder for folder, card in worlds.items() if card.name == text]), None)


def _prompted(text: str) -> Path | None:
    """The folder of the world of which the text says most; of equals one with fewer games."""
    scored = [(_score(text, card), len(card.games), folder) for folder, card in list_worlds().items()]
    best = max((score for score, _, _ in scored), default=0)
    matches = [(games, folder) for score, games, folder in scored if best and score == best]
    return min(matches, key=lambda match: match[0])[1] if matches else None


def _score(text: str, card: Card) -> int:
    """Count what a prompt says of a card: a whole prompt, name or game counts most, then single words of the title."""
    said = _content_words(text)
    phrases = [_content_words(x) for x in (*card.prompts, card.name, card.game, *_game_phrases(card))]
    whole = max((len(phrase) for phrase in phrases if phrase and phrase <= said), default=0)
    return 10 * whole + len(said & _content_words(card.title))


def _content_words(text: str) -> frozenset[str]:
    return frozenset(words_in(text)) - STOP_WORDS


def _game_phrases(card: Card) -> list[str]:
    return [f"{card.name} {game}" for game in card.game_names]


def _run_name(folder: Path) -> str:
    return folder.parent.name if folder.name == "world" else folder.name


def _folders() -> Iterator[Path]:
    yield from sorted(Path("checkpoints").glob("*/"))
    yield from sorted(Path("runs").glob("*/world/"))
    for shipped in SHIPPED:
        yield from sorted(shipped.glob("*/"))
