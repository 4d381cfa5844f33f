"""One step of training: nothing grows without bound."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tests.nn.test_nn import randomised
from worldsim.model.dynamics import Dynamics, DynamicsConfig
from worldsim.train.losses import MAX_LATENT, self_generated_context
from worldsim.train.optimizer import WEIGHT_DECAY, init_state, is_kernel, make_step, muon

CONFIG = DynamicsConfig(grid=(1, 2), token_dim=4, choice_sizes=(3,), width=32, head_dim=16, num_layers=2, window=4)


def test_kernels_decay_and_nothing_else():
    params = {"kernel": jnp.ones((3, 3, 4, 8)), "scale": jnp.ones((8,)), "embedding": jnp.ones((5, 8))}
    step = make_step(lambda params, *_: (jnp.float32(0), {}), muon(), ema=0.9, decay=is_kernel)
    state, _ = step(init_state(params), None, jax.random.key(0), jnp.float32(0.02))
    np.testing.assert_allclose(state.params["kernel"], 1 - 0.02 * WEIGHT_DECAY, rtol=1e-6)
    np.testing.assert_array_equal(state.params["scale"], 1)
    np.testing.assert_array_equal(state.params["embedding"], 1)


def test_a_prediction_that_diverges_does_not_become_a_past():
    dynamics = randomised(Dynamics(CONFIG, rngs=nnx.Rngs(0)))
    dynamics.out_proj.kernel[...] = 1e4 * jnp.ones_like(dynamics.out_proj.kernel[...])
    z, tau = jax.random.normal(jax.random.key(1), (2, 5, 2, 4)), jnp.full((2, 5), CONFIG.context_tau)
    generated = self_generated_context(dynamics, z, tau, jnp.zeros((2, 5, 1)), jnp.zeros((2,), bool), jax.random.key(2))
    assert float(jnp.abs(generated[:, 2:]).max()) == MAX_LATENT, "the test needs a prediction that diverges"
    np.testing.assert_array_equal(generated[:, :2], z[:, :2])
