"""Where things will be in the next picture: a small net that moves the last one, learned before the dynamics are.

When a camera walks, all that is in sight moves, the near more than the far. To paint that anew from latents takes a
large network and blurs a little every frame; to move the pixels of the last picture takes a small one and keeps them
sharp. The net looks at the last two pictures as the next heading shows them, so that what the turn explains is gone and
what is left of their difference is how things go; and at the controls. It says for every pixel where it was, and what
stays in its place on the screen, a crosshair say. Learned by the picture alone, as video prediction by transformed
pixels (Finn et al. 2016, arXiv 1605.07157) and depth from motion (Zhou et al. 2017, arXiv 1704.07813) are.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from einops import reduce, repeat
from flax import nnx
from jaxtyping import Array, Float

from worldsim.dynamics.config import DynamicsConfig
from worldsim.nn.camera import Flow, View, look_back
from worldsim.nn.embedding import ActionEmbedding, GridEmbedding, patchify, unpatchify
from worldsim.nn.layers import like, linear
from worldsim.nn.local import ConvBlock, conv

NUM_BLOCKS = 3  # over cells before those over tokens, over tokens, and over cells after them


class FlowNet(nnx.Module):
    """Tells the flow from the last two pictures and the controls; none at all before it has learned."""

    def __init__(self, config: DynamicsConfig, *, rngs: nnx.Rngs):
        if config.camera is None:
            raise ValueError("a FlowNet wants a camera in its config.")
        self.config, self.camera = config, config.camera
        d = config.flow_width
        self.see = conv(6 * self.patch**2 + 1, d, rngs=rngs)
        self.place = GridEmbedding(d, rngs=rngs)
        self.action = ActionEmbedding(
            d,
            choice_sizes=config.choice_sizes,
            num_buttons=config.num_buttons,
            axis_bounds=config.axis_bounds,
            columns=config.columns,
            rngs=rngs,
        )
        self.tilt = linear(3, d, rngs=rngs)
        self.before, self.coarse, self.after = (
            nnx.List([ConvBlock(d, cond_width=d, rngs=rngs) for _ in range(NUM_BLOCKS)]) for _ in range(3)
        )
        self.leave = linear(d, 3 * self.patch**2, rngs=rngs, zero=True)

    def __call__(self, view: View, heading: Float[Array, "b 2"], prev_action: Float[Array, "b a"]) -> Flow:
        """Tell how the next picture, seen from `heading`, comes of what was seen."""
        last, before, fresh = look_back(view, heading, self.camera)
        pictures = jnp.concatenate([last / 127.5 - 1, (before - last) / 127.5, fresh[..., None]], -1)
        cells = self.see(self._cells(pictures))
        pack, (rows, columns) = self.config.pack, cells.shape[-3:-1]
        cells = cells + like(self.place(rows, columns).reshape(rows, columns, -1), cells)
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
        return self._flow(self.leave(cells).astype(jnp.float32))

    @property
    def patch(self) -> int:
        """Side of a cell in pixels; the last ones may reach past the picture."""
        return self.config.cell_side(self.camera.size)

    def _cells(self, pictures: Float[Array, "b h w c"]) -> Float[Array, "b y x k"]:
        rows, columns = (n * self.config.pack * self.patch for n in self.config.grid)
        height, width = self.camera.size
        padded = jnp.pad(pictures, [(0, 0), (0, rows - height), (0, columns - width), (0, 0)], mode="edge")
        colours, fresh = padded[..., :6], padded[..., 6:]
        return jnp.concatenate([patchify(colours, self.patch), patchify(fresh, self.patch).mean(-1, keepdims=True)], -1)

    def _flow(self, told: Any) -> Flow:
        by_pixel = unpatchify(told, self.patch)[:, : self.camera.size[0], : self.camera.size[1]]
        return Flow(by_pixel[..., :2] * self.patch, jnp.tanh(by_pixel[..., 2]))
