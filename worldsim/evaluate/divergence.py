"""Divergence: dreams under opposite actions from one state, at any age of a dream.

At age 0 that state is a recorded context. At a greater age the world has dreamed on from the context under random held
actions, without beginning anew. From the state it dreams HORIZON frames under an action A that is held and, with the
same noise, under its opposite B: e1 is the difference A - B on the pixels that differ by more than 16 grey levels in
some channel, else 0. Then both again with other noise, e2. What the actions do is common to e1 and e2, what the noise
does is not, so the correlation <e1, e2> / (|e1| |e2|), 0 where nothing differs, is the fraction of the difference that
the actions cause.

Windows take the pairs of `worldsim.evaluate.fitted.opposite` in turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    """Whether the world said that the game was over before this age."""

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


def dream_opposites(trial: Trial, rows: Int64[np.ndarray, "n t"], ages: Sequence[int] = (0,)) -> list[Divergence]:
    """Let opposite actions diverge from dreams of each age in frames, the ages in rising order.

    Args:
        trial: the world and the pairs of actions.
        rows: of the windows whose context the dreams begin from.
        ages: frames dreamed before the opposite actions, one or more.
    """
    opposite, sim = trial.reference.opposite_actions, trial.sim
    parts: list[list[Divergence]] = [[] for _ in ages]
    for number, (ids, count, key) in enumerate(trial.batches(rows)):
        pairs = [opposite.pairs[i] for i in _pair_numbers(opposite, len(ids), number * len(ids))]
        held = [
            np.repeat(np.stack([getattr(p, side) for p in pairs])[:, None], HORIZON, 1) for side in ("first", "second")
        ]
        for part, fork in zip(parts, _forks(trial, ids, number, key, ages)):
            a, b = (np.asarray(dream_on(sim, fork.state, actions)[1].obs) for actions in held)
            again = [np.asarray(dream_on(sim, fork.other, actions)[1].obs) for actions in held]
            products = difference_products(visible_difference(a, b), visible_difference(*again))
            gaps = _gaps(opposite, fork.last, a, b)
            part.append(Divergence(products[:, :count], gaps[:count], fork.ended[:count]))
    return [
        Divergence(*(np.concatenate(field, 1 if i == 0 else 0) for i, field in enumerate(zip(*part)))) for part in parts
    ]


def is_directed(opposite: OppositeActions, count: int) -> Bool[np.ndarray, " n"]:
    """Whether recorded frames show the direction of each window's pair, for `count` windows."""
    return np.array([d is not None for d in opposite.directions])[_pair_numbers(opposite, count)]


def goes_right(opposite: OppositeActions, gaps: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
    """Whether each gap is more than MIN_GAP in the direction of its pair; False where the object is lost."""
    units = np.stack([np.zeros(2) if d is None else d.unit for d in opposite.directions])
    return (gaps * units[_pair_numbers(opposite, len(gaps))]).sum(-1) > MIN_GAP


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
            state, out = dream_on(sim, state, held_actions(policies, age - now))
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
