"""Estimate the camera's pitch from a frame: the controls only say by how much it changes."""

from __future__ import annotations

import jax
from flax import nnx
from jaxtyping import Array, Float

from worldsim.nn.local import conv

ROWS = 8  # of the frame, after pooling over columns


class PitchNet(nnx.Module):
    """Regress the pitch from the rows of a frame's latent cells."""

    def __init__(self, cell_dim: int, width: int, *, rngs: nnx.Rngs):
        self.conv_in = conv(cell_dim, width, rngs=rngs)
        self.in_proj = nnx.Linear(width * ROWS, 64, rngs=rngs)
        self.out_proj = nnx.Linear(64, 1, kernel_init=nnx.initializers.zeros, rngs=rngs)

    def __call__(self, cells: Float[Array, "*b y x c"]) -> Float[Array, " *b"]:
        """Return the pitch of latent cells, in radians downwards; 0 before training."""
        x = nnx.silu(self.conv_in(cells)).astype("float32").mean(-2)
        rows = jax.image.resize(x, (*x.shape[:-2], ROWS, x.shape[-1]), "linear")
        return self.out_proj(nnx.silu(self.in_proj(rows.reshape(*rows.shape[:-2], -1))))[..., 0]
