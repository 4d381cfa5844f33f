"""How the dynamics use a camera: what its way tells of a frame, what that leaves open, and how far down it looks."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from worldsim.dynamics.cache import Glimpse
from worldsim.dynamics.config import DynamicsConfig
from worldsim.nn.layers import like
from worldsim.nn.local import conv, pack_cells, unpack

ROWS = 8  # of a picture


class Gaze(nnx.Module):
    """Tells the pitch from what stands how high in a picture: the controls say only by how much it changes."""

    def __init__(self, cell: int, width: int, *, rngs: nnx.Rngs):
        self.see = conv(cell, width, rngs=rngs)
        self.enter = nnx.Linear(width * ROWS, 64, rngs=rngs)
        self.leave = nnx.Linear(64, 1, kernel_init=nnx.initializers.zeros, rngs=rngs)

    def __call__(self, cells: Float[Array, "*b y x c"]) -> Float[Array, " *b"]:
        """Estimate the pitch of cells of latents, in radians downwards; 0 before anything was learned."""
        seen = nnx.silu(self.see(cells)).astype("float32").mean(-2)
        rows = jax.image.resize(seen, (*seen.shape[:-2], ROWS, seen.shape[-1]), "linear")
        return self.leave(nnx.silu(self.enter(rows.reshape(*rows.shape[:-2], -1))))[..., 0]


def shares(glimpse: Glimpse, is_known: Float[Array, "*b 1 1"]) -> Float[Array, "*b y x 3"]:
    """How much of each cell is fresh, old and new; nothing at all where there was no frame before."""
    fresh, old = glimpse.fresh, glimpse.old
    return jnp.stack([fresh, old, 1 - fresh - old], -1) * is_known[..., None]


def settled(
    z: Float[Array, "*b n c"], glimpse: Float[Array, "*b n c"], config: DynamicsConfig
) -> Float[Array, "*b n c"]:
    """Let small differences from what is in sight be none, cell by cell, and shrink large ones a little.

    What is in sight next is what was dreamed now, so that errors too small to see add up where nothing happens. With
    n the root mean square difference of a cell, it is shrunk by n^2 / (n^2 + least_change^2), as a Wiener filter does.
    """
    if not config.least_change:
        return z
    change = unpack(z - glimpse, config.grid, config.pack)
    power = jnp.square(change).mean(-1, keepdims=True)
    return glimpse + pack_cells(change * power / (power + config.least_change**2), config.pack)


def expected_change(
    shares: Float[Array, "*b y x 3"], surprise: Float[Array, "3 c"], config: DynamicsConfig
) -> Float[Array, "*b n c"]:
    """Give the mean square distance of a frame from its glimpse, as its cells are fresh, old or new."""
    cell = config.token_dim // config.pack**2
    by_place = [pack_cells(jnp.repeat(shares[..., i, None], cell, -1), config.pack) for i in range(3)]
    parts = [x * like(q, x) for x, q in zip(by_place, surprise, strict=True)]
    return parts[0] + parts[1] + parts[2]
