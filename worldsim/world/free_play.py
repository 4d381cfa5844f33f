"""The table "game and dream" of a world's numbers, and what an agent in it must be warned of.

The numbers are those that `worldsim.evaluate` measures as "free_play".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

ALLOWED = 0.25  # of the game's number
MOST = 1e9  # a number that is none of ours
RARE = 0.05  # of its frames: what the game itself hardly shows is not missed
WHO = {"noop": "no keys", "noisy": "a scripted player", "random": "random keys", "recorded": "the recorded player"}
PRESENCE = "presence"


class Quantity(NamedTuple):
    """A number that dream and game both have."""

    key: str
    title: str
    least: float
    """Differences up to this are no fault."""
    warning: str


QUANTITIES = (
    Quantity(
        "reward_per_1000",
        "reward in 1,000 frames",
        0.5,
        "it pays {dream:.3g} in 1,000 frames where the game pays {game:.3g}",
    ),
    Quantity(
        "length_seconds",
        "seconds until the end",
        0.5,
        "it ends after {dream:.3g} s where the game ends after {game:.3g} s",
    ),
    Quantity("ended_fraction", "plays that end", 0.1, "{dream:.0%} of its plays end where {game:.0%} of the game's do"),
    Quantity(PRESENCE, "least seen object", 0.05, "{what} is in {dream:.0%} of its frames, in the game in {game:.0%}"),
)


class Pair(NamedTuple):
    """A quantity under one policy."""

    quantity: Quantity
    what: str
    """The object, where it is one's presence."""
    dream: float
    game: float

    @property
    def is_off(self) -> bool:
        """Whether they differ by more than a quarter."""
        return abs(self.dream - self.game) > max(ALLOWED * abs(self.game), self.quantity.least)


def free_play(metrics: Mapping[str, object]) -> dict[str, list[Pair]]:
    """Return what was measured under each policy of WHO; empty where nothing was.

    The numbers may be a stranger's: what is no number, or has no game beside it, is left out.
    """
    found = metrics.get("free_play")
    numbers = (
        {k: float(x) for k, x in found.items() if isinstance(x, int | float) and abs(x) < MOST}
        if isinstance(found, Mapping)
        else {}
    )
    return {who: list(_pairs(who, numbers)) for who in WHO if f"num_{who}_plays" in numbers}


def table(metrics: Mapping[str, object]) -> str:
    """Return the table in Markdown, game before dream; empty where nothing was measured."""
    rows = [f"| {WHO[who]} | {' | '.join(_cells(pairs))} |" for who, pairs in free_play(metrics).items()]
    if not rows:
        return ""
    titles = " | ".join(quantity.title for quantity in QUANTITIES)
    return "\n".join([f"| game / dream, under | {titles} |", f"|---|{'---|' * len(QUANTITIES)}", *rows])


def warnings(metrics: Mapping[str, object]) -> list[str]:
    """Return where the dream is off by more than a quarter, each quantity under the policy where it is most so."""
    found, told = free_play(metrics), []
    for quantity in QUANTITIES:
        off = [
            (abs(pair.dream - pair.game), who, pair)
            for who, pairs in found.items()
            for pair in pairs
            if pair.quantity is quantity and pair.is_off
        ]
        if off:
            _, who, pair = max(off, key=lambda one: one[0])
            shown = quantity.warning.format(what=pair.what, dream=pair.dream, game=pair.game)
            told.append(f"under {WHO[who]} {shown}")
    return told


def _pairs(policy: str, numbers: Mapping[str, float]) -> Iterator[Pair]:
    for quantity in QUANTITIES[:-1]:
        key = f"{policy}_{quantity.key}"
        if key in numbers and f"{key}_game" in numbers:
            yield Pair(quantity, "", numbers[key], numbers[f"{key}_game"])
    pattern = re.compile(rf"{policy}_(\w{{1,40}})_{PRESENCE}")
    objects = [
        Pair(QUANTITIES[-1], match[1], dream, game)
        for key, dream in numbers.items()
        if (match := pattern.fullmatch(key)) and (game := numbers.get(f"{key}_game", 0.0)) >= RARE
    ]
    if objects:
        yield min(objects, key=lambda pair: pair.dream / pair.game)


def _cells(pairs: list[Pair]) -> Iterator[str]:
    for quantity in QUANTITIES:
        pair = next((pair for pair in pairs if pair.quantity is quantity), None)
        yield "–" if pair is None else f"{pair.what} {pair.game:.3g} / {pair.dream:.3g}".strip()
