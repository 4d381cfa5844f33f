"""A learned world is an environment of gymnax 1, where gymnax is installed: its wrappers and a learner take it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.env.fake import BOTH, CAR, SIZE, FakeSimulator

gymnax = pytest.importorskip("gymnax")

from gymnax.environments import spaces  # noqa: E402
from gymnax.experimental.rollout import RolloutWrapper  # noqa: E402
from gymnax.wrappers import FlattenObservationWrapper, GymnaxToGymWrapper, LogWrapper, StickyActionWrapper  # noqa: E402

from worldsim.env.gymnax import GymnaxWorld  # noqa: E402

KEY = jax.random.key(0)


def test_it_has_gymnaxs_calls_spaces_and_names():
    env = GymnaxWorld(FakeSimulator())
    params = env.default_params.replace(max_steps_in_episode=2)
    space = env.action_space(params)
    assert isinstance(env, gymnax.environments.environment.Environment)
    assert jax.jit(space.sample)(KEY).dtype == jnp.int32 and bool(space.contains(jnp.int32(1)))
    assert env.num_actions == 3 and env.name == "worldsim/fake-v0"
    obs, state = env.reset_env(KEY, params)
    assert env.observation_space(params).shape == obs.shape == (*SIZE, 3)
    np.testing.assert_array_equal(env.observe(KEY, state, None, params), obs)
    assert bool(env.state_space(params).contains(state)) and state.time == 0
    obs, state, reward, terminated, info = env.step_env(KEY, state, 2, params)
    assert reward == 2 and not terminated and state.time == 1 and not env.is_truncated(state, params)
    *_, terminated, truncated, info = env.step(KEY, state, 2, params)
    assert truncated and not terminated and info["final_observation"].shape == obs.shape


def test_the_world_that_ends_is_terminated_and_begins_again():
    env = GymnaxWorld(FakeSimulator(lifetime=2))
    _, state = env.reset(KEY)
    ends = []
    for _ in range(4):
        _, state, _, terminated, truncated, _ = env.step(KEY, state, 1)
        ends.append((bool(terminated), bool(truncated), int(state.time)))
    assert ends == [(False, False, 1), (True, False, 0)] * 2
    assert env.discount(env.step_env(KEY, state, 1, env.default_params)[1], env.default_params) == 1


@pytest.mark.parametrize(
    "spec, bins, kind", [(CAR, None, spaces.Box), (BOTH, None, spaces.Tuple), (BOTH, 5, spaces.Tuple)]
)
def test_other_controls_are_sampled_and_stepped(spec, bins, kind):
    env = GymnaxWorld(FakeSimulator(spec), axis_bins=bins)
    action = env.action_space().sample(KEY)
    _, state = env.reset(KEY)
    _, _, reward, *_ = env.step(KEY, state, action)
    assert isinstance(env.action_space(), kind) and env.num_actions == spec.size
    values = spec.values(5) if bins else None
    columns = action if values is None else [v[int(i)] for v, i in zip(values, action, strict=True)]
    assert reward == pytest.approx(float(sum(np.ravel(columns))), abs=1e-5)


def test_gymnaxs_wrappers_take_it():
    env = GymnaxWorld(FakeSimulator(), obs_type="latent")
    wrapped = LogWrapper(FlattenObservationWrapper(StickyActionWrapper(env, 0.5)))
    obs, state = wrapped.reset(KEY)
    assert obs.shape == wrapped.observation_space(env.default_params).shape == (SIZE[0] * SIZE[1] * 3,)
    *_, info = wrapped.step(KEY, state, 1)
    assert info["returned_episode_returns"] == 0
    params = env.default_params.replace(max_steps_in_episode=4)
    obs, *_, returns = RolloutWrapper(env=env, env_params=params, num_env_steps=4).batch_rollout(
        jax.random.split(KEY, 3), None
    )
    assert obs.shape[:2] == (3, 4) and np.isfinite(returns).all()
    single = GymnaxToGymWrapper(env, seed=3)
    obs, _ = single.reset(seed=3)
    assert single.observation_space.contains(np.asarray(obs)) and single.action_space.n == 3
    assert len(single.step(1)) == 5


def test_policy_gradients_of_a_vectorised_rollout_are_one_program():
    """In the manner of purejaxrl: rollout, advantage and update of a batch of worlds in one jitted scan."""
    env = LogWrapper(FlattenObservationWrapper(GymnaxWorld(FakeSimulator(), obs_type="latent")))
    params = env.default_params.replace(max_steps_in_episode=8)
    step = jax.vmap(env.step, in_axes=(0, 0, 0, None))

    def loss(weights, obs, action, advantage, old):
        logits = jax.nn.log_softmax(obs @ weights)
        chosen = jnp.take_along_axis(logits, action[..., None], -1)[..., 0]
        ratio = jnp.exp(chosen - old)
        return -jnp.minimum(ratio * advantage, jnp.clip(ratio, 0.8, 1.2) * advantage).mean()

    @jax.jit
    def train(key, params):
        def update(carry, key):
            weights, obs, state = carry

            def act(carry, key):
                obs, state = carry
                key_act, key_step = jax.random.split(key)
                logits = jax.nn.log_softmax(obs @ weights)
                action = jax.random.categorical(key_act, logits)
                old = jnp.take_along_axis(logits, action[:, None], -1)[:, 0]
                after, state, reward, terminated, truncated, info = step(
                    jax.random.split(key_step, len(obs)), state, action, params
                )
                return (after, state), (obs, action, reward, old, terminated | truncated)

            (obs, state), (seen, action, reward, old, done) = jax.lax.scan(act, (obs, state), jax.random.split(key, 8))
            advantage = (reward - reward.mean()) / (reward.std() + 1e-6)
            for _ in range(2):
                weights = weights - 1e-3 * jax.grad(loss)(weights, seen, action, advantage, old)
            return (weights, obs, state), (reward.mean(), done.sum())

        obs, state = jax.vmap(env.reset, in_axes=(0, None))(jax.random.split(key, 6), params)
        carry = jnp.zeros((obs.shape[-1], 3)), obs, state
        return jax.lax.scan(update, carry, jax.random.split(key, 30))[1]

    reward, ends = train(KEY, params)
    assert reward[-1] > reward[0] + 0.3 and ends.tolist() == [6] * 30
