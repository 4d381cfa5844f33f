"""A penalty takes `scale` times the uncertainty off the reward of each step, and nothing off a reset."""

import gymnasium as gym
import jax
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from tests.env.fake import FakeSimulator, make_vec
from worldsim.env import JaxWorldEnv, UncertaintyPenalty, VectorUncertaintyPenalty, WorldEnv

LIFETIME = 3  # the fake's uncertainty is 0.1, 0.2, 0.3 in an episode of three frames


def apart(mode, **kwargs):
    return SyncVectorEnv([lambda: WorldEnv(FakeSimulator(lifetime=LIFETIME, **kwargs))] * 2, autoreset_mode=mode)


def test_a_step_pays_less_by_what_is_uncertain():
    env = UncertaintyPenalty(WorldEnv(FakeSimulator()), scale=2.0)
    env.reset(seed=0)
    rewards = [env.step(1)[1] for _ in range(3)]
    assert rewards == pytest.approx([0.8, 0.6, 0.4]) and isinstance(rewards[0], float)


def test_its_spec_makes_it_again():
    env = UncertaintyPenalty(gym.make("worldsim/World-v0", world=FakeSimulator()), scale=2.0)
    again = gym.make(env.spec)
    again.reset(seed=0)
    assert again.get_wrapper_attr("scale") == 2.0 and again.step(1)[1] == pytest.approx(0.8)


@pytest.mark.parametrize("make", [lambda mode: make_vec(2, LIFETIME, autoreset_mode=mode), apart])
@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_a_batch_pays_less_in_every_world_also_in_the_last_step_of_an_episode(make, mode):
    envs = VectorUncertaintyPenalty(make(mode), scale=2.0)
    envs.reset(seed=0)
    rewards = np.stack([envs.step(np.array([1, 2]))[1] for _ in range(5)])
    first = [0.8, 0.6, 0.4, 0.8, 0.6] if mode is AutoresetMode.SAME_STEP else [0.8, 0.6, 0.4, 0.0, 0.8]
    resets = 0 if mode is AutoresetMode.SAME_STEP else np.array([0, 0, 0, 1, 0])
    np.testing.assert_allclose(rewards, np.stack([first, np.array(first) + 1 - resets], -1), atol=1e-6)
    assert rewards.dtype == np.float64


def test_the_pure_form_pays_the_same():
    env = JaxWorldEnv(FakeSimulator(), uncertainty_penalty=2.0)
    _, state = env.reset(jax.random.key(0))
    assert env.step(state.key, state, 1)[2] == pytest.approx(0.8)


def test_what_reports_no_uncertainty_is_refused_at_the_reset():
    blind, wanted = FakeSimulator(num_denoise_steps=1), "two denoising steps or more for"
    with pytest.raises(ValueError, match=f"{wanted} an uncertainty penalty, got one with num_denoise_steps=1"):
        UncertaintyPenalty(WorldEnv(blind), 0.1).reset()
    with pytest.raises(ValueError, match=f"{wanted} an uncertainty penalty, got one with num_denoise_steps=1"):
        VectorUncertaintyPenalty(apart("NextStep", num_denoise_steps=1), 0.1).reset()
    with pytest.raises(ValueError, match="got another environment"):
        UncertaintyPenalty(gym.make("CartPole-v1"), 0.1).reset()
    with pytest.raises(ValueError, match=f"{wanted} uncertainty_penalty"):
        JaxWorldEnv(blind, uncertainty_penalty=0.1)
    with pytest.raises(TypeError, match="expected world, horizon, .* got uncertainty_penalty"):
        WorldEnv(FakeSimulator(), uncertainty_penalty=0.1)
