"""The table "game and dream" of a world's numbers, and what an agent in it must be warned of.

The numbers are those that `worldsim.evaluate` measures as "free_play".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

ALLOWED = 0.25  # of the game's number
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
        "reward_per_1000", "reward in 1,000 frames", 0.5, "it pays {dream} in 1,000 frames where the game pays {game}"
    ),
    Quantity(
        "length_seconds", "seconds until the end", 0.5, "it ends after {dream} s where the game ends after {game} s"
    ),
    Quantity("ended_share", "plays that end", 0.1, "{dream} of its plays end where {game} of the game's do"),
    Quantity(PRESENCE, "least seen object", 0.05, "{what} is in {dream} of its frames, in the game in {game}"),
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
    """Return what was measured under each policy; empty where nothing was."""
    found = metrics.get("free_play")
    numbers = (
        {k: float(x) for k, x in found.items() if isinstance(x, int | float)} if isinstance(found, Mapping) else {}
    )
    policies = [match[1] for key in numbers if (match := re.fullmatch(r"num_(\w{1,40})_plays", key))]
    return {policy: list(_pairs(policy, numbers)) for policy in policies}


def table(metrics: Mapping[str, object]) -> str:
    """Return the table in Markdown, game before dream; empty where nothing was measured."""
    rows = [f"| {WHO.get(who, who)} | {' | '.join(_cells(pairs))} |" for who, pairs in free_play(metrics).items()]
    if not rows:
        return ""
    titles = " | ".join(quantity.title for quantity in QUANTITIES)
    return "\n".join([f"| game / dream, under | {titles} |", f"|---|{'---|' * len(QUANTITIES)}", *rows])


def warnings(metrics: Mapping[str, object]) -> list[str]:
    """Return where the dream is off by more than a quarter, each quantity under the policy where it is most so."""
    told = []
    for quantity in QUANTITIES:
        off = [
            (abs(pair.dream - pair.game), who, pair)
            for who, pairs in free_play(metrics).items()
            for pair in pairs
            if pair.quantity is quantity and pair.is_off
        ]
        if off:
            _, who, pair = max(off, key=lambda found: found[0])
            shown = quantity.warning.format(what=pair.what, dream=f"{pair.dream:.3g}", game=f"{pair.game:.3g}")
            told.append(f"under {WHO.get(who, who)} {shown}")
    return told


def _pairs(policy: str, numbers: Mapping[str, float]) -> Iterator[Pair]:
    for quantity in QUANTITIES[:-1]:
        key = f"{policy}_{quantity.key}"
        if key in numbers and f"{key}_game" in numbers:
            yield Pair(quantity, "", numbers[key], numbers[f"{key}_game"])
    ratios = {k: x for k, x in numbers.items() if re.fullmatch(rf"{policy}_\w{{1,40}}_{PRESENCE}_ratio", k)}
    if ratios:
        key = min(ratios, key=lambda name: ratios[name]).removesuffix("_ratio")
        what = key.removeprefix(f"{policy}_").removesuffix(f"_{PRESENCE}")
        yield Pair(QUANTITIES[-1], what, numbers[key], numbers[f"{key}_game"])


def _cells(pairs: list[Pair]) -> Iterator[str]:
    for quantity in QUANTITIES:
        pair = next((pair for pair in pairs if pair.quantity is quantity), None)
        yield "–" if pair is None else f"{pair.what} {pair.game:.3g} / {pair.dream:.3g}".strip()
