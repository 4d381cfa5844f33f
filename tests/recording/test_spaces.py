"""Actions survive the way into a row and back, whatever the space."""

import gymnasium as gym
import numpy as np
import pytest

from tests.data.footage_factory import TOY
from worldsim.controls import discrete
from worldsim.recording.policies import LAPSE, LAPSE_EVERY, NOISE_FRACTION, make_policy, with_lapses, with_noise
from worldsim.recording.spaces import action_of_row, row_of_action, spec_of_space

S = gym.spaces
SPACES = {
    "discrete": S.Discrete(4),
    "shifted": S.Discrete(3, start=-1),
    "multi discrete": S.MultiDiscrete([2, 3]),
    "grid": S.MultiDiscrete([[2, 3], [4, 5]]),
    "binary": S.MultiBinary(3),
    "box": S.Box(-2, 5, (2, 2), np.float32),
    "mixed": S.Dict(
        {
            "mouse": S.Box(np.array([-1, 0], np.float32), np.array([1, 9], np.float32)),
            "keys": S.MultiBinary(2),
            "more": S.Tuple((S.Discrete(3), S.Dict({"stick": S.Box(-1, 1, (), np.float32)}))),
        }
    ),
}


def same(a, b) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    return np.array_equal(a, b)


@pytest.mark.parametrize("name", SPACES)
def test_actions_survive_the_way_into_a_row_and_back(name):
    space = SPACES[name]
    spec = spec_of_space(space)
    space.seed(0)
    for _ in range(20):
        action = space.sample()
        row = row_of_action(space, action)
        spec.rows(row)
        assert same(action_of_row(space, row), action)
    for row in spec.sample(np.random.default_rng(0), (20,)):
        action = action_of_row(space, row)
        assert space.contains(action)
        np.testing.assert_array_equal(row_of_action(space, action), row)


def test_controls_get_names_that_tell_them_apart():
    names = spec_of_space(SPACES["mixed"]).column_names
    assert names == ("more.0", "keys.0", "keys.1", "more.1.stick", "mouse.0", "mouse.1")
    assert spec_of_space(S.Discrete(2), ["NOOP", "FIRE"]).choices[0].labels == ("NOOP", "FIRE")


@pytest.mark.parametrize(
    "space", [S.Text(3), S.Box(-np.inf, np.inf, (1,)), S.Discrete(1), S.Graph(S.Discrete(2), None)]
)
def test_a_space_that_cannot_be_recorded_is_refused(space):
    with pytest.raises(ValueError, match="expected"):
        spec_of_space(space)


@pytest.mark.parametrize("fraction", NOISE_FRACTION)
def test_noise_takes_its_share_of_the_time_in_short_runs(fraction):
    spec = discrete(tuple("abcdef"))
    scripted = np.full(1, -1, np.float32)
    act = with_noise(lambda: scripted, spec, np.random.default_rng(0), fraction=fraction)
    noisy = np.array([act()[0] for _ in range(40_000)]) >= 0
    assert abs(noisy.mean() - fraction) < 0.015


def test_lapses_last_and_come_back_at_random_and_the_player_plays_between_them():
    act = with_lapses(lambda: np.full(1, -1, np.float32), discrete(tuple("abcdef")), np.random.default_rng(0))
    lapses = np.array([act()[0] for _ in range(40_000)]) >= 0
    assert abs(lapses.mean() - LAPSE / (LAPSE + LAPSE_EVERY)) < 0.04
    begins, ends = (np.flatnonzero(np.diff(lapses.astype(int)) == sign) for sign in (1, -1))
    lengths = ends[:100] - begins[:100]
    assert (lengths % LAPSE == 0).all() and np.median(lengths) == LAPSE, "two may follow each other at once"


def test_random_actions_are_held_for_a_few_frames_and_reach_every_option():
    act = make_policy("random", discrete(tuple("abcd")), np.random.default_rng(0), scripted=lambda: np.zeros(1))
    actions = np.array([act()[0] for _ in range(4000)])
    assert 0.1 < np.mean(actions[1:] != actions[:-1]) < 0.3
    assert np.bincount(actions.astype(int)).min() > 700


@pytest.mark.parametrize(("policy", "words"), [("agent:x", "worldsim.agent.record"), ("best", "noisy.*random")])
def test_a_policy_that_there_is_not_is_refused(policy, words):
    from worldsim.recording.record import record

    with pytest.raises(ValueError, match=words):
        record(TOY, "nowhere", num_frames=1, policy=policy)
