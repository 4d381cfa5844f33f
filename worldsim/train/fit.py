"""From a folder of footage to a World: tokenizer, latents, dynamics and outcome, bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from worldsim.checkpoint import World, load_world, save_world
from worldsim.data.dataset import Columns, load_columns, split_episodes
from worldsim.data.store import Footage
from worldsim.dynamics import Dynamics, DynamicsConfig
from worldsim.nn.params import merge, split
from worldsim.outcome import Outcome
from worldsim.tokenizer import Tokenizer
from worldsim.train.aligned import align
from worldsim.train.cameras import Filmed, learn_cameras
from worldsim.train.glimpses import Glimpser, Latents, with_camera
from worldsim.train.log import RunLog
from worldsim.train.loop import Budget, Progress, Trained, run_stage
from worldsim.train.opening import opening_config, opening_stage
from worldsim.train.origin import describe, floats, go_on
from worldsim.train.presets import Preset, get_preset
from worldsim.train.prompts import WindowPrompts, captions_digest, with_prompts
from worldsim.train.run import budgets, check_name, claim, make_card, pick_starts, stored, trained_how
from worldsim.train.stages import (
    best_num_denoise_steps,
    dynamics_stage,
    encode_footage,
    new_dynamics,
    new_tokenizer,
    on_device,
    tokenizer_stage,
)
from worldsim.train.statistics import set_statistics
from worldsim.train.steps import init_state


def fit(
    data: Path | str,
    out: Path | str,
    *,
    preset: str | Preset = "tiny",
    minutes: float | None = None,
    num_train_steps: int | None = None,
    seed: int = 0,
    resume: bool = False,
    init: str | Path | World | None = None,
    only_words: bool = False,
    name: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> World:
    """Train a world on footage and write it to `out/world`.

    Args:
        data: a footage folder with at least two episodes, one of which is held out.
        out: the run folder: checkpoints, TensorBoard events under `log`, strips under `strips`, the bundle.
        preset: a name of `PRESETS`, or a Preset.
        minutes: training time of both stages together. Exclusive with `num_train_steps`; 10 by default.
        num_train_steps: steps of both stages together, of which the tokenizer takes `tokenizer_share`.
        seed: of weights, noise and data order.
        resume: go on from the checkpoints in `out`; bit-identical to never having stopped where the budget is steps,
            but for `Preset.dreams`: the weights that were saved dream once more.
        init: a world to go on from, by path, name or prompt: its shape and its tokenizer are kept, and all of the
            training goes into its dynamics and outcome. The world that comes out is never judged worse than it.
        only_words: of the world to go on from, only how its network for the first frame reads words is learned on; what
            it was before is not judged beside what comes out, for words may mean something else now.
        name: of the world in its card; the run folder's name by default.
        on_progress: called now and then with a `Progress`.

    Raises:
        ValueError: bad settings, footage that cannot be trained on, or a world to go on from that is of another game.
        FileExistsError: `out` holds a run and `resume` is off.
        FloatingPointError: training diverged.
    """
    chosen = get_preset(preset) if isinstance(preset, str) else preset
    label = preset if isinstance(preset, str) else "custom"
    footage = Footage.open(data)
    ids = split_episodes(footage, seed=seed)
    held_out = [footage.episodes[i].name for i in ids[1]]
    origin = None if init is None else init if isinstance(init, World) else load_world(init)
    if only_words and origin is None:
        raise ValueError("only_words wants a world to go on from, init.")
    if origin is not None:
        chosen = go_on(origin, chosen, footage, held_out, only_words=only_words)
        label = origin.card["preset"]
    out = Path(out)
    name = check_name(name or out.name)
    reading = with_camera(with_prompts(chosen, footage), footage.meta)
    shares = budgets(reading, minutes, num_train_steps)
    begun = captions_digest(footage) | ({} if origin is None else {"init": origin.card["weights"]["sha256"]})
    begun |= {"only_words": "yes"} if only_words else {}
    claim(out, {"preset": repr(chosen), "seed": seed, "footage": footage.digest(), **begun}, resume)
    train, held = (load_columns(footage, part) for part in ids)
    run = _Training(reading, footage, (train, held), ids, out, shares, seed, origin, only_words, on_progress)
    params, configs, num_denoise_steps, seconds = _train(run)
    card = make_card(footage, name, label, configs, num_denoise_steps)
    card["training"] = trained_how(chosen, seconds, seed, minutes, num_train_steps) | {"held_out_episodes": held_out}
    if origin is not None:
        card["training"]["init"] = describe(origin)
    world = World(card=card, params=params, starts=pick_starts(train, held))
    return save_world(world, out / "world")


class _Training(NamedTuple):
    """All that decides what comes out."""

    preset: Preset
    footage: Footage
    data: tuple[Columns, Columns]  # to train on, and held out
    ids: tuple[list[int], list[int]]  # the episodes of those
    out: Path
    budgets: dict[str, Budget]  # of each stage
    seed: int
    origin: World | None
    only_words: bool
    on_progress: Callable[[Progress], None] | None


def _train(run: _Training) -> tuple[dict, dict, int, float]:
    preset, origin, (train, held), seed = run.preset, run.origin, run.data, run.seed
    log = RunLog(run.out)
    tokenizer = new_tokenizer(run.footage.meta.size, preset, train, seed)
    graph, params = split(tokenizer)
    if origin is None:
        stage = tokenizer_stage(graph, train, held, preset, run.budgets["tokenizer"], seed, log.picture("tokenizer"))
        first = run_stage(
            stage,
            init_state(params),
            run.out / "tokenizer",
            seed=seed,
            log=log.scalars("tokenizer"),
            on_progress=run.on_progress,
        )
    else:
        first = Trained(floats(origin.params["tokenizer"]), 0.0)
    tokenizer = merge(graph, first.params)
    if preset.aligned and origin is None:
        align(tokenizer, train.obs)
    latents = encode_footage(tokenizer, train, held, keep_statistics=origin is not None)
    modules = new_dynamics(tokenizer.config, run.footage.meta.action_spec, preset, seed)
    if origin is not None:
        modules = tuple(
            merge(split(module)[0], floats(origin.params[name]))
            for name, module in zip(("dynamics", "outcome"), modules, strict=True)
        )
    prompts = _prompts(run, modules[0].config)
    if run.only_words:
        second = Trained({"dynamics": split(modules[0])[1], "outcome": split(modules[1])[1]}, 0.0)
    else:
        second = _learn_dynamics(run, tokenizer, modules, latents, prompts, log)
    config = modules[0].config
    opening = (
        None
        if preset.opening is None
        else _learn_opening(run, tokenizer, config, second.params["dynamics"]["power"], latents, prompts, log)
    )
    log.close()
    if run.only_words and origin is not None:
        num_denoise_steps = origin.card["config"]["sampler"]["num_denoise_steps"]
    else:
        num_denoise_steps = preset.num_denoise_steps or best_num_denoise_steps(
            split(modules[0])[0], second.params, tokenizer, run.data, latents
        )
    configs = {"tokenizer": tokenizer.config, "dynamics": config, "outcome": modules[1].config}
    params = {"tokenizer": split(tokenizer)[1], **second.params}
    seconds = first.seconds + second.seconds
    if opening is not None:
        configs["opening"], learned = opening
        params["opening"] = learned.params
        seconds += learned.seconds
    return stored(params, preset), configs, num_denoise_steps, seconds


def _prompts(run: _Training, dynamics: DynamicsConfig) -> tuple[WindowPrompts, WindowPrompts] | None:
    """Caption the footage to train on, now and then, and all that is held out; None for a world that reads nothing."""
    if dynamics.prompt is None:
        return None
    dropouts = run.preset.prompt_dropout, 0.0
    train, held = (
        WindowPrompts(dynamics.prompt, run.footage, columns, ids, dropout=dropout, seed=run.seed)
        for columns, ids, dropout in zip(run.data, run.ids, dropouts, strict=True)
    )
    return train, held


def _learn_dynamics(
    run: _Training,
    tokenizer: Tokenizer,
    modules: tuple[Dynamics, Outcome],
    latents: Latents,
    prompts: tuple[WindowPrompts, WindowPrompts] | None,
    log: RunLog,
) -> Trained:
    """Learn what comes next and what it is worth, after what a camera's way tells where there is one."""
    (dynamics, outcome), origin, preset, seed = modules, run.origin, run.preset, run.seed
    flow_seconds, glimpser = 0.0, None
    if dynamics.config.camera is not None:
        if origin is None:
            filmed = Filmed(run.out.name, dynamics, run.footage.meta, run.data, latents)
            flow_seconds = learn_cameras([filmed], preset, run.budgets["flow"], run.out, seed, log, run.on_progress)
        glimpser = Glimpser(tokenizer, dynamics, run.footage.meta, run.data[0], seed=seed, on_progress=run.on_progress)
        latents = latents._replace(glimpses=glimpser(split(dynamics)[1]))
    if origin is None:
        set_statistics([dynamics], [latents], [run.data[0]])
    (graph, begin), (outcome_graph, outcome_begin) = split(dynamics), split(outcome)
    stage = dynamics_stage(
        (graph, outcome_graph),
        tokenizer,
        run.data,
        latents,
        preset,
        run.budgets["dynamics"],
        seed,
        log.picture("dynamics"),
        prompts=prompts[0] if prompts else None,
        judge_first=origin is not None,
        glimpser=glimpser,
    )
    learned = run_stage(
        stage,
        init_state({"dynamics": begin, "outcome": outcome_begin}),
        run.out / "dynamics",
        seed=seed + 1,
        log=log.scalars("dynamics"),
        on_progress=run.on_progress,
    )
    return learned._replace(seconds=learned.seconds + flow_seconds)


def _learn_opening(
    run: _Training,
    tokenizer: Tokenizer,
    dynamics: DynamicsConfig,
    power: Array,
    latents: Latents,
    prompts: tuple[WindowPrompts, WindowPrompts] | None,
    log: RunLog,
) -> tuple[DynamicsConfig, Trained]:
    """Learn the first frame of all, from noise and words; or keep what a world to go on from has learned of it."""
    config = opening_config(dynamics, **(run.preset.opening or {}))
    opening = Dynamics(config, rngs=nnx.Rngs(run.seed + 3))
    opening.power[...] = jnp.copy(power)
    graph, params = split(opening)
    if run.origin is not None and not run.only_words:
        return config, Trained(run.origin.params["opening"], 0.0)
    fixed: dict = {}
    if run.origin is not None:
        fixed = floats(run.origin.params["opening"])
        params = {"reader": fixed.pop("reader")}
    stage = opening_stage(
        graph,
        tokenizer,
        run.data,
        (on_device(latents.train), latents.held),
        run.preset,
        run.budgets["opening"],
        run.seed,
        log.picture("opening"),
        prompts,
        fixed=fixed,
    )
    learned = run_stage(
        stage,
        init_state(params),
        run.out / "opening",
        seed=run.seed + 3,
        log=log.scalars("opening"),
        on_progress=run.on_progress,
    )
    return config, learned._replace(params={**fixed, **learned.params})
