"""The local path: convolutions over the cells of a frame, beside the transformer over its tokens.

A token packs a square of cells, the patches of the tokenizer. What moves by a few pixels moves from cell to cell, and a
convolution learns that once for all places, where a transformer over packed tokens learns a table for each place within
a token. Its norm bounds what is large and leaves what is small: most cells of a game's picture are empty, and a norm
proper would lift their noise to the size of what is there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import reduce

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx
from jaxtyping import Array, Float

from worldsim.nn.layers import compute_dtype, like, linear


def conv(d_in: int, d_out: int, *, rngs: nnx.Rngs) -> nnx.Conv:
    """Make a 3 x 3 convolution without bias; the frame goes on as zeros beyond its edge."""
    return nnx.Conv(d_in, d_out, (3, 3), use_bias=False, dtype=compute_dtype(), rngs=rngs)


def unpack(z: Float[Array, "*b n k"], grid: tuple[int, int], pack: int) -> Float[Array, "*b y x c"]:
    """Lay tokens out as cells: `[... n p*p*c] -> [... h*p w*p c]`."""
    return rearrange(z, "... (h w) (p q c) -> ... (h p) (w q) c", h=grid[0], p=pack, q=pack)


def pack_cells(cells: Float[Array, "*b y x c"], pack: int) -> Float[Array, "*b n k"]:
    """The inverse of `unpack`."""
    return rearrange(cells, "... (h p) (w q) c -> ... (h w) (p q c)", p=pack, q=pack)


class SeparableConv(nnx.Module):
    """A 3 x 3 convolution of each channel, then a linear map of the channels (Chollet 2016, arXiv 1610.02357).

    On a processor it takes a third of the time of a full one, and what moves by a cell is one of its taps.
    """

    def __init__(self, d_in: int, d_out: int, *, rngs: nnx.Rngs):
        here = jnp.zeros((3, 3, d_in)).at[1, 1].set(1.0)
        self.taps = nnx.Param(here + 0.2 * jax.random.normal(rngs.params(), here.shape))
        self.out = linear(d_in, d_out, rngs=rngs)

    def __call__(self, x: Float[Array, "*b y x c"]) -> Float[Array, "*b y x d"]:
        """Apply the convolution; the frame goes on as zeros beyond its edge."""
        return by_row(self.out, jax.lax.optimization_barrier(tap(x, self.taps[...].astype(x.dtype))))


@jax.custom_vjp
def tap(x: Float[Array, "*b y x c"], taps: Float[Array, "3 3 c"]) -> Float[Array, "*b y x c"]:
    """Convolve each channel with its own 3 x 3 taps; the frame goes on as zeros beyond its edge.

    The gradient is written out and kept from being fused with what comes before and after: the compiler would find
    that anew for each of the nine taps, and two blocks of it took three times as long.
    """
    return reduce(jnp.add, (like(taps[i, j], x) * part for (i, j), part in _shifted(x)))


def _tap_forward(x: Array, taps: Array) -> tuple[Array, tuple[Array, Array]]:
    return tap(x, taps), (x, taps)


def _tap_backward(saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    (x, taps), channels = saved, gradient.shape[-1]
    gradient = jax.lax.optimization_barrier(gradient)
    of_x = reduce(jnp.add, (like(taps[2 - i, 2 - j], x) * part for (i, j), part in _shifted(gradient)))
    ones = jnp.ones((1, gradient.size // channels), gradient.dtype)  # a sum as a product, which is the faster one
    of_taps = jnp.concatenate([ones @ (part * gradient).reshape(-1, channels) for _, part in _shifted(x)])
    return jax.lax.optimization_barrier(of_x), of_taps.reshape(taps.shape)


tap.defvjp(_tap_forward, _tap_backward)


def _shifted(x: Float[Array, "*b y x c"]) -> Iterator[tuple[tuple[int, int], Float[Array, "*b y x c"]]]:
    """Yield a frame moved by -1, 0 and 1 cells along both axes, with the number of each tap."""
    height, width = x.shape[-3:-1]
    around = jax.lax.optimization_barrier(jnp.pad(x, [(0, 0)] * (x.ndim - 3) + [(1, 1), (1, 1), (0, 0)]))
    for i, j in itertools.product(range(3), range(3)):
        yield (i, j), around[..., i : i + height, j : j + width, :]


class ConvBlock(nnx.Module):
    """A residual branch that looks at the neighbours and gates what it finds.

    a, b = V conv(norm(x)),   x + W (silu(a + U cond) * b)
    """

    def __init__(self, width: int, *, cond_width: int = 0, separable: bool = False, rngs: nnx.Rngs):
        self.conv = (SeparableConv if separable else conv)(width, 2 * width, rngs=rngs)
        self.cond = linear(cond_width, width, rngs=rngs) if cond_width else None
        self.out = linear(width, width, rngs=rngs, zero=True)

    def __call__(
        self, x: Float[Array, "*b y x c"], cond: Float[Array, "*b d"] | None = None
    ) -> Float[Array, "*b y x c"]:
        """Apply the block; `cond` `[... d]` bends the gates of all cells of a frame alike."""
        gate, value = jnp.split(self.conv(soft_norm(x)), 2, axis=-1)
        if self.cond is not None and cond is not None:
            gate = gate + self.cond(cond)[..., None, None, :]
        return x + by_row(self.out, nnx.silu(gate) * value)


def by_row(linear: nnx.Linear, x: Float[Array, "... c"]) -> Float[Array, "... d"]:
    """Map the channels of an array of any shape as one matrix: on a processor its gradient takes half of the time."""
    return linear(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], -1)


def soft_norm(x: Float[Array, "... c"]) -> Float[Array, "... c"]:
    """Bound vectors without lifting small ones: x / sqrt(1 + mean x^2)."""
    x32 = x.astype(jnp.float32)
    return (x32 * jax.lax.rsqrt(1 + (x32 * x32).mean(-1, keepdims=True))).astype(x.dtype)


def pool(x: Float[Array, "*b y x c"]) -> Float[Array, "*b d"]:
    """Describe frames as wholes: the largest and the mean of each channel, bounded, twice as many."""
    seen = soft_norm(x)
    return jnp.concatenate([seen.max((-3, -2)), seen.mean((-3, -2))], -1)
