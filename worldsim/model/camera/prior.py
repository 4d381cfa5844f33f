"""The prior of worlds with a camera: the last frames, warped to the next heading and moved by FlowNet.

A frame is split into three regions: what is visible in the last frame, what is remembered from earlier ones, and what
is unseen. Each has a mean square error of its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from einops import reduce
from flax import nnx
from jaxtyping import Array, Float, UInt8

from worldsim.model.camera import geometry
from worldsim.model.camera.flow import FlowNet
from worldsim.model.camera.geometry import CameraState, WarpedFrame
from worldsim.model.camera.pitch import PitchNet
from worldsim.model.camera.resample import average, enlarge
from worldsim.model.config import DynamicsConfig
from worldsim.model.prior import CopyLast, Prior
from worldsim.model.tokenizer import Tokenizer
from worldsim.nn.layers import like
from worldsim.nn.local import pack_cells, unpack
from worldsim.types import frame_to_obs, obs_to_frame


class Warp(NamedTuple):
    """Warped frames as the dynamics read them."""

    z: Any  # latents [b *t n c]
    visible: Any  # fraction of each cell that was in the last frame [b *t y x]
    remembered: Any  # confidence in what each cell shows of earlier frames [b *t y x]


class WarpPrior(CopyLast):
    """Expect the last frames, warped. Same methods as `worldsim.model.prior.CopyLast`; its state is a CameraState."""

    def __init__(self, config: DynamicsConfig, *, rngs: nnx.Rngs):
        assert config.camera is not None
        self.config, self.camera = config, config.camera
        cell_dim = config.token_dim // config.pack**2
        self.residual_var = nnx.Param(jnp.ones((3, config.token_dim)))  # of visible, remembered and unseen regions
        self.pitch_net = PitchNet(cell_dim, config.local_width, rngs=rngs)
        self.flow_net = FlowNet(config, config.camera, rngs=rngs)

    @staticmethod
    def num_features(config: DynamicsConfig) -> int:
        """Return how many channels `Prior.features` has together: a cell of the warp, and two regions."""
        return config.token_dim // config.pack**2 + 2

    def __call__(
        self, before: Float[Array, "*b k n c"], before_tau: Float[Array, "*b 1 1"], inputs: Warp, change_var: Array
    ) -> Prior:
        """Return the prior of frames: their warp, clean, with the error of their regions."""
        config, is_known = self.config, (before_tau > 0).astype(jnp.float32)
        regions = split_regions(inputs, is_known)
        mean = inputs.z * is_known
        features = (unpack(mean, config.grid, config.pack), regions[..., :2])
        return Prior(mean, is_known, region_variance(regions, self.residual_var[...], config), features)

    def empty_state(self, batch: int) -> CameraState:
        """Return the state of streams that have seen nothing."""
        return geometry.empty_state(batch, self.camera)

    def predict(
        self, tokenizer: Tokenizer, state: CameraState, prev_action: Float[Array, "b a"]
    ) -> tuple[WarpedFrame, Warp]:
        """Warp what was seen to the heading after the action: the picture, and its encoding."""
        heading = geometry.turn(state.heading, prev_action, self.camera)
        shown = state._replace(frame=self._shown(state.frame), before=self._shown(state.before))
        frame = geometry.warp(state, heading, self.camera, self.flow_net(shown, heading, prev_action))
        visible, remembered = (self._by_cell(x.astype(jnp.float32)) for x in (frame.visible, frame.remembered))
        return frame, Warp(tokenizer.encode(obs_to_frame(self._shown(frame.frame))), visible, remembered)

    def shrink(self, z: Float[Array, "b n c"], state: CameraState, inputs: Warp) -> Float[Array, "b n c"]:
        """Shrink small deviations from the warp, cell by cell, and leave large ones.

        What a network is not sure of it predicts as a mean, which is a blur, and the next warp is made of this frame:
        of what was seen sharply nothing would be left in a second. With n the root mean square deviation of a cell, it
        is scaled by n^4 / (n^4 + shrink_threshold^4).
        """
        return jnp.where(state.started[:, None, None], self._shrunk(z, inputs.z), z)

    def paint(
        self, tokenizer: Tokenizer, z: Float[Array, "b n c"], state: CameraState, prediction: tuple[WarpedFrame, Warp]
    ) -> UInt8[Array, "b h w 3"]:
        """Paint a frame as its warp plus the decoded deviation of its latents from those of the warp.

        So a frame in which nothing changes stays as sharp as it was seen, whatever the tokenizer keeps of it.
        """
        return self._shown(self._paint(tokenizer, z, state, prediction))

    def update(
        self,
        tokenizer: Tokenizer,
        state: CameraState,
        z: Float[Array, "b n c"],
        prediction: tuple[WarpedFrame, Warp],
        prev_action: Float[Array, "b a"],
        count: Array,
        *,
        real: UInt8[Array, "b h w 3"] | None = None,
        knows_pitch: bool = False,
    ) -> CameraState:
        """Turn the cameras and let them see a frame.

        The pitch is the mean of what PitchNet reads off the real frames, or off the very first frame; or it is known.
        """
        frame = self._paint(tokenizer, z, state, prediction) if real is None else self._kept(obs_to_frame(real))
        heading = geometry.turn(state.heading, prev_action, self.camera)
        if self.camera.pitch is not None:
            error = self.pitch_net(unpack(z, self.config.grid, self.config.pack)) - heading[:, 1]
            is_read = ((real is not None) | (count == 0)) & (not knows_pitch)
            heading = heading.at[:, 1].add(jnp.where(is_read, 1 / (count + 1.0), 0.0) * error)
        return geometry.remember(state, frame, heading, self.camera)

    def render(self, tokenizer: Tokenizer, state: CameraState, z: Float[Array, "b n c"]) -> UInt8[Array, "b h w 3"]:
        """Return the frame that `update` saw last."""
        return self._shown(state.frame)

    def _paint(
        self, tokenizer: Tokenizer, z: Float[Array, "b n c"], state: CameraState, prediction: tuple[WarpedFrame, Warp]
    ) -> UInt8[Array, "b y x 3"]:
        """Paint a frame as large as it is kept."""
        (warped, warp), started = prediction, state.started[:, None, None, None]
        change = tokenizer.decode(z) - tokenizer.decode(warp.z) * started
        return frame_to_obs(obs_to_frame(warped.frame) * started + enlarge(change, self.camera.supersampling))

    def _kept(self, frame: Float[Array, "b h w 3"]) -> UInt8[Array, "b y x 3"]:
        return frame_to_obs(enlarge(frame, self.camera.supersampling))

    def _shown(self, kept: UInt8[Array, "b y x 3"]) -> UInt8[Array, "b h w 3"]:
        return jnp.round(average(kept, self.camera.supersampling)).astype(jnp.uint8)

    def _shrunk(self, z: Float[Array, "b n c"], warp: Float[Array, "b n c"]) -> Float[Array, "b n c"]:
        config, threshold = self.config, self.camera.shrink_threshold
        if not threshold:
            return z
        change = unpack(z - warp, config.grid, config.pack)
        power = jnp.square(change).mean(-1, keepdims=True)
        return warp + pack_cells(change * power**2 / (power**2 + threshold**4), config.pack)

    def _by_cell(self, fraction: Float[Array, "*b h w"]) -> Float[Array, "*b y x"]:
        """Return the mean over each cell; the last ones may reach past the frame."""
        config = self.config
        rows, columns = (n * config.pack for n in config.grid)
        height, width = fraction.shape[-2:]
        patch = config.cell_side((height, width))
        ends = [(0, rows * patch - height), (0, columns * patch - width)]
        padded = jnp.pad(fraction, [(0, 0)] * (fraction.ndim - 2) + ends, mode="edge")
        return reduce(padded, "... (y p) (x q) -> ... y x", "mean", p=patch, q=patch)


def split_regions(warp: Warp, is_known: Float[Array, "*b 1 1"]) -> Float[Array, "*b y x 3"]:
    """Return how much of each cell is visible, remembered and unseen; zeros where there was no frame before."""
    visible, remembered = warp.visible, warp.remembered
    return jnp.stack([visible, remembered, 1 - visible - remembered], -1) * is_known[..., None]


def region_variance(
    regions: Float[Array, "*b y x 3"], residual_var: Float[Array, "3 c"], config: DynamicsConfig
) -> Float[Array, "*b n c"]:
    """Return the mean square distance of frames from their warps, as their cells are visible, remembered or unseen."""
    cell_dim = config.token_dim // config.pack**2
    by_place = [pack_cells(jnp.repeat(regions[..., i, None], cell_dim, -1), config.pack) for i in range(3)]
    parts = [x * like(q, x) for x, q in zip(by_place, residual_var, strict=True)]
    return parts[0] + parts[1] + parts[2]
