"""Pairs of opposite actions of a game, and the direction in which each pair moves things in recorded frames.

Opposite actions are options, buttons or axis ends whose names differ by left and right, up and down, forward and back
or north and south, east and west; in a game without any, all pairs of options of a choice, and each button down and up.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from worldsim.data.dataset import Columns
from worldsim.evaluate.fitted.motion import Direction, fit_direction, held_displacements
from worldsim.evaluate.fitted.targets import Target
from worldsim.types import ActionSpec

CONTROLLED = ("player", "paddle")
WORDS = (
    ("left", "right"),
    ("up", "down"),
    ("forward", "backward"),
    ("forwards", "backwards"),
    ("forward", "back"),
    ("north", "south"),
    ("east", "west"),
)


class Pair(NamedTuple):
    """Two opposite actions."""

    name: str
    first: np.ndarray  # [a]
    second: np.ndarray  # [a]


class OppositeActions(NamedTuple):
    """Pairs of opposite actions, the direction of each where recorded frames show it, and the object that shows it."""

    pairs: tuple[Pair, ...]
    directions: tuple[Direction | None, ...]
    target: Target | None

    @property
    def place(self) -> np.ndarray | None:
        """Columns of the state with x, y of the object."""
        return None if self.target is None else self.target.columns[0]


def find_pairs(spec: ActionSpec) -> tuple[Pair, ...]:
    """Find the opposite actions of a game by their names; all pairs of single controls where no names are opposite."""
    named = tuple(_named_pairs(spec))
    if named:
        return named
    whole = [len(c.labels) for c in spec.choices] + [2] * len(spec.buttons)
    labels = [c.labels for c in spec.choices] + [(f"no {b.name}", b.name) for b in spec.buttons]
    return tuple(
        Pair(f"{labels[column][i]}/{labels[column][j]}", _row(spec, column, i), _row(spec, column, j))
        for column, count in enumerate(whole)
        for i, j in itertools.combinations(range(count), 2)
    )


def fit_opposite_actions(spec: ActionSpec, calibration: Columns, targets: Mapping[str, Target]) -> OppositeActions:
    """Fit the direction in which each pair moves things, by the controlled object where its place is recorded."""
    pairs = find_pairs(spec)
    controlled = [t for name, t in targets.items() if name in CONTROLLED or t.kind in CONTROLLED]
    for target in [*controlled, None]:
        directions = tuple(_direction(pair, calibration, target) for pair in pairs)
        if any(d is not None for d in directions):
            return OppositeActions(pairs, directions, target)
    return OppositeActions(pairs, (None,) * len(pairs), None)


def _named_pairs(spec: ActionSpec) -> Iterator[Pair]:
    for column, choice in enumerate(spec.choices):
        for i, j in _opposite_names(choice.labels):
            yield Pair(f"{choice.labels[i]}/{choice.labels[j]}", _row(spec, column, i), _row(spec, column, j))
    start = len(spec.choices)
    for i, j in _opposite_names([button.name for button in spec.buttons]):
        names = f"{spec.buttons[i].name}/{spec.buttons[j].name}"
        yield Pair(names, _row(spec, start + i, 1), _row(spec, start + j, 1))
    for column, axis in enumerate(spec.axes, start + len(spec.buttons)):
        yield Pair(f"{axis.name} low/high", _row(spec, column, axis.low), _row(spec, column, axis.high))


def _opposite_names(names: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Numbers of names, such as turn_left and turn_right, of which one word turns the one into the other."""
    plain = [name.lower() for name in names]
    for i, j in itertools.permutations(range(len(plain)), 2):
        if any(word in plain[i] and plain[i].replace(word, other) == plain[j] for word, other in WORDS):
            yield i, j


def _row(spec: ActionSpec, column: int, value: float | int) -> Float[np.ndarray, " a"]:
    row = spec.noop.copy()
    row[column] = value
    return row


def _direction(pair: Pair, columns: Columns, target: Target | None) -> Direction | None:
    place = None if target is None else target.columns[0]
    rng = np.random.default_rng(0)
    return fit_direction(*(held_displacements(columns, action, rng, place) for action in (pair.first, pair.second)))
