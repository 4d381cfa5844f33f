"""One world of several games: the same weights, and for each game its own size of frame, pace, controls and name.

Nothing in the weights is of one size (`TokenizerConfig.free`), so every game keeps the shape of its picture, and each
batch is of one game, and so of one size. Controls that mean the same are one (`worldsim.data.controls`). Which game it
is says the prompt. Where one of the games has a camera that turns, the others have one that stands still.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from worldsim.checkpoint import OWN, World, save_world
from worldsim.data.controls import join_controls
from worldsim.data.dataset import Columns, load_columns, split_episodes
from worldsim.data.store import Footage
from worldsim.nn.params import merge, split
from worldsim.tokenizer import Tokenizer
from worldsim.train.cameras import Filmed, learn_cameras
from worldsim.train.glimpses import Glimpser, Latents, game_camera
from worldsim.train.log import RunLog
from worldsim.train.loop import Budget, Progress, Trained, run_stage
from worldsim.train.mixed import mixed
from worldsim.train.presets import Preset, get_preset
from worldsim.train.prompts import WindowPrompts, captions_digest, games_prompt_config
from worldsim.train.run import budgets, check_name, claim, make_card, pick_starts, stored, trained_how
from worldsim.train.stages import (
    best_num_denoise_steps,
    dynamics_stage,
    encode_footage,
    new_dynamics,
    new_tokenizer,
    tokenizer_stage,
)
from worldsim.train.statistics import latent_statistics, set_statistics
from worldsim.train.steps import init_state
from worldsim.types import ActionSpec


class _Game(NamedTuple):
    """Footage of a game, and what is particular to it."""

    name: str
    footage: Footage
    ids: tuple[list[int], list[int]]  # of episodes to train on, and held out
    data: tuple[Columns, Columns]
    preset: Preset  # with its controls


class _Run(NamedTuple):
    """All that decides what comes out."""

    games: list[_Game]
    out: Path
    shares: dict[str, Budget]  # of each stage
    seed: int
    log: RunLog
    on_progress: Callable[[Progress], None] | None


def fit_games(
    data: Sequence[Path | str],
    out: Path | str,
    *,
    preset: str | Preset = "tiny",
    minutes: float | None = None,
    num_train_steps: int | None = None,
    seed: int = 0,
    resume: bool = False,
    name: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> World:
    """Train one world on the footage of several games and write it to `out/world`.

    Args:
        data: a footage folder of each game; sizes, controls and pace may differ.
        out: the run folder, as of `fit`.
        preset: as of `fit`; an opening and aligned latents are of one game, and left out.
        minutes: training time of both stages together. Exclusive with `num_train_steps`; 10 by default.
        num_train_steps: steps of both stages together, each of one game.
        seed: of weights, noise, data order and which game a step is of.
        resume: go on from the checkpoints in `out`.
        name: of the world in its card; the run folder's name by default.
        on_progress: called now and then with a `Progress`.

    Returns:
        The world of all games; `worldsim.load(path, game=...)` runs one of them.

    Raises:
        ValueError: fewer than two folders, two of the same game, or what `fit` refuses.
    """
    chosen = get_preset(preset) if isinstance(preset, str) else preset
    footages, out = [Footage.open(path) for path in data], Path(out)
    names = [re.sub(r"[^A-Za-z0-9]+", "-", footage.meta.game).strip("-") for footage in footages]
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(f"a world of several games wants footage of different ones, got {', '.join(names) or 'none'}.")
    spec, columns = join_controls([footage.meta.action_spec for footage in footages])
    reading = games_prompt_config(footages, **(chosen.prompt or {}))
    shared = dataclasses.replace(
        chosen,
        tokenizer={**chosen.tokenizer, "free": True},
        opening=None,
        aligned=False,
        dynamics={**chosen.dynamics, "prompt": reading},
    )
    if any(footage.meta.camera for footage in footages):
        shared = dataclasses.replace(shared, dynamics={**shared.dynamics, "camera": game_camera(footages[0].meta)})
    shares = budgets(shared, minutes, num_train_steps)
    name = check_name(name or out.name)
    digests = {f"footage {n}": f.digest() for n, f in zip(names, footages, strict=True)}
    captions = {f"{key} {n}": x for n, f in zip(names, footages, strict=True) for key, x in captions_digest(f).items()}
    claim(out, {"preset": repr(chosen), "seed": seed, **digests, **captions}, resume)
    games = [
        _game(n, footage, _at_home(shared, footage, own), seed)
        for n, footage, own in zip(names, footages, columns, strict=True)
    ]
    run = _Run(games, out, shares, seed, RunLog(out), on_progress)
    tokenizers, tokenizer_seconds = _learn_tokenizers(run)
    latents = _code(tokenizers, games)
    (dynamics, outcome), second, num_steps = _learn_dynamics(run, tokenizers, latents, spec)
    run.log.close()
    config = dataclasses.replace(dynamics.config, columns=None)
    configs = {"tokenizer": tokenizers[0].config, "dynamics": config, "outcome": outcome.config}
    card = _card(games, columns, spec, name, preset if isinstance(preset, str) else "custom", configs, num_steps)
    card["training"] = trained_how(chosen, tokenizer_seconds + second.seconds, seed, minutes, num_train_steps)
    params = stored({"tokenizer": split(tokenizers[0])[1], **second.params}, chosen)
    starts = {f"{game.name}/{key}": x for game in games for key, x in pick_starts(*game.data).items()}
    return save_world(World(card=card, params=params, starts=starts), out / "world")


def _learn_tokenizers(run: _Run) -> tuple[list[Tokenizer], float]:
    """Learn one tokenizer, and give it at the size of each game; with the seconds that it took."""
    games, preset, log = run.games, run.games[0].preset, run.log
    tokenizers = [new_tokenizer(game.footage.meta.size, preset, game.data[0], run.seed) for game in games]
    mean = jnp.mean(jnp.stack([tokenizer.mean_picture[...] for tokenizer in tokenizers]), 0)
    graphs, begin = [split(tokenizer)[0] for tokenizer in tokenizers], split(tokenizers[0])[1]
    stages = [
        tokenizer_stage(
            graph, *game.data, preset, run.shares["tokenizer"], run.seed + i, log.picture(f"tokenizer-{game.name}")
        )
        for i, (graph, game) in enumerate(zip(graphs, games, strict=True))
    ]
    learned = run_stage(
        mixed(stages, [game.name for game in games], run.seed),
        init_state({**begin, "mean_picture": mean}),
        run.out / "tokenizer",
        seed=run.seed,
        log=log.scalars("tokenizer"),
        on_progress=run.on_progress,
    )
    return [merge(graph, jax.tree.map(jnp.copy, learned.params)) for graph in graphs], learned.seconds


def _learn_dynamics(
    run: _Run, tokenizers: Sequence[Tokenizer], latents: Sequence[Latents], spec: ActionSpec
) -> tuple[tuple[Any, Any], Trained, int]:
    """Learn dynamics and outcome; with the number of denoising steps that the game wants that wants most."""
    games, seed = run.games, run.seed
    modules = [
        new_dynamics(tokenizer.config, spec, game.preset, seed)
        for tokenizer, game in zip(tokenizers, games, strict=True)
    ]
    dynamics, outcome = modules[0]
    glimpsers: list[Glimpser | None] = [None] * len(games)
    flow_seconds = 0.0
    if dynamics.config.camera is not None:
        shown = zip(games, modules, latents, strict=True)
        filmed = [Filmed(game.name, d, game.footage.meta, game.data, x) for game, (d, _), x in shown]
        flow_seconds = learn_cameras(
            filmed, games[0].preset, run.shares["flow"], run.out, seed, run.log, run.on_progress
        )
        glimpsers = [
            Glimpser(tokenizer, d, game.footage.meta, game.data[0], seed=seed, on_progress=run.on_progress)
            for tokenizer, (d, _), game in zip(tokenizers, modules, games, strict=True)
        ]
        params = split(dynamics)[1]
        latents = [x._replace(glimpses=look(params)) for x, look in zip(latents, glimpsers, strict=True) if look]
    set_statistics([d for d, _ in modules], latents, [game.data[0] for game in games])
    graphs = [(split(d)[0], split(o)[0]) for d, o in modules]
    stages = [
        dynamics_stage(
            graphs[i],
            tokenizers[i],
            game.data,
            latents[i],
            game.preset,
            run.shares["dynamics"],
            seed + i,
            run.log.picture(f"dynamics-{game.name}"),
            prompts=_prompts(game, i, seed),
            glimpser=glimpsers[i],
        )
        for i, game in enumerate(games)
    ]
    learned = run_stage(
        mixed(stages, [game.name for game in games], seed + 1),
        init_state({"dynamics": split(dynamics)[1], "outcome": split(outcome)[1]}),
        run.out / "dynamics",
        seed=seed + 1,
        log=run.log.scalars("dynamics"),
        on_progress=run.on_progress,
    )
    num_steps = games[0].preset.num_denoise_steps or max(
        best_num_denoise_steps(graphs[i][0], learned.params, tokenizers[i], game.data, latents[i])
        for i, game in enumerate(games)
    )
    return (dynamics, outcome), learned._replace(seconds=learned.seconds + flow_seconds), num_steps


def _at_home(shared: Preset, footage: Footage, columns: tuple[int, ...]) -> Preset:
    """Give the preset of one game: its controls, and its camera where there are cameras."""
    own: dict[str, Any] = {"columns": columns}
    if "camera" in shared.dynamics:
        own["camera"] = game_camera(footage.meta)
    return dataclasses.replace(shared, dynamics={**shared.dynamics, **own})


def _game(name: str, footage: Footage, preset: Preset, seed: int) -> _Game:
    ids = split_episodes(footage, seed=seed)
    train, held = (load_columns(footage, part) for part in ids)
    return _Game(name, footage, ids, (train, held), preset)


def _code(tokenizers: Sequence[Tokenizer], games: Sequence[_Game]) -> list[Latents]:
    """Code the footage of all games, and set the statistics that their tokenizers share."""
    raw = [
        encode_footage(tokenizer, *game.data, keep_statistics=True)
        for tokenizer, game in zip(tokenizers, games, strict=True)
    ]  # which are none yet
    mean, std = latent_statistics([x.train for x in raw], is_free=True)
    for tokenizer in tokenizers:
        tokenizer.latent_mean[...], tokenizer.latent_std[...] = jnp.asarray(mean), jnp.float32(std)
    return [Latents((x.train - mean) / std, (x.held - mean) / std) for x in raw]


def _prompts(game: _Game, number: int, seed: int) -> WindowPrompts:
    preset = game.preset
    return WindowPrompts(
        preset.dynamics["prompt"],
        game.footage,
        game.data[0],
        game.ids[0],
        dropout=preset.prompt_dropout,
        seed=seed + number,
        game=number,
    )


def _card(
    games: Sequence[_Game],
    columns: Sequence[tuple[int, ...]],
    spec: ActionSpec,
    name: str,
    preset: str,
    configs: dict[str, Any],
    num_denoise_steps: int,
) -> dict[str, Any]:
    """Say what the world of all games is, and under "games" what that of each is."""
    cards = [make_card(game.footage, name, preset, configs, num_denoise_steps) for game in games]
    entries = [
        {"name": game.name, "columns": list(place), "held_out_episodes": _held_out(game), **_camera(game)}
        | {k: card[k] for k in OWN}
        for game, place, card in zip(games, columns, cards, strict=True)
    ]
    licence = {key: "; ".join(dict.fromkeys(card["licence"][key] for card in cards)) for key in cards[0]["licence"]}
    return cards[0] | {
        "title": ", ".join(card["title"] for card in cards),
        "games": entries,
        "action_spec": spec.to_json(),
        "prompts": list(dict.fromkeys(prompt for card in cards for prompt in card["prompts"])),
        "licence": licence,
        "footage": {"frames": sum(card["footage"]["frames"] for card in cards), "games": len(games)},
    }


def _camera(game: _Game) -> dict[str, Any]:
    camera = game.preset.dynamics.get("camera")
    return {} if camera is None else {"camera": json.loads(json.dumps(dataclasses.asdict(camera)))}


def _held_out(game: _Game) -> list[str]:
    return [game.footage.episodes[i].name for i in game.ids[1]]
