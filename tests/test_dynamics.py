"""The dynamics as a whole: what it starts from, what it may see, and that a stream equals the whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.nn.test_nn import randomised
from worldsim.diffusion.schedule import Levels
from worldsim.dynamics import Dynamics, DynamicsConfig

CONFIG = DynamicsConfig(
    grid=(1, 2), token_dim=4, choice_sizes=(3,), width=32, head_dim=16, num_layers=4, time_every=2, window=4,
    num_sinks=1, has_memory=True, kv_groups=2,
)  # fmt: skip
BATCH = 2


def window(length, seed=0):
    keys = jax.random.split(jax.random.key(seed), 3)
    z = jax.random.normal(keys[0], (BATCH, length, 2, 4))
    action = jax.random.randint(keys[1], (BATCH, length, 1), 0, 3).astype(jnp.float32)
    tau = jax.random.randint(keys[2], (BATCH, length), 0, 16)
    return z, Levels(tau, jnp.zeros((BATCH, length), jnp.int32)), action


@pytest.fixture(scope="module")
def model():
    return randomised(Dynamics(CONFIG, rngs=nnx.Rngs(0)))


def test_untrained_dynamics_copy_the_last_frame_when_little_moves():
    fresh = Dynamics(CONFIG, rngs=nnx.Rngs(0))
    fresh.innovation[...] = jnp.full((4,), 1e-3)
    z, _, action = window(3)
    levels = Levels(jnp.array([[15, 15, 0]] * BATCH), jnp.zeros((BATCH, 3), jnp.int32))
    z_hat, _ = jax.jit(fresh.__call__)(z, levels, action, jnp.zeros((BATCH,), bool))
    copied = z[:, 1] * (15 / 16) / ((15 / 16) ** 2 + (1 / 16) ** 2)
    np.testing.assert_allclose(z_hat[:, 2], copied, atol=1e-5)


def test_untrained_dynamics_trust_a_clean_view_of_the_present():
    fresh = Dynamics(CONFIG, rngs=nnx.Rngs(0))
    z, _, action = window(2)
    levels = Levels(jnp.full((BATCH, 2), 15), jnp.zeros((BATCH, 2), jnp.int32))
    z_hat, _ = jax.jit(fresh.__call__)(z, levels, action, jnp.zeros((BATCH,), bool))
    np.testing.assert_allclose(z_hat, z, atol=0.3)


def test_no_gradient_flows_from_the_future(model):
    z, levels, action = window(6)

    def early(z, action):
        z_hat, hidden = model(z, levels, action, jnp.zeros((BATCH,), bool))
        return (z_hat[:, :3] ** 2).sum() + (hidden[:, :3] ** 2).sum()

    gradient = jax.jit(jax.grad(early))(z, action)
    assert float(jnp.abs(gradient[:, 3:]).max()) == 0
    assert float(jnp.abs(gradient[:, :3]).max()) > 0


def test_future_actions_do_not_change_the_past_and_present_ones_do(model):
    z, levels, action = window(6)
    alone = jnp.zeros((BATCH,), bool)
    call = jax.jit(model.__call__)
    one, _ = call(z, levels, action, alone)
    other, _ = call(z, levels, action.at[:, 3].set((action[:, 3] + 1) % 3), alone)
    np.testing.assert_array_equal(one[:, :3], other[:, :3])
    assert float(jnp.abs(one - other)[:, 3].max()) > 1e-4


def test_isolated_frames_equal_first_frames(model):
    z, levels, action = window(4)
    call = jax.jit(model.__call__)
    together, _ = call(z, levels, action, jnp.ones((BATCH,), bool))
    first, _ = call(z[:, 2:3], Levels(*(x[:, 2:3] for x in levels)), action[:, 2:3], jnp.zeros((BATCH,), bool))
    np.testing.assert_allclose(together[:, 2], first[:, 0], atol=1e-4)


def test_streaming_equals_the_whole_past_frame_256_and_two_wraps(model):
    length = 262
    z, _, action = window(length, seed=3)
    past = jnp.full((BATCH, length), CONFIG.past_level)
    whole, hidden = jax.jit(lambda z, a: model(z, Levels(past, 0 * past), a, jnp.zeros((BATCH,), bool)))(z, action)
    level = Levels(past[:, 0], 0 * past[:, 0])

    def step(cache, frame):
        z_hat, hid, fresh = model.step(frame[0], level, frame[1], cache)
        return model.commit(frame[0], fresh, cache), (z_hat, hid)

    frames = (jnp.moveaxis(z, 1, 0), jnp.moveaxis(action, 1, 0))
    cache, (stream, stream_hidden) = jax.jit(lambda f: jax.lax.scan(step, model.empty_cache(BATCH), f))(frames)
    np.testing.assert_allclose(jnp.moveaxis(stream, 0, 1), whole, atol=3e-4)
    np.testing.assert_allclose(jnp.moveaxis(stream_hidden, 0, 1), hidden, atol=3e-3)
    assert int(cache.count[0]) == length


@pytest.mark.parametrize("bad", [{"width": 40}, {"past_level": 16}, {"num_levels": 12}])
def test_configs_that_cannot_be_are_refused(bad):
    with pytest.raises(ValueError, match="must be"):
        DynamicsConfig(**{"grid": (1, 2), "token_dim": 4, "kv_groups": 2, "width": 64, **bad})
