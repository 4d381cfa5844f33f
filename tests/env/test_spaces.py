"""Spaces: the plainest that holds the controls, and nothing outside it."""

import gymnasium as gym
import jax
import numpy as np
import pytest

from tests.env.fake import BOTH, CAR, PAD, FakeSimulator
from worldsim.controls import ActionSpec, discrete
from worldsim.env import JaxWorldEnv, WorldEnv, WorldVectorEnv, action_rows, action_space


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


def test_mixed_controls_are_one_multidiscrete_on_request():
    env, batch = WorldEnv(FakeSimulator(BOTH), axis_bins=5), WorldVectorEnv(3, FakeSimulator(BOTH), axis_bins=5)
    pure = JaxWorldEnv(FakeSimulator(BOTH), axis_bins=5)
    assert env.action_space.nvec.tolist() == [2, 2, 2, 5, 5]
    rows = action_rows(BOTH, [1, 0, 1, 2, 4], axis_bins=5)
    np.testing.assert_array_equal(rows, np.float32([1, 0, 1, 0, 1]))
    env.reset(seed=0)
    batch.reset(seed=0)
    _, state = pure.reset(jax.random.key(0))
    assert env.step([1, 0, 1, 0, 3])[1] == pytest.approx(1 + 0 + 1 - 1 + 0.75)
    assert pure.step(state.key, state, np.array([1, 0, 1, 0, 3]))[2] == pytest.approx(1.75)
    assert batch.step(np.tile([1, 0, 1, 0, 3], (3, 1)))[1].tolist() == pytest.approx([1.75] * 3)


@pytest.mark.parametrize("spec", [BOTH, CAR, PAD, discrete(("a", "b"))])
def test_bins_hold_the_rest_of_every_control(spec):
    for control, values in zip(spec.controls, spec.values(4), strict=True):
        assert control.rest in values and (values[0], values[-1]) == (control.low, control.high)


@pytest.mark.parametrize(
    "action, message",
    [([1, 0, 1, 5, 0], "wheel.* 0..4"), ([1, 0], "integers"), ([0.5] * 5, "integers"), (None, "integers")],
)
def test_a_binned_action_outside_the_space_says_what_was_wanted(action, message):
    env = WorldEnv(FakeSimulator(BOTH), axis_bins=5)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(action)
    with pytest.raises(ValueError, match="at least 2 values"):
        WorldEnv(FakeSimulator(BOTH), axis_bins=1)
