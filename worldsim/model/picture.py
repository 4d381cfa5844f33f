"""The cells of the picture, in a ring of empty ones.

Tokens may reach past the picture, and beyond the edge of an array a convolution sees zeros, whether a frame ends there
or a part was cut out of it. In the ring the edge of the picture shows: worlds have walls there.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Float, Int

from worldsim.model.config import DynamicsConfig

RING = 2  # cells, an even number


def lay_out(z: Any, config: DynamicsConfig) -> Any:
    """Lay tokens `[... n k]`, of JAX or NumPy, out as cells of the picture in their ring, `[... y x c]` of the same."""
    (rows, columns), xp = config.picture, np if isinstance(z, np.ndarray) else jnp
    cells = rearrange(z, "... (h w) (p q c) -> ... (h p) (w q) c", h=config.grid[0], p=config.pack, q=config.pack)[
        ..., :rows, :columns, :
    ]
    return xp.pad(cells, [(0, 0)] * (cells.ndim - 3) + [(RING, RING), (RING, RING), (0, 0)])


def put_back(cells: Float[Array, "*b y x c"], whole: Float[Array, "*b v u c"]) -> Float[Array, "*b v u c"]:
    """Put the cells of a picture, in their ring, in their place among all cells that tokens have."""
    inner = cells[..., RING:-RING, RING:-RING, :]
    return whole.at[..., : inner.shape[-3], : inner.shape[-2], :].set(inner.astype(whole.dtype))


def shows_picture(
    config: DynamicsConfig, size: tuple[int, ...], corner: Int[Array, "*b 2"] | None = None
) -> Float[Array, "*b y x 1"]:
    """Return 1 for the cells of the picture and 0 for those of its ring, of the whole or of parts of `size` cells."""
    corner = jnp.zeros((2,), jnp.int32) if corner is None else corner
    leading = (1,) * (corner.ndim - 1)
    at = [corner[..., axis, None] + jnp.arange(size[axis]).reshape(*leading, -1) for axis in (0, 1)]
    rows, columns = ((x >= RING) & (x < RING + num) for x, num in zip(at, config.picture, strict=True))
    return (rows[..., :, None] & columns[..., None, :])[..., None].astype(jnp.float32)
