"""A gated linear recurrence over time: memory of what left the attention window, at constant cost a frame.

    h_t = a_t * h_{t-1} + (1 - a_t) * x_t,   a_t = sigmoid(gate(x_t)) in (0, 1)

so that the state stays within the range of its inputs however long the stream (minGRU, Feng et al. 2024,
arXiv 2410.01201). Whole windows are computed by an associative scan, streams one step at a time.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from worldsim.nn.layers import RMSNorm, linear


class GatedRecurrence(nnx.Module):
    """A residual branch that remembers, one state vector a token."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.norm = RMSNorm(width)
        self.in_proj = linear(width, 3 * width, rngs=rngs)
        self.keep_bias = nnx.Param(jnp.linspace(0.0, 6.0, width))  # half-lives of 1 to about 280 frames
        self.out = linear(width, width, rngs=rngs, zero=True)

    def __call__(self, x: Float[Array, "b t m d"], isolated: Bool[Array, " b"]):
        """Return the branch for whole windows, and the state before each frame, from which `step` goes on.

        Rows that are `isolated` start anew at every frame.
        """
        keep, new, gate = self._gates(x)
        keep_from_past = jnp.where(isolated[:, None, None, None], 0.0, keep)

        def combine(left, right):
            return left[0] * right[0], right[0] * left[1] + right[1]

        _, state = jax.lax.associative_scan(combine, (keep_from_past, (1 - keep) * new), axis=1)
        before = jnp.pad(state[:, :-1], ((0, 0), (1, 0), (0, 0), (0, 0)))
        return self.out((state * gate).astype(x.dtype)), jnp.where(isolated[:, None, None, None], 0.0, before)

    def step(self, x: Float[Array, "b *t m d"], state: Float[Array, "b *t m d"]):
        """Return the branch for present frames, given the state before each, and the state after."""
        keep, new, gate = self._gates(x)
        state = keep * state + (1 - keep) * new
        return self.out((state * gate).astype(x.dtype)), state

    def _gates(self, x):
        keep, new, gate = jnp.split(self.in_proj(self.norm(x)).astype(jnp.float32), 3, axis=-1)
        bias = self.keep_bias[...].reshape((1,) * (x.ndim - 1) + (-1,))
        return jax.nn.sigmoid(keep + bias), new, jax.nn.silu(gate)
