"""Stable-Baselines3's PPO trains in a dream, through the adapter of the extra and without one."""

import json

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("stable_baselines3")


@pytest.fixture(scope="module")
def experiment():
    from experiments import sb3_ppo

    return sb3_ppo


def test_ppo_trains_on_a_batch_of_dreams(experiment, untrained_world, tmp_path):
    out = tmp_path / "ppo.json"
    sizes = ["--steps", "64", "--num-envs", "4", "--num-steps", "16", "--horizon", "8", "--seeds", "0"]
    experiment.main(["--world", str(untrained_world), *sizes, "--out", str(out)])
    result = json.loads(out.read_text())
    assert result["runs"][0]["episodes"] == 8 and result["runs"][0]["steps"] == 64
    assert np.isfinite(result["return_last_fifth"]) and result["steps_per_second"] > 0


def test_the_adapter_keeps_the_last_observation_and_tells_horizon_from_end():
    from tests.env.fake import FakeSimulator
    from worldsim.env import WorldVectorEnv
    from worldsim.env.sb3 import WorldVecEnv

    for lifetime, horizon, only_late in ((3, 9, False), (9, 3, True)):
        envs = WorldVecEnv(
            WorldVectorEnv(2, FakeSimulator(lifetime=lifetime), horizon=horizon, autoreset_mode="SameStep")
        )
        envs.seed(5)
        first = envs.reset()
        for _ in range(3):
            before = first
            first, _, done, infos = envs.step(np.array([1, 2]))
        assert done.all() and [x["TimeLimit.truncated"] for x in infos] == [only_late] * 2
        moved = infos[1]["terminal_observation"] - before[1]  # uint8: the action and a noise of 0..3
        assert len(np.unique(moved)) == 1 and 2 <= moved.flat[0] <= 5
        assert (first[1] != infos[1]["terminal_observation"]).any()


def test_a_single_world_needs_no_adapter(untrained_world):
    from stable_baselines3 import PPO

    env = gym.make("worldsim/World-v0", world=str(untrained_world), obs_type="latent", horizon=8)
    agent = PPO("MlpPolicy", env, n_steps=32, batch_size=16, n_epochs=1, seed=0, device="cpu")
    assert agent.learn(32).num_timesteps == 32


def test_mixed_controls_are_driven_by_bins():
    from stable_baselines3 import PPO

    from tests.env.fake import BOTH, FakeSimulator
    from worldsim.env import WorldVectorEnv
    from worldsim.env.sb3 import WorldVecEnv

    batch = WorldVectorEnv(2, FakeSimulator(BOTH), obs_type="latent", axis_bins=5, autoreset_mode="SAME_STEP")
    agent = PPO("MlpPolicy", WorldVecEnv(batch), n_steps=16, batch_size=16, n_epochs=1, seed=0, device="cpu")
    assert agent.learn(32).num_timesteps == 32


def test_the_adapter_takes_a_wrapped_batch():
    from tests.env.fake import make_vec
    from worldsim.env import VectorUncertaintyPenalty
    from worldsim.env.sb3 import WorldVecEnv

    envs = WorldVecEnv(VectorUncertaintyPenalty(make_vec(2, autoreset_mode="SAME_STEP"), 10.0))
    envs.reset()
    assert envs.step(np.array([1, 2]))[1].tolist() == [0.0, 1.0]  # the uncertainty is .1
    assert envs.get_attr("num_envs") == [2, 2]


def test_the_adapter_gives_attributes_methods_and_infos_of_each_world():
    from tests.env.fake import make_vec
    from worldsim.env.sb3 import WorldVecEnv

    envs = WorldVecEnv(make_vec(3, autoreset_mode="SAME_STEP", render_mode="rgb_array"))
    first = envs.reset()
    assert [info["step"] for info in envs.reset_infos] == [0, 0, 0]
    np.testing.assert_array_equal(np.stack(envs.env_method("render", indices=[0, 2])), first[[0, 2]])
    assert envs.get_attr("num_envs", indices=1) == [3]
    *_, infos = envs.step(np.zeros(3, int))
    assert [info["step"] for info in infos] == [1, 1, 1]
    with pytest.raises(ValueError, match="SAME_STEP for a VecEnv, got NEXT_STEP"):
        WorldVecEnv(make_vec(2))
