"""Attention that streams as it trains, recurrence that scans as it steps, embeddings of what is not known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from worldsim.nn.attention import SpaceAttention, TimeAttention, attend, grid_angles, rotate
from worldsim.nn.embedding import ActionEmbedding, Controls, coordinates, patchify, unpatchify
from worldsim.nn.params import merge, split
from worldsim.nn.recurrence import GatedRecurrence

ALONE = jnp.zeros((2,), bool)


def randomised(module, seed=0):
    """Give every parameter noise, so that zero-initialised branches say something."""
    graph, params = split(module)
    leaves, tree = jax.tree.flatten(params)
    rng = np.random.default_rng(seed)  # NumPy's: JAX would compile a program for every shape
    noisy = [jnp.asarray(np.asarray(x) + 0.3 * rng.normal(size=x.shape).astype(np.float32)) for x in leaves]
    return merge(graph, jax.tree.unflatten(tree, noisy))


def test_attention_is_a_softmax_average_with_shared_key_heads():
    q, k, v = (jax.random.normal(jax.random.key(i), s) for i, s in enumerate([(3, 4, 8), (5, 2, 8), (5, 2, 8)]))
    out = attend(q, k, v)
    logits = jnp.einsum("qd,kd->qk", q[:, 3], k[:, 1]) * 8**-0.5
    weights = jax.nn.softmax(30 * jnp.tanh(logits / 30))
    np.testing.assert_allclose(out[:, 3], weights @ v[:, 1], rtol=1e-5)


def test_rotation_makes_products_depend_on_distance_only():
    q, k = jax.random.normal(jax.random.key(0), (2, 1, 1, 32))
    angles = grid_angles(6, 6, 0, 32).reshape(6, 6, -1)

    def product(a, b):
        return (rotate(q, angles[a][None]) * rotate(k, angles[b][None])).sum()

    np.testing.assert_allclose(product((0, 1), (2, 3)), product((3, 2), (5, 4)), rtol=1e-4)
    assert abs(product((0, 1), (2, 3)) - product((0, 1), (2, 4))) > 1e-3


@pytest.mark.parametrize("num_sinks", [0, 2])
def test_streamed_time_attention_equals_the_whole_past_two_wraps_of_the_ring(num_sinks):
    layer = randomised(TimeAttention(32, 4, 2, window=3, num_sinks=num_sinks, rngs=nnx.Rngs(0)))
    x = jax.random.normal(jax.random.key(1), (2, 11, 5, 32))
    whole, _ = jax.jit(layer.__call__)(x, ALONE)

    @jax.jit
    def step(x_t, past, count):
        out, fresh = layer.step(x_t, past, count)
        return out, layer.keep(past, fresh, count)

    past = layer.empty(2, 5)
    for t in range(11):
        out, past = step(x[:, t], past, jnp.full((2,), t))
        np.testing.assert_allclose(out, whole[:, t], atol=2e-5)


@pytest.mark.parametrize("num_sinks", [0, 2])
def test_frames_beside_the_past_see_what_the_past_saw(num_sinks):
    layer = randomised(TimeAttention(32, 4, 2, window=3, num_sinks=num_sinks, rngs=nnx.Rngs(0)))
    x, other = jax.random.normal(jax.random.key(1), (2, 2, 8, 5, 32))
    call, beside = jax.jit(layer.__call__), jax.jit(layer.beside)
    whole, past = call(x, ALONE)
    np.testing.assert_allclose(beside(x, past, ALONE), whole, atol=2e-5)
    replaced, _ = call(x.at[:, 6].set(other[:, 6]), ALONE)
    np.testing.assert_allclose(beside(other, past, ALONE)[:, 6], replaced[:, 6], atol=2e-5)


def test_isolated_rows_see_no_other_frame():
    layer = randomised(TimeAttention(32, 2, 2, window=3, num_sinks=1, rngs=nnx.Rngs(0)))
    x = jax.random.normal(jax.random.key(1), (2, 6, 4, 32))
    call = jax.jit(layer.__call__)
    out, _ = call(x, jnp.array([True, False]))
    alone = jnp.stack([call(x[:, t : t + 1], ALONE)[0][:, 0] for t in range(6)], 1)
    np.testing.assert_allclose(out[0], alone[0], atol=1e-5)
    assert float(jnp.abs(out[1] - alone[1])[1:].max()) > 1e-2


def test_recurrence_scans_as_it_steps_and_stays_bounded():
    layer = randomised(GatedRecurrence(16, rngs=nnx.Rngs(0)))
    x = jax.random.normal(jax.random.key(1), (2, 40, 3, 16))
    (whole, before), state, step = jax.jit(layer.__call__)(x, ALONE), jnp.zeros((2, 3, 16)), jax.jit(layer.step)
    for t in range(40):
        np.testing.assert_allclose(state, before[:, t], atol=2e-4)
        out, state = step(x[:, t], state)
        np.testing.assert_allclose(out, whole[:, t], atol=2e-4)
    assert np.isfinite(np.asarray(state)).all()


def test_recurrence_of_isolated_rows_forgets():
    layer = randomised(GatedRecurrence(16, rngs=nnx.Rngs(0)))
    x = jax.random.normal(jax.random.key(1), (2, 5, 3, 16))
    call = jax.jit(layer.__call__)
    out, before = call(x, jnp.array([True, False]))
    np.testing.assert_allclose(out[0, 3:4], call(x[:1, 3:4], ALONE[:1])[0][0], atol=1e-5)
    assert not bool(before[0].any()) and bool(before[1].any())


def test_space_attention_takes_any_grid():
    layer = randomised(SpaceAttention(32, 2, 1, rngs=nnx.Rngs(0)))
    for height, width in ((2, 3), (5, 4)):
        angles = grid_angles(height, width, 1, 16)
        out = jax.jit(lambda x: layer(x, angles))(jnp.ones((2, height * width + 1, 32)))  # noqa: B023
        assert out.shape == (2, height * width + 1, 32)


def test_patches_round_trip():
    x = jnp.arange(2 * 8 * 12 * 3, dtype=jnp.float32).reshape(2, 8, 12, 3)
    np.testing.assert_array_equal(unpatchify(patchify(x, 4), 4), x)


def test_coordinates_mean_the_same_place_on_every_grid():
    coarse, fine = coordinates(1, 1), coordinates(3, 3)
    np.testing.assert_allclose(coarse[0], fine[4], atol=1e-5)


def test_unknown_actions_share_one_vector_whatever_their_other_columns():
    embed = ActionEmbedding(8, Controls((3,), 1, ((-5.0, 5.0),)), rngs=nnx.Rngs(0))
    rows = jnp.array([[0.0, 1.0, 2.0], [2.0, 0.0, -5.0], [jnp.nan] * 3, [1.0, jnp.nan, 0.0]])
    out = embed(rows)
    np.testing.assert_array_equal(out[2], out[3])
    assert float(jnp.abs(out[0] - out[1]).max()) > 0 and bool(jnp.isfinite(out).all())


def test_parameters_travel_as_string_keyed_dicts():
    layer = SpaceAttention(32, 2, 2, rngs=nnx.Rngs(0))
    graph, params = split(nnx.List([layer]))
    assert list(params) == ["0"]
    again = merge(graph, params)
    np.testing.assert_array_equal(again[0].qkv.kernel[...], layer.qkv.kernel[...])
