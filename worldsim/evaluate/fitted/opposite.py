"""Pairs of opposite actions of a game, and the direction in which each pair moves things in recorded frames.

Opposite actions are options, buttons or axis ends whose names differ by left and right, up and down, forward and back
or north and south, east and west; in a game without any, all pairs of options of a choice, and each button down and up.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from worldsim.controls import ActionSpec
from worldsim.data.dataset import Columns
from worldsim.evaluate.fitted.motion import Direction, fit_direction, held_displacements
from worldsim.evaluate.fitted.targets import Target

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
    return tuple(
        _pair(spec, f"{x.options[i]}/{x.options[j]}", (column, i), (column, j))
        for column, x in enumerate(spec.controls)
        for i, j in itertools.combinations(range(len(x.options)), 2)
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
    buttons = [column for column, x in enumerate(spec.controls) if x.scale == "binary"]
    names = [spec.controls[column].name for column in buttons]
    for column, x in enumerate(spec.controls):
        if x.scale == "nominal":
            for i, j in _opposite_names(x.options):
                yield _pair(spec, f"{x.options[i]}/{x.options[j]}", (column, i), (column, j))
    for i, j in _opposite_names(names):
        yield _pair(spec, f"{names[i]}/{names[j]}", (buttons[i], 1), (buttons[j], 1))
    for column, x in enumerate(spec.controls):
        if x.scale == "continuous":
            yield _pair(spec, f"{x.name} low/high", (column, x.low), (column, x.high))


def _opposite_names(names: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Numbers of names, such as turn_left and turn_right, of which one word turns the one into the other."""
    plain = [name.lower() for name in names]
    for i, j in itertools.permutations(range(len(plain)), 2):
        if any(word in plain[i] and plain[i].replace(word, other) == plain[j] for word, other in WORDS):
            yield i, j


def _pair(spec: ActionSpec, name: str, *values: tuple[int, float | int]) -> Pair:
    """Two rows at rest but for one column each."""
    rows = np.stack([spec.noop] * 2)
    for row, (column, value) in zip(rows, values, strict=True):
        row[column] = value
    return Pair(name, *rows)


def _direction(pair: Pair, columns: Columns, target: Target | None) -> Direction | None:
    place = None if target is None else target.columns[0]
    rng = np.random.default_rng(0)
    return fit_direction(*(held_displacements(columns, action, rng, place) for action in (pair.first, pair.second)))
