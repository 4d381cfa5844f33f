"""The overview: what happens in the whole frame, as one vector beside the action.

A convolution sees a few cells around it. What a paddle does follows from a ball across the picture, and the tail of a
snake stays where it is because its head has eaten. So every cell is also told what the frame as a whole holds: squares
of cells, each with its place, looked at together and pooled. That is FiLM (Perez et al. 2017, arXiv 1709.07871) by a
summary of the input itself, as in squeeze-and-excitation (Hu et al. 2017, arXiv 1709.01507).
"""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from worldsim.nn.embedding import GridEmbedding, patchify
from worldsim.nn.layers import like, linear
from worldsim.nn.local import ConvBlock, pool

SQUARE = 4  # cells of a side
NUM_FRAMES = 2  # of the past: what moves has a velocity


class Overview(nnx.Module):
    """Describe whole frames as vectors; zero at first."""

    def __init__(self, cell_dim: int, width: int, cond_width: int, *, rngs: nnx.Rngs):
        self.in_proj = linear(NUM_FRAMES * SQUARE**2 * cell_dim, width, rngs=rngs)
        self.pos_embed = GridEmbedding(width, rngs=rngs)
        self.block = ConvBlock(width, cond_width=cond_width, separable=True, rngs=rngs)
        self.out_proj = linear(2 * width, cond_width, rngs=rngs, zero=True)

    def __call__(self, before: Float[Array, "*b k y x c"], cond: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
        """Describe what follows the frames `before`, latest first, given what is known already."""
        frames = [before[..., min(age, before.shape[-4] - 1), :, :, :] for age in range(NUM_FRAMES)]
        cells = jnp.concatenate(frames, -1)
        ends = [(0, 0)] * (cells.ndim - 3) + [(0, -n % SQUARE) for n in cells.shape[-3:-1]] + [(0, 0)]
        squares = self.in_proj(patchify(jnp.pad(cells, ends), SQUARE))
        rows, columns, width = squares.shape[-3:]
        squares = squares + like(self.pos_embed(rows, columns).reshape(rows, columns, width), squares)
        return self.out_proj(pool(self.block(squares, cond)))
