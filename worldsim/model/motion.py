"""Motion: what stands in a frame is copied from where it stood in the last one, pixel by pixel.

A network that paints the next frame has to learn what a thing looks like for every distance that it may go and every
place within a cell that it may come from. Here it says how far the things around a cell have gone, as a probability for
each displacement within reach, and the pixels of the last frame are moved by these: that a paddle goes six pixels down
is learned once. All displacements are weighed at once, so that a gradient finds one that is far away, where that of
sampling at a place sees the next pixel only.

Source: dynamic neural advection, Finn, Goodfellow and Levine 2016, arXiv 1605.07157.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from worldsim.model.config import DynamicsConfig, ForecastConfig
from worldsim.model.picture import RING
from worldsim.nn.embedding import patchify, unpatchify
from worldsim.nn.local import soft_norm

START_STILL = 8.0  # of the logit of staying: of two hundred other displacements each has the logit 0


class Motion(nnx.Module):
    """Move the pixels of cells by displacements that are read off the features of each cell.

    Args:
        width: channels of the features.
        cell_dim: channels of a cell: its pixels, row by row.
        config: of the dynamics, whose picture it is.
        forecast: how far things go in a frame, and how large a cell is.
    """

    def __init__(self, width: int, cell_dim: int, config: DynamicsConfig, forecast: ForecastConfig, *, rngs: nnx.Rngs):
        self.picture, self.reach, self.side = config.picture, forecast.reach, forecast.cell_side
        num = (2 * self.reach[0] + 1) * (2 * self.reach[1] + 1)
        self.logits = nnx.Linear(width, num, kernel_init=nnx.initializers.zeros, bias_init=_stay(num // 2), rngs=rngs)
        places = (1, 1) if config.columns is not None else self.picture  # weights of several games are of no size
        self.base = nnx.Param(jnp.zeros((*places, cell_dim)))  # the mean picture; training sets it

    def __call__(
        self,
        features: Float[Array, "*b y x e"],
        last: Float[Array, "*b y x c"],
        corner: Int[Array, "*b 2"] | None = None,
    ) -> Float[Array, "*b y x c"]:
        """Return the cells that `last`, deviations from the mean picture, becomes; `corner` as in `ForecastNet`."""
        weights = jax.nn.softmax(self.logits(soft_norm(features)).astype(jnp.float32))
        base = self._base(last.shape[-3:-1], corner)
        base = base.reshape((1,) * (last.ndim - base.ndim) + base.shape)
        return patchify(advect(unpatchify(last + base, self.side), weights, self.reach, self.side), self.side) - base

    def set_base(self, nothing: Float[Array, "y x c"]) -> None:
        """Set the mean picture, given the cells of a frame of zeros, in their ring, as deviations from it."""
        base = -nothing[RING:-RING, RING:-RING]
        self.base[...] = base if self.base[...].shape == base.shape else base.mean((0, 1), keepdims=True)

    def _base(self, size: tuple[int, ...], corner: Int[Array, "*b 2"] | None) -> Float[Array, "*b y x c"]:
        whole = jax.lax.stop_gradient(self.base[...])
        whole = jnp.broadcast_to(whole, (*self.picture, whole.shape[-1]))
        odd = [n % 2 for n in self.picture]  # corners are even, so parts of frames may reach one cell farther
        whole = jnp.pad(whole, [(RING, RING + odd[0]), (RING, RING + odd[1]), (0, 0)], mode="edge")
        if corner is None:
            return whole[: size[0], : size[1]]
        return jax.vmap(lambda at: jax.lax.dynamic_slice(whole, (*at, 0), (*size, whole.shape[-1])))(corner)


def _stay(middle: int) -> nnx.Initializer:
    return lambda key, shape, dtype=jnp.float32: jnp.zeros(shape, dtype).at[middle].set(START_STILL)


def advect(
    picture: Float[Array, "*b h w c"], weights: Float[Array, "*b y x d"], reach: tuple[int, int], side: int
) -> Float[Array, "*b h w c"]:
    """Return the mean of a picture moved by each displacement, by the weights of each cell of `side` pixels.

    Displacements are numbered row by row, from (-reach[0], -reach[1]) on; a thing that goes down has a positive row.
    Beyond the edge the picture goes on as at the edge.
    """
    height, width = picture.shape[-3:-1]
    down, across = reach
    leading = [(0, 0)] * (picture.ndim - 3)
    planes = jnp.moveaxis(picture, -1, -3)  # of colours, so that a row of pixels is one vector
    planes = jnp.pad(planes, [*leading, (0, 0), (down, down), (across, across)], mode="edge")
    shares = jnp.moveaxis(weights.reshape(*weights.shape[:-1], 2 * down + 1, 2 * across + 1), (-2, -1), (0, 1))

    @jax.checkpoint
    def add_row(total, row):
        shift, share = row
        rows = jax.lax.dynamic_slice_in_dim(planes, 2 * down - shift, height, -2)
        for i in range(2 * across + 1):
            whole = jnp.repeat(jnp.repeat(share[i], side, -2), side, -1)[..., None, :, :]
            total = total + whole * rows[..., 2 * across - i : 2 * across - i + width]
        return total, None

    start = jnp.zeros_like(planes[..., down : down + height, across : across + width])
    moved, _ = jax.lax.scan(add_row, start, (jnp.arange(2 * down + 1), shares))
    return jnp.moveaxis(moved, -3, -1)
