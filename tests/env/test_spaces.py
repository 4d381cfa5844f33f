"""Spaces: the plainest that holds the controls, and nothing outside it."""

import gymnasium as gym
import numpy as np
import pytest

from tests.env.fake import BOTH, CAR, PAD, FakeSimulator
from worldsim.controls import ActionSpec, discrete
from worldsim.env import WorldEnv, action_rows, action_space


@pytest.mark.parametrize(
    "spec, kind",
    [
        (discrete(("a", "b")), gym.spaces.Discrete),
        (PAD, gym.spaces.MultiBinary),
        (CAR, gym.spaces.Box),
        (BOTH, gym.spaces.Dict),
        (ActionSpec(choices=BOTH.choices * 2), gym.spaces.Dict),
    ],
)
def test_the_space_is_the_plainest_that_holds_the_controls(spec, kind):
    space = action_space(spec)
    assert type(space) is kind
    space.seed(0)
    for _ in range(20):
        rows = action_rows(spec, space.sample())
        assert rows.shape == (spec.size,)
        assert (rows >= spec.bounds[0]).all() and (rows <= spec.bounds[1]).all()


def test_columns_of_a_mixed_action_are_choices_then_buttons_then_axes():
    action = {"axes": np.array([0.5, 0.25]), "choices": np.array([1]), "buttons": np.array([0, 1])}
    np.testing.assert_array_equal(action_rows(BOTH, action), np.float32([1, 0, 1, 0.5, 0.25]))


@pytest.mark.parametrize(
    "spec, action, message",
    [
        (None, 3, "0..2, got 3"),
        (None, -1, "0..2, got -1"),
        (None, 0.5, "got 0.5"),
        (None, [0, 1], "shape"),
        (CAR, [0.0, 2.0], "pedal"),
        (CAR, [np.nan, 0.0], "NaN"),
        (PAD, [0, 2], "0..1"),
        (BOTH, {"axes": [0, 0]}, "keys"),
    ],
)
def test_an_action_outside_the_space_says_what_was_wanted(spec, action, message):
    env = WorldEnv(FakeSimulator(spec))
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(action)
