"""Warp what a turning camera has seen into the next state: the last two frames, and a panorama of earlier ones.

Where the controls say by how many degrees the camera turns, most of the next frame is known without learning: what was
visible moves within the frame, and what had left it comes back. `warp` computes where. Other motion, such as parallax
when the camera walks, is predicted by a learned `Flow` (`worldsim.model.camera.flow`). Related to the 3D caches that
guide video models along a camera path, such as Gen3C (Ren et al. 2025, arXiv 2503.03751), without their depth.

A game whose camera does not turn has a static one: its last frame is visible, and a `Flow` moves it.

A pinhole camera, x right, y down, z into the picture. Headings are yaw to the right and pitch downwards, in radians.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8
from scipy.ndimage import distance_transform_edt

from worldsim.model.camera.resample import average, pair, sharp, smooth, stretch, written
from worldsim.schema import Range, check

PANORAMA = (128, 256)  # rows from straight up to straight down, columns all the way round
CONFIDENCE_DECAY = 0.99  # per frame: the camera has walked away from what it saw long ago
MAX_PITCH = np.radians(89.5)
MAX_HUD_SHIFT = 0.75  # pixels: a HUD pixel whose source lies further away belongs to the world; the HUD stays put


@dataclass(frozen=True, kw_only=True)
class CameraConfig:
    """A first-person camera and the action columns that turn it; without any it is static, as in a side-scroller."""

    size: tuple[Annotated[int, Range(1, 4096)], Annotated[int, Range(1, 4096)]] = (1, 1)
    """Height and width of the frame in pixels. Training sets this and what follows from the footage."""
    field_of_view: float = 90.0
    """Vertical field of view in degrees."""
    yaw: Annotated[int, Range(0, 1023)] | None = None
    """Column of the action row: degrees to the right. None = no control does."""
    pitch: Annotated[int, Range(0, 1023)] | None = None
    """Column of the action row: degrees downwards. None = no control does."""
    hud_regions: tuple[tuple[float, float, float, float], ...] = ()
    """Boxes that do not turn with the world (HUD, hand): top, left, bottom, right as fractions of the frame."""
    flow_width: Annotated[int, Range(1, 1024)] = 48
    """Channels of a cell of FlowNet."""
    flow_separable: bool = False
    """Whether its convolutions are separable: on a processor a step of training takes a fifth of the time."""
    shrink_threshold: Annotated[float, Range(0, 100)] = 0.2
    """Cells of a generated frame that deviate less than this from their warp hardly change; 0 keeps all changes."""
    supersampling: Annotated[int, Range(1, 4)] = 1
    """How many times as high and wide the last frames are kept as they are shown, so that warps lose less of them."""

    def __post_init__(self):
        check(self)
        if not 0 < self.field_of_view < 180:
            raise ValueError(f"field_of_view must be within 0..180 degrees, got {self.field_of_view}.")
        for box in self.hud_regions:
            if not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
                raise ValueError(f"expected top, left, bottom and right within 0..1 for a HUD region, got {box}.")

    @property
    def turns(self) -> bool:
        """Whether any control turns the camera."""
        return self.yaw is not None or self.pitch is not None

    @property
    def fine(self) -> CameraConfig:
        """The camera of the frames as they are kept."""
        height, width = self.size
        return replace(self, size=(height * self.supersampling, width * self.supersampling), supersampling=1)

    @property
    def hud_mask(self) -> Bool[np.ndarray, "h w"]:
        """Pixels that the HUD covers."""
        mask = np.zeros(self.size, bool)
        for box in self.hud_regions:
            top, left, bottom, right = (round(x * n) for x, n in zip(box, self.size * 2, strict=True))
            mask[top:bottom, left:right] = True
        return mask

    @property
    def beside_hud(self) -> Float[np.ndarray, "h w 2"]:
        """Row and column of the pixel nearest to each that the HUD does not cover."""
        covered = self.hud_mask
        if covered.all() or not covered.any():
            return _pixel_grid(self.size)
        nearest = distance_transform_edt(covered, return_distances=False, return_indices=True)
        return np.moveaxis(np.asarray(nearest), 0, -1).astype(np.float32)


class CameraState(NamedTuple):
    """What cameras have seen so far. Every leaf has the batch first. Frames are `supersampling` times as large."""

    started: Bool[Array, " b"]  # whether there is a last frame
    heading: Float[Array, "b 2"]
    frame: UInt8[Array, "b h w 3"]  # the last frame
    before_heading: Float[Array, "b 2"]
    before: UInt8[Array, "b h w 3"]  # the frame before the last; the last itself where it was the first
    panorama: UInt8[Array, "b y x 3"]
    confidence: Float[Array, "b y x"]  # of the panorama: 0 where nothing was seen yet, 1 in the last frame


class Flow(NamedTuple):
    """Motion from the last frame to the next, beyond the camera's turn."""

    moved: Float[Array, "b h w 2"]  # pixels down and to the right, from a pixel of the next frame to its source
    static: Float[Array, "b h w"]  # fraction that neither turns nor moves, such as a crosshair


class WarpedFrame(NamedTuple):
    """The next frame as far as it is known, and from where."""

    frame: Any  # uint8 [b h w 3]; float32 where it takes a gradient
    visible: Bool[Array, "b h w"]  # pixels that were in the last frame
    remembered: Float[Array, "b h w"]  # confidence in pixels from the panorama; 0 elsewhere


Sample = Callable[[Any, Float[Array, "y x 2"]], Float[Array, "y x c"]]
"""A picture, sampled at rows and columns between its pixels."""


def empty_state(batch: int, config: CameraConfig) -> CameraState:
    """Return cameras that have seen nothing and look at the horizon; a static one has no panorama."""
    heading, frame = jnp.zeros((batch, 2)), jnp.zeros((batch, *config.fine.size, 3), jnp.uint8)
    around = PANORAMA if config.turns else (1, 1)
    panorama, confidence = jnp.zeros((batch, *around, 3), jnp.uint8), jnp.zeros((batch, *around))
    return CameraState(jnp.zeros((batch,), bool), heading, frame, heading, frame, panorama, confidence)


def turn(heading: Float[Array, "b 2"], action: Float[Array, "b a"], config: CameraConfig) -> Float[Array, "b 2"]:
    """Return the headings after action rows; an unknown action does not turn the camera."""
    degrees = [
        jnp.zeros(len(action)) if i is None else jnp.nan_to_num(action[:, i]) for i in (config.yaw, config.pitch)
    ]
    yaw, pitch = jnp.moveaxis(heading + jnp.radians(jnp.stack(degrees, -1)), -1, 0)
    return jnp.stack([yaw, jnp.clip(pitch, -MAX_PITCH, MAX_PITCH)], -1)


def warp(
    state: CameraState,
    heading: Float[Array, "b 2"],
    config: CameraConfig,
    flow: Flow | None = None,
    *,
    to_learn: bool = False,
) -> WarpedFrame:
    """Render the view from a heading: the last frame where it shows, then the panorama, then the frame's edge.

    `flow` moves the pixels of a frame as it is shown, beyond the turn. A flow that is to be learned by it takes a
    gradient of float32 that is sampled smoothly; else it is uint8, and sharp. The frame is as large as it is kept.
    """
    sample = smooth if to_learn else sharp
    warped = jax.vmap(lambda state, heading, flow: _warp(state, heading, flow, config, sample))(state, heading, flow)
    return warped if to_learn else warped._replace(frame=jnp.round(warped.frame).astype(jnp.uint8))


def warp_last_two(
    state: CameraState, heading: Float[Array, "b 2"], config: CameraConfig
) -> tuple[Float[Array, "b h w 3"], Float[Array, "b h w 3"], Bool[Array, "b h w"]]:
    """Render the last two frames, of the size that is shown, from a heading: float32 in 0..255 each, latest first.

    What the frame before the last did not show is as in the last. The third value is which pixels were in the last
    frame, bool `[b h w]`.
    """

    def one(state: CameraState, heading: Float[Array, "2"]):
        rays = _rays(_pixel_grid(config.size), config) @ _rotation(heading).T
        at, visible = _project(rays @ _rotation(state.heading), config)
        earlier, was_visible = _project(rays @ _rotation(state.before_heading), config)
        last = smooth(state.frame, at)
        before = jnp.where(was_visible[..., None], smooth(state.before, earlier), last)
        return last, before, visible & state.started

    return jax.vmap(one)(state, heading)


def remember(
    state: CameraState, frame: UInt8[Array, "b h w 3"], heading: Float[Array, "b 2"], config: CameraConfig
) -> CameraState:
    """Return the states after a frame, as large as it is kept, was seen from a heading."""
    return jax.vmap(lambda state, frame, heading: _remember(state, frame, heading, config))(state, frame, heading)


def _warp(
    state: CameraState, heading: Float[Array, "2"], flow: Flow | None, config: CameraConfig, sample: Sample
) -> WarpedFrame:
    times, fine, grid = config.supersampling, config.fine, _pixel_grid(config.fine.size)
    moved = jnp.zeros((*config.size, 2)) if flow is None else _moved(state, heading, flow, config)
    rays = _rays(grid + stretch(moved, times) * times, fine) @ _rotation(heading).T  # in the world
    at, is_inside = _project(rays @ _rotation(state.heading), fine)
    hides = (jnp.abs(at - grid).max(-1) > MAX_HUD_SHIFT * times) & _in_hud(at, fine)
    visible = is_inside & state.started & ~hides
    frame = sample(state.frame, jnp.where(hides[..., None], _beside_hud(at, fine), at))
    confidence = jnp.zeros(fine.size)
    if config.turns:
        seen, confidence = _around(state, heading, moved, config)
        confidence = jnp.where(visible, 0.0, stretch(confidence[..., None], times)[..., 0])
        frame = jnp.where((confidence > 0)[..., None], stretch(seen, times), frame)
    if flow is None:
        return WarpedFrame(frame, visible, confidence)
    static = stretch(flow.static[..., None], times) * state.started
    is_kept = static[..., 0] > 0.5
    frame = frame + static * (state.frame.astype(jnp.float32) - frame)
    return WarpedFrame(jnp.clip(frame, 0, 255), visible | is_kept, jnp.where(is_kept, 0.0, confidence))


def _moved(state: CameraState, heading: Float[Array, "2"], flow: Flow, config: CameraConfig) -> Any:
    """Let a flow move all but what the turn alone brings back into view: that is remembered where it was."""
    if not config.turns:
        return flow.moved
    rays = _rays(_pixel_grid(config.size), config) @ _rotation(heading).T
    _, in_view = _project(rays @ _rotation(state.heading), config)
    row, column = jnp.moveaxis(_panorama_pixels(rays, state.confidence.shape).round().astype(int), -1, 0)
    height, width = state.confidence.shape
    is_known = state.confidence[jnp.clip(row, 0, height - 1), column % width] > 0
    return jnp.where((is_known & ~in_view)[..., None], 0.0, flow.moved)


def _around(
    state: CameraState, heading: Float[Array, "2"], moved: Float[Array, "h w 2"], config: CameraConfig
) -> tuple[Float[Array, "h w 3"], Float[Array, "h w"]]:
    """Return what the panorama shows of a frame, and the confidence in each pixel: 0 where it shows nothing."""
    rays = _rays(_pixel_grid(config.size) + moved, config) @ _rotation(heading).T
    is_known = (state.confidence > 0)[..., None]
    layers = jnp.concatenate([state.panorama * is_known, is_known, state.confidence[..., None]], -1)
    around = jax.lax.stop_gradient(_panorama_pixels(rays, state.confidence.shape))  # slopes have no bound at the poles
    parts = smooth(layers, around, wrap=True)
    fraction, confidence = parts[..., 3:4], parts[..., 4]
    return parts[..., :3] / jnp.maximum(fraction, 1e-3), jnp.where(fraction[..., 0] < 0.5, 0.0, confidence)


def _remember(
    state: CameraState, frame: UInt8[Array, "h w 3"], heading: Float[Array, "2"], config: CameraConfig
) -> CameraState:
    panorama, confidence = state.panorama, state.confidence
    if config.turns:
        at, seen = _project(_panorama_rays() @ _rotation(heading), config)
        seen = seen & ~_in_hud(at, config)
        shown = smooth(written(average(frame, config.supersampling)), at)
        panorama = jnp.where(seen[..., None], jnp.round(shown).astype(jnp.uint8), panorama)
        confidence = jnp.where(seen, 1.0, confidence * CONFIDENCE_DECAY)
    before_heading, before = (
        jnp.where(state.started, x, now) for x, now in ((state.heading, heading), (state.frame, frame))
    )
    return CameraState(jnp.ones_like(state.started), heading, frame, before_heading, before, panorama, confidence)


def _rotation(heading: Float[Array, "2"]) -> Float[Array, "3 3"]:
    """From the camera to the world: pitch, then yaw."""
    (cy, cp), (sy, sp) = jnp.cos(heading), jnp.sin(heading)
    return jnp.stack(
        [jnp.stack([cy, -sy * sp, sy * cp]), jnp.stack([0 * cy, cp, sp]), jnp.stack([-sy, -cy * sp, cy * cp])]
    )


def _pixel_grid(size: tuple[int, int]) -> Float[np.ndarray, "h w 2"]:
    """Row and column of every pixel."""
    return np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in size), indexing="ij"), -1)


def _rays(pixels: Any, config: CameraConfig) -> Float[Array, "h w 3"]:
    """Unit vectors through pixels of the frame."""
    (height, width), focal = config.size, _focal(config)
    out = (pixels - pair((height - 1) / 2, (width - 1) / 2)) / focal
    rays = jnp.concatenate([out[..., 1:], out[..., :1], jnp.ones_like(out[..., :1])], -1)
    return rays / jnp.linalg.norm(rays, axis=-1, keepdims=True)


def _panorama_rays() -> Float[np.ndarray, "y x 3"]:
    pitch = ((np.arange(PANORAMA[0]) + 0.5) / PANORAMA[0] - 0.5) * np.pi
    yaw = (np.arange(PANORAMA[1]) + 0.5) / PANORAMA[1] * 2 * np.pi
    pitch, yaw = np.meshgrid(pitch, yaw, indexing="ij")
    rays = [np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)]
    return np.stack(rays, -1).astype(np.float32)


def _panorama_pixels(rays: Any, size: tuple[int, ...]) -> Float[Array, "y x 2"]:
    """Return where rays meet a panorama of this height and width, in pixels (row, column)."""
    height, width = size
    column = jnp.arctan2(rays[..., 0], rays[..., 2]) / (2 * jnp.pi) * width - 0.5
    row = (jnp.arcsin(jnp.clip(rays[..., 1], -1, 1)) / jnp.pi + 0.5) * height - 0.5
    return jnp.stack([row, column], -1)


def _focal(config: CameraConfig) -> float:
    return config.size[0] / 2 / np.tan(np.radians(config.field_of_view) / 2)


def _project(rays: Any, config: CameraConfig) -> tuple[Float[Array, "y x 2"], Bool[Array, "y x"]]:
    """Return where rays meet the frame, in pixels (row, column), and which of them do."""
    height, width = config.size
    depth = rays[..., 2:]
    at = rays[..., 1::-1] / jnp.maximum(depth, 1e-3) * _focal(config) + pair((height - 1) / 2, (width - 1) / 2)
    is_inside = ((at > -0.5) & (at < pair(height - 0.5, width - 0.5))).all(-1)
    return at, is_inside & (depth[..., 0] > 1e-3)


def _in_hud(at: Float[Array, "y x 2"], config: CameraConfig) -> Bool[Array, "y x"]:
    """Return which pixels the HUD covers."""
    return jnp.asarray(config.hud_mask)[_nearest_pixel(at, config)]


def _beside_hud(at: Float[Array, "y x 2"], config: CameraConfig) -> Float[Array, "y x 2"]:
    """Return the nearest pixels beside the HUD: what lies behind it is like them, and not like a hand."""
    return jnp.asarray(config.beside_hud)[_nearest_pixel(at, config)]


def _nearest_pixel(at: Float[Array, "y x 2"], config: CameraConfig) -> tuple[Array, Array]:
    row, column = (jnp.clip(jnp.round(at[..., i]).astype(int), 0, config.size[i] - 1) for i in (0, 1))
    return row, column
