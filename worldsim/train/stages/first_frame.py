"""The stage of a first-frame model: single frames from noise and text, to begin worlds without a context.

To paint a scene from noise and to predict the next frame of one are two tasks. Dynamics that are small enough for sixty
frames a second do the second well and have no capacity left for the first; so the first frame has a model of its own,
of the same kind, which may be larger and slower: it runs once.
"""

from __future__ import annotations

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float, PyTree

from worldsim.data.dataset import Columns, ShuffledIndex, Windows
from worldsim.model.first_frame import draw_first_frame
from worldsim.model.generate import Model, Sampler
from worldsim.model.tokenizer import Tokenizer
from worldsim.nn.params import merge, split
from worldsim.train.evaluation import Show
from worldsim.train.loop import Budget, Stage
from worldsim.train.losses import TrainBatch, first_frame_loss
from worldsim.train.optimizer import Fixed, is_kernel, make_step, muon
from worldsim.train.prompts import WindowPrompts
from worldsim.train.recipes import Recipe
from worldsim.types import fold_keys, frame_to_obs
from worldsim.video import strip

NUM_HELD, NUM_SHOWN = 256, 8


def first_frame_stage(
    graph: nnx.GraphDef,
    tokenizer: Tokenizer,
    columns: tuple[Columns, Columns],
    latents: tuple[Float[PyTree, "n m c"], Float[np.ndarray, "k m c"]],
    recipe: Recipe,
    budget: Budget,
    seed: int,
    show: Show,
    prompts: tuple[WindowPrompts, WindowPrompts] | None,
    *,
    frozen: dict[str, PyTree],
) -> Stage:
    """Return the stage of a first-frame model; evaluated by its error in denoising held-out frames with their captions.

    Pairs are of training and held-out footage. `frozen` are parameters that are not trained.
    """
    config = recipe.first_frame_stage
    windows = Windows(columns[0], 1, min_real=1)
    order = ShuffledIndex(len(windows), config.batch_size, seed)
    loss = first_frame_loss(graph)
    held = Windows(columns[1], 1, min_real=1)
    rows = np.linspace(0, len(held) - 1, min(NUM_HELD, len(held))).astype(int)
    shown = TrainBatch(held.batch(rows, obs=latents[1]), () if prompts is None else prompts[1].at(0, held, rows))
    token_graph, token_params = split(tokenizer)

    def batch(step: int) -> TrainBatch:
        ids = order.at(step)
        frames = windows.batch(ids, obs=latents[0])
        return TrainBatch(frames, () if prompts is None else prompts[0].at(step, windows, ids))

    @jax.jit
    def examine(params, token_params, frozen, shown):
        model = Model(merge(token_graph, token_params), merge(graph, {**frozen, **params}))
        sampler = Sampler(num_denoise_steps=model.dynamics.config.num_levels)
        z = draw_first_frame(model, (), fold_keys(jax.random.key(0), NUM_SHOWN), sampler)
        error = loss(params, shown, jax.random.key(1), Fixed((), frozen))[0]
        return error, frame_to_obs(model.tokenizer.decode(z))

    def evaluate(params: PyTree, step: int) -> tuple[float, str]:
        error, frames = examine(params, token_params, frozen, shown)
        show(step, strip([np.asarray(frames)[None]]))
        return -float(error), f"first frames, held-out error {error:.4f}"

    return Stage(
        "first_frame",
        config,
        budget,
        config.batch_size,
        make_step(loss, muon(), ema=config.ema, frozen=frozen, decay=is_kernel),
        batch,
        evaluate,
        num_evaluations=recipe.num_evaluations,
    )
