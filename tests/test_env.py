"""A learned world keeps Gymnasium's contract, in each of its three forms.

Most tests run a small stand-in for the model, whose frames and ends can be told beforehand.
"""

import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv

from tests.contracts.check_world_env import check_world_env
from worldsim.checkpoint import load_world
from worldsim.env import EnvParams, JaxWorldEnv, WorldEnv, WorldVectorEnv, action_rows, action_space
from worldsim.simulator import Simulator
from worldsim.types import ActionSpec, Axis, Button, Choice, SimState, StepOutput, discrete

SIZE = (6, 8)
CAR = ActionSpec(axes=(Axis(name="wheel"), Axis(name="pedal", low=0.0)))
PAD = ActionSpec(buttons=(Button(name="a"), Button(name="b")))
BOTH = ActionSpec(choices=(Choice(labels=("x", "y"), keys=((), ())),), buttons=PAD.buttons, axes=CAR.axes)


@partial(jax.jit, static_argnums=1)
def fake_reset(key, batch_size):
    keys = jax.random.split(key, batch_size)
    obs = jax.vmap(lambda k: jax.random.randint(k, (*SIZE, 3), 0, 256))(keys).astype(jnp.uint8)
    return SimState(keys, {"obs": obs}, jnp.zeros(batch_size, jnp.int32)), obs


@jax.jit
def fake_step(state, action, lifetime):
    total = action if action.ndim == 1 else action.sum(-1)
    noise = jax.vmap(lambda k: jax.random.randint(k, (), 0, 4))(state.key)
    move = noise + total.astype(jnp.int32)
    obs = state.cache["obs"] + move[:, None, None, None].astype(jnp.uint8)
    index = state.frame_index + 1
    over = index >= lifetime
    fresh = jax.vmap(lambda k: jax.random.split(k, 1)[0])(state.key)
    out = StepOutput(obs, total.astype(jnp.float32), over, jnp.zeros_like(over), index / 10)
    return SimState(fresh, {"obs": obs}, index), out


class FakeSimulator:
    """A world whose frame moves by its action and noise, and which ends after `lifetime` frames."""

    fps = 10

    def __init__(self, action_spec=None, lifetime=10_000):
        self.action_spec = action_spec or discrete(("noop", "left", "right"))
        self.size, self.lifetime = SIZE, lifetime
        self.world = SimpleNamespace(starts={"obs": np.zeros((2, 1, *SIZE, 3), np.uint8), "prev_action": None})
        self.batches = []

    def reset(self, key, *, batch_size=None, prompt=None, prompt_actions=None):
        self.batches.append(batch_size)
        state, obs = fake_reset(key, batch_size)
        if isinstance(prompt, np.ndarray):
            obs = jnp.asarray(prompt[:, -1])
        return state._replace(cache={"obs": obs}), obs

    def step(self, state, action):
        return fake_step(state, action, self.lifetime)


def make_vec(num_envs=5, lifetime=10_000, **kwargs):
    env = WorldVectorEnv(num_envs, FakeSimulator(lifetime=lifetime), **kwargs)
    env.action_space.seed(0)
    return env


def test_a_dream_keeps_the_contract_of_our_environments():
    check_world_env(lambda: WorldEnv(FakeSimulator(), horizon=9, render_mode="rgb_array"), horizon=9)
    check_world_env(lambda: WorldEnv(FakeSimulator(lifetime=5), render_mode="rgb_array"))


@pytest.mark.parametrize("spec", [CAR, PAD, BOTH])
def test_other_controls_keep_the_contract_too(spec):
    check_world_env(lambda: WorldEnv(FakeSimulator(spec), horizon=9, render_mode="rgb_array"), num_steps=9, horizon=9)


@pytest.fixture(scope="module")
def untrained(untrained_world):
    return Simulator.from_world(load_world(untrained_world), num_denoise_steps=1)


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


def test_a_real_simulator_runs_as_pure_functions(untrained):
    env = JaxWorldEnv(untrained)
    keys = jax.random.split(jax.random.key(0), 2)
    obs, state = jax.jit(jax.vmap(env.reset))(keys)
    assert any((np.asarray(obs[0]) == start).all() for start in untrained.world.starts["obs"][:, -1])
    obs, state, _, _, truncated, _ = jax.jit(jax.vmap(env.step))(keys, state, jnp.array([0, 1]))
    assert obs.shape == (2, 16, 16, 3) and obs.dtype == jnp.uint8 and not truncated.any()


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
        (None, 3, "0..2, got 3"), (None, -1, "0..2, got -1"), (None, 0.5, "got 0.5"), (None, [0, 1], "shape"),
        (CAR, [0.0, 2.0], "pedal"), (CAR, [np.nan, 0.0], "NaN"), (PAD, [0, 2], "0..1"),
        (BOTH, {"axes": [0, 0]}, "keys"),
    ],
)  # fmt: skip
def test_an_action_outside_the_space_says_what_was_wanted(spec, action, message):
    env = WorldEnv(FakeSimulator(spec))
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(action)


def test_the_outcome_head_ends_an_episode_as_terminated():
    env = WorldEnv(FakeSimulator(lifetime=3), horizon=3)
    env.reset(seed=0)
    assert [env.step(0)[2:4] for _ in range(3)] == [(False, False), (False, False), (True, False)]


def test_the_horizon_ends_an_episode_as_truncated():
    env = WorldEnv(FakeSimulator(), horizon=3)
    env.reset(seed=0)
    assert [env.step(0)[2:4] for _ in range(3)] == [(False, False), (False, False), (False, True)]


def test_a_step_wants_a_reset_before_and_after_an_episode():
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
    obs, _ = env.reset(seed=0, options={"prompt": frames, "prompt_actions": [0, 1, 2, 0]})
    np.testing.assert_array_equal(obs, frames[-1])
    obs, _ = env.reset(seed=0, options={"prompt": frames[0]})
    np.testing.assert_array_equal(obs, frames[0])
    obs, _ = make_vec(3).reset(options={"prompt": frames})
    np.testing.assert_array_equal(obs, np.stack([frames[-1]] * 3))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"prompt": np.zeros((2, 5, 8, 3), np.uint8)}, r"uint8 frames \[t 6 8 3\] in 0..255, got uint8 \[2, 5, 8, 3\]"),
        ({"prompt": np.zeros((2, *SIZE, 3), np.float32)}, r"uint8 frames \[t 6 8 3\] in 0..255, got float32"),
        ({"prompt": np.zeros((0, *SIZE, 3), np.uint8)}, "got uint8"),
        ({"prompt": np.zeros((2, *SIZE, 3), np.uint8), "prompt_actions": [0, 1, 2]}, "action wants shape"),
        ({"prompt_actions": [0]}, "want a prompt"),
        ({"promt": 1}, "promt"),
    ],
)
def test_a_prompt_that_does_not_fit_names_what_was_wanted_and_what_came(options, message):
    with pytest.raises(ValueError, match=message):
        WorldEnv(FakeSimulator()).reset(seed=0, options=options)


@pytest.mark.parametrize("kwargs", [{"horizon": 0}, {"render_mode": "human"}, {"world": "no such world"}])
def test_settings_that_make_no_sense_are_refused(kwargs):
    with pytest.raises(ValueError, match="wants|no world"):
        WorldEnv(**{"world": FakeSimulator()} | kwargs)


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


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_one_seed_gives_the_whole_batch_again_bit_for_bit(mode):
    runs = []
    for env in (make_vec(lifetime=4, autoreset_mode=mode), make_vec(lifetime=4, autoreset_mode=mode)):
        frames = [env.reset(seed=5)[0]]
        frames += [env.step(env.action_space.sample())[0] for _ in range(4)]
        if mode is not AutoresetMode.DISABLED:
            frames += [env.step(env.action_space.sample())[0] for _ in range(6)]
        runs.append(np.stack(frames))
    np.testing.assert_array_equal(*runs)
    assert (runs[0][0, 0] != runs[0][0, 1]).any()


def test_next_step_resets_a_world_on_the_step_after_its_end():
    env = make_vec(3, lifetime=2)
    env.reset(seed=0)
    actions = np.array([1, 2, 0])
    env.step(actions)
    _, reward, terminated, truncated, _ = env.step(actions)
    assert terminated.all() and not truncated.any() and reward.tolist() == [1.0, 2.0, 0.0]
    before = env.simulator.batches[:]
    _, reward, terminated, _, info = env.step(actions)
    assert not terminated.any() and not reward.any() and not info["_uncertainty"].any()
    assert env.simulator.batches == [*before, 3]
    env.step(actions)
    assert env.step(actions)[2].all()


def test_same_step_gives_the_last_frame_beside_the_first_of_the_next_episode():
    env, plain = make_vec(3, lifetime=2, autoreset_mode="SameStep"), make_vec(3, lifetime=2)
    for e in (env, plain):
        e.reset(seed=0)
        e.step(np.ones(3, int))
    obs, reward, terminated, _, info = env.step(np.ones(3, int))
    last = plain.step(np.ones(3, int))[0]
    assert terminated.all() and reward.tolist() == [1.0] * 3
    np.testing.assert_array_equal(np.stack(list(info["final_obs"])), last)
    assert info["_final_obs"].all() and info["final_info"]["uncertainty"].tolist() == pytest.approx([0.2] * 3)
    assert (obs != last).any()
    assert not env.step(np.ones(3, int))[2].any()


def test_only_the_worlds_that_are_over_are_reset():
    env = make_vec(5, horizon=6, autoreset_mode=AutoresetMode.SAME_STEP)
    env.reset(seed=0)
    for _ in range(3):
        obs = env.step(np.ones(5, int))[0]
    mask = np.array([True, False, True, False, False])
    fresh, _ = env.reset(options={"reset_mask": mask})
    np.testing.assert_array_equal(fresh[~mask], obs[~mask])
    assert (fresh[mask] != obs[mask]).any(axis=(1, 2, 3)).all()
    assert env.simulator.batches == [5, 4]
    ends = [env.step(np.ones(5, int))[3] for _ in range(6)]
    np.testing.assert_array_equal(ends[2], ~mask)
    np.testing.assert_array_equal(ends[5], mask)


def test_disabled_leaves_the_reset_to_the_caller():
    env = make_vec(3, horizon=1, autoreset_mode=AutoresetMode.DISABLED)
    env.reset(seed=0)
    assert env.step(np.zeros(3, int))[3].all()
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(3, int))
    env.reset(options={"reset_mask": np.ones(3, bool)})
    assert env.step(np.zeros(3, int))[3].all()


@pytest.mark.parametrize("mask", [np.zeros(3, bool), np.ones(2, bool), np.ones(3, int)])
def test_a_reset_mask_that_does_not_fit_is_refused(mask):
    with pytest.raises(ValueError, match="reset_mask wants bool"):
        make_vec(3).reset(options={"reset_mask": mask})


def test_batched_mixed_actions_reach_their_world():
    env = WorldVectorEnv(4, FakeSimulator(BOTH))
    env.reset(seed=0)
    env.action_space.seed(0)
    action = env.action_space.sample()
    reward = env.step(action)[1]
    wanted = action["choices"].sum(-1) + action["buttons"].sum(-1) + action["axes"].sum(-1)
    np.testing.assert_allclose(reward, wanted, rtol=1e-5)


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
    text = (Path(__file__).parents[1] / "docs" / "env-contract.md").read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, names)
    assert names["obs"].shape == (4, *SIZE, 3)
