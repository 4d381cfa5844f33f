"""The stage in which an opening is learned: single frames from noise and words, to begin worlds from nothing.

To paint a land from noise and to say what comes next of a land are two tasks. Dynamics that are small enough for a game
at sixty frames a second do the second well and have nothing left for the first; so the first frame has a network of its
own, of the same kind, which may be larger and slower: it is asked once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from worldsim.data.dataset import Columns, ShuffledIndex, Windows
from worldsim.diffusion.loss import noisy_input, x_loss
from worldsim.diffusion.schedule import draw_levels
from worldsim.dynamics import Dynamics, DynamicsConfig
from worldsim.dynamics.cache import NUM_BEFORE, Past
from worldsim.generation import Model, Sampler
from worldsim.nn.params import merge, split
from worldsim.opening import begin
from worldsim.pictures import strip
from worldsim.tokenizer import Tokenizer
from worldsim.train.loop import Budget, Stage
from worldsim.train.presets import Preset
from worldsim.train.prompts import WindowPrompts
from worldsim.train.steps import make_step
from worldsim.types import Batch, fold_keys, frame_to_obs

NUM_HELD, NUM_SHOWN = 256, 8
PURE_SHARE = 0.1


def opening_config(dynamics: DynamicsConfig, **fields: Any) -> DynamicsConfig:
    """Shape an opening for the latents, the actions and the words of dynamics: no past, no camera."""
    num_layers = fields.get("num_layers", dynamics.num_layers)
    without_past = {"time_every": num_layers + 1, "window": 1, "has_memory": False, "camera": None, "weighs": True}
    return dataclasses.replace(dynamics, **{**without_past, **fields})


def opening_stage(
    graph: nnx.GraphDef,
    tokenizer: Tokenizer,
    columns: tuple[Columns, Columns],
    latents: tuple[Float[Any, "n m c"], Float[np.ndarray, "k m c"]],
    preset: Preset,
    budget: Budget,
    seed: int,
    show: Callable[[int, UInt8[np.ndarray, "y x c"]], None],
    prompts: tuple[WindowPrompts, WindowPrompts] | None,
    *,
    fixed: dict[str, Any] | None = None,
) -> Stage:
    """Learn single frames; judged by how well held-out ones are freed of noise. Pairs are of training and held-out.

    Where there are words, held-out frames are judged with theirs. `fixed` are parameters that are not learned here.
    """
    config = preset.opening_stage
    windows = Windows(columns[0], 1, min_real=1)
    order = ShuffledIndex(len(windows), config.batch_size, seed)
    fixed = fixed or {}
    loss = opening_loss(graph, fixed)
    held = Windows(columns[1], 1, min_real=1)
    rows = np.linspace(0, len(held) - 1, min(NUM_HELD, len(held))).astype(int)
    shown = held.batch(rows, obs=latents[1])
    if prompts is not None:
        shown = shown._replace(prompt=prompts[1].at(0, held, rows))
    token_graph, token_params = split(tokenizer)

    def batch(step: int) -> Batch:
        ids = order.at(step)
        frames = windows.batch(ids, obs=latents[0])
        return frames if prompts is None else frames._replace(prompt=prompts[0].at(step, windows, ids))

    @jax.jit
    def examine(params, token_params):
        model = Model(merge(token_graph, token_params), merge(graph, {**fixed, **params}))
        sampler = Sampler(num_denoise_steps=model.dynamics.config.num_levels)
        z = begin(model, (), fold_keys(jax.random.key(0), NUM_SHOWN), sampler)
        return loss(params, shown, jax.random.key(1), False)[0], frame_to_obs(model.tokenizer.decode(z))

    def judge(params: Any, step: int) -> tuple[float, str]:
        error, frames = examine(params, token_params)
        show(step, strip([np.asarray(frames)[None]]))
        return -float(error), f"first frames, held-out error {error:.4f}"

    return Stage(
        "opening",
        config,
        budget,
        config.batch_size,
        make_step(loss, ema=config.ema),
        batch,
        judge,
        num_evaluations=preset.num_evaluations,
    )


def opening_loss(graph: nnx.GraphDef, fixed: dict[str, Any]) -> Callable:
    """Make the loss of an opening on a Batch of windows of one frame of latents: the mean squared error.

    `fixed` are those of its parameters that are not learned.
    """

    def loss(params: Any, batch: Batch, key: PRNGKeyArray, bootstrap: bool) -> tuple[Float[Array, ""], dict]:
        opening: Dynamics = merge(graph, {**fixed, **params})
        num_levels, z = opening.config.num_levels, jnp.asarray(batch.obs)
        key_levels, key_noise = jax.random.split(key)
        levels = draw_levels(key_levels, (len(z), 1), num_levels=num_levels, pure_share=PURE_SHARE)
        z_hat = opening.predict(
            noisy_input(key_noise, z, levels, num_levels=num_levels),
            levels,
            jnp.full(batch.prev_action.shape, jnp.nan),
            _no_past(opening, z, batch.prompt),
        )
        return x_loss(z_hat, z, jnp.asarray(batch.mask)), {}

    return loss


def _no_past(opening: Dynamics, z: Float[Array, "b 1 n c"], prompt: Any) -> Past:
    b = len(z)
    before = jnp.zeros((b, 1, NUM_BEFORE, *z.shape[2:]))
    return Past(before, jnp.zeros((b, 1), jnp.int32), jnp.ones((b,), bool), (), (), opening.hear(prompt, b))
