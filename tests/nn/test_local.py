"""The local path: tokens and cells are one thing in two layouts, and a block sees neighbours alike everywhere."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tests.nn.test_nn import randomised
from worldsim.nn.embedding import patchify
from worldsim.nn.local import ConvBlock, SeparableConv, pack_cells, soft_norm, tap, unpack


def test_tokens_lie_as_the_tokenizer_packs_them():
    cells = jnp.arange(2 * 4 * 6 * 3, dtype=jnp.float32).reshape(2, 4, 6, 3)
    tokens = pack_cells(cells, 2)
    np.testing.assert_array_equal(tokens, patchify(cells, 2).reshape(2, 6, 12))
    np.testing.assert_array_equal(unpack(tokens, (2, 3), 2), cells)


def test_an_untrained_block_is_nothing():
    x = jax.random.normal(jax.random.key(0), (2, 5, 5, 8))
    block = ConvBlock(8, cond_width=6, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(block(x, jnp.ones((2, 6))), x)


def test_what_moves_by_a_cell_is_seen_alike():
    block = randomised(ConvBlock(8, cond_width=6, rngs=nnx.Rngs(0)))
    cond = jax.random.normal(jax.random.key(1), (1, 6))
    thing = jax.random.normal(jax.random.key(2), (1, 2, 2, 8))
    here = jnp.zeros((1, 9, 9, 8)).at[:, 3:5, 3:5].set(thing)
    there = jnp.zeros((1, 9, 9, 8)).at[:, 4:6, 5:7].set(thing)
    out_here, out_there = block(here, cond), block(there, cond)
    np.testing.assert_allclose(out_here[:, 2:6, 2:6], out_there[:, 3:7, 4:8], atol=1e-5)
    assert float(jnp.abs(out_here[:, 2, 2]).max()) > 1e-3, "neighbours should see the thing"


def test_the_norm_bounds_what_is_large_and_leaves_what_is_small():
    direction = jax.random.normal(jax.random.key(0), (16,))
    small, large = 1e-3 * direction, 1e3 * direction
    np.testing.assert_allclose(soft_norm(small), small, rtol=1e-4)
    np.testing.assert_allclose(jnp.square(soft_norm(large)).mean(), 1, rtol=1e-4)


def test_a_separable_convolution_is_a_full_one_of_each_channel_and_a_map():
    layer = SeparableConv(3, 5, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (2, 6, 7, 3))
    kernel = layer.taps[...][..., None] * layer.out.kernel[...][None, None]
    full = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    np.testing.assert_allclose(layer(x), full, atol=1e-5)


def test_the_gradient_of_taps_is_that_of_a_convolution():
    x, taps = jax.random.normal(jax.random.key(0), (2, 3, 6, 7, 4)), jax.random.normal(jax.random.key(1), (3, 3, 4))

    def convolved(x, taps):
        flat = x.reshape(-1, *x.shape[2:])
        layout = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "feature_group_count": 4}
        return jax.lax.conv_general_dilated(flat, taps[:, :, None], (1, 1), "SAME", **layout).reshape(x.shape)

    def gradients(f):
        return jax.jit(jax.grad(lambda x, taps: jnp.sin(f(x, taps)).sum(), (0, 1)))(x, taps)

    for ours, theirs in zip(gradients(tap), gradients(convolved), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
