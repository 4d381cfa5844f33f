"""The stage in which the flow is learned, before the dynamics are: by the next pictures, some of them from its own.

A net that only ever moved real pictures moves its own, a few frames later, with errors that it never saw; so every
window goes on for a few frames (`Preset.flow_frames`), each made of those before, and each of them is learned from. No
gradient goes from one frame to another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, UInt8

from worldsim.data.dataset import Columns, ShuffledIndex, Windows
from worldsim.data.meta import FootageMeta
from worldsim.dynamics.flow import FlowNet
from worldsim.metrics import psnr
from worldsim.nn.camera import CameraConfig, View, look, look_back, turned
from worldsim.nn.params import merge
from worldsim.pictures import strip
from worldsim.train.glimpses import true_pitch
from worldsim.train.loop import Budget, Stage
from worldsim.train.presets import Preset
from worldsim.train.steps import make_step

NUM_CLIPS = 256
NEW = 0.1  # weight of what was not in the last picture
SMALL = 0.005  # of the frame's units: an error from which on it counts by its size


class Clips(NamedTuple):
    """Windows of two frames, and of those to be made of them."""

    obs: UInt8[Any, "b t h w 3"]
    prev_action: Float[Any, "b t a"]
    pitch: Float[Any, " b"]  # of the first frame, in radians


def flow_stage(
    graph: nnx.GraphDef,
    data: tuple[Columns, Columns],
    meta: FootageMeta,
    preset: Preset,
    budget: Budget,
    seed: int,
    show: Callable[[int, UInt8[np.ndarray, "y x c"]], None],
) -> Stage:
    """Learn to move the last picture; judged by frames of its own making of held-out footage, in dB."""
    config, (train, held), count_made = preset.flow_stage, data, preset.flow_frames
    windows, pitch = _windows(train, count_made), true_pitch(meta, train)
    order = ShuffledIndex(len(windows), config.batch_size, seed)
    others = _windows(held, count_made)
    size = min(config.batch_size, len(others))
    count = min(NUM_CLIPS, len(others)) // size * size
    shown = _clips(others, np.linspace(0, len(others) - 1, count).astype(int), true_pitch(meta, held))
    dream = jax.jit(lambda params, clips: unrolled(merge(graph, params), clips)[0])
    copy = psnr(shown.obs[:, 2:], np.repeat(shown.obs[:, 1:2], count_made, 1)).mean()

    def judge(params: Any, step: int) -> tuple[float, str]:
        parts = [Clips(*(x[i : i + size] for x in shown)) for i in range(0, count, size)]
        frames = [np.asarray(dream(params, part)) for part in parts]
        dreamt = np.round(np.concatenate(frames)).astype(np.uint8)
        score = float(psnr(shown.obs[:, 2:], dreamt).mean())
        show(step, strip([shown.obs[:, 2:], dreamt]))
        return score, f"{count_made} frames moved {score:.1f} dB, copy-last {copy:.1f}"

    return Stage(
        "flow",
        config,
        budget,
        config.batch_size * count_made,
        make_step(flow_loss(graph), ema=config.ema),
        lambda step: _clips(windows, order.at(step), pitch),
        judge,
        num_evaluations=preset.num_evaluations,
    )


def flow_loss(graph: nnx.GraphDef) -> Callable:
    """Make the loss of a FlowNet on Clips: Charbonnier's, where the last picture shows what is looked at."""

    def loss(params: Any, clips: Clips, key: Any, bootstrap: bool) -> tuple[Float[Array, ""], dict]:
        frames, fresh = unrolled(merge(graph, params), clips)
        error = (frames - clips.obs[:, 2:].astype(jnp.float32)) / 127.5
        weight = jnp.where(fresh, 1.0, NEW)[..., None]
        return (weight * (jnp.sqrt(error**2 + SMALL**2) - SMALL)).mean(), {}

    return loss


def unrolled(flow: FlowNet, clips: Clips) -> tuple[Float[Array, "b t h w 3"], Any]:
    """Move two real pictures on and on: the frames after them, in 0..255, and which of their pixels were in sight."""
    camera = flow.camera
    first = jnp.stack([jnp.zeros_like(clips.pitch), clips.pitch], -1)
    heading = turned(first, clips.prev_action[:, 1], camera)
    view = _without_panorama(camera, first, clips.obs[:, 0], heading, clips.obs[:, 1])

    def step(view: View, action: Float[Array, "b a"]):
        heading = turned(view.heading, action, camera)
        sight = look(view, heading, camera, flow(view, heading, action), rounded=False)
        fresh = look_back(view, heading, camera)[2]
        frame = jax.lax.stop_gradient(jnp.round(sight.frame)).astype(jnp.uint8)
        return _without_panorama(camera, view.heading, view.frame, heading, frame), (sight.frame, fresh)

    later = jnp.moveaxis(clips.prev_action[:, 2:], 1, 0)
    whole = jax.default_backend() == "cpu"  # which would run what is inside a loop on one core
    _, (frames, fresh) = jax.lax.scan(step, view, later, unroll=whole)
    return jnp.moveaxis(frames, 0, 1), jnp.moveaxis(fresh, 0, 1)


def _without_panorama(camera: CameraConfig, before_heading, before, heading, frame) -> View:
    """What was seen, but for the panorama, which takes time and shows little of a few frames."""
    b = len(frame)
    nothing = jnp.zeros((b, 1, 1, 3), jnp.uint8), jnp.zeros((b, 1, 1))
    return View(jnp.ones((b,), bool), heading, frame, before_heading, before, *nothing)


def _windows(columns: Columns, num_frames: int) -> Windows:
    return Windows(columns, 2 + num_frames, min_real=2 + num_frames)


def _clips(windows: Windows, ids: np.ndarray, pitch: Float[np.ndarray, " n"]) -> Clips:
    rows, _ = windows.rows(ids)
    columns = windows.columns
    return Clips(columns.obs[rows], columns.prev_action[rows], np.nan_to_num(pitch[rows[:, 0]]).astype(np.float32))
