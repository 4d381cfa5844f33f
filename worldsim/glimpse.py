"""What a camera's way tells of the next frame, between pictures and latents."""

from __future__ import annotations

import jax.numpy as jnp
from einops import reduce
from jaxtyping import Array, Float

from worldsim.dynamics import Cache, Dynamics, DynamicsConfig
from worldsim.dynamics.cache import Glimpse
from worldsim.nn.camera import Sight, View, see, turned
from worldsim.nn.local import unpack
from worldsim.tokenizer import Tokenizer
from worldsim.types import frame_to_obs, obs_to_frame


def coded(tokenizer: Tokenizer, sight: Sight, config: DynamicsConfig) -> Glimpse:
    """Code what is in sight as the dynamics see it."""
    fresh, old = (_by_cell(x.astype(jnp.float32), config) for x in (sight.fresh, sight.old))
    return Glimpse(tokenizer.encode(obs_to_frame(sight.frame)), fresh, old)


def remembered(
    tokenizer: Tokenizer,
    dynamics: Dynamics,
    cache: Cache,
    z: Float[Array, "b n c"],
    prev_action: Float[Array, "b a"],
    *,
    is_real: bool,
) -> View | tuple[()]:
    """Turn the cameras of streams and let them see a frame; () where no camera is known.

    How far down a camera looks is the mean of what the real frames say, or what the very first frame says.
    """
    config = dynamics.config
    if config.camera is None:
        return ()
    heading = turned(cache.view.heading, prev_action, config.camera)
    told = dynamics.gaze(unpack(z, config.grid, config.pack)) - heading[:, 1]
    share = jnp.where(is_real | (cache.count == 0), 1 / (cache.count + 1.0), 0.0)
    heading = heading.at[:, 1].add(share * told)
    return see(cache.view, frame_to_obs(tokenizer.decode(z)), heading, config.camera)


def _by_cell(share: Float[Array, "*b h w"], config: DynamicsConfig) -> Float[Array, "*b y x"]:
    """The mean over each cell; the last ones may reach past the picture."""
    rows, columns = (n * config.pack for n in config.grid)
    height, width = share.shape[-2:]
    patch = -(-height // rows)
    ends = [(0, rows * patch - height), (0, columns * patch - width)]
    padded = jnp.pad(share, [(0, 0)] * (share.ndim - 2) + ends, mode="edge")
    return reduce(padded, "... (y p) (x q) -> ... y x", "mean", p=patch, q=patch)
