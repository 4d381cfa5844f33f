"""The stage of cameras, before the dynamics: PitchNet by regression, then FlowNet by photometric error.

A net that only ever moved real frames moves its own, a few frames later, with errors that it never met; so every window
goes on for `Recipe.flow_frames` frames, each made of those before, and each of them is trained on. No gradient goes
from one frame to another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Bool, Float, PyTree, UInt8

from worldsim.data.dataset import Columns, ShuffledIndex, Windows
from worldsim.data.meta import FootageMeta
from worldsim.metrics import psnr
from worldsim.model.camera.flow import FlowNet
from worldsim.model.camera.geometry import CameraState, turn, warp, warp_last_two
from worldsim.model.dynamics import Dynamics
from worldsim.nn.local import unpack
from worldsim.nn.params import merge, split
from worldsim.train.evaluation import Show
from worldsim.train.games import Game, Latents
from worldsim.train.loop import Budget, Stage
from worldsim.train.optimizer import Fixed, Loss, is_kernel, make_step, muon
from worldsim.train.recipes import Recipe
from worldsim.train.stages.warps import true_pitch
from worldsim.video import strip

NUM_CLIPS = 256
UNSEEN_WEIGHT = 0.1  # of pixels that were not in the last frame
CHARBONNIER = 0.005  # frame units: larger errors count by their size
PITCH_STEPS, PITCH_BATCH, PITCH_RATE = 2000, 128, 3e-3
HUBER = 0.15  # radians: larger errors count by their size, for a wall or a sky tells nothing


class Clips(NamedTuple):
    """Windows of two frames, and of those to be made of them."""

    obs: UInt8[PyTree, "b t h w 3"]
    prev_action: Float[PyTree, "b t a"]
    pitch: Float[PyTree, " b"]  # of the first frame, in radians


def fit_pitch(games: Sequence[Game], modules: Sequence[Dynamics], latents: Sequence[Latents]) -> None:
    """Train PitchNet of the first dynamics, in place, on the games whose footage has the true pitch."""
    known = []
    for game, dynamics, encoded in zip(games, modules, latents, strict=True):
        pitch = true_pitch(game.footage.meta, game.data[0])
        if len(rows := np.flatnonzero(np.isfinite(pitch))):
            known.append((dynamics.config, encoded.train, pitch, rows))
    if not known:
        return
    pitch_net = modules[0].prior.pitch_net
    graph, params = split(pitch_net)
    optimizer = optax.adam(optax.cosine_decay_schedule(PITCH_RATE, PITCH_STEPS))

    @partial(jax.jit, static_argnums=4)
    def step(params, state, z, pitch, config):
        def loss(params):
            predicted = merge(graph, params)(unpack(z, config.grid, config.pack))
            return optax.huber_loss(predicted, pitch, delta=HUBER).mean()

        update, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, update), state

    state, rng = optimizer.init(params), np.random.default_rng(0)
    for _ in range(PITCH_STEPS):
        config, z, pitch, ids = known[rng.integers(len(known)) if len(known) > 1 else 0]
        rows = rng.choice(ids, PITCH_BATCH)
        params, state = step(params, state, z[rows], pitch[rows], config)
    nnx.update(pitch_net, params)


def flow_stage(
    graph: nnx.GraphDef,
    data: tuple[Columns, Columns],
    meta: FootageMeta,
    recipe: Recipe,
    budget: Budget,
    seed: int,
    show: Show,
) -> Stage:
    """Return the stage of FlowNet; evaluated by the PSNR of frames that it makes of each other, held out."""
    config, (train, held), num_made = recipe.flow_stage, data, recipe.flow_frames
    windows, pitch = _windows(train, num_made), true_pitch(meta, train)
    order = ShuffledIndex(len(windows), config.batch_size, seed)
    others = _windows(held, num_made)
    size = min(config.batch_size, len(others))
    count = min(NUM_CLIPS, len(others)) // size * size
    shown = _clips(others, np.linspace(0, len(others) - 1, count).astype(int), true_pitch(meta, held))
    move = jax.jit(lambda params, clips: unrolled(merge(graph, params), clips)[0])
    copy = psnr(shown.obs[:, 2:], np.repeat(shown.obs[:, 1:2], num_made, 1)).mean()

    def evaluate(params: PyTree, step: int) -> tuple[float, str]:
        parts = [Clips(*(x[i : i + size] for x in shown)) for i in range(0, count, size)]
        frames = [np.asarray(move(params, part)) for part in parts]
        moved = np.round(np.concatenate(frames)).astype(np.uint8)
        score = float(psnr(shown.obs[:, 2:], moved).mean())
        show(step, strip([shown.obs[:, 2:], moved]))
        return score, f"{num_made} frames moved {score:.1f} dB, copy-last {copy:.1f}"

    return Stage(
        "flow",
        config,
        budget,
        config.batch_size * num_made,
        make_step(flow_loss(graph), muon(), ema=config.ema, decay=is_kernel),
        lambda step: _clips(windows, order.at(step), pitch),
        evaluate,
        num_evaluations=recipe.num_evaluations,
    )


def flow_loss(graph: nnx.GraphDef) -> Loss:
    """Return the Charbonnier loss of a FlowNet on Clips, mostly of the pixels that were in the last frame."""

    def loss(params: PyTree, clips: Clips, key: PyTree, fixed: Fixed) -> tuple[Float[Array, ""], dict]:
        frames, visible = unrolled(merge(graph, params), clips)
        error = (frames - clips.obs[:, 2:].astype(jnp.float32)) / 127.5
        weight = jnp.where(visible, 1.0, UNSEEN_WEIGHT)[..., None]
        return (weight * (jnp.sqrt(error**2 + CHARBONNIER**2) - CHARBONNIER)).mean(), {}

    return loss


def unrolled(flow_net: FlowNet, clips: Clips) -> tuple[Float[Array, "b t h w 3"], Bool[Array, "b t h w"]]:
    """Move two real frames on and on: the frames after them, in 0..255, and which of their pixels were visible."""
    camera = dataclasses.replace(flow_net.camera, supersampling=1)
    first = jnp.stack([jnp.zeros_like(clips.pitch), clips.pitch], -1)
    heading = turn(first, clips.prev_action[:, 1], camera)
    state = _without_panorama(first, clips.obs[:, 0], heading, clips.obs[:, 1])

    def step(state: CameraState, action: Float[Array, "b a"]):
        heading = turn(state.heading, action, camera)
        warped = warp(state, heading, camera, flow_net(state, heading, action), to_learn=True)
        visible = warp_last_two(state, heading, camera)[2]
        frame = jax.lax.stop_gradient(jnp.round(warped.frame)).astype(jnp.uint8)
        return _without_panorama(state.heading, state.frame, heading, frame), (warped.frame, visible)

    later = jnp.moveaxis(clips.prev_action[:, 2:], 1, 0)
    whole = jax.default_backend() == "cpu"  # which would run what is inside a loop on one core
    _, (frames, visible) = jax.lax.scan(step, state, later, unroll=whole)
    return jnp.moveaxis(frames, 0, 1), jnp.moveaxis(visible, 0, 1)


def _without_panorama(before_heading: Array, before: Array, heading: Array, frame: Array) -> CameraState:
    """Return a state without a panorama, which takes time and shows little of a few frames."""
    b = len(frame)
    empty = jnp.zeros((b, 1, 1, 3), jnp.uint8), jnp.zeros((b, 1, 1))
    return CameraState(jnp.ones((b,), bool), heading, frame, before_heading, before, *empty)


def _windows(columns: Columns, num_frames: int) -> Windows:
    return Windows(columns, 2 + num_frames, min_real=2 + num_frames)


def _clips(windows: Windows, ids: np.ndarray, pitch: Float[np.ndarray, " n"]) -> Clips:
    rows, _ = windows.rows(ids)
    columns = windows.columns
    return Clips(columns.obs[rows], columns.prev_action[rows], np.nan_to_num(pitch[rows[:, 0]]).astype(np.float32))
