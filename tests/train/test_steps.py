"""One step of training: what is kept from growing without bound."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tests.nn.test_nn import randomised
from worldsim.dynamics import Dynamics, DynamicsConfig
from worldsim.train.steps import FURTHEST, WEIGHT_DECAY, init_state, make_step, own_past

CONFIG = DynamicsConfig(grid=(1, 2), token_dim=4, choice_sizes=(3,), width=32, head_dim=16, num_layers=2, window=4)


def test_kernels_decay_and_nothing_else():
    params = {"kernel": jnp.ones((3, 3, 4, 8)), "scale": jnp.ones((8,)), "embedding": jnp.ones((5, 8))}
    step = make_step(lambda params, *_: (jnp.float32(0), {}), ema=0.9)
    state, _ = step(init_state(params), None, jax.random.key(0), jnp.float32(0.02))
    np.testing.assert_allclose(state.params["kernel"], 1 - 0.02 * WEIGHT_DECAY, rtol=1e-6)
    np.testing.assert_array_equal(state.params["scale"], 1)
    np.testing.assert_array_equal(state.params["embedding"], 1)


def test_a_guess_that_runs_away_does_not_become_a_past():
    dynamics = randomised(Dynamics(CONFIG, rngs=nnx.Rngs(0)))
    dynamics.leave.kernel[...] = 1e4 * jnp.ones_like(dynamics.leave.kernel[...])
    z, tau = jax.random.normal(jax.random.key(1), (2, 5, 2, 4)), jnp.full((2, 5), CONFIG.past_level)
    guess = own_past(dynamics, z, tau, jnp.zeros((2, 5, 1)), jnp.zeros((2,), bool), jax.random.key(2))
    assert float(jnp.abs(guess[:, 2:]).max()) == FURTHEST, "the test wants a guess that runs away"
    np.testing.assert_array_equal(guess[:, :2], z[:, :2])
