"""One world: how its episodes begin and end."""

import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from tests.env.fake import SIZE, FakeSimulator, make_vec
from worldsim.env import WorldEnv
from worldsim.initial import InitialContext


def test_the_outcome_head_ends_an_episode_as_terminated():
    env = WorldEnv(FakeSimulator(lifetime=3), horizon=3)
    env.reset(seed=0)
    assert [env.step(0)[2:4] for _ in range(3)] == [(False, False), (False, False), (True, False)]


def test_the_horizon_ends_an_episode_as_truncated():
    env = WorldEnv(FakeSimulator(), horizon=3)
    env.reset(seed=0)
    assert [env.step(0)[2:4] for _ in range(3)] == [(False, False), (False, False), (False, True)]


def test_a_step_needs_a_reset_before_and_after_an_episode():
    env = WorldEnv(FakeSimulator(), horizon=1)
    with pytest.raises(ResetNeeded):
        env.step(0)
    env.reset(seed=0)
    env.step(0)
    with pytest.raises(ResetNeeded):
        env.step(0)


def test_resets_without_a_seed_differ():
    env = WorldEnv(FakeSimulator())
    first, second = env.reset(seed=0)[0], env.reset()[0]
    assert (first != second).any()


def test_an_episode_starts_from_the_frames_it_is_given():
    frames = np.random.default_rng(0).integers(0, 256, (4, *SIZE, 3), dtype=np.uint8)
    env = WorldEnv(FakeSimulator())
    obs, _ = env.reset(seed=0, options={"initial": InitialContext.frames(frames, [0, 1, 2, 0])})
    np.testing.assert_array_equal(obs, frames[-1])
    obs, _ = env.reset(seed=0, options={"initial": InitialContext.frames(frames[0])})
    np.testing.assert_array_equal(obs, frames[0])
    obs, _ = make_vec(3).reset(options={"initial": InitialContext.frames(frames)})
    np.testing.assert_array_equal(obs, np.stack([frames[-1]] * 3))


FRAMES = np.zeros((2, *SIZE, 3), np.uint8)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"initial": InitialContext.frames(FRAMES[:, :-1])}, r"uint8 frames .*6, 8, 3.*got uint8 \(2, 5, 8, 3\)"),
        ({"initial": InitialContext.frames(FRAMES.astype(np.float32))}, r"uint8 frames .*6, 8, 3.*got float32"),
        ({"initial": InitialContext.frames(FRAMES[:0])}, "got uint8"),
        ({"initial": InitialContext.frames(FRAMES, [0, 1, 2])}, r"shape \(2, 1\).* for action"),
        ({"initial": FRAMES}, "got ndarray"),
        ({"promt": 1}, "promt"),
    ],
)
def test_frames_that_do_not_fit_names_what_was_expected_and_what_came(options, message):
    with pytest.raises(ValueError, match=message):
        WorldEnv(FakeSimulator()).reset(seed=0, options=options)


@pytest.mark.parametrize(
    "kwargs", [{"horizon": 0}, {"render_mode": "ascii"}, {"obs_type": "sound"}, {"world": "no such world"}]
)
def test_settings_that_make_no_sense_are_refused(kwargs):
    with pytest.raises(ValueError, match="expected|no world"):
        WorldEnv(**{"world": FakeSimulator()} | kwargs)
