"""A learned world keeps Gymnasium's contract, in each of its three forms."""

import re
import shutil
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import VectorEnv

import worldsim
from tests.env.fake import BOTH, CAR, PAD, SIZE, FakeSimulator
from worldsim.env import WorldEnv, WorldVectorEnv, check_world_env
from worldsim.simulator import Simulator
from worldsim.world import load_world


@pytest.fixture(scope="module")
def untrained(untrained_world):
    return Simulator.from_world(load_world(untrained_world), num_denoise_steps=1)


def test_a_dream_keeps_the_contract_of_our_environments():
    check_world_env(lambda: WorldEnv(FakeSimulator(), horizon=9, render_mode="rgb_array"), horizon=9)
    check_world_env(lambda: WorldEnv(FakeSimulator(lifetime=5), render_mode="rgb_array"))


@pytest.mark.filterwarnings("ignore:.*Box observation space m(in|ax)imum value is -?infinity")
def test_latents_keep_the_contract():
    check_world_env(
        lambda: WorldEnv(FakeSimulator(), horizon=9, obs_type="latent", render_mode="rgb_array"), horizon=9, latent=True
    )


@pytest.mark.parametrize("spec", [CAR, PAD, BOTH])
def test_other_controls_keep_the_contract_too(spec):
    check_world_env(lambda: WorldEnv(FakeSimulator(spec), horizon=9, render_mode="rgb_array"), num_steps=9, horizon=9)


def test_a_real_simulator_keeps_the_contract(untrained):
    check_world_env(lambda: WorldEnv(untrained, horizon=4, render_mode="rgb_array"), num_steps=6, horizon=4)


def test_a_batch_of_real_worlds_resets_some_and_leaves_the_others(untrained):
    env = WorldVectorEnv(3, untrained, horizon=2)
    first, _ = env.reset(seed=0)
    env.step(np.array([0, 1, 2]))
    mask = np.array([False, True, False])
    env.reset(options={"reset_mask": mask})
    _, _, _, truncated, _ = env.step(np.array([0, 1, 2]))
    assert truncated.tolist() == [True, False, True]
    assert (env.reset(seed=0)[0] == first).all()


def test_an_episode_starts_from_held_out_footage_that_its_seed_draws(untrained, bar_folder):
    from worldsim.data.store import Footage

    single, batch = WorldEnv(untrained), WorldVectorEnv(2, untrained)
    options = {"footage": bar_folder}
    first, info = single.reset(seed=4, options=options)
    footage = Footage.open(bar_folder)
    assert any((first == obs).all() for i in range(len(footage)) for obs in footage[i].obs) and info["start"] == -1
    np.testing.assert_array_equal(batch.reset(seed=3, options=options)[0][1], first)
    with pytest.raises(ValueError, match="no such folder"):
        single.reset(options={"footage": "no such folder"})


def test_gym_makes_one_world_or_one_batched_model():
    env = gym.make("worldsim/World-v0", world=FakeSimulator(), horizon=None)
    assert isinstance(env.unwrapped, WorldEnv)
    simulator = FakeSimulator()
    envs = gym.make_vec("worldsim/World-v0", num_envs=7, world=simulator)
    assert isinstance(envs, WorldVectorEnv) and isinstance(envs, VectorEnv)
    obs, _ = envs.reset(seed=0)
    assert obs.shape == (7, *SIZE, 3)
    envs.step(envs.action_space.sample())
    assert simulator.batches == [7]


def test_every_world_that_is_found_has_an_id(untrained_world, tmp_path, monkeypatch):
    shutil.copytree(untrained_world, tmp_path / "runs" / "monday" / "world")
    monkeypatch.chdir(tmp_path)
    assert {"worldsim/jump-v0", "worldsim/pong-v0"} <= set(gym.registry)
    worldsim.register_worlds()
    try:
        env = gym.make("worldsim/monday-v0", horizon=3)
        envs = gym.make_vec("worldsim/monday-v0", num_envs=2, horizon=3)
        assert env.unwrapped.simulator.card.name == envs.simulator.card.name == "bar"
    finally:
        del gym.registry["worldsim/monday-v0"]


def test_the_examples_of_the_document_run(monkeypatch):
    monkeypatch.setattr("worldsim.env.base.simulator_of", lambda *_: FakeSimulator())
    text = (Path(__file__).parents[2] / "docs" / "env-contract.md").read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, names)
    assert names["obs"].shape == (4, *SIZE, 3)
