"""Play by planning in the dream: imagine a few plans, take the first actions of the best one, plan anew.

A plan holds one option for some frames, then another for the rest of the horizon. All plans begin from copies of the
same state and meet the same noise, so that they differ by their actions alone. With the reward r_t and the probability
of termination p_t that the world predicts on frame t of a plan, its score is

    sum over t = 1..H of  gamma^(t-1) S_(t-1) (r_t - penalty p_t),     S_0 = 1,  S_t = S_(t-1) (1 - p_t)

Nothing is learned and nothing is painted. Source: model predictive control by shooting, as in Nagabandi et al. 2018
(arXiv 1708.02596, section IV C) and PETS (Chua et al. 2018, arXiv 1805.12114).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import permutations, product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from worldsim.controls import ActionSpec
from worldsim.history import fork
from worldsim.simulator import Simulator
from worldsim.types import SimState, StepOutput

_AXIS_BINS = 3  # low, middle and high

Planner = Callable[[SimState, PRNGKeyArray], Float[np.ndarray, "t a"]]
"""From the state of one world and a key to the action rows of the best plan, one a frame."""

StepFn = Callable[[SimState, Float[Array, "n a"]], tuple[SimState, StepOutput]]
"""Takes one step in n worlds, as `Simulator.step` does; what it returns as `obs` is not read."""


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """How far, how often and among how many plans is planned."""

    horizon: int = 24
    """Frames of a plan."""
    holds: tuple[int, ...] = (4, 12)
    """After how many frames a plan may change its option; 1 up to less than the horizon."""
    max_plans: int = 16
    """Plans that are compared, at most: where the controls allow more, each planning draws some of them."""
    replan_every: int = 6
    """Frames that the best plan is followed before the next planning; 1 up to the horizon."""
    gamma: float = 0.985
    """Discount of each frame."""
    end_penalty: float = 1.0
    """What the end of the dream costs, in units of reward."""

    def __post_init__(self):
        for name, least in (("horizon", 1), ("max_plans", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"expected at least {least} for {name}, got {getattr(self, name)}.")
        if not all(1 <= hold < self.horizon for hold in self.holds):
            raise ValueError(f"expected 1..{self.horizon - 1} for each of holds, got {self.holds}.")
        if not 1 <= self.replan_every <= self.horizon:
            raise ValueError(f"expected 1..{self.horizon} (the horizon) for replan_every, got {self.replan_every}.")
        if not 0 < self.gamma <= 1:
            raise ValueError(f"expected more than 0 and 1 at most for gamma, got {self.gamma}.")
        if not 0 <= self.end_penalty < float("inf"):
            raise ValueError(f"expected a number of at least 0 for end_penalty, got {self.end_penalty}.")


PLAN = PlanConfig()
"""The settings of a planner where none are given."""


def plan_policy(sim: Simulator, key: PRNGKeyArray, config: PlanConfig = PLAN) -> Callable[[SimState], np.ndarray]:
    """Return a policy of one world: from its state to the next action row, float32 `[a]`.

    It plans anew every `config.replan_every` frames and follows its plan in between; also where a state is not the one
    that comes after the last, as behind a reset.

    Args:
        sim: the world that is played, and planned in.
        key: of the noise in the plans. The noise of the world to come is in its state, and is not looked at.
        config: how is planned.

    Raises:
        TypeError, ValueError: as the calls of a planner do.
    """
    planner, num_plannings = make_planner(sim, config), 0
    rows, follows = iter(()), None

    def act(state: SimState) -> Float[np.ndarray, " a"]:
        nonlocal rows, follows, num_plannings
        index = int(state.frame_index[0])
        row = next(rows, None) if index == follows else None
        if row is None:
            plan = planner(state, jax.random.fold_in(key, num_plannings))
            row, *others = plan[: config.replan_every]
            rows, num_plannings = iter(others), num_plannings + 1
        follows = index + 1
        return row

    return act


def make_planner(sim: Simulator, config: PlanConfig = PLAN) -> Planner:
    """Return a planner in a world: a function of the state of one world and a key.

    It compiles at its first call and never again. The same state and key give the same plan, and the state stays as it
    is.

    Args:
        sim: the world.
        config: how is planned.

    Returns:
        A function whose result are the rows of the best plan, float32 `[config.horizon a]`; of equal plans the first,
        in the order of `propose_plans`. It raises TypeError for what is no SimState, ValueError for the state of more
        worlds than one.

    Example:
        >>> planner = make_planner(world)
        >>> state, out = world.step(state, planner(state, jax.random.key(0))[:1])
    """
    program = jax.jit(partial(_scores, sim, config))

    def planner(state: object, key: PRNGKeyArray) -> Float[np.ndarray, "t a"]:
        if not isinstance(state, SimState):
            raise TypeError(f"expected a SimState, as reset and step return it, got {type(state).__name__}.")
        if state.frame_index.shape != (1,):
            raise ValueError(f"expected the state of one world to plan from, got {len(state.frame_index)} worlds.")
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        plans = propose_plans(sim.action_spec, config, rng)
        return plans[int(np.argmax(program(sim.params, state, key, plans)))]

    return planner


def propose_plans(spec: ActionSpec, config: PlanConfig, rng: np.random.Generator) -> Float[np.ndarray, "n t a"]:
    """Return n plans: all that there are, or `config.max_plans` of them.

    Those of one option come first, that of doing nothing before all. Where there are too many, as many of two options
    as there is room for are drawn at random, or of one where even those are too many.
    """
    options = list_options(spec)
    numbers = range(len(options))
    shapes = [(i, config.horizon, i) for i in numbers]
    shapes += [(i, hold, j) for hold, (i, j) in product(config.holds, permutations(numbers, 2))]
    ones, twos = np.arange(len(options)), np.arange(len(options), len(shapes))
    if len(shapes) > config.max_plans:
        drawn = np.concatenate([rng.permutation(ones), rng.permutation(twos)])[: config.max_plans]
        shapes = [shapes[i] for i in np.sort(drawn)]
    first, hold, second = (column[:, None] for column in np.array(shapes).T)
    return options[np.where(np.arange(config.horizon) < hold, first, second)]


def list_options(spec: ActionSpec) -> Float[np.ndarray, "o a"]:
    """Return the rows that plans are made of: doing nothing, then each control moved singly.

    A choice has its options, a button is pressed, an axis is at its low end, its middle or its high end.
    """
    rows = [spec.noop]
    for column, values in enumerate(spec.values(_AXIS_BINS)):
        for value in values[values != spec.noop[column]]:
            rows.append(spec.noop)
            rows[-1][column] = value
    return np.stack(rows)


def score_plans(
    step: StepFn,
    state: SimState,
    plans: Float[Array | np.ndarray, "n t a"],
    key: PRNGKeyArray,
    *,
    gamma: float,
    end_penalty: float,
) -> Float[Array, " n"]:
    """Dream every plan from copies of one world under the same noise, and return their scores.

    Args:
        step: takes one step in n worlds.
        state: of one world; it stays as it is.
        plans: action rows.
        key: of the noise that all plans meet.
        gamma: discount of each frame, within 0..1.
        end_penalty: what the end of the dream costs, in units of reward.
    """
    count = len(plans)
    forks = fork(state, key, count)._replace(key=jnp.broadcast_to(key, (count,)))

    def dream(carry: tuple[SimState, Array, Array], rows: Array) -> tuple[tuple[SimState, Array, Array], None]:
        state, weight, score = carry
        state, out = step(state, rows)
        end = out.termination_probability
        return (state, weight * gamma * (1 - end), score + weight * (out.reward - end_penalty * end)), None

    start = forks, jnp.ones(count), jnp.zeros(count)
    (_, _, score), _ = jax.lax.scan(dream, start, jnp.moveaxis(jnp.asarray(plans), 1, 0))
    return score


def _scores(sim: Simulator, config: PlanConfig, params: Any, state: SimState, key: PRNGKeyArray, plans: Array) -> Array:
    def step(state: SimState, rows: Array) -> tuple[SimState, StepOutput]:
        return sim.step(state, rows, decode=False, params=params)

    return score_plans(step, state, plans, key, gamma=config.gamma, end_penalty=config.end_penalty)
