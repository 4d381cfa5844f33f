"""Planning in the dream, in worlds in which it is known what pays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.env.fake import BOTH, CAR, PAD, STARTS, FakeSimulator
from tests.worlds import equal, random_world
from worldsim.agent.plan import PlanConfig, list_options, make_planner, plan_policy, propose_plans, score_plans
from worldsim.controls import discrete
from worldsim.initial import InitialContext
from worldsim.simulator import Simulator
from worldsim.types import SimState, StepOutput

QUICK = PlanConfig(horizon=6, holds=(2,), replan_every=2)
KEY = jax.random.key(7)


class Tape(FakeSimulator):
    """A world whose rewards and ends follow from its frame's number and its actions."""

    def __init__(self, outcome, spec=None):
        super().__init__(spec)
        self.outcome = outcome

    def step(self, state, action, *, decode=True, params=None):
        index = state.frame_index + 1
        reward, end = self.outcome(index, action)
        self.batches.append(len(action))
        out = StepOutput(None, reward, end > 0.5, index < 0, jnp.zeros_like(reward), end)
        return SimState(state.key, state.cache, index), out


def begin(sim, batch_size=1):
    return sim.reset(jax.random.key(0), batch_size=batch_size, initial=InitialContext.frames(STARTS[:batch_size]))[0]


def test_the_option_that_pays_is_chosen():
    sim = Tape(lambda index, rows: ((rows[:, 0] == 1).astype(jnp.float32), jnp.zeros(len(rows))))
    assert (make_planner(sim, QUICK)(begin(sim), KEY) == 1).all()


def test_a_plan_changes_its_option_when_another_pays_later():
    def outcome(index, rows):
        return (rows[:, 0] == jnp.where(index <= 2, 2, 1)).astype(jnp.float32), jnp.zeros(len(rows))

    sim = Tape(outcome)
    assert equal(make_planner(sim, QUICK)(begin(sim), KEY)[:, 0], np.array([2, 2, 1, 1, 1, 1], np.float32))


def test_what_ends_the_dream_is_not_chosen_though_it_pays():
    def outcome(index, rows):
        return 0.1 * rows[:, 0], (rows[:, 0] == 2).astype(jnp.float32)

    sim = Tape(outcome)
    assert (make_planner(sim, QUICK)(begin(sim), KEY) == 1).all()


def test_nothing_is_earned_after_the_end():
    def outcome(index, rows):
        return jnp.ones(len(rows)), ((index == 3) & (rows[:, 0] == 1)).astype(jnp.float32)

    sim = Tape(outcome)
    plans = np.repeat(np.array([0, 1], np.float32), 6).reshape(2, 6, 1)
    score = score_plans(sim.step, begin(sim), plans, KEY, gamma=0.5, end_penalty=4.0)
    np.testing.assert_allclose(score, [2 - 0.5**5, 1 + 0.5 + 0.25 - 0.25 * 4])


def test_doing_nothing_comes_first_among_equals():
    sim = Tape(lambda index, rows: (jnp.zeros(len(rows)), jnp.zeros(len(rows))), BOTH)
    assert (make_planner(sim, QUICK)(begin(sim), KEY) == BOTH.noop).all()


def test_all_plans_meet_the_same_noise():
    def step(state, rows):
        noise = jax.vmap(jax.random.normal)(state.key)
        fresh = jax.vmap(lambda key: jax.random.split(key, 1)[0])(state.key)
        return state._replace(key=fresh), StepOutput(None, noise, noise > 9, noise > 9, noise, 0 * noise)

    score = score_plans(step, begin(FakeSimulator()), np.zeros((3, 4, 1)), KEY, gamma=1.0, end_penalty=0.0)
    assert score[0] != 0 and (score == score[0]).all()


def test_a_learned_world_is_planned_in_and_its_state_stays():
    sim = Simulator.from_world(random_world())
    state, _ = sim.reset(jax.random.key(0), batch_size=1)
    before = jax.tree.map(jnp.copy, state)
    planner = make_planner(sim, QUICK)
    rows = planner(state, KEY)
    assert rows.shape == (6, 1) and equal(state, before)
    assert equal(rows, planner(state, KEY)) and equal(rows, make_planner(sim, QUICK)(state, KEY))
    following, _ = sim.step(state, rows[:1])
    assert following.frame_index.tolist() == [1]


def test_a_policy_plans_every_few_frames_by_one_program():
    traced = []

    def outcome(index, rows):
        traced.append(len(rows))
        return (rows[:, 0] == index % 3).astype(jnp.float32), jnp.zeros(len(rows))

    sim = Tape(outcome)
    act, state = plan_policy(sim, KEY, QUICK), begin(sim)
    for number in range(6):
        row = act(state)
        assert row.shape == (1,) and row.dtype == np.float32
        state = state._replace(frame_index=state.frame_index + 1)
        if number == 0:
            programs = len(traced)
    assert len(traced) == programs and set(traced) == {9}


def test_a_policy_plans_anew_behind_a_reset():
    plans = []

    class Counting(Tape):
        @property
        def params(self):  # read once a planning
            plans.append(1)

    sim = Counting(lambda index, rows: (jnp.zeros(len(rows)), jnp.zeros(len(rows))))
    act, state = plan_policy(sim, KEY, QUICK), begin(sim)
    act(state)
    act(state)
    assert len(plans) == 2
    for _ in range(2):
        state = state._replace(frame_index=state.frame_index + 1)
        act(state)
    assert len(plans) == 3


@pytest.mark.parametrize("spec", [CAR, PAD, BOTH, discrete(tuple("abcdefghijklmnopqrst"))])
def test_plans_of_any_controls_are_legal_and_bounded(spec):
    config = PlanConfig(max_plans=10)
    first, second = (propose_plans(spec, config, np.random.default_rng(seed)) for seed in (0, 1))
    assert first.shape == second.shape and len(first) <= 10 and len(np.unique(first, axis=0)) == len(first)
    spec.rows(first, batch_shape=first.shape[:2])


def test_options_move_each_control_singly():
    assert list_options(PAD).tolist() == [[0, 0], [1, 0], [0, 1]]
    assert list_options(CAR).tolist() == [[0, 0], [-1, 0], [1, 0], [0, 0.5], [0, 1]]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"horizon": 0}, "at least 1 for horizon, got 0"),
        ({"max_plans": 1}, "at least 2 for max_plans"),
        ({"holds": (24,)}, "expected 1..23 for each of holds"),
        ({"replan_every": 25}, "expected 1..24"),
        ({"gamma": 0.0}, "for gamma, got 0.0"),
        ({"end_penalty": -1.0}, "for end_penalty, got -1.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        PlanConfig(**settings)


def test_what_is_not_the_state_of_one_world_is_refused():
    sim = FakeSimulator()
    planner = make_planner(sim, QUICK)
    with pytest.raises(ValueError, match="expected the state of one world to plan from, got 2 worlds"):
        planner(begin(sim, 2), KEY)
    with pytest.raises(TypeError, match="expected a SimState"):
        planner(None, KEY)  # pyright: ignore[reportArgumentType]
