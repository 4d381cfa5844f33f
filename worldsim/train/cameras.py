"""What is learned of cameras before the dynamics are: how far down a frame looks, and how what is in sight moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import optax
from flax import nnx

from worldsim.data.dataset import Columns
from worldsim.data.meta import FootageMeta
from worldsim.dynamics import Dynamics
from worldsim.nn.local import unpack
from worldsim.nn.params import merge, split
from worldsim.train.flow import flow_stage
from worldsim.train.glimpses import Latents, true_pitch
from worldsim.train.log import RunLog
from worldsim.train.loop import Budget, Progress, run_stage
from worldsim.train.mixed import mixed
from worldsim.train.presets import Preset
from worldsim.train.steps import init_state

GAZE_STEPS, GAZE_BATCH, GAZE_RATE = 2000, 128, 3e-3
FAR = 0.15  # radians from which an error counts no more than its size: a wall or a sky tells nothing


class Filmed(NamedTuple):
    """Footage of a game, and the dynamics that see it: all games' have the same weights."""

    name: str  # fit for a file
    dynamics: Dynamics
    meta: FootageMeta
    data: tuple[Columns, Columns]  # to train on, and held out
    latents: Latents


def learn_cameras(
    games: Sequence[Filmed],
    preset: Preset,
    budget: Budget,
    out: Path,
    seed: int,
    log: RunLog,
    on_progress: Callable[[Progress], None] | None,
) -> float:
    """Learn the gaze and the flow of the first game's dynamics from the footage of all; in seconds."""
    dynamics = games[0].dynamics
    fit_gaze(dynamics, games)
    stages = [
        flow_stage(
            split(game.dynamics.flow)[0],
            game.data,
            game.meta,
            preset,
            budget,
            seed + i,
            log.picture(f"flow-{game.name}"),
        )
        for i, game in enumerate(games)
    ]
    graph, params = split(dynamics.flow)
    learned = run_stage(
        mixed(stages, [game.name for game in games], seed + 2),
        init_state(params),
        out / "flow",
        seed=seed + 2,
        log=log.scalars("flow"),
        on_progress=on_progress,
    )
    dynamics.flow = merge(graph, learned.params)
    return learned.seconds


def fit_gaze(dynamics: Dynamics, games: Sequence[Filmed]) -> None:
    """Learn to tell the pitch from a frame, or leave it level where none is known."""
    pitches = [true_pitch(game.meta, game.data[0]) for game in games]
    known = [
        (game, x, ids) for game, x in zip(games, pitches, strict=True) if len(ids := np.flatnonzero(np.isfinite(x)))
    ]
    if not known:
        return
    graph, params = split(dynamics.gaze)
    optimizer = optax.adam(optax.cosine_decay_schedule(GAZE_RATE, GAZE_STEPS))

    @partial(jax.jit, static_argnums=4)
    def step(params, state, z, pitch, config):
        def loss(params):
            guess = merge(graph, params)(unpack(z, config.grid, config.pack))
            return optax.huber_loss(guess, pitch, delta=FAR).mean()

        update, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, update), state

    state, rng = optimizer.init(params), np.random.default_rng(0)
    for _ in range(GAZE_STEPS):
        game, pitch, ids = known[rng.integers(len(known)) if len(known) > 1 else 0]
        rows = rng.choice(ids, GAZE_BATCH)
        params, state = step(params, state, game.latents.train[rows], pitch[rows], game.dynamics.config)
    nnx.update(dynamics.gaze, params)
