"""What a camera that turns has seen: the last pictures and a panorama, to be looked at from the next heading.

Where the controls say by how many degrees the camera turns, most of the next picture is known without learning: what
was in sight is somewhere else in the frame, and what had left it comes back. `look` says where. What else moves, as all
does when a camera walks, is for a learned `Flow` to say (`worldsim.dynamics.flow`). Kin of the caches that guide video
models along a camera's path, such as Gen3C (Ren et al. 2025, arXiv 2503.03751), without their depth.

A game whose camera does not turn has one that stands still: what it saw last is in sight, and a `Flow` moves it.

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
STILL = 0.75  # pixels by which what stands still may seem to move; an overlay that does so stays


@dataclass(frozen=True, kw_only=True)
class CameraConfig:
    """A first-person camera, and what turns it. Where nothing does it stands still, as of a game seen from the side."""

    size: tuple[int, int]
    """Height and width of its picture in pixels."""
    field_of_view: float = 90.0
    """From the top of the picture to its bottom, in degrees."""
    yaw: int | None = None
    """Column of the action row: degrees to the right. None = nothing turns it so."""
    pitch: int | None = None
    """Column of the action row: degrees downwards. None = nothing turns it so."""
    overlays: tuple[tuple[float, float, float, float], ...] = ()
    """Boxes of the picture that do not turn with the world, a hand say: top, left, bottom, right, in shares of it."""

    def __post_init__(self):
        if not 0 < self.field_of_view < 180:
            raise ValueError(f"field_of_view must be within 0..180 degrees, got {self.field_of_view}.")
        for box in self.overlays:
            if not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
                raise ValueError(f"an overlay wants top, left, bottom and right within 0..1, got {box}.")

    @property
    def turns(self) -> bool:
        """Whether anything turns it."""
        return self.yaw is not None or self.pitch is not None

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

    began: Bool[Array, " b"]  # whether there is a last picture
    heading: Float[Array, "b 2"]
    frame: UInt8[Array, "b h w 3"]  # the last picture
    before_heading: Float[Array, "b 2"]
    before: UInt8[Array, "b h w 3"]  # the picture before the last; the last itself where it was the first
    panorama: UInt8[Array, "b y x 3"]
    trust: Float[Array, "b y x"]  # of the panorama: 0 where nothing was seen yet, 1 in the last picture


class Flow(NamedTuple):
    """Where the next picture's pixels were in the last one, beyond what the camera's turn makes of it."""

    moved: Float[Array, "b h w 2"]  # pixels down and to the right
    stays: Float[Array, "b h w"]  # share that neither turns nor moves, as a crosshair; 0 = none


class Sight(NamedTuple):
    """The next picture as far as it is known."""

    frame: Any  # uint8 [b h w 3]; float32 where it was not rounded
    fresh: Bool[Array, "b h w"]  # was in the last picture
    old: Float[Array, "b h w"]  # trust in what was seen before it; 0 where nothing was, or `fresh`


def empty_view(batch: int, config: CameraConfig) -> View:
    """Make cameras that have seen nothing and look at the horizon; one that stands still needs no panorama."""
    heading, frame = jnp.zeros((batch, 2)), jnp.zeros((batch, *config.size, 3), jnp.uint8)
    around = PANORAMA if config.turns else (1, 1)
    panorama, trust = jnp.zeros((batch, *around, 3), jnp.uint8), jnp.zeros((batch, *around))
    return View(jnp.zeros((batch,), bool), heading, frame, heading, frame, panorama, trust)


def turned(heading: Float[Array, "b 2"], action: Float[Array, "b a"], config: CameraConfig) -> Float[Array, "b 2"]:
    """Turn cameras by action rows; one that is not known does not turn them."""
    degrees = [
        jnp.zeros(len(action)) if i is None else jnp.nan_to_num(action[:, i]) for i in (config.yaw, config.pitch)
    ]
    yaw, pitch = jnp.moveaxis(heading + jnp.radians(jnp.stack(degrees, -1)), -1, 0)
    return jnp.stack([yaw, jnp.clip(pitch, -STEEPEST, STEEPEST)], -1)


def look(
    view: View, heading: Float[Array, "b 2"], config: CameraConfig, flow: Flow | None = None, *, rounded: bool = True
) -> Sight:
    """Look from a heading at what was seen: the last picture where it shows, then the panorama, then its edge.

    `flow` moves what is looked at. `rounded`: to uint8, which takes no gradient.
    """
    sight = jax.vmap(lambda view, heading, flow: _look(view, heading, flow, config))(view, heading, flow)
    return sight._replace(frame=jnp.round(sight.frame).astype(jnp.uint8)) if rounded else sight


def look_back(view: View, heading: Float[Array, "b 2"], config: CameraConfig) -> tuple[Any, Any, Any]:
    """Look from a heading at the last picture and at the one before it: float32 `[b h w 3]` in 0..255 each.

    The third is which pixels were in the last picture.
    """

    def one(view: View, heading: Float[Array, "2"]):
        rays = _rays(_places(config.size), config) @ _rotation(heading).T
        at, fresh = _project(rays @ _rotation(view.heading), config)
        earlier, _ = _project(rays @ _rotation(view.before_heading), config)
        return _sample(view.frame, at), _sample(view.before, earlier), fresh & view.began

    return jax.vmap(one)(view, heading)


def see(view: View, frame: UInt8[Array, "b h w 3"], heading: Float[Array, "b 2"], config: CameraConfig) -> View:
    """Remember a picture that was seen from a heading."""
    return jax.vmap(lambda view, frame, heading: _see(view, frame, heading, config))(view, frame, heading)


def _look(view: View, heading: Float[Array, "2"], flow: Flow | None, config: CameraConfig) -> Sight:
    here = _places(config.size)
    places = here if flow is None else here + flow.moved
    rays = _rays(places, config) @ _rotation(heading).T  # in the world
    at, is_inside = _project(rays @ _rotation(view.heading), config)
    fresh = is_inside & view.began & ~((jnp.abs(at - here).max(-1) > STILL) & _covered(at, config))
    last = _sample(view.frame, at)
    frame, trust = _around(view, rays, fresh, last) if config.turns else (last, jnp.zeros_like(fresh, jnp.float32))
    if flow is None:
        return Sight(frame, fresh, trust)
    stays = flow.stays[..., None] * view.began
    is_kept = stays[..., 0] > 0.5
    frame = frame + stays * (view.frame.astype(jnp.float32) - frame)
    return Sight(jnp.clip(frame, 0, 255), fresh | is_kept, jnp.where(is_kept, 0.0, trust))


def _around(view: View, rays: Any, fresh: Bool[Array, "h w"], last: Float[Array, "h w 3"]) -> tuple[Any, Any]:
    """Look into the panorama where the last picture does not show; with the trust in what is seen there."""
    height, width = view.panorama.shape[:2]
    x = jnp.arctan2(rays[..., 0], rays[..., 2]) / (2 * jnp.pi) * width - 0.5
    y = (jnp.arcsin(jnp.clip(rays[..., 1], -1, 1)) / jnp.pi + 0.5) * height - 0.5
    is_known = (view.trust > 0)[..., None]
    layers = jnp.concatenate([view.panorama * is_known, is_known, view.trust[..., None]], -1)
    around = jax.lax.stop_gradient(jnp.stack([y, x], -1))  # whose slope has no bound at the poles
    parts = _sample(layers, around, wrap=True)
    seen, share, trust = parts[..., :3], parts[..., 3:4], parts[..., 4]
    trust = jnp.where(fresh | (share[..., 0] < 0.5), 0.0, trust)
    return jnp.where((trust > 0)[..., None], seen / jnp.maximum(share, 1e-3), last), trust


def _see(view: View, frame: UInt8[Array, "h w 3"], heading: Float[Array, "2"], config: CameraConfig) -> View:
    panorama, trust = view.panorama, view.trust
    if config.turns:
        at, seen = _project(_panorama_rays() @ _rotation(heading), config)
        seen = seen & ~_covered(at, config)
        panorama = jnp.where(seen[..., None], jnp.round(_sample(frame, at)).astype(jnp.uint8), panorama)
        trust = jnp.where(seen, 1.0, trust * TRUST_DECAY)
    before_heading, before = (
        jnp.where(view.began, x, now) for x, now in ((view.heading, heading), (view.frame, frame))
    )
    return View(jnp.ones_like(view.began), heading, frame, before_heading, before, panorama, trust)


def _rotation(heading: Float[Array, "2"]) -> Float[Array, "3 3"]:
    """From the camera to the world: pitch, then yaw."""
    (cy, cp), (sy, sp) = jnp.cos(heading), jnp.sin(heading)
    return jnp.stack(
        [jnp.stack([cy, -sy * sp, sy * cp]), jnp.stack([0 * cy, cp, sp]), jnp.stack([-sy, -cy * sp, cy * cp])]
    )


def _places(size: tuple[int, int]) -> Float[np.ndarray, "h w 2"]:
    """Row and column of every pixel."""
    return np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in size), indexing="ij"), -1)


def _rays(places: Any, config: CameraConfig) -> Float[Array, "h w 3"]:
    """The unit vector through places of the picture."""
    (height, width), focal = config.size, _focal(config)
    out = (places - _pair((height - 1) / 2, (width - 1) / 2)) / focal
    rays = jnp.concatenate([out[..., 1:], out[..., :1], jnp.ones_like(out[..., :1])], -1)
    return rays / jnp.linalg.norm(rays, axis=-1, keepdims=True)


def _panorama_rays() -> Float[np.ndarray, "y x 3"]:
    pitch = ((np.arange(PANORAMA[0]) + 0.5) / PANORAMA[0] - 0.5) * np.pi
    yaw = (np.arange(PANORAMA[1]) + 0.5) / PANORAMA[1] * 2 * np.pi
    pitch, yaw = np.meshgrid(pitch, yaw, indexing="ij")
    rays = [np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)]
    return np.stack(rays, -1).astype(np.float32)


def _focal(config: CameraConfig) -> float:
    return config.size[0] / 2 / np.tan(np.radians(config.field_of_view) / 2)


def _project(rays: Any, config: CameraConfig) -> tuple[Float[Array, "y x 2"], Bool[Array, "y x"]]:
    """Where rays of the camera meet the picture, in pixels (row, column), and which meet it at all."""
    height, width = config.size
    depth = rays[..., 2:]
    at = rays[..., 1::-1] / jnp.maximum(depth, 1e-3) * _focal(config) + _pair((height - 1) / 2, (width - 1) / 2)
    is_inside = ((at > -0.5) & (at < _pair(height - 0.5, width - 0.5))).all(-1)
    return at, is_inside & (depth[..., 0] > 1e-3)


def _covered(at: Float[Array, "y x 2"], config: CameraConfig) -> Bool[Array, "y x"]:
    """Which places of the picture an overlay covers."""
    row, column = (jnp.clip(jnp.round(at[..., i]).astype(int), 0, config.size[i] - 1) for i in (0, 1))
    return jnp.asarray(config.covered)[row, column]


def _pair(y: float, x: float) -> Float[Array, "1 1 2"]:
    return jnp.array([[[y, x]]], jnp.float32)


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
