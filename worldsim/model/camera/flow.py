"""FlowNet: predict how pixels move from the last frame to the next, trained before the dynamics.

When a camera walks, everything visible moves, near things more than far ones. Painting that from latents takes a large
network and blurs a little every frame; moving the pixels of the last frame takes a small one and keeps them sharp. The
net reads the last two frames warped to the next heading, so that the turn is explained and what is left of their
difference is motion, and the action. It predicts for every pixel where it came from, and what stays fixed on screen,
such as a crosshair. Trained by photometric error alone, as video prediction by transformed pixels (Finn et al. 2016,
arXiv 1605.07157) and depth from motion (Zhou et al. 2017, arXiv 1704.07813).
"""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
from einops import reduce, repeat
from flax import nnx
from jaxtyping import Array, Float

from worldsim.model.camera.geometry import CameraConfig, CameraState, Flow, warp_last_two
from worldsim.model.config import DynamicsConfig
from worldsim.nn.embedding import ActionEmbedding, GridEmbedding, patchify, unpatchify
from worldsim.nn.layers import like, linear
from worldsim.nn.local import ConvBlock, conv

NUM_BLOCKS = 3  # over cells before those over tokens, over tokens, and over cells after them


class FlowNet(nnx.Module):
    """Predict the flow from the last two frames and the action; zero before training."""

    def __init__(self, config: DynamicsConfig, camera: CameraConfig, *, rngs: nnx.Rngs):
        self.config, self.camera = config, camera
        d = camera.flow_width
        self.conv_in = conv(6 * self.patch**2 + 1, d, rngs=rngs)
        self.pos_embed = GridEmbedding(d, rngs=rngs)
        self.action = ActionEmbedding(d, config.controls, rngs=rngs)
        self.tilt = linear(3, d, rngs=rngs)
        block = partial(ConvBlock, d, cond_width=d, separable=camera.flow_separable, rngs=rngs)
        self.before, self.coarse, self.after = (nnx.List([block() for _ in range(NUM_BLOCKS)]) for _ in range(3))
        self.out_proj = linear(d, 3 * self.patch**2, rngs=rngs, zero=True)

    def __call__(self, state: CameraState, heading: Float[Array, "b 2"], prev_action: Float[Array, "b a"]) -> Flow:
        """Predict the motion into the next frame, seen from `heading` in radians."""
        last, before, visible = warp_last_two(state, heading, self.camera)
        pictures = jnp.concatenate([last / 127.5 - 1, (before - last) / 127.5, visible[..., None]], -1)
        cells = self.conv_in(self._cells(pictures))
        pack, (rows, columns) = self.config.pack, cells.shape[-3:-1]
        cells = cells + like(self.pos_embed(rows, columns).reshape(rows, columns, -1), cells)
        pitch = heading[:, 1]
        cond = self.action(prev_action) + self.tilt(jnp.stack([pitch, jnp.sin(pitch), jnp.cos(pitch)], -1))
        for block in self.before:
            cells = block(cells, cond)
        tokens = reduce(cells, "b (y p) (x q) c -> b y x c", "mean", p=pack, q=pack)
        for block in self.coarse:
            tokens = block(tokens, cond)
        cells = cells + repeat(tokens, "b y x c -> b (y p) (x q) c", p=pack, q=pack)
        for block in self.after:
            cells = block(cells, cond)
        return self._flow(self.out_proj(cells).astype(jnp.float32))

    @property
    def patch(self) -> int:
        """Side of a cell in pixels; the last ones may reach past the frame."""
        return self.config.cell_side(self.camera.size)

    def _cells(self, pictures: Float[Array, "b h w c"]) -> Float[Array, "b y x k"]:
        rows, columns = (n * self.config.pack * self.patch for n in self.config.grid)
        height, width = self.camera.size
        padded = jnp.pad(pictures, [(0, 0), (0, rows - height), (0, columns - width), (0, 0)], mode="edge")
        colours, visible = padded[..., :6], padded[..., 6:]
        return jnp.concatenate(
            [patchify(colours, self.patch), patchify(visible, self.patch).mean(-1, keepdims=True)], -1
        )

    def _flow(self, out: Float[Array, "b y x k"]) -> Flow:
        by_pixel = unpatchify(out, self.patch)[:, : self.camera.size[0], : self.camera.size[1]]
        return Flow(by_pixel[..., :2] * self.patch, jnp.tanh(by_pixel[..., 2]))
