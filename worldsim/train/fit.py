"""From a folder of footage to a World: tokenizer, latents, dynamics and outcome, bundle."""

from __future__ import annotations

import dataclasses
import json
import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array

from worldsim.checkpoint import NAME_PATTERN, World, load_world, save_world
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
from worldsim.train.stages import (
    CONTEXT,
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

NUM_STARTS = 16


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
    name = name or out.name
    if not re.fullmatch(NAME_PATTERN, name):
        raise ValueError(
            f"a world's name wants letters, digits, '.', '_' and '-', got {name!r}; name the run folder so."
        )
    reading = with_camera(with_prompts(chosen, footage), footage.meta)
    budgets = _budgets(reading, minutes, num_train_steps)
    begun = captions_digest(footage) | ({} if origin is None else {"init": origin.card["weights"]["sha256"]})
    _claim(out, {"preset": repr(chosen), "seed": seed, "footage": footage.digest(), **begun}, resume)
    train, held = (load_columns(footage, part) for part in ids)
    run = _Training(reading, footage, (train, held), ids[0], out, budgets, seed, origin, on_progress)
    params, configs, num_denoise_steps, seconds = _train(run)
    card = _card(footage, name, label, configs, num_denoise_steps)
    card["training"] = {
        "minutes": round(seconds / 60, 2), "seed": seed, "hardware": _hardware(),
        "budget": {"minutes": minutes, "num_train_steps": num_train_steps},
        "held_out_episodes": held_out, "preset": dataclasses.asdict(chosen),
    }  # fmt: skip
    if origin is not None:
        card["training"]["init"] = describe(origin)
    world = World(card=card, params=params, starts=_starts(train, held))
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
    if preset.half:
        params |= {
            k: jax.tree.map(lambda x: np.asarray(x, np.float16), v) for k, v in params.items() if k != "tokenizer"
        }
    return params, configs, num_denoise_steps, seconds


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


def _budgets(preset: Preset, minutes: float | None, num_train_steps: int | None) -> dict[str, Budget]:
    """Divide the training among the stages; the dynamics have what the others leave."""
    if minutes is not None and num_train_steps is not None:
        raise ValueError("training wants minutes or num_train_steps, got both.")
    flow_share = preset.flow_share if preset.dynamics.get("camera") else 0.0
    opening_share = preset.opening_share if preset.opening else 0.0
    shares = {"tokenizer": preset.tokenizer_share, "flow": flow_share, "opening": opening_share}
    if num_train_steps is not None:
        needs = 1 + sum(share > 0 for share in shares.values())  # a world that goes on has all but its dynamics
        if num_train_steps < max(2, needs):
            raise ValueError(f"num_train_steps must be at least {max(2, needs)}, one a stage; got {num_train_steps}.")
        steps = {name: max(share > 0, round(num_train_steps * share)) for name, share in shares.items()}
        steps["dynamics"] = max(1, num_train_steps - sum(steps.values()))
        return {name: Budget(int(num), None) for name, num in steps.items()}
    seconds = 60 * (10.0 if minutes is None else minutes)
    if not seconds > 0:
        raise ValueError(f"minutes must be above 0, got {minutes}.")
    shares["dynamics"] = 1 - sum(shares.values())
    return {name: Budget(None, seconds * share) for name, share in shares.items()}


def _claim(out: Path, settings: dict[str, Any], resume: bool) -> None:
    """Take the run folder, or check that it holds the run that is to go on."""
    file = out / "run.json"
    if file.is_file():
        if not resume:
            raise FileExistsError(f"{out} already holds a run; go on with resume, or choose another folder.")
        old = json.loads(file.read_text())
        differ = [key for key in settings if old.get(key) != settings[key]]
        if differ:
            raise ValueError(f"{out} was trained with another {differ[0]}; resume wants the same one.")
        return
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty and holds no run; choose another folder.")
    if resume:
        raise ValueError(f"{out} holds no run to resume; leave resume out to begin one.")
    out.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(settings))
    part.replace(file)


def _card(footage: Footage, name: str, preset: str, configs: dict[str, Any], num_denoise_steps: int) -> dict[str, Any]:
    meta = footage.meta
    sampler = {"num_denoise_steps": num_denoise_steps, "noise_scale": 1.0}
    config = {key: dataclasses.asdict(value) for key, value in configs.items()}
    return {
        "schema_version": 1, "name": name, "title": meta.title, "prompts": list(meta.prompts), "game": meta.game,
        "size": list(meta.size), "fps": meta.fps, "action_spec": meta.action_spec.to_json(), "preset": preset,
        "config": json.loads(json.dumps(config | {"sampler": sampler})),
        "footage": {
            "digest": footage.digest(), "frames": footage.num_frames, "episodes": len(footage),
            "recorder": meta.recorder,
        },
        "training": {}, "metrics": {},
        "licence": {"code": "MIT", "weights": "MIT", "game": meta.licence, "assets": meta.assets_licence},
        "limits": [
            f"remembers {configs['dynamics'].window} frames", "knows only what its footage shows",
            *(["says nothing of its uncertainty with its one denoising step"] if num_denoise_steps == 1 else []),
        ],
    }  # fmt: skip


def _starts(train: Columns, held: Columns) -> dict[str, np.ndarray]:
    """Pick moments to begin from, evenly over the footage, held-out episodes included."""
    moments = []
    for columns in (train, held):
        for begin, end in zip(columns.bounds[:-1], columns.bounds[1:], strict=True):
            moments += [(columns, i) for i in range(begin, end - CONTEXT, CONTEXT)]
    if not moments:
        raise ValueError(f"footage wants an episode of more than {CONTEXT} frames to start worlds from.")
    chosen = [moments[i] for i in np.linspace(0, len(moments) - 1, min(NUM_STARTS, len(moments))).astype(int)]
    obs = np.stack([columns.obs[i : i + CONTEXT] for columns, i in chosen])
    return {"obs": obs, "prev_action": np.stack([columns.prev_action[i : i + CONTEXT] for columns, i in chosen])}


def _hardware() -> str:
    device = jax.devices()[0]
    return f"{platform.machine()}, {jax.device_count()} x {device.device_kind}, jax {jax.__version__}"
