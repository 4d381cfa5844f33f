"""The pure form: it scans, maps, and depends on nothing but its arguments."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.env.fake import SIZE, FakeSimulator
from worldsim.env import EnvParams, JaxWorldEnv

SHORT = EnvParams(horizon=4)


def test_it_scans_maps_and_depends_only_on_its_arguments():
    env = JaxWorldEnv(FakeSimulator())
    keys = jax.random.split(jax.random.key(1), 6)
    obs, state = env.reset(keys[0])

    def body(state, xs):
        key, action = xs
        obs, state, reward, terminated, truncated, _ = env.step_env(key, state, action, SHORT)
        return state, (obs, reward, terminated, truncated)

    actions = jnp.arange(6) % 3
    _, (frames, reward, terminated, truncated) = jax.jit(lambda s: jax.lax.scan(body, s, (keys, actions)))(state)
    for i in range(6):
        obs, state, *_ = env.step_env(keys[i], state, actions[i])
        np.testing.assert_array_equal(obs, frames[i])
    assert truncated.tolist() == [False] * 3 + [True] * 3 and not terminated.any()
    assert reward.tolist() == [0, 1, 2, 0, 1, 2]
    many, states = jax.vmap(env.reset)(keys)
    assert many.shape == (6, *SIZE, 3)
    assert jax.vmap(env.step)(keys, states, actions)[0].shape == (6, *SIZE, 3)


@pytest.mark.parametrize("lifetime, params", [(10_000, SHORT), (4, EnvParams())])
def test_a_world_that_is_over_begins_again_in_the_same_step(lifetime, params):
    env = JaxWorldEnv(FakeSimulator(lifetime=lifetime))
    keys = jax.random.split(jax.random.key(2), 9)
    obs, state = env.reset(keys[0])
    for i, key in enumerate(keys[1:], 1):
        plain = env.step_env(key, state, jnp.int32(1), params)
        obs, state, reward, terminated, truncated, info = env.step(key, state, jnp.int32(1), params)
        over = i % 4 == 0
        assert bool(terminated | truncated) is over and reward == 1
        np.testing.assert_array_equal(info["final_observation"], plain[0])
        assert (obs == plain[0]).all() == (not over)
        assert state.num_steps == i % 4 and state.world.frame_index[0] == i % 4


def test_a_rollout_and_its_learner_are_one_program():
    env = JaxWorldEnv(FakeSimulator(), obs_type="latent")

    def score(weights, key):
        def act(carry, key):
            obs, state = carry
            chance = jax.nn.sigmoid((obs.mean(0) * weights).sum())
            action = (jax.random.uniform(key) < jax.lax.stop_gradient(chance)).astype(jnp.int32)
            obs, state, reward, *_ = env.step(key, state, action, SHORT)
            return (obs, state), reward * jnp.log(jnp.where(action == 1, chance, 1 - chance))

        return jax.lax.scan(act, env.reset(key), jax.random.split(key, 5))[1].sum()

    @jax.jit
    def update(weights, keys):
        return weights + jax.grad(lambda w: jax.vmap(score, (None, 0))(w, keys).mean())(weights)

    weights = update(jnp.full(3, 1e-3), jax.random.split(jax.random.key(0), 4))
    assert jnp.isfinite(weights).all() and (weights != 1e-3).any()


def test_keys_of_the_old_kind_do_too():
    env = JaxWorldEnv(FakeSimulator())
    old, new = (env.reset(make(3)) for make in (jax.random.PRNGKey, jax.random.key))
    np.testing.assert_array_equal(old[0], new[0])
    for make, (_, state) in ((jax.random.PRNGKey, old), (jax.random.key, new)):
        obs = env.step(make(4), state, jnp.int32(2))[0]
    np.testing.assert_array_equal(obs, env.step(jax.random.PRNGKey(4), old[1], jnp.int32(2))[0])


def test_it_names_its_spaces():
    env = JaxWorldEnv(FakeSimulator(), obs_type="latent")
    assert env.action_space(env.default_params).n == 3
    assert env.observation_space(env.default_params).shape == env.reset(jax.random.key(0))[0].shape


def test_a_program_that_takes_the_parameters_has_no_constants_of_them(untrained_world):
    env = JaxWorldEnv(untrained_world, num_denoise_steps=1, obs_type="latent")
    key = jax.random.key(0)
    _, state = env.reset(key)
    sizes = []
    for params in (env.default_params, EnvParams()):
        program = jax.make_jaxpr(lambda key, state, params: env.step(key, state, jnp.int32(0), params))(
            key, state, params
        )
        sizes.append(sum(np.size(x) for x in program.consts if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)))
    num_params = sum(x.size for x in jax.tree.leaves(env.simulator.params["dynamics"]))
    assert sizes[0] < 100 < num_params <= sizes[1]


def test_the_pure_form_survives_pickle():
    env = pickle.loads(pickle.dumps(JaxWorldEnv(FakeSimulator())))
    np.testing.assert_array_equal(
        jax.jit(env.reset)(jax.random.key(3))[0], JaxWorldEnv(FakeSimulator()).reset(jax.random.key(3))[0]
    )
