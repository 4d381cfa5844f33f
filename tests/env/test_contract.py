"""A learned world keeps Gymnasium's contract, in each of its three forms."""

import re
from pathlib import Path

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.vector import VectorEnv

from tests.contracts.check_world_env import check_world_env
from tests.env.fake import BOTH, CAR, PAD, SIZE, FakeSimulator, make_vec
from worldsim.checkpoint import load_world
from worldsim.env import EnvParams, JaxWorldEnv, WorldEnv, WorldVectorEnv
from worldsim.simulator import Simulator


@pytest.fixture(scope="module")
def untrained(untrained_world):
    return Simulator.from_world(load_world(untrained_world), num_denoise_steps=1)


def test_a_dream_keeps_the_contract_of_our_environments():
    check_world_env(lambda: WorldEnv(FakeSimulator(), horizon=9, render_mode="rgb_array"), horizon=9)
    check_world_env(lambda: WorldEnv(FakeSimulator(lifetime=5), render_mode="rgb_array"))


@pytest.mark.parametrize("spec", [CAR, PAD, BOTH])
def test_other_controls_keep_the_contract_too(spec):
    check_world_env(lambda: WorldEnv(FakeSimulator(spec), horizon=9, render_mode="rgb_array"), num_steps=9, horizon=9)


def test_a_real_simulator_keeps_the_contract(untrained):
    check_world_env(lambda: WorldEnv(untrained, horizon=4, render_mode="rgb_array"), num_steps=6, horizon=4)


def test_a_real_simulator_runs_as_pure_functions(untrained):
    env = JaxWorldEnv(untrained)
    keys = jax.random.split(jax.random.key(0), 2)
    obs, state = jax.jit(jax.vmap(env.reset))(keys)
    assert any((np.asarray(obs[0]) == start).all() for start in untrained.world.starts["obs"][:, -1])
    obs, state, _, _, truncated, _ = jax.jit(jax.vmap(env.step))(keys, state, jnp.array([0, 1]))
    assert obs.shape == (2, 16, 16, 3) and obs.dtype == jnp.uint8 and not truncated.any()


def test_a_batch_of_real_worlds_resets_some_and_leaves_the_others(untrained):
    env = WorldVectorEnv(3, untrained, horizon=2)
    first, _ = env.reset(seed=0)
    env.step(np.array([0, 1, 2]))
    mask = np.array([False, True, False])
    env.reset(options={"reset_mask": mask})
    _, _, _, truncated, _ = env.step(np.array([0, 1, 2]))
    assert truncated.tolist() == [True, False, True]
    assert (env.reset(seed=0)[0] == first).all()


def test_gym_makes_one_world_or_one_batched_model():
    env = gym.make("worldsim/World-v0", world=FakeSimulator(), horizon=None)
    assert isinstance(env.unwrapped, WorldEnv)
    simulator = FakeSimulator()
    envs = gym.make_vec("worldsim/World-v0", num_envs=7, world=simulator)
    assert isinstance(envs, WorldVectorEnv) and isinstance(envs, VectorEnv)
    obs, _ = envs.reset(seed=0)
    assert obs.shape == (7, *SIZE, 3) and simulator.batches == [7]


def test_gymnasium_wrappers_fit():
    env = gym.make("worldsim/World-v0", world=FakeSimulator(), max_episode_steps=4)
    env = gym.wrappers.FrameStackObservation(gym.wrappers.RecordEpisodeStatistics(env), 3)
    obs, _ = env.reset(seed=0)
    assert obs.shape == (3, *SIZE, 3)
    for _ in range(4):
        *_, truncated, info = env.step(1)
    assert truncated and info["episode"]["l"] == 4 and info["episode"]["r"] == 4.0
    envs = gym.wrappers.vector.RecordEpisodeStatistics(make_vec(3, lifetime=4))
    envs.reset(seed=0)
    for _ in range(4):
        *_, info = envs.step(np.array([0, 1, 2]))
    assert info["episode"]["r"].tolist() == [0.0, 4.0, 8.0]


def test_the_functional_form_scans_maps_and_depends_only_on_its_arguments():
    env = JaxWorldEnv(FakeSimulator())
    keys = jax.random.split(jax.random.key(1), 6)
    obs, state = env.reset(keys[0])

    def body(state, xs):
        key, action = xs
        obs, state, reward, terminated, truncated, _ = env.step(key, state, action, EnvParams(horizon=4))
        return state, (obs, reward, terminated, truncated)

    actions = jnp.arange(6) % 3
    _, (frames, reward, terminated, truncated) = jax.jit(lambda s: jax.lax.scan(body, s, (keys, actions)))(state)
    for i in range(6):
        obs, state, *_ = env.step(keys[i], state, actions[i])
        np.testing.assert_array_equal(obs, frames[i])
    assert truncated.tolist() == [False] * 3 + [True] * 3 and not terminated.any()
    assert reward.tolist() == [0, 1, 2, 0, 1, 2]
    many, states = jax.vmap(env.reset)(keys)
    assert many.shape == (6, *SIZE, 3)
    stepped = jax.vmap(env.step)(keys, states, actions)
    assert stepped[0].shape == (6, *SIZE, 3)


def test_the_examples_of_the_document_run(monkeypatch):
    for module in ("front", "functional"):
        monkeypatch.setattr(f"worldsim.env.{module}.simulator_of", lambda *_: FakeSimulator())
    text = (Path(__file__).parents[2] / "docs" / "env-contract.md").read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, names)
    assert names["obs"].shape == (4, *SIZE, 3)
