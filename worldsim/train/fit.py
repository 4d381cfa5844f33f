"""From a folder of footage to a World: tokenizer, latents, dynamics and outcome, bundle."""

from __future__ import annotations

import dataclasses
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
from worldsim.tokenizer import Tokenizer
from worldsim.train.aligned import align
from worldsim.train.flow import flow_stage
from worldsim.train.glimpses import Glimpser, fit_gaze, true_pitch, with_camera
from worldsim.train.log import RunLog
from worldsim.train.loop import Budget, Progress, Trained, run_stage
from worldsim.train.opening import opening_config, opening_stage
from worldsim.train.origin import describe, floats, go_on
from worldsim.train.presets import Preset, get_preset
from worldsim.train.prompts import WindowPrompts, captions_digest, with_prompts
from worldsim.train.run import budgets, check_name, claim, hardware, make_card, pick_starts, stored
from worldsim.train.stages import (
    Latents,
    best_num_denoise_steps,
    dynamics_stage,
    encode_footage,
    new_dynamics,
    new_tokenizer,
    set_statistics,
    tokenizer_stage,
)
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
    if origin is not None:
        chosen, label = go_on(origin, chosen, footage, held_out), origin.card["preset"]
    out = Path(out)
    name = check_name(name or out.name)
    reading = with_camera(with_prompts(chosen, footage), footage.meta)
    shares = budgets(reading, minutes, num_train_steps)
    begun = captions_digest(footage) | ({} if origin is None else {"init": origin.card["weights"]["sha256"]})
    claim(out, {"preset": repr(chosen), "seed": seed, "footage": footage.digest(), **begun}, resume)
    train, held = (load_columns(footage, part) for part in ids)
    run = _Training(reading, footage, (train, held), ids[0], out, shares, seed, origin, on_progress)
    params, configs, num_denoise_steps, seconds = _train(run)
    card = make_card(footage, name, label, configs, num_denoise_steps)
    card["training"] = {
        "minutes": round(seconds / 60, 2), "seed": seed, "hardware": hardware(),
        "budget": {"minutes": minutes, "num_train_steps": num_train_steps},
        "held_out_episodes": held_out, "preset": dataclasses.asdict(chosen),
    }  # fmt: skip
    if origin is not None:
        card["training"]["init"] = describe(origin)
    world = World(card=card, params=params, starts=pick_starts(train, held))
    return save_world(world, out / "world")


class _Training(NamedTuple):
    """All that decides what comes out."""

    preset: Preset
    footage: Footage
    data: tuple[Columns, Columns]  # to train on, and held out
    train_ids: list[int]  # episodes to train on
    out: Path
    budgets: dict[str, Budget]  # of each stage
    seed: int
    origin: World | None
    on_progress: Callable[[Progress], None] | None


def _train(run: _Training) -> tuple[dict, dict, int, float]:
    preset, origin, (train, held), seed = run.preset, run.origin, run.data, run.seed
    log = RunLog(run.out)
    tokenizer = new_tokenizer(run.footage.meta.size, preset, train, seed)
    graph, params = split(tokenizer)
    if origin is None:
        stage = tokenizer_stage(graph, train, held, preset, run.budgets["tokenizer"], seed, log.picture("tokenizer"))
        first = run_stage(
            stage, init_state(params), run.out / "tokenizer", seed=seed, log=log.scalars("tokenizer"),
            on_progress=run.on_progress,
        )  # fmt: skip
    else:
        first = Trained(floats(origin.params["tokenizer"]), 0.0)
    tokenizer = merge(graph, first.params)
    if preset.aligned and origin is None:
        align(tokenizer, train.obs)
    latents = encode_footage(tokenizer, train, held, keep_statistics=origin is not None)
    dynamics, outcome = new_dynamics(tokenizer.config, run.footage.meta.action_spec, preset, seed)
    if origin is not None:
        dynamics, outcome = (
            merge(split(module)[0], floats(origin.params[name]))
            for name, module in (("dynamics", dynamics), ("outcome", outcome))
        )
    flow_seconds, glimpser = 0.0, None
    if dynamics.config.camera is not None:
        if origin is None:
            flow_seconds = _learn_camera(run, dynamics, latents, log)
        glimpser = Glimpser(tokenizer, dynamics, run.footage.meta, train, seed=seed, on_progress=run.on_progress)
        latents = latents._replace(glimpses=glimpser(split(dynamics)[1]))
    if origin is None:
        set_statistics(dynamics, latents, train)
    parts = {"dynamics": split(dynamics), "outcome": split(outcome)}
    graphs = (parts["dynamics"][0], parts["outcome"][0])
    begin = {k: v[1] for k, v in parts.items()}
    reads = dynamics.config.prompt
    prompts = None if reads is None else WindowPrompts(
        reads, run.footage, train, run.train_ids, dropout=preset.prompt_dropout, seed=seed
    )  # fmt: skip
    stage = dynamics_stage(
        graphs, tokenizer, run.data, latents, preset, run.budgets["dynamics"], seed, log.picture("dynamics"),
        prompts=prompts, judge_first=origin is not None, glimpser=glimpser,
    )  # fmt: skip
    second = run_stage(
        stage, init_state(begin), run.out / "dynamics", seed=seed + 1, log=log.scalars("dynamics"),
        on_progress=run.on_progress,
    )  # fmt: skip
    opening = (
        None
        if preset.opening is None
        else _learn_opening(run, tokenizer, dynamics.config, second.params["dynamics"]["power"], latents, prompts, log)
    )
    log.close()
    num_denoise_steps = preset.num_denoise_steps or best_num_denoise_steps(
        graphs[0], second.params, tokenizer, run.data, latents
    )
    configs = {"tokenizer": tokenizer.config, "dynamics": dynamics.config, "outcome": outcome.config}
    params = {"tokenizer": split(tokenizer)[1], **second.params}
    seconds = first.seconds + flow_seconds + second.seconds
    if opening is not None:
        configs["opening"], learned = opening
        params["opening"] = learned.params
        seconds += learned.seconds
    return stored(params, preset), configs, num_denoise_steps, seconds


def _learn_camera(run: _Training, dynamics: Dynamics, latents: Latents, log: RunLog) -> float:
    """Learn how far down a frame looks and what moves in it, before the rest of the dynamics; in seconds."""
    meta, (train, _) = run.footage.meta, run.data
    fit_gaze(dynamics, latents.train, true_pitch(meta, train))
    graph, params = split(dynamics.flow)
    stage = flow_stage(graph, run.data, meta, run.preset, run.budgets["flow"], run.seed, log.picture("flow"))
    learned = run_stage(
        stage, init_state(params), run.out / "flow", seed=run.seed + 2, log=log.scalars("flow"),
        on_progress=run.on_progress,
    )  # fmt: skip
    dynamics.flow = merge(graph, learned.params)
    return learned.seconds


def _learn_opening(
    run: _Training,
    tokenizer: Tokenizer,
    dynamics: DynamicsConfig,
    power: Array,
    latents: Latents,
    prompts: WindowPrompts | None,
    log: RunLog,
) -> tuple[DynamicsConfig, Trained]:
    """Learn the first frame of all, from noise and words; or keep what a world to go on from has learned of it."""
    config = opening_config(dynamics, **(run.preset.opening or {}))
    opening = Dynamics(config, rngs=nnx.Rngs(run.seed + 3))
    opening.power[...] = jnp.copy(power)
    graph, params = split(opening)
    if run.origin is not None:
        return config, Trained(run.origin.params["opening"], 0.0)
    stage = opening_stage(
        graph, tokenizer, run.data, (latents.train, latents.held), run.preset, run.budgets["opening"], run.seed,
        log.picture("opening"), prompts,
    )  # fmt: skip
    return config, run_stage(
        stage, init_state(params), run.out / "opening", seed=run.seed + 3, log=log.scalars("opening"),
        on_progress=run.on_progress,
    )  # fmt: skip
