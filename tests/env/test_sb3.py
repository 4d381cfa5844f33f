"""Stable-Baselines3's PPO trains in a dream, through the adapter of experiments/sb3_ppo.py and without one."""

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


def test_the_adapter_keeps_the_last_observation_and_tells_horizon_from_end(experiment):
    from tests.env.fake import FakeSimulator
    from worldsim.env import WorldVectorEnv

    for lifetime, horizon, only_late in ((3, 9, False), (9, 3, True)):
        envs = experiment.DreamVecEnv(
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
