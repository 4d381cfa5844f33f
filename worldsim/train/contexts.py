"""The recorded contexts of a bundle: frames that a world begins from, and what each of them shows.

A world that nobody says a word to begins with the liveliest of some part of the footage. Where the footage says what
its frames show, more are kept for words: the liveliest of what none shows yet, so that "snow at dusk" finds one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from einops import reduce
from jaxtyping import Float, Int, Int32

from worldsim.data.dataset import Columns
from worldsim.train.games import Game
from worldsim.train.prompts import frame_labels
from worldsim.train.stages.warps import true_pitch
from worldsim.types import CONTEXT

NUM_CONTEXTS, NUM_NAMED = 16, 40
SQUARES = 8  # along the shorter side of a frame
LEVEL = 15.0  # degrees up or down: beyond, a camera looks at the sky or at its feet
NEARLY = 0.7  # of the largest gain: of the moments that show nearly as much, the liveliest is kept


class Candidates(NamedTuple):
    """Stretches of footage that a world can begin from."""

    columns: list[Columns]  # of each stretch
    first: Int[np.ndarray, " n"]  # its first frame
    liveliness: Float[np.ndarray, "n 2"]  # of its last frame, by which it is compared
    labels: Int32[np.ndarray, "n a"]  # what its last frame shows: the value of each attribute, from 1 on; 0 = unknown
    length: int

    def order(self, ids: np.ndarray) -> np.ndarray:
        """Return the liveliest first."""
        return ids[np.lexsort(-self.liveliness[ids].T[::-1])]


def initial_contexts(games: Sequence[Game]) -> dict[str, np.ndarray]:
    """Pick recorded contexts of every game; their names have the game's before a slash where there are several."""
    if len(games) == 1:
        return pick_contexts(games[0])
    return {f"{game.name}/{key}": x for game in games for key, x in pick_contexts(game).items()}


def pick_contexts(game: Game) -> dict[str, np.ndarray]:
    """Pick contexts of all footage of a game, as `worldsim.world.World.initial_contexts` keeps them."""
    found = find_candidates(game)
    parts = np.array_split(np.arange(len(found.first)), min(NUM_CONTEXTS, len(found.first)))
    contexts = _cut(found, [int(found.order(part)[0]) for part in parts])
    if not found.labels.any():
        return contexts
    picked = pick_named(found, NUM_NAMED)
    named = {f"named_{key}": x for key, x in _cut(found, picked).items()}
    labels = found.labels[picked]
    return contexts | named | {"named_labels": np.where(labels < 256, labels, 0).astype(np.uint8)}


def find_candidates(game: Game) -> Candidates:
    """Cut all episodes into stretches, and look at the last frame of each; with a camera that is level, if any is."""
    length = min(CONTEXT, max(columns.longest for columns in game.data) - 1)  # and a frame to go on with
    places = [
        (columns, first)
        for columns in game.data
        for begin, end in zip(columns.bounds[:-1], columns.bounds[1:], strict=True)
        for first in range(begin, end - length, length)
    ]
    pitches = {id(columns): true_pitch(game.footage.meta, columns) for columns in game.data}
    level = [place for place in places if abs(pitches[id(place[0])][place[1] + length - 1]) <= np.radians(LEVEL)]
    places = level or places
    columns, first = [part for part, _ in places], np.array([first for _, first in places])
    liveliness = np.array([_liveliness(part, int(begin) + length - 1) for part, begin in places])
    prompt, labels = game.configs.dynamics.prompt, []
    for part in game.data:
        mine = first[[other is part for other in columns]]
        labels.append(frame_labels(prompt, game.footage, part, mine + length - 1, game.number))
    return Candidates(columns, first, liveliness, np.concatenate(labels), length)


def pick_named(found: Candidates, count: int) -> list[int]:
    """Pick up to `count` that show as many values of attributes, and pairs of them, as they can.

    Greedily what is new; a pair counts a quarter for each attribute that stands before its own, as footage names first
    what matters most.
    """
    n, a = found.labels.shape
    pairs = [(i, j) for i in range(a) for j in range(i, a)]
    weights = np.array([0.25 ** (i + j) for i, j in pairs])
    first, second = (found.labels[:, [pair[side] for pair in pairs]] for side in (0, 1))
    codes = first * (int(found.labels.max()) + 1) + second
    is_new = (first > 0) & (second > 0)
    lively, picked = found.order(np.arange(n)), []
    while len(picked) < count and is_new.any():
        gain = (is_new @ weights)[lively]
        best = int(lively[np.argmax(gain >= NEARLY * gain.max())])
        picked.append(best)
        is_new &= codes != codes[best]
    return picked


def _cut(found: Candidates, ids: Sequence[int]) -> dict[str, np.ndarray]:
    """Return frames, and the action that led into each."""
    parts = [(found.columns[i], slice(found.first[i], found.first[i] + found.length)) for i in ids]
    return {
        "obs": np.stack([columns.obs[part] for columns, part in parts]),
        "prev_action": np.stack([columns.prev_action[part] for columns, part in parts]),
    }


def _liveliness(columns: Columns, last: int) -> tuple[float, float]:
    """Tell how much there is to see in a frame: objects of known places, then how its SQUARES differ from each other.

    So nobody begins in the dark, before a wall, or in the second in which the player is gone.
    """
    known = 0.0 if columns.state is None else float(np.isfinite(columns.state[last]).sum())
    side = max(1, min(columns.obs.shape[1:3]) // SQUARES)
    rows, wide = (n // side * side for n in columns.obs.shape[1:3])
    squares = reduce(
        columns.obs[last, :rows, :wide].astype(np.float32), "(y p) (x q) c -> y x c", "mean", p=side, q=side
    )
    return known, float(sum(np.abs(np.diff(squares, axis=axis)).mean() for axis in (0, 1) if squares.shape[axis] > 1))
