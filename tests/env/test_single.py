"""One world: how its episodes begin and end."""

import pickle

import gymnasium as gym
import jax
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from tests.env.fake import SIZE, STARTS, FakeSimulator, make_vec
from worldsim.env import JaxWorldEnv, WorldEnv, WorldVectorEnv
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
        ({"initial": FRAMES}, "got initial: ndarray"),
        ({"promt": 1}, "promt"),
        ({"start": 1, "footage": "jump"}, "expected one of .* got start: int, footage: str"),
        ({"start": 64}, r"0\.\.63, or one a world, for start, got 64"),
        ({"start": -1}, "for start, got -1"),
        ({"start": [0, 1]}, "for start"),
        ({"start": 0.5}, "got start: float"),
        ({"state": 3}, "got state: int"),
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


@pytest.mark.parametrize("setting", ["prompt", "seed"])
def test_a_setting_that_is_none_is_refused_with_those_that_are(setting):
    for make in (WorldEnv, JaxWorldEnv, lambda **kwargs: gym.make("worldsim/World-v0", **kwargs)):
        with pytest.raises(TypeError, match=f"expected world, .*noise_scale.* got {setting}"):
            make(**{"world": FakeSimulator(), setting: 1})


def test_info_tells_where_an_episode_is_and_began():
    env = WorldEnv(FakeSimulator(lifetime=2), horizon=3)
    _, info = env.reset(seed=0)
    assert info == {"step": 0, "start": info["start"], "num_denoise_steps": 4}
    np.testing.assert_array_equal(env.reset(seed=0)[0], STARTS[info["start"], 0])
    first, last = env.step(0)[4], env.step(0)[4]
    assert (first["step"], last["step"], last["start"]) == (1, 2, info["start"])
    assert (first["termination_probability"], last["termination_probability"]) == (0.0, 1.0)
    assert last["uncertainty"] == pytest.approx(0.2)


def test_one_denoising_step_says_nothing_of_its_uncertainty():
    sim = FakeSimulator(num_denoise_steps=1)
    single, batch, pure = WorldEnv(sim), WorldVectorEnv(2, sim), JaxWorldEnv(sim)
    for env in (single, batch):
        env.reset(seed=0)
    assert "uncertainty" not in single.step(0)[4] and np.isnan(batch.step(np.zeros(2, int))[4]["uncertainty"]).all()
    check_env(WorldEnv(sim), skip_render_check=True)
    _, state = pure.reset(jax.random.key(0))
    assert np.isnan(pure.step(jax.random.key(1), state, 0)[-1]["uncertainty"])


def test_an_episode_starts_from_the_context_that_is_named():
    obs, info = WorldEnv(FakeSimulator()).reset(seed=0, options={"start": 7})
    np.testing.assert_array_equal(obs, STARTS[7, 0])
    obs, infos = make_vec(3).reset(seed=0, options={"start": [1, 2, 1]})
    np.testing.assert_array_equal(obs, STARTS[[1, 2, 1], 0])
    assert info["start"] == 7 and infos["start"].tolist() == [1, 2, 1]


@pytest.mark.parametrize("obs_type", ["pixels", "latent"])
def test_a_snapshot_goes_on_in_another_environment_as_it_would_have_here(obs_type):
    for env, action in ((WorldEnv(FakeSimulator(), horizon=9, obs_type=obs_type), 1), (make_vec(3), np.ones(3, int))):
        env.reset(seed=0)
        env.step(action)
        state = pickle.loads(pickle.dumps(env.snapshot()))
        wanted = [env.step(action) for _ in range(3)]
        other = pickle.loads(pickle.dumps(env))
        obs, info = other.reset(seed=5, options={"state": state})
        assert np.all(info["step"] == 1)
        np.testing.assert_array_equal(obs, state.obs if obs.ndim == state.obs.ndim else state.obs[0])
        for came, kept in zip([other.step(action) for _ in range(3)], wanted, strict=True):
            assert all(np.array_equal(x, y) for x, y in zip(came[:4], kept[:4], strict=True))


def test_the_snapshot_of_another_world_is_refused():
    env = WorldEnv(FakeSimulator())
    env.reset(seed=0)
    for change in ({"origin": "another"}, {"obs": env.snapshot().obs[:, :3]}):
        with pytest.raises(ValueError, match="expected a state of fake, uint8"):
            env.reset(options={"state": env.snapshot()._replace(**change)})


@pytest.mark.parametrize("make", [lambda sim: WorldEnv(sim), lambda sim: WorldVectorEnv(1, sim)])
def test_an_environment_survives_pickle_in_the_middle_of_an_episode(make):
    env = make(FakeSimulator())
    env.reset(seed=0)
    other = pickle.loads(pickle.dumps(env))
    for _ in range(2):
        np.testing.assert_array_equal(
            env.step(np.zeros(env.action_space.shape, int))[0], other.step(np.zeros(env.action_space.shape, int))[0]
        )
    np.testing.assert_array_equal(env.reset()[0], other.reset()[0])
