"""What a camera's way tells of the next frame, and how a frame is painted from it: between pictures and latents."""

from __future__ import annotations

import jax.numpy as jnp
from einops import reduce
from jaxtyping import Array, Float, UInt8

from worldsim.dynamics import Cache, Dynamics, DynamicsConfig
from worldsim.dynamics.cache import Glimpse
from worldsim.nn.camera import Sight, View, look, see, turned
from worldsim.nn.local import unpack
from worldsim.tokenizer import Tokenizer
from worldsim.types import frame_to_obs, obs_to_frame


def behold(dynamics: Dynamics, view: View, prev_action: Float[Array, "b a"]) -> Sight:
    """Turn the cameras by the action, and look at what was seen as it will have moved."""
    camera = dynamics.config.camera
    if camera is None:
        raise ValueError("this world has no camera to look with.")
    heading = turned(view.heading, prev_action, camera)
    return look(view, heading, camera, dynamics.flow(view, heading, prev_action))


def coded(tokenizer: Tokenizer, sight: Sight, config: DynamicsConfig) -> Glimpse:
    """Code what is in sight as the dynamics see it."""
    fresh, old = (_by_cell(x.astype(jnp.float32), config) for x in (sight.fresh, sight.old))
    return Glimpse(tokenizer.encode(obs_to_frame(sight.frame)), fresh, old)


def paint(
    tokenizer: Tokenizer, z: Float[Array, "b n c"], view: View, sight: Sight, glimpse: Glimpse
) -> UInt8[Array, "b h w 3"]:
    """Paint a frame: what is in sight, and by how much the latents differ from those of what is in sight.

    So a frame in which nothing changes stays as sharp as it was seen, whatever the tokenizer keeps of it.
    """
    change = tokenizer.decode(z) - tokenizer.decode(glimpse.z) * view.began[:, None, None, None]
    return frame_to_obs(obs_to_frame(sight.frame) * view.began[:, None, None, None] + change)


def remembered(
    dynamics: Dynamics,
    cache: Cache,
    z: Float[Array, "b n c"],
    frame: UInt8[Array, "b h w 3"],
    prev_action: Float[Array, "b a"],
    *,
    is_real: bool,
    knows_pitch: bool = False,
) -> View:
    """Turn the cameras of streams and let them see a frame.

    How far down a camera looks is the mean of what the real frames say, or what the very first frame says; or it is
    known from the beginning.
    """
    config = dynamics.config
    assert config.camera is not None
    heading = turned(cache.view.heading, prev_action, config.camera)
    if config.camera.pitch is None:
        return see(cache.view, frame, heading, config.camera)
    told = dynamics.gaze(unpack(z, config.grid, config.pack)) - heading[:, 1]
    share = jnp.where((is_real | (cache.count == 0)) & (not knows_pitch), 1 / (cache.count + 1.0), 0.0)
    return see(cache.view, frame, heading.at[:, 1].add(share * told), config.camera)


def _by_cell(share: Float[Array, "*b h w"], config: DynamicsConfig) -> Float[Array, "*b y x"]:
    """The mean over each cell; the last ones may reach past the picture."""
    rows, columns = (n * config.pack for n in config.grid)
    height, width = share.shape[-2:]
    patch = config.cell_side((height, width))
    ends = [(0, rows * patch - height), (0, columns * patch - width)]
    padded = jnp.pad(share, [(0, 0)] * (share.ndim - 2) + ends, mode="edge")
    return reduce(padded, "... (y p) (x q) -> ... y x", "mean", p=patch, q=patch)
