"""Opposites: from one state, do left and right part, in the right directions, and how soon?

From one context a world dreams HORIZON frames under an action A that is held and, with the same noise, under its
opposite B: e1 is the difference A - B on the pixels that differ by more than 16 grey levels in some channel, else 0.
Then both again with other noise, e2. What the actions do is common to e1 and e2, what the noise does is not, so the
correlation <e1, e2> / (|e1| |e2|), 0 where nothing differs, is the share of the difference that is the actions' doing.

- `opposite_parting`: share of windows in which it is above one half over all frames: A and B part by more than the
  sampling noise. A world that ignores its actions scores 0, and so, nearly, does one that only grows restless by them.
- `opposite_direction`: share of windows in which they part by more than half a pixel the way that they do in recorded
  frames (`worldsim.evaluate.motion`). Not to part is wrong too, so a deaf world scores 0 and so does one that has left
  and right swapped. Where the footage knows the place of what the player moves, it is looked for in the dreams, at
  frames 4 and 8, and only windows count whose recorded frames show it there; else the pictures' shift over all frames.
  `opposite_direction_by` says which, and `opposite_lost` in which share of the windows the object was not found in both
  dreams; these count as wrong.
- `opposite_direction_real`: the reference from held-out recorded frames: the share of pairs of a stretch under A and a
  stretch under B that part the right way. They begin at different states, so a true world does better.
- `latency_frames`: the first frame at which the correlation in this frame alone is above one half; the median over
  windows, those without such a frame counting as never. 1 is the frame that the action led into: the soonest there is.

Opposites are options, buttons or axis ends whose names differ by left and right, up and down, forward and back or
north and south, east and west; in a game without any, all pairs of options of a choice, and each button down and up.
Windows take the pairs in turn.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, UInt8

from worldsim.data.dataset import Columns
from worldsim.evaluate.dreams import CONTEXT, batches, draw_windows, free_run
from worldsim.evaluate.motion import Direction, differs, displacement, held_displacements, learn_direction
from worldsim.evaluate.objects import Target
from worldsim.simulator import Simulator
from worldsim.types import ActionSpec

HORIZON = 16
LOOK = (4, 8)  # dreamed frames in which the object is looked for
COMMON = 0.5  # of the difference between two dreams, before it is called the actions' doing
MIN_GAP = 0.5  # pixels
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


class Opposites(NamedTuple):
    """Pairs of opposite actions, the direction of each where recorded frames tell it, and the object that tells it."""

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


def learn_opposites(spec: ActionSpec, calibration: Columns, targets: Mapping[str, Target]) -> Opposites:
    """Learn which way each pair of opposites moves things, by the controlled object where one is known.

    Args:
        spec: the controls.
        calibration: recorded frames, never those that are measured later.
        targets: objects that can be looked for, of `find_targets`.
    """
    pairs = find_pairs(spec)
    controlled = [t for name, t in targets.items() if name in CONTROLLED or t.kind in CONTROLLED]
    for target in [*controlled, None]:
        directions = tuple(_direction(pair, calibration, target) for pair in pairs)
        if any(d is not None for d in directions):
            return Opposites(pairs, directions, target)
    return Opposites(pairs, (None,) * len(pairs), None)


def measure_opposite(
    sim: Simulator, columns: Columns, opposites: Opposites, *, num_windows: int, seed: int, batch_size: int = 32
) -> dict[str, Any]:
    """Measure opposite actions on up to `num_windows` windows; None, with a reason, where there is no answer."""
    rows = draw_windows(columns, CONTEXT + HORIZON, num_windows, seed)
    which = np.arange(len(rows)) % len(opposites.pairs)
    products, gaps = [], []
    for number, (ids, count) in enumerate(batches(rows, batch_size)):
        pairs = [opposites.pairs[(number * len(ids) + i) % len(opposites.pairs)] for i in range(len(ids))]
        one, two = jax.random.split(jax.random.fold_in(jax.random.key(seed), number))
        held = [np.stack([getattr(p, side) for p in pairs]) for side in ("first", "second")]
        a, b = (_dream_held(sim, columns, ids, action, one) for action in held)
        again = [_dream_held(sim, columns, ids, action, two) for action in held]
        products.append(difference_products(visible_difference(a, b), visible_difference(*again))[:, :count])
        gaps.append(_gaps(opposites, columns.obs[ids[:, CONTEXT - 1]], a, b)[:count])
    products = np.concatenate(products, 1)
    result: dict[str, Any] = {
        "opposite_parting": float((correlation(products.sum(-1)) > COMMON).mean()),
        "opposite_pairs": ", ".join(pair.name for pair in opposites.pairs[:8]),
        "num_opposite_pairs": len(opposites.pairs),
        "num_windows": len(rows),
    }
    result |= _latency(correlation(products) > COMMON)
    return result | _directed(opposites, columns, rows, which, np.concatenate(gaps), seed)


def visible_difference(
    one: UInt8[np.ndarray, "b t h w c"], two: UInt8[np.ndarray, "b t h w c"]
) -> Float[np.ndarray, "b t h w c"]:
    """The first less the second, in grey levels, on the pixels that differ visibly."""
    return np.where(differs(one, two)[..., None], np.subtract(one, two, dtype=np.float32), 0)


def difference_products(
    one: Float[np.ndarray, "b t h w c"], two: Float[np.ndarray, "b t h w c"]
) -> Float[np.ndarray, "products b t"]:
    """For every frame <e1, e1>, <e2, e2> and <e1, e2>."""
    return np.stack([(x * y).sum((2, 3, 4), dtype=np.float64) for x, y in ((one, one), (two, two), (one, two))])


def correlation(products: Float[np.ndarray, "products ..."]) -> Float[np.ndarray, "..."]:
    """The correlation of two differences, from their products; 0 where either is nothing."""
    return products[2] / np.sqrt(np.maximum(products[0] * products[1], 1e-12))


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


def _opposite_names(names) -> Iterator[tuple[int, int]]:
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
    return learn_direction(*(held_displacements(columns, action, rng, place) for action in (pair.first, pair.second)))


def _dream_held(sim, columns, ids, action, key):
    """Dreams `[b horizon h w c]` from the contexts of windows, each under one action `[b a]` that is held."""
    actions = columns.prev_action[ids]  # indexing by rows copies
    actions[:, CONTEXT:] = action[:, None]
    return free_run(sim, columns.obs[ids], actions, key)


def _gaps(opposites, last, first, second):
    """How far x, y in pixels the first dreams have gone from the second ones; NaN where the object is lost."""
    if opposites.target is None:
        ways = [displacement(np.concatenate([last[:, None], dream], 1)) for dream in (first, second)]
        return ways[0] - ways[1]
    height, width = last.shape[1:3]
    gaps = []
    for frame in LOOK:
        places = [opposites.target.detector.locate(dream[:, frame - 1]) for dream in (first, second)]
        gaps.append((places[0] - places[1]) * [width, height])
    lost = np.isnan(gaps).all(0)
    return np.where(lost, np.nan, np.nansum(gaps, 0) / np.maximum((~np.isnan(gaps)).sum(0), 1))


def _latency(parted: np.ndarray) -> dict[str, Any]:
    """The median first frame `[n t]` at which two dreams have parted."""
    first = np.where(parted.any(1), parted.argmax(1) + 1, np.inf)
    median = float(np.median(first))
    if np.isfinite(median):
        return {"latency_frames": median}
    return {
        "latency_frames": None,
        "latency_reason": f"in half of the windows opposite actions part at no frame of {parted.shape[1]}",
    }


def _directed(opposites, columns, rows, which, gaps, seed) -> dict[str, Any]:
    """The share that part in the direction that recorded frames tell, and the same of recorded frames."""
    known = np.array([d is not None for d in opposites.directions])[which] & _shown(opposites, columns, rows)
    result: dict[str, Any] = {
        "opposite_direction": None,
        "opposite_direction_real": _directed_real(opposites, columns, seed),
        "num_directed": int(known.sum()),
    }
    if not known.any():
        reason = "no opposite actions move things reliably apart in the recorded frames for calibration"
        if any(d is not None for d in opposites.directions):
            reason = f"what the player moves is seen in none of the {len(rows)} windows"
        return result | {"opposite_reason": reason}
    units = np.stack([np.zeros(2) if d is None else d.unit for d in opposites.directions])[which]
    right = (gaps * units).sum(-1)[known] > MIN_GAP  # False where the object is lost
    result |= {"opposite_direction": float(right.mean()), "opposite_direction_by": "shift"}
    if opposites.target is not None:
        result |= {"opposite_direction_by": "place", "opposite_lost": float(np.isnan(gaps[known]).any(-1).mean())}
    return result


def _shown(opposites, columns, rows) -> np.ndarray:
    """Windows whose recorded frames show the object at the end of the context and where it is looked for."""
    if opposites.target is None:
        return np.ones(len(rows), bool)
    frames = rows[:, [CONTEXT - 1, *(CONTEXT + f - 1 for f in LOOK)]]
    return opposites.target.detector.visible(columns.state[frames][:, :, opposites.place]).all(1)


def _directed_real(opposites, columns, seed) -> float | None:
    rng = np.random.default_rng([seed, 13])
    shares = []
    for pair, direction in zip(opposites.pairs, opposites.directions):
        if direction is not None:
            first, second = (
                held_displacements(columns, action, rng, opposites.place) @ direction.unit
                for action in (pair.first, pair.second)
            )
            if len(first) and len(second):
                shares.append(float((first[:, None] - second > MIN_GAP).mean()))
    return float(np.mean(shares)) if shares else None
