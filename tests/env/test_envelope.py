"""A learned world is an environment of jax-envelope, where that is installed: its wrappers take it."""

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.env.fake import BOTH, CAR, PAD, SIZE, FakeSimulator

envelope = pytest.importorskip("envelope")

from worldsim.env import EnvParams, JaxWorldEnv, WorldEnv  # noqa: E402
from worldsim.env.envelope import EnvelopeWorld  # noqa: E402

KEY = jax.random.key(5)
ACTIONS = jnp.array([0, 1, 2, 2, 1])


def make(*wrappers, lifetime=10_000, **settings):
    env = EnvelopeWorld(FakeSimulator(lifetime=lifetime), **settings)
    for wrapper, how in wrappers:
        env = wrapper(env=env, **how)
    return env


def test_a_scan_gives_the_transitions_of_the_single_form_bit_for_bit():
    env, single = make(lifetime=4), WorldEnv(FakeSimulator(lifetime=4))
    state, first = jax.jit(env.init)(KEY)
    _, infos = jax.jit(lambda state: jax.lax.scan(env.step, state, ACTIONS[:4]))(state)
    np.testing.assert_array_equal(first.obs, single.reset(seed=5)[0])
    assert first.step == 0 and first.reward == 0 and jnp.isnan(first.uncertainty) and not first.terminated
    for i, action in enumerate(ACTIONS[:4].tolist()):
        obs, reward, terminated, truncated, info = single.step(action)
        np.testing.assert_array_equal(infos.obs[i], obs)
        assert (infos.reward[i], infos.terminated[i], infos.truncated[i]) == (reward, terminated, truncated)
        assert infos.step[i] == info["step"] and infos.uncertainty[i] == np.float32(info["uncertainty"])
    assert infos.terminated.tolist() == [False] * 3 + [True]


def test_a_batch_gives_the_bits_of_the_pure_form():
    env, pure = make((envelope.VmapWrapper, {"batch_size": 3})), JaxWorldEnv(FakeSimulator())
    keys = jax.random.split(KEY, 3)
    state, info = env.init(keys)
    obs, wanted = jax.vmap(pure.reset)(keys)
    np.testing.assert_array_equal(info.obs, obs)
    _, info = jax.jit(env.step)(state, ACTIONS[:3])
    obs, _, reward, *_ = jax.vmap(pure.step)(jax.vmap(lambda s: s.key)(wanted), wanted, ACTIONS[:3])
    np.testing.assert_array_equal(info.obs, obs)
    np.testing.assert_array_equal(info.reward, reward)
    assert env.observation_space.contains(info.obs) and env.action_space.shape == (3,)


@pytest.mark.parametrize("lifetime, max_steps, ends", [(3, 9, "terminated"), (9, 3, "truncated")])
def test_wrappers_truncate_begin_again_and_count(lifetime, max_steps, ends):
    env = make(
        (envelope.EpisodeStatisticsWrapper, {}),
        (envelope.TruncationWrapper, {"max_steps": max_steps}),
        (envelope.AutoResetWrapper, {}),
        (envelope.VmapWrapper, {"batch_size": 2}),
        lifetime=lifetime,
    )
    state, _ = env.init(KEY)
    _, infos = jax.jit(lambda s: jax.lax.scan(env.step, s, jnp.tile(jnp.array([1, 2]), (7, 1))))(state)
    over = [False, False, True] * 2 + [False]
    assert getattr(infos, ends)[:, 0].tolist() == over
    assert not (infos.terminated & infos.truncated).any()
    assert infos.step[:, 0].tolist() == [1, 2, 0, 1, 2, 0, 1]
    assert infos.final.stats.reward[3].tolist() == [3.0, 6.0] and infos.final.step[2].tolist() == [3, 3]
    assert (infos.obs[2] != infos.final.obs[2]).any()


def test_observation_wrappers_and_pooled_resets_take_it():
    flat = make((envelope.ContinuousObservationWrapper, {}), (envelope.FlattenObservationWrapper, {}))
    _, info = flat.init(KEY)
    assert info.obs.shape == flat.observation_space.shape == (SIZE[0] * SIZE[1] * 3,) and info.obs.dtype == jnp.float32
    pool = (envelope.PooledInitVmapWrapper, {"batch_size": 4, "pool_size": 2})
    env = make(pool, (envelope.ObservationNormalizationWrapper, {}), obs_type="latent", lifetime=2)
    state, _ = env.init(KEY)
    _, infos = jax.jit(lambda s: jax.lax.scan(env.step, s, jnp.ones((4, 4), int)))(state)
    assert infos.terminated[:, 0].tolist() == [False, True, False, True] and jnp.isfinite(infos.obs).all()


@pytest.mark.parametrize("spec, bins", [(None, None), (CAR, None), (PAD, None), (BOTH, None), (BOTH, 5)])
def test_sampled_actions_of_all_controls_are_stepped(spec, bins):
    sim = FakeSimulator(spec)
    env, single = EnvelopeWorld(sim, axis_bins=bins), WorldEnv(sim, axis_bins=bins)
    action = jax.jit(env.action_space.sample)(KEY)
    assert env.action_space.contains(action)
    same = jax.tree.map(np.asarray, action)
    single.reset(seed=5)
    state, _ = env.init(KEY)
    _, info = jax.jit(env.step)(state, action)
    assert info.reward == pytest.approx(single.step(same)[1], abs=1e-6)


def test_weights_are_leaves_so_worlds_of_one_shape_are_one_program(untrained_world):
    env = EnvelopeWorld(untrained_world, obs_type="latent", num_denoise_steps=1)
    other = env.replace(arrays=jax.tree.map(jnp.copy, env.arrays))
    state, info = env.init(KEY)
    program = jax.jit(lambda env, state: env.step(state, 1)[1].obs)
    np.testing.assert_array_equal(program(env, state), program(other, state))
    assert program._cache_size() == 1
    constants = jax.make_jaxpr(lambda env, state: env.step(state, 1)[1].obs)(env, state).consts
    num_params = sum(x.size for x in jax.tree.leaves(env.core.simulator.params["dynamics"]))
    assert sum(x.size for x in constants if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)) < 100 < num_params


def test_create_finds_the_suite_of_the_entry_point(untrained_world, monkeypatch):
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    ((name, value),) = project["entry-points"]["envelope.environments"].items()
    entry = EntryPoint(name, value, "envelope.environments")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: (entry,))
    env = envelope.create(f"worldsim::{untrained_world}", {"obs_type": "latent"})
    assert isinstance(env, envelope.TruncationWrapper) and env.max_steps == EnvParams().horizon
    assert isinstance(env.unwrapped, EnvelopeWorld) and env.observation_space.dtype == jnp.float32
