"""What a camera that turns has seen: the last picture and a panorama, to be looked at from the next heading.

Where the controls say by how many degrees the camera turns, most of the next picture is known without learning: what
was in sight is somewhere else in the frame, and what had left it comes back. `look` says where; nothing is said of what
moves, or of a camera that walks, which is left to be learned. Kin of the caches that guide video models along a
camera's path, such as Gen3C (Ren et al. 2025, arXiv 2503.03751), without their depth.

A pinhole camera, x right, y down, z into the picture. Headings are yaw to the right and pitch downwards, in radians.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

PANORAMA = (128, 256)  # rows from straight up to straight down, columns all the way round
TRUST_DECAY = 0.99  # a frame: what was seen long ago has been walked away from
STEEPEST = np.radians(89.5)


@dataclass(frozen=True, kw_only=True)
class CameraConfig:
    """A first-person camera, and what turns it."""

    size: tuple[int, int]
    """Height and width of its picture in pixels."""
    field_of_view: float
    """From the top of the picture to its bottom, in degrees."""
    yaw: int
    """Column of the action row: degrees to the right."""
    pitch: int
    """Column of the action row: degrees downwards."""
    overlays: tuple[tuple[float, float, float, float], ...] = ()
    """Boxes of the picture that do not turn with the world, a hand say: top, left, bottom, right, in shares of it."""

    def __post_init__(self):
        if not 0 < self.field_of_view < 180:
            raise ValueError(f"field_of_view must be within 0..180 degrees, got {self.field_of_view}.")
        for box in self.overlays:
            if not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
                raise ValueError(f"an overlay wants top, left, bottom and right within 0..1, got {box}.")

    @property
    def covered(self) -> Bool[np.ndarray, "h w"]:
        """Pixels that the overlays cover."""
        mask = np.zeros(self.size, bool)
        for box in self.overlays:
            top, left, bottom, right = (round(x * n) for x, n in zip(box, self.size * 2, strict=True))
            mask[top:bottom, left:right] = True
        return mask


class View(NamedTuple):
    """What cameras have seen. Every leaf has the batch first."""

    heading: Float[Array, "b 2"]
    frame: UInt8[Array, "b h w 3"]  # the last picture
    panorama: UInt8[Array, "b y x 3"]
    trust: Float[Array, "b y x"]  # of the panorama: 0 where nothing was seen yet, 1 in the last picture


class Sight(NamedTuple):
    """The next picture as far as it is known."""

    frame: UInt8[Array, "b h w 3"]
    fresh: Bool[Array, "b h w"]  # was in the last picture
    old: Float[Array, "b h w"]  # trust in what was seen before it; 0 where nothing was, or `fresh`


def empty_view(batch: int, config: CameraConfig) -> View:
    """Make cameras that have seen nothing and look at the horizon."""
    return View(
        jnp.zeros((batch, 2)), jnp.zeros((batch, *config.size, 3), jnp.uint8),
        jnp.zeros((batch, *PANORAMA, 3), jnp.uint8), jnp.zeros((batch, *PANORAMA)),
    )  # fmt: skip


def turned(heading: Float[Array, "b 2"], action: Float[Array, "b a"], config: CameraConfig) -> Float[Array, "b 2"]:
    """Turn cameras by action rows; one that is not known does not turn them."""
    degrees = jnp.nan_to_num(action[:, jnp.array([config.yaw, config.pitch])])
    yaw, pitch = jnp.moveaxis(heading + jnp.radians(degrees), -1, 0)
    return jnp.stack([yaw, jnp.clip(pitch, -STEEPEST, STEEPEST)], -1)


def look(view: View, heading: Float[Array, "b 2"], config: CameraConfig) -> Sight:
    """Look from a heading at what was seen: the last picture where it shows, then the panorama, then its edge."""
    return jax.vmap(lambda view, heading: _look(view, heading, config))(view, heading)


def see(view: View, frame: UInt8[Array, "b h w 3"], heading: Float[Array, "b 2"], config: CameraConfig) -> View:
    """Remember a picture that was seen from a heading."""
    return jax.vmap(lambda view, frame, heading: _see(view, frame, heading, config))(view, frame, heading)


def _look(view: View, heading: Float[Array, "2"], config: CameraConfig) -> Sight:
    size = config.size
    rays = _rays(size, config.field_of_view) @ _rotation(heading).T  # in the world
    at, in_front = _project(rays @ _rotation(view.heading), size, config.field_of_view)
    fresh = in_front & _inside(at, size) & (view.trust > 0).any() & ~(_moved(at) & _covered(at, config))
    last = _sample(view.frame, at)
    x = jnp.arctan2(rays[..., 0], rays[..., 2]) / (2 * jnp.pi) * PANORAMA[1] - 0.5
    y = (jnp.arcsin(jnp.clip(rays[..., 1], -1, 1)) / jnp.pi + 0.5) * PANORAMA[0] - 0.5
    around = jnp.stack([y, x], -1)
    is_known = (view.trust > 0)[..., None]
    parts = _sample(jnp.concatenate([view.panorama * is_known, is_known, view.trust[..., None]], -1), around, wrap=True)
    seen, share, trust = parts[..., :3], parts[..., 3:4], parts[..., 4]
    trust = jnp.where(fresh | (share[..., 0] < 0.5), 0.0, trust)
    frame = jnp.where((trust > 0)[..., None], seen / jnp.maximum(share, 1e-3), last)
    return Sight(jnp.round(frame).astype(jnp.uint8), fresh, trust)


def _see(view: View, frame: UInt8[Array, "h w 3"], heading: Float[Array, "2"], config: CameraConfig) -> View:
    size = config.size
    at, in_front = _project(_panorama_rays() @ _rotation(heading), size, config.field_of_view)
    seen = in_front & _inside(at, size) & ~_covered(at, config)
    panorama = jnp.where(seen[..., None], jnp.round(_sample(frame, at)).astype(jnp.uint8), view.panorama)
    return View(heading, frame, panorama, jnp.where(seen, 1.0, view.trust * TRUST_DECAY))


def _rotation(heading: Float[Array, "2"]) -> Float[Array, "3 3"]:
    """From the camera to the world: pitch, then yaw."""
    (cy, cp), (sy, sp) = jnp.cos(heading), jnp.sin(heading)
    return jnp.stack(
        [jnp.stack([cy, -sy * sp, sy * cp]), jnp.stack([0 * cy, cp, sp]), jnp.stack([-sy, -cy * sp, cy * cp])]
    )


def _rays(size: tuple[int, int], field_of_view: float) -> Float[np.ndarray, "h w 3"]:
    """The unit vector through every pixel."""
    (h, w), focal = size, _focal(size, field_of_view)
    y, x = np.meshgrid(np.arange(h) + 0.5 - h / 2, np.arange(w) + 0.5 - w / 2, indexing="ij")
    rays = np.stack([x / focal, y / focal, np.ones_like(x)], -1)
    return (rays / np.linalg.norm(rays, axis=-1, keepdims=True)).astype(np.float32)


def _panorama_rays() -> Float[np.ndarray, "y x 3"]:
    pitch = ((np.arange(PANORAMA[0]) + 0.5) / PANORAMA[0] - 0.5) * np.pi
    yaw = (np.arange(PANORAMA[1]) + 0.5) / PANORAMA[1] * 2 * np.pi
    pitch, yaw = np.meshgrid(pitch, yaw, indexing="ij")
    rays = [np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)]
    return np.stack(rays, -1).astype(np.float32)


def _focal(size: tuple[int, int], field_of_view: float) -> float:
    return size[0] / 2 / np.tan(np.radians(field_of_view) / 2)


def _project(
    rays: Any, size: tuple[int, int], field_of_view: float
) -> tuple[Float[Array, "y x 2"], Bool[Array, "y x"]]:
    """Where rays of the camera meet the picture, in pixels (row, column), and which lie in front."""
    depth = rays[..., 2:]
    at = rays[..., 1::-1] / jnp.maximum(depth, 1e-3) * _focal(size, field_of_view)
    return at + _pair(float(size[0]), float(size[1])) / 2 - 0.5, depth[..., 0] > 1e-3


def _covered(at: Float[Array, "y x 2"], config: CameraConfig) -> Bool[Array, "y x"]:
    """Which places of the picture an overlay covers."""
    row, column = (jnp.clip(jnp.round(at[..., i]).astype(int), 0, config.size[i] - 1) for i in (0, 1))
    return jnp.asarray(config.covered)[row, column]


def _moved(at: Float[Array, "h w 2"]) -> Bool[Array, "h w"]:
    """Which pixels show what was in another one before: what stands still may stay, an overlay too."""
    here = np.stack(np.meshgrid(*(np.arange(n) for n in at.shape[:2]), indexing="ij"), -1)
    return jnp.abs(at - here).max(-1) > 0.75


def _pair(y: float, x: float) -> Float[Array, "1 1 2"]:
    return jnp.array([[[y, x]]], jnp.float32)


def _inside(at: Float[Array, "y x 2"], size: tuple[int, int]) -> Bool[Array, "y x"]:
    return ((at > -0.5) & (at < _pair(float(size[0]), float(size[1])) - 0.5)).all(-1)


def _sample(picture: Any, at: Float[Array, "y x 2"], *, wrap: bool = False) -> Float[Array, "y x c"]:
    """Read a picture between its pixels; beyond its edge goes on, or its columns come round again."""
    height, width = picture.shape[:2]
    far = 1e6 if wrap else 0.0
    at = jnp.clip(at, _pair(0.0, -far), _pair(height - 1.0, width - 1.0 + far))
    low = jnp.floor(at)
    share = at - low
    y, x = jnp.moveaxis(low.astype(jnp.int32), -1, 0)
    flat = picture.reshape(height * width, -1)

    def pixel(dy: int, dx: int) -> Float[Array, "y x c"]:
        row = jnp.minimum(y + dy, height - 1)
        column = (x + dx) % width if wrap else jnp.minimum(x + dx, width - 1)
        return jnp.take(flat, row * width + column, axis=0).astype(jnp.float32)

    down, right = share[..., :1], share[..., 1:]
    top = pixel(0, 0) * (1 - right) + pixel(0, 1) * right
    return top * (1 - down) + (pixel(1, 0) * (1 - right) + pixel(1, 1) * right) * down
