"""What a training run writes into its bundle: the card, and the parameters as stored."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace

import jax
import numpy as np
from jaxtyping import PyTree

from worldsim import schema
from worldsim.controls import ActionSpec
from worldsim.model.modules import Configs
from worldsim.train.games import Game
from worldsim.train.recipes import Recipe
from worldsim.world import Card, FootageSource, GameCard, SamplerConfig


def make_card(
    games: Sequence[Game], spec: ActionSpec, name: str, preset: str, num_denoise_steps: int, training: dict[str, object]
) -> Card:
    """Return the card of a world: that of its game, or of all games with an entry for each."""
    entries = [_game_card(game) for game in games]
    configs, first = games[0].configs, entries[0]
    several = len(games) > 1
    source = first.footage
    if several:
        source = FootageSource(frames=sum(x.footage.frames for x in entries))
        configs = configs._replace(dynamics=replace(configs.dynamics, columns=None))
    return Card(
        name=name,
        title=", ".join(x.title for x in entries),
        prompts=tuple(dict.fromkeys(prompt for x in entries for prompt in x.prompts)),
        game=first.game,
        size=first.size,
        fps=first.fps,
        action_spec=spec,
        preset=preset,
        config=_config(configs),
        sampler=SamplerConfig(num_denoise_steps=num_denoise_steps),
        footage=source,
        held_out_episodes=() if several else first.held_out_episodes,
        training=training,
        licence={key: "; ".join(dict.fromkeys(x.licence[key] for x in entries)) for key in first.licence},
        limits=(
            f"remembers {configs.dynamics.window} frames",
            "shows only what its footage shows",
            *(["no uncertainty estimate with a single denoising step"] if num_denoise_steps == 1 else []),
        ),
        games=tuple(entries) if several else (),
    )


def training_facts(
    recipe: Recipe, seconds: float, seed: int, minutes: float | None, num_train_steps: int | None
) -> dict[str, object]:
    """Return what a card says of the training; the shapes of the modules are in its config."""
    shapes = ("tokenizer", "dynamics", "outcome", "first_frame", "prompt", "camera")
    return {
        "minutes": round(seconds / 60, 2),
        "seed": seed,
        "hardware": hardware(),
        "budget": {"minutes": minutes, "num_train_steps": num_train_steps},
        "recipe": {key: value for key, value in schema.to_json(recipe).items() if key not in shapes},
    }


def hardware() -> str:
    """Return the processor, the accelerators and the version of jax."""
    device = jax.devices()[0]
    return f"{platform.machine()}, {jax.device_count()} x {device.device_kind}, jax {jax.__version__}"


def stored(params: dict[str, PyTree], recipe: Recipe) -> dict[str, PyTree]:
    """Return parameters as the bundle keeps them: all but the tokenizer's as float16 where the recipe says so."""
    if not recipe.float16:
        return params
    half = {k: jax.tree.map(lambda x: np.asarray(x, np.float16), v) for k, v in params.items() if k != "tokenizer"}
    return params | half


def _game_card(game: Game) -> GameCard:
    meta, footage, dynamics = game.footage.meta, game.footage, game.configs.dynamics
    return GameCard(
        name=game.name,
        title=meta.title,
        prompts=tuple(meta.prompts),
        game=meta.game,
        size=meta.size,
        fps=meta.fps,
        action_spec=meta.action_spec,
        columns=dynamics.columns or tuple(range(dynamics.num_controls)),
        camera=None if dynamics.camera is None else schema.to_json(dynamics.camera),
        footage=FootageSource(
            digest=footage.digest(), frames=footage.num_frames, episodes=len(footage), recorder=meta.recorder
        ),
        held_out_episodes=tuple(game.held_out),
        licence={"code": "MIT", "weights": "MIT", "game": meta.licence, "assets": meta.assets_licence},
    )


def _config(configs: Configs) -> dict[str, dict[str, object]]:
    return {part: schema.to_json(config) for part, config in configs._asdict().items() if config is not None}
