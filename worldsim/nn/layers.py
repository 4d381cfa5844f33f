"""Parts that every block uses: linear maps without bias, RMS norm, SwiGLU, and the dtype to compute in."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float


def compute_dtype() -> jnp.dtype:
    """Choose bfloat16 where the hardware multiplies it faster, float32 on a CPU. Parameters stay float32."""
    return jnp.dtype(jnp.float32) if jax.default_backend() == "cpu" else jnp.dtype(jnp.bfloat16)


def linear(d_in: int, d_out: int, *, rngs: nnx.Rngs, zero: bool = False) -> nnx.Linear:
    """Make a linear map without bias; `zero` starts it at nothing, so that a residual branch starts as identity."""
    init = nnx.initializers.zeros if zero else nnx.initializers.lecun_normal()
    return nnx.Linear(d_in, d_out, use_bias=False, kernel_init=init, dtype=compute_dtype(), rngs=rngs)


def rms_norm(x: Float[Array, "... d"]) -> Float[Array, "... d"]:
    """Scale vectors to unit root mean square, in float32."""
    x32 = x.astype(jnp.float32)
    return (x32 * jax.lax.rsqrt((x32 * x32).mean(-1, keepdims=True) + 1e-6)).astype(x.dtype)


class RMSNorm(nnx.Module):
    """Root-mean-square norm with a learned scale (Zhang and Sennrich 2019)."""

    def __init__(self, width: int):
        self.scale = nnx.Param(jnp.ones((width,)))

    def __call__(self, x: Float[Array, "... d"]) -> Float[Array, "... d"]:
        """Normalise the last axis."""
        scale = self.scale[...].astype(x.dtype)
        return rms_norm(x) * scale.reshape((1,) * (x.ndim - 1) + scale.shape)


class SwiGLU(nnx.Module):
    """Pre-norm gated feed-forward branch (Shazeer 2020) with `expansion` times the width inside."""

    def __init__(self, width: int, *, expansion: float, rngs: nnx.Rngs):
        inner = 8 * round(expansion * width / 8)
        self.norm = RMSNorm(width)
        self.up = linear(width, 2 * inner, rngs=rngs)
        self.down = linear(inner, width, rngs=rngs, zero=True)

    def __call__(self, x: Float[Array, "... d"]) -> Float[Array, "... d"]:
        """Return the branch, to be added to x."""
        gate, value = jnp.split(self.up(self.norm(x)), 2, axis=-1)
        return self.down(nnx.silu(gate) * value)


def like(value: Float[Array | np.ndarray, "..."], x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Add leading axes so that `value` broadcasts against x, in its dtype."""
    return jnp.asarray(value, x.dtype).reshape((1,) * (x.ndim - value.ndim) + value.shape)
