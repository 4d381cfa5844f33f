"""The stage of dynamics and outcome: predict the next latents, and the reward and the end that come with them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import PyTree

from worldsim.data.dataset import Columns, ShuffledIndex, Windows
from worldsim.model.dynamics import Dynamics
from worldsim.model.generate import Sampler
from worldsim.model.modules import Configs
from worldsim.model.outcome import Outcome
from worldsim.model.tokenizer import Tokenizer
from worldsim.train.evaluation import Show, free_running
from worldsim.train.games import Latents
from worldsim.train.loop import Budget, Stage
from worldsim.train.losses import TrainBatch, dynamics_loss
from worldsim.train.optimizer import is_kernel, make_step, muon
from worldsim.train.prompts import WindowPrompts
from worldsim.train.recipes import Recipe
from worldsim.train.stages.rollouts import Rollouts
from worldsim.train.stages.warps import FootageWarper


def new_dynamics(configs: Configs, seed: int) -> tuple[Dynamics, Outcome]:
    """Return untrained dynamics and outcome heads."""
    dynamics = Dynamics(configs.dynamics, rngs=nnx.Rngs(seed + 1))
    return dynamics, Outcome(
        configs.outcome, d_in=dynamics.hidden_dim, d_summary=dynamics.summary_dim, rngs=nnx.Rngs(seed + 2)
    )


def dynamics_stage(
    graphs: tuple[nnx.GraphDef, nnx.GraphDef],
    tokenizer: Tokenizer,
    data: tuple[Columns, Columns],
    latents: Latents,
    recipe: Recipe,
    budget: Budget,
    seed: int,
    show: Show,
    *,
    prompts: WindowPrompts | None = None,
    keeps_initial: bool = False,
    warper: FootageWarper | None = None,
) -> Stage:
    """Return the stage of dynamics; evaluated by the fidelity of 16 free-running frames of held-out footage.

    `warper` holds the prior's inputs for the training footage, and refreshes them `Recipe.refresh_count` times.
    """
    config = recipe.dynamics_stage
    windows = Windows(data[0], recipe.frames)
    order = ShuffledIndex(len(windows), config.batch_size, seed)
    source = on_device(latents.train)
    sampler = Sampler(num_denoise_steps=recipe.num_denoise_steps or 4)
    num_own = round(config.batch_size * recipe.self_generated_fraction)
    rollouts = None
    if warper is None and recipe.refresh_count:
        rollouts = Rollouts(graphs[0], tokenizer, latents.train, windows, sampler.num_denoise_steps, seed)

    def batch(step: int) -> TrainBatch:
        ids, conditioned = order.at(step), ()
        if rollouts is not None:
            ids, context = rollouts.mix(ids, num_own, step)
            conditioned = ((), context)
        elif warper is not None:
            conditioned = warper.rows(windows.rows(ids)[0])
        prompt = () if prompts is None else prompts.at(step, windows, ids)
        return TrainBatch(windows.batch(ids, obs=source), prompt, *conditioned)

    def refresh(params: dict, which: int) -> None:
        source = warper or rollouts
        if source is not None:
            source.refresh(params["dynamics"], which)

    return Stage(
        "dynamics",
        config,
        budget,
        config.batch_size * recipe.frames,
        make_step(dynamics_loss(graphs, recipe), muon(), ema=config.ema, decay=_decays),
        batch,
        free_running(graphs[0], tokenizer, data, latents, sampler, show),
        flags=lambda progress, step: {"bootstrap": progress >= recipe.bootstrap_start},
        num_evaluations=recipe.num_evaluations,
        keeps_initial=keeps_initial,
        refresh=refresh,
        num_refreshes=recipe.refresh_count,
    )


def on_device(arrays: PyTree, limit_bytes: int = 2**34) -> PyTree:
    """Move arrays to the accelerator where there is one and they fit."""
    size = sum(x.nbytes for x in jax.tree.leaves(arrays))
    return arrays if jax.default_backend() == "cpu" or size > limit_bytes else jax.tree.map(jnp.asarray, arrays)


def _decays(path: tuple, leaf: PyTree) -> bool:
    """Return whether a parameter decays: kernels, but for those of the prior, which is frozen in this stage."""
    is_frozen = [getattr(key, "key", None) for key in path[:2]] == ["dynamics", "prior"]
    return is_kernel(path, leaf) and not is_frozen
