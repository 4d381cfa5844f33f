"""Train a world on footage: tokenizer, latents, camera, dynamics and outcome, first frame, bundle."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from worldsim import backend
from worldsim.claim import claim, hold
from worldsim.model.dynamics import Dynamics
from worldsim.model.outcome import Outcome
from worldsim.model.tokenizer import Tokenizer
from worldsim.nn.params import merge, split
from worldsim.places import as_path
from worldsim.train.budget import budgets, stage_fractions
from worldsim.train.card import make_card, stored, training_facts
from worldsim.train.contexts import initial_contexts
from worldsim.train.evaluation import best_num_denoise_steps
from worldsim.train.games import Game, Latents, configs_of, joined_spec, load_games, open_footages
from worldsim.train.init import Init, describe, open_origin
from worldsim.train.log import RunLog
from worldsim.train.loop import Progress, Trained
from worldsim.train.pixel_metric import use_pixel_metric
from worldsim.train.preflight import check_footage
from worldsim.train.priors import train_prior
from worldsim.train.prompts import WindowPrompts
from worldsim.train.recipes import Recipe, get_recipe
from worldsim.train.run import Run, run_settings
from worldsim.train.stages.dynamics import dynamics_stage, new_dynamics, on_device
from worldsim.train.stages.first_frame import first_frame_stage
from worldsim.train.stages.tokenizer import encode_games, new_tokenizers, tokenizer_stage
from worldsim.train.statistics import set_statistics
from worldsim.world import World, check_name, save_world


def fit(
    data: Sequence[Path | str],
    out: Path | str,
    *,
    preset: str | Recipe = "tiny",
    minutes: float | None = None,
    num_train_steps: int | None = None,
    seed: int = 0,
    resume: bool = False,
    init: Init | World | str | Path | None = None,
    name: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> World:
    """Train a world on footage and write it to `out/world`.

    Args:
        data: footage folders, one per game, each with at least two episodes, one of which is held out. Frame sizes,
            controls and frame rates of games may differ; `worldsim.load(path, game=...)` runs one of several.
        out: the run folder: checkpoints, TensorBoard events under `log`, strips under `strips`, the bundle.
        preset: a name of `PRESETS`, or a Recipe.
        minutes: training time of all stages together. Exclusive with `num_train_steps`; 10 by default.
        num_train_steps: steps of all stages together; with several games each step is of one of them.
        seed: of weights, noise, data order and held-out episodes.
        resume: go on from the checkpoints in `out`; bit-identical to never having stopped where the budget is steps,
            but for `Recipe.refresh_count`: the saved weights generate the context once more.
        init: a world to go on from, or an `Init` that says which of its parameters are trained; its shape is kept. By
            default the dynamics are trained, and what comes out is never evaluated worse than before.
        name: of the world in its card; the run folder's name by default.
        on_progress: called now and then with a `Progress`.

    Raises:
        ValueError: bad settings, footage that cannot be trained on, or a world to go on from that does not fit it.
        FileExistsError: `out` holds a run and `resume` is off.
        FloatingPointError: training diverged.
        MemoryError: a training step takes more memory than there is.
        BlockingIOError: another process trains in `out`.
    """
    recipe, out = get_recipe(preset), as_path(out)
    footages = open_footages(data)
    origin = None if init is None else open_origin(init, footages, recipe, seed)
    configs = configs_of(footages, recipe) if origin is None else origin.configs
    name = check_name(name or out.name)
    check_footage(footages, configs, recipe)
    stages = budgets(stage_fractions(recipe, origin, configs[0]), minutes, num_train_steps)
    games = load_games(footages, configs, seed)  # what cannot be trained on claims no folder
    with hold(out, "training in"):
        claim(out, run_settings(recipe, seed, footages, origin), resume)
        log = RunLog(out)
        run = Run(recipe, games, out, stages, seed, origin, log, on_progress)
        params, num_denoise_steps, seconds = _train(run)
        log.close()
    training = training_facts(recipe, seconds, seed, minutes, num_train_steps)
    training |= {} if origin is None else {"init": describe(origin)}
    label = (preset if isinstance(preset, str) else "custom") if origin is None else origin.world.card.preset
    card = make_card(run.games, joined_spec(footages)[0], name, label, num_denoise_steps, training)
    world = World(card=card, params=stored(params, recipe), initial_contexts=initial_contexts(run.games))
    return save_world(world, out / "world")


def _train(run: Run) -> tuple[dict[str, Any], int, float]:
    """Train all stages; the parameters, the number of denoising steps and the seconds."""
    backend.prepare()
    recipe, origin = run.recipe, run.origin
    tokenizers, tokenizer_seconds = _train_tokenizers(run)
    latents = encode_games(tokenizers, [game.data for game in run.games], set_statistics=origin is None)
    modules = _new_modules(run)
    prompts = [_prompts(run, game) for game in run.games]
    if origin is None or "dynamics" in origin.trains:
        trained = _train_dynamics(run, tokenizers, modules, latents, prompts)
        num_denoise_steps = recipe.num_denoise_steps or max(
            best_num_denoise_steps(split(dynamics)[0], trained.params, tokenizer, game.data, encoded)
            for (dynamics, _), tokenizer, game, encoded in zip(modules, tokenizers, run.games, latents, strict=True)
        )
    else:
        trained = Trained({part: origin.params[part] for part in ("dynamics", "outcome")}, 0.0)
        num_denoise_steps = origin.world.card.sampler.num_denoise_steps
    params = {"tokenizer": split(tokenizers[0])[1], **trained.params}
    seconds = tokenizer_seconds + trained.seconds
    if run.games[0].configs.first_frame is not None:
        first_frame = _train_first_frame(run, tokenizers, trained.params["dynamics"]["power"], latents, prompts)
        params["first_frame"] = first_frame.params
        seconds += first_frame.seconds
    return params, num_denoise_steps, seconds


def _train_tokenizers(run: Run) -> tuple[list[Tokenizer], float]:
    """Train one tokenizer, at the size of each game; with the seconds that it took."""
    tokenizers = new_tokenizers(run.games, run.seed)
    graphs, params = [split(tokenizer)[0] for tokenizer in tokenizers], split(tokenizers[0])[1]
    if run.origin is not None:
        trained = Trained(run.origin.params["tokenizer"], 0.0)
    elif tokenizers[0].config.is_exact:
        trained = Trained(params, 0.0)
    else:
        stages = [
            tokenizer_stage(
                graph,
                game.data,
                run.recipe,
                run.budgets["tokenizer"],
                run.seed + i,
                run.log.show("tokenizer", game.name),
            )
            for i, (graph, game) in enumerate(zip(graphs, run.games, strict=True))
        ]
        trained = run.train("tokenizer", stages, params, 0)
    tokenizers = [merge(graph, jax.tree.map(jnp.copy, trained.params)) for graph in graphs]
    if run.recipe.pixel_metric_latents and run.origin is None:
        use_pixel_metric(tokenizers, [game.data[0].obs for game in run.games])
    return tokenizers, trained.seconds


def _new_modules(run: Run) -> list[tuple[Dynamics, Outcome]]:
    """Return dynamics and outcome of each game, with the parameters that training begins from."""
    modules = [new_dynamics(game.configs, run.seed) for game in run.games]
    if run.origin is None:
        return modules
    params = run.origin.params
    return [
        (merge(split(dynamics)[0], params["dynamics"]), merge(split(outcome)[0], params["outcome"]))
        for dynamics, outcome in modules
    ]


def _prompts(run: Run, game: Game) -> tuple[WindowPrompts, WindowPrompts] | None:
    """Return captions for training footage, some of them hidden, and for held-out footage; None without prompts."""
    config = game.configs.dynamics.prompt
    if config is None:
        return None
    train, held = (
        WindowPrompts(
            config, game.footage, columns, ids, dropout=dropout, seed=run.seed + (game.number or 0), game=game.number
        )
        for columns, ids, dropout in zip(game.data, game.ids, (run.recipe.prompt_dropout, 0.0), strict=True)
    )
    return train, held


def _train_dynamics(
    run: Run,
    tokenizers: Sequence[Tokenizer],
    modules: list[tuple[Dynamics, Outcome]],
    latents: Sequence[Latents],
    prompts: Sequence[tuple[WindowPrompts, WindowPrompts] | None],
) -> Trained:
    """Train the prior, then dynamics and outcome."""
    warpers, prior_seconds = train_prior(run, tokenizers, modules, latents)
    if run.origin is None:
        set_statistics([dynamics for dynamics, _ in modules], latents, [game.data[0] for game in run.games], warpers)
    recipe = run.recipe if run.origin is None else dataclasses.replace(run.recipe, bootstrap_start=0.0)
    stages = [
        dynamics_stage(
            (split(modules[i][0])[0], split(modules[i][1])[0]),
            tokenizers[i],
            game.data,
            latents[i],
            recipe,
            run.budgets["dynamics"],
            run.seed + i,
            run.log.show("dynamics", game.name),
            prompts=(prompts[i] or (None,))[0],
            keeps_initial=run.origin is not None,
            warper=warpers[i],
        )
        for i, game in enumerate(run.games)
    ]
    dynamics, outcome = modules[0]
    trained = run.train("dynamics", stages, {"dynamics": split(dynamics)[1], "outcome": split(outcome)[1]}, 1)
    return trained._replace(seconds=trained.seconds + prior_seconds)


def _train_first_frame(
    run: Run,
    tokenizers: Sequence[Tokenizer],
    power: jax.Array,
    latents: Sequence[Latents],
    prompts: Sequence[tuple[WindowPrompts, WindowPrompts] | None],
) -> Trained:
    """Train the first-frame model, or those of its parameters that are to be trained."""
    origin, configs = run.origin, [game.configs.first_frame for game in run.games]
    models = [Dynamics(config, rngs=nnx.Rngs(run.seed + 3)) for config in configs if config is not None]
    models[0].power[...] = jnp.copy(power)
    params, frozen = split(models[0])[1], {}
    if origin is not None and "first_frame" in origin.params:
        params = origin.params["first_frame"]
        if not origin.trains_first_frame:
            return Trained(params, 0.0)
        if "first_frame" not in origin.trains:
            frozen = dict(params)
            params = {"prompt_encoder": frozen.pop("prompt_encoder")}
    stages = [
        first_frame_stage(
            split(models[i])[0],
            tokenizers[i],
            game.data,
            (on_device(latents[i].train), latents[i].held),
            run.recipe,
            run.budgets["first_frame"],
            run.seed + i,
            run.log.show("first_frame", game.name),
            prompts[i],
            frozen=frozen,
        )
        for i, game in enumerate(run.games)
    ]
    trained = run.train("first_frame", stages, params, 3)
    return trained._replace(params={**frozen, **trained.params})
