"""Divergence: dreams under opposite actions from one state, at any age of a dream.

At age 0 that state is a recorded context. At a greater age the world has dreamed on from the context, without beginning
anew, under the actions that were recorded there, or under random held ones where the windows end before. From the state
it dreams HORIZON frames under an action A that is held and, with the same noise, under its opposite B: e1 is the
difference A - B on the pixels that differ by more than 16 grey levels in some channel, else 0. Then both again with
other noise, e2. What the actions do is common to e1 and e2, what the noise does is not, so the correlation
<e1, e2> / (|e1| |e2|), 0 where nothing differs, is the fraction of the difference that the actions cause.

Windows take the pairs of `worldsim.evaluate.fitted.opposite` in turn. A game may ignore an action where it stands, as a
snake that never turns back does; with NUM_ASKED pairs a window goes by that which makes most difference in its dream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int64, PRNGKeyArray, UInt8

from worldsim.evaluate.fitted.motion import differs, displacement
from worldsim.evaluate.fitted.opposite import OppositeActions
from worldsim.evaluate.streams import held_actions, random_policies
from worldsim.evaluate.trial import CONTEXT, Trial, dream_on
from worldsim.initial import InitialContext
from worldsim.types import SimState

HORIZON = 16
NUM_ASKED = 2
LOOK = (4, 8)  # dreamed frames in which the object is looked for
COMMON = 0.5  # of the difference between two dreams: above, the actions caused it
MIN_GAP = 0.5  # pixels


class Divergence(NamedTuple):
    """What opposite actions did from the states of one age; n windows."""

    products: Float[np.ndarray, "products n t"]
    """Of every frame <e1, e1>, <e2, e2> and <e1, e2>."""
    gaps: Float[np.ndarray, "n 2"]
    """How far x, y in pixels the dream under A has gone from that under B; NaN where the object is lost."""
    ended: Bool[np.ndarray, " n"]
    """Whether the world said that the game was over before this age, or in either dream before the object is looked
    for: who holds a key may die of it, in the game too."""
    pair: Int64[np.ndarray, " n"]
    """The number of the pair of actions of each window."""

    @property
    def is_apart(self) -> Bool[np.ndarray, " n"]:
        """Whether over all frames the actions cause the greater part of the difference."""
        return correlation(self.products.sum(-1)) > COMMON


class _Fork(NamedTuple):
    """A state, the same with other noise to come, and the frame that was seen last; b windows."""

    state: SimState
    other: SimState
    last: UInt8[np.ndarray, "b h w c"]
    ended: Bool[np.ndarray, " b"]


def dream_opposites(
    trial: Trial, rows: Int64[np.ndarray, "n t"], ages: Sequence[int] = (0,), *, num_pairs: int = 1
) -> list[Divergence]:
    """Let opposite actions diverge from dreams of each age in frames, the ages in rising order.

    Args:
        trial: the world and the pairs of actions.
        rows: of the windows whose context the dreams begin from, and whose actions they go on by.
        ages: frames dreamed before the opposite actions, one or more.
        num_pairs: how many pairs are tried from each state; that which makes most difference counts.
    """
    opposite = trial.reference.opposite_actions
    parts: list[list[Divergence]] = [[] for _ in ages]
    for number, (ids, count, key) in enumerate(trial.batches(rows)):
        turns = range(min(num_pairs, len(opposite.pairs)))
        pairs = [_pair_numbers(opposite, len(ids), number * len(ids) + turn) for turn in turns]
        for part, fork in zip(parts, _forks(trial, ids, number, key, ages)):
            found = [_diverge(trial, fork, pair) for pair in pairs]
            most = np.argmax([x.products[:2].sum((0, 2)) for x in found], 0)
            part.append(_choose(found, most, count))
    return [_join(part, np.concatenate) for part in parts]


def _diverge(trial: Trial, fork: _Fork, pair: Int64[np.ndarray, " b"]) -> Divergence:
    """Dream the pair of each window from a state."""
    opposite, sim = trial.reference.opposite_actions, trial.sim
    held = [
        np.repeat(np.stack([getattr(opposite.pairs[i], side) for i in pair])[:, None], HORIZON, 1)
        for side in ("first", "second")
    ]
    first = [dream_on(sim, fork.state, actions)[1] for actions in held]
    a, b = (np.asarray(out.obs) for out in first)
    ended = fork.ended
    for out in first:
        ended = ended | (False if out.terminated is None else np.asarray(out.terminated)[:, : LOOK[0]].any(1))
    again = [np.asarray(dream_on(sim, fork.other, actions)[1].obs) for actions in held]
    products = difference_products(visible_difference(a, b), visible_difference(*again))
    return Divergence(products, _gaps(opposite, fork.last, a, b), ended, pair)


def _choose(found: Sequence[Divergence], which: Int64[np.ndarray, " b"], count: int) -> Divergence:
    """Take the first `count` windows, each from the one of `found` that `which` says."""
    return _join(
        found, lambda parts, axis: np.stack([np.take(parts[w], i, axis) for i, w in enumerate(which[:count])], axis)
    )


def _join(found: Sequence[Divergence], join: Callable[..., np.ndarray]) -> Divergence:
    """Join the fields of several, along the axis of windows."""
    products, *others = zip(*found)
    return Divergence(join(products, 1), *(join(field, 0) for field in others))


def is_directed(opposite: OppositeActions, pair: Int64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Whether recorded frames show the direction of each pair."""
    return np.array([d is not None for d in opposite.directions])[pair]


def goes_right(opposite: OppositeActions, found: Divergence) -> Bool[np.ndarray, " n"]:
    """Whether each gap is more than MIN_GAP in the direction of its pair; False where the object is lost."""
    units = np.stack([np.zeros(2) if d is None else d.unit for d in opposite.directions])
    return (found.gaps * units[found.pair]).sum(-1) > MIN_GAP


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


def _pair_numbers(opposite: OppositeActions, count: int, first: int = 0) -> Int64[np.ndarray, " n"]:
    """The number of the pair of each of `count` windows, the first of them the window number `first`."""
    return (first + np.arange(count)) % len(opposite.pairs)


def _forks(
    trial: Trial, ids: Int64[np.ndarray, "b t"], number: int, key: PRNGKeyArray, ages: Sequence[int]
) -> Iterator[_Fork]:
    """States of each age; those with other noise begin anew at age 0, and later take only their noise from there."""
    sim, columns, context = trial.sim, trial.held_out, ids[:, :CONTEXT]
    initial = InitialContext.frames(columns.obs[context], columns.prev_action[context])
    state, fresh = (sim.reset(k, initial=initial)[0] for k in jax.random.split(key))
    last, ended, now = columns.obs[context[:, -1]], np.zeros(len(ids), bool), 0
    policies = random_policies(sim.action_spec, len(ids), [trial.seed, number, 19])
    for age in ages:
        if age > now:
            recorded = columns.prev_action[ids[:, CONTEXT + now : CONTEXT + age]]
            is_recorded = recorded.shape[1] == age - now and not np.isnan(recorded).any()
            state, out = dream_on(sim, state, recorded if is_recorded else held_actions(policies, age - now))
            last, now = np.asarray(out.obs)[:, -1], age
            ended = ended | (False if out.terminated is None else np.asarray(out.terminated).any(1))
        yield _Fork(state, state._replace(key=fresh.key) if age else fresh, last, ended)


def _gaps(
    opposite: OppositeActions, last: np.ndarray, first: np.ndarray, second: np.ndarray
) -> Float[np.ndarray, "b 2"]:
    """How far x, y in pixels the first dreams have gone from the second ones; NaN where the object is lost."""
    if opposite.target is None:
        ways = [displacement(np.concatenate([last[:, None], dream], 1)) for dream in (first, second)]
        return ways[0] - ways[1]
    height, width = last.shape[1:3]
    gaps = []
    for frame in LOOK:
        places = [opposite.target.detector.locate(dream[:, frame - 1]) for dream in (first, second)]
        gaps.append((places[0] - places[1]) * [width, height])
    lost = np.isnan(gaps).all(0)
    return np.where(lost, np.nan, np.nansum(gaps, 0) / np.maximum((~np.isnan(gaps)).sum(0), 1))
