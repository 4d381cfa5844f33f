"""What the camera's way tells of every frame of footage, worked out once before the dynamics are trained."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float

from worldsim.data.dataset import Columns
from worldsim.data.meta import FootageMeta
from worldsim.dynamics import Dynamics, DynamicsConfig
from worldsim.dynamics.cache import Glimpse
from worldsim.glimpse import coded
from worldsim.nn.camera import CameraConfig, empty_view, look, see, turned
from worldsim.nn.local import unpack
from worldsim.nn.params import merge, split
from worldsim.tokenizer import Tokenizer
from worldsim.train.presets import Preset

EPISODES = 8  # at once
GAZE_STEPS, GAZE_BATCH, GAZE_RATE = 2000, 128, 3e-3
FAR = 0.15  # radians from which an error counts no more than its size: a wall or a sky tells nothing


class Glimpses(NamedTuple):
    """Of frames of footage `[n ...]`."""

    glimpse: Glimpse
    pitch: Float[Any, "*n"]  # radians downwards; NaN where it is not known

    def batch(self, rows: np.ndarray) -> Glimpse:
        """Pick the glimpses of windows, as the dynamics want them."""
        return Glimpse(*(x[rows].astype(np.float32) for x in self.glimpse))


def with_camera(preset: Preset, meta: FootageMeta) -> Preset:
    """Give the preset that uses the camera of footage, where it says what it is.

    A preset whose dynamics say already what they are seen by, as those of a world to go on from, stays as it is.
    """
    if not meta.camera or "camera" in preset.dynamics:
        return preset
    return dataclasses.replace(preset, dynamics={**preset.dynamics, "camera": camera_config(meta)})


def camera_config(meta: FootageMeta) -> CameraConfig:
    """Read the camera of footage.

    Raises:
        ValueError: it names an action that the footage has not, or lacks something.
    """
    names = meta.action_spec.column_names
    if missing := [k for k in ("field_of_view", "yaw", "pitch") if k not in meta.camera]:
        raise ValueError(f"the footage's camera lacks {', '.join(missing)}.")
    if unknown := [meta.camera[k] for k in ("yaw", "pitch") if meta.camera[k] not in names]:
        raise ValueError(f"the footage's camera is turned by {', '.join(unknown)}, which is no action of {names}.")
    yaw, pitch = (names.index(meta.camera[k]) for k in ("yaw", "pitch"))
    overlays: tuple[Any, ...] = tuple(tuple(map(float, box)) for box in meta.camera.get("overlays", ()))
    return CameraConfig(
        size=meta.size, field_of_view=float(meta.camera["field_of_view"]), yaw=yaw, pitch=pitch, overlays=overlays
    )


def glimpse_footage(tokenizer: Tokenizer, config: DynamicsConfig, meta: FootageMeta, columns: Columns) -> Glimpses:
    """Look at every frame of footage from where the camera had been before, episode by episode."""
    graph, params = split(tokenizer)
    camera = config.camera
    assert camera is not None
    n, cells = len(columns.obs), tuple(size * config.pack for size in config.grid)
    out = Glimpse(
        np.empty((n, config.num_latents, config.token_dim), np.float16), np.empty((n, *cells), np.float16),
        np.empty((n, *cells), np.float16),
    )  # fmt: skip
    pitch, length = _pitch(meta, columns), columns.longest

    @jax.jit
    def run(params, obs, action, first):
        tokenizer = merge(graph, params)
        begin = empty_view(len(first), camera)
        begin = begin._replace(heading=begin.heading.at[:, 1].set(first))

        def step(view, frame):
            obs, action = frame
            heading = turned(view.heading, action, camera)
            glimpse = coded(tokenizer, look(view, heading, camera), config)
            return see(view, obs, heading, camera), jax.tree.map(lambda x: x.astype(jnp.float16), glimpse)

        return jax.lax.scan(step, begin, (jnp.moveaxis(obs, 1, 0), jnp.moveaxis(action, 1, 0)))[1]

    spans = list(zip(columns.bounds[:-1], columns.bounds[1:], strict=True))
    for i in range(0, len(spans), EPISODES):
        part = spans[i : i + EPISODES]
        rows = [np.minimum(np.arange(begin, begin + length), end - 1) for begin, end in part]
        rows = np.stack(rows + rows[-1:] * (EPISODES - len(part)))
        first = np.nan_to_num(pitch[rows[:, 0]])
        found = jax.tree.map(np.asarray, run(params, columns.obs[rows], columns.prev_action[rows], first))
        for e, (begin, end) in enumerate(part):
            for mine, theirs in zip(out, found, strict=True):
                mine[begin:end] = theirs[: end - begin, e]
    return Glimpses(out, pitch)


def _pitch(meta: FootageMeta, columns: Columns) -> Float[np.ndarray, " n"]:
    name = meta.camera.get("state")
    if columns.state is None or name not in meta.state_names:
        return np.full(len(columns.obs), np.nan, np.float32)
    return np.radians(columns.state[:, meta.state_names.index(name)])


def surprises(latents: Float[np.ndarray, "n m c"], glimpses: Glimpses, config: DynamicsConfig) -> Float[Array, "3 c"]:
    """Measure the mean square distance of frames from what their glimpses say, channel by channel.

    Of what is fresh, old and new; where cells are of several kinds, by their shares. At least 0.001.
    """
    total, weight = np.zeros((3, config.token_dim)), np.zeros((3, config.token_dim))
    cell = config.token_dim // config.pack**2
    for begin in range(0, len(latents), 4096):
        part = slice(begin, begin + 4096)
        error = np.square(latents[part] - glimpses.glimpse.z[part].astype(np.float32))
        fresh, old = (x[part].astype(np.float32) for x in glimpses.glimpse[1:])
        follows = (fresh + old).any((1, 2), keepdims=True)  # not so an episode's first frame
        for kind, share in enumerate((fresh, old, 1 - fresh - old)):
            packed = _packed(share * follows, config, cell)
            total[kind] += (packed * error).sum((0, 1))
            weight[kind] += packed.sum((0, 1))
    return jnp.asarray(np.maximum(total / np.maximum(weight, 1e-6), 1e-3), jnp.float32)


def fit_gaze(dynamics: Dynamics, latents: Float[np.ndarray, "n m c"], pitch: Float[np.ndarray, " n"]) -> None:
    """Learn to tell the pitch from a frame, before the dynamics are trained; or leave it level where none is known."""
    ids = np.flatnonzero(np.isfinite(pitch))
    if not len(ids):
        return
    config = dynamics.config
    graph, params = split(dynamics.gaze)
    optimizer = optax.adam(optax.cosine_decay_schedule(GAZE_RATE, GAZE_STEPS))

    @jax.jit
    def step(params, state, z, pitch):
        def loss(params):
            told = merge(graph, params)(unpack(z, config.grid, config.pack))
            return optax.huber_loss(told, pitch, delta=FAR).mean()

        update, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, update), state

    state, rng = optimizer.init(params), np.random.default_rng(0)
    for _ in range(GAZE_STEPS):
        rows = rng.choice(ids, GAZE_BATCH)
        params, state = step(params, state, latents[rows], pitch[rows])
    nnx.update(dynamics.gaze, params)


def _packed(share: Float[np.ndarray, "n y x"], config: DynamicsConfig, cell: int) -> Float[np.ndarray, "n m c"]:
    (rows, columns), pack = config.grid, config.pack
    blocks = share.reshape(-1, rows, pack, columns, pack).transpose(0, 1, 3, 2, 4)
    return np.repeat(blocks.reshape(len(share), rows * columns, pack * pack), cell, -1)
