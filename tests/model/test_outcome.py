"""Rewards as classes that keep their magnitude."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from worldsim.model.outcome import Outcome, OutcomeConfig, outcome_loss, symexp, symlog, two_hot

CONFIG = OutcomeConfig(hidden=8)


def test_symlog_round_trips():
    x = jnp.array([-300.0, -1.0, 0.0, 0.1, 21.0])
    np.testing.assert_allclose(symexp(symlog(x)), x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reward", [0.0, 1.0, -1.0, 0.1, 37.5])
def test_two_hot_keeps_the_reward_as_its_mean_in_symlog_space(reward):
    share = two_hot(jnp.array([reward]), CONFIG)[0]
    bins = jnp.linspace(-CONFIG.limit, CONFIG.limit, CONFIG.num_bins)
    assert int((share > 1e-6).sum()) <= 2 and abs(float(share.sum()) - 1) < 1e-5
    np.testing.assert_allclose(symexp((share * bins).sum()), reward, rtol=1e-4, atol=1e-5)


def test_untrained_heads_expect_nothing():
    reward, end = Outcome(CONFIG, d_in=4, rngs=nnx.Rngs(0)).read(jnp.ones((3, 4)))
    np.testing.assert_allclose(reward, 0, atol=1e-4)
    assert float(end.max()) < 0.01


def test_a_summary_is_all_that_is_read_until_the_rest_is_learned():
    head = Outcome(CONFIG, d_in=7, d_summary=3, rngs=nnx.Rngs(0))
    head.out_proj.kernel[...] = jnp.ones_like(head.out_proj.kernel[...])
    tokens, summary = jax.random.normal(jax.random.key(0), (2, 5, 4))[0], jax.random.normal(jax.random.key(1), (5, 3))
    alone = head.of_summary(summary)
    np.testing.assert_allclose(alone[1], head(jnp.concatenate([tokens, summary], -1))[1], rtol=1e-5)
    assert np.ptp(alone[1]) > 0.1
    head.in_proj.kernel[...] = jnp.ones_like(head.in_proj.kernel[...])
    assert not np.allclose(alone[1], head(jnp.concatenate([tokens, summary], -1))[1], atol=0.1)


def test_loss_counts_only_what_has_weight():
    bins, end = jnp.zeros((2, CONFIG.num_bins)), jnp.array([0.0, 50.0])
    reward, terminated = jnp.zeros(2), jnp.array([False, False])
    loss = outcome_loss(bins, end, reward, terminated, jnp.array([1.0, 0.0]), CONFIG)
    np.testing.assert_allclose(loss, np.log(CONFIG.num_bins) + np.log(2), rtol=1e-5)


def test_heads_learn_a_reward_and_an_end():
    import optax

    head = Outcome(CONFIG, d_in=4, rngs=nnx.Rngs(0))
    graph, params = nnx.split(head)
    hidden = jax.random.normal(jax.random.key(0), (256, 4))
    reward, end = jnp.where(hidden[:, 0] > 0, 1.0, 0.0), hidden[:, 1] > 0
    optimizer = optax.adam(3e-2)

    @jax.jit
    def step(params, state):
        def loss(p):
            return outcome_loss(*nnx.merge(graph, p)(hidden), reward, end, jnp.ones(256), CONFIG)

        gradient = jax.grad(loss)(params)
        update, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, update), state

    state = optimizer.init(params)
    for _ in range(150):
        params, state = step(params, state)
    said, ended = nnx.merge(graph, params).read(hidden)
    assert float(((said > 0.5) == (reward > 0.5)).mean()) > 0.97
    assert float(((ended > 0.5) == end).mean()) > 0.97


def test_bins_want_a_middle():
    with pytest.raises(ValueError, match="odd"):
        OutcomeConfig(num_bins=40)
