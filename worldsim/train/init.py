"""Training on from a trained world: which of its parameters are trained, and which footage fits it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from worldsim.data.dataset import split_episodes
from worldsim.data.store import Footage
from worldsim.model.dynamics import DynamicsConfig
from worldsim.model.modules import Configs, build_graphs, count_params, read_configs
from worldsim.train.games import first_frame_config, game_name
from worldsim.train.recipes import Recipe
from worldsim.world import Card, World, card_of_game, check_same_game, find_world, read_bundle

TRAINABLE = ("dynamics", "first_frame", "first_frame/prompt_encoder")
"""What of a world may be trained on, while all else stays frozen."""


class Init(NamedTuple):
    """Initial parameters, and which of them are trained; all others stay frozen."""

    world: World | str | Path
    """The bundle, its path, its name or a prompt."""
    trains: tuple[str, ...] = ("dynamics",)
    """Of TRAINABLE: "dynamics" with its outcome heads, "first_frame", or only its "first_frame/prompt_encoder"."""


class Origin(NamedTuple):
    """A world that training goes on from, with its configs for each game of the footage."""

    world: World
    configs: list[Configs]
    trains: tuple[str, ...]

    @property
    def params(self) -> dict[str, PyTree]:
        """The parameters as float32."""
        return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), self.world.params)

    @property
    def trains_first_frame(self) -> bool:
        """Whether any parameter of the first-frame model is trained."""
        return any(part.startswith("first_frame") for part in self.trains)


def open_origin(init: Init | World | str | Path, footages: Sequence[Footage], recipe: Recipe, seed: int) -> Origin:
    """Load the world to go on from.

    Raises:
        ValueError: it is of other games, frame sizes or controls than the footage, was trained on what is held out, or
            lacks what is to be trained.
    """
    world, trains = init if isinstance(init, Init) else Init(init)
    if not trains or not set(trains) <= set(TRAINABLE):
        raise ValueError(f"expected some of {', '.join(TRAINABLE)} to train, got {', '.join(trains) or 'none'}.")
    world = world if isinstance(world, World) else read_bundle(find_world(world), count_params)
    cards = _cards(world.card, footages)
    for card, footage in zip(cards, footages, strict=True):
        _check_held_out(card, footage, seed)
    configs = [_for_training(read_configs(card.config)) for card in cards]
    build_graphs(configs[0], world.params)
    if "first_frame/prompt_encoder" in trains and (
        configs[0].first_frame is None or configs[0].first_frame.prompt is None
    ):
        raise ValueError(f"expected a first-frame model that reads prompts in {world.card.name}, it has none.")
    if "first_frame" in trains and configs[0].first_frame is None:
        if recipe.first_frame is None:
            raise ValueError(
                f"expected a recipe with a first-frame model, for {world.card.name} has none to go on with."
            )
        configs = [c._replace(first_frame=first_frame_config(recipe.first_frame, c.dynamics)) for c in configs]
    return Origin(world, configs, trains)


def describe(origin: Origin) -> dict[str, object]:
    """Return what a card says of the world that it went on from, back to its beginning."""
    training = origin.world.card.training
    keys = ("minutes", "budget", "hardware", "command", "history", "init")
    kept = {key: training[key] for key in keys if key in training}
    return {"name": origin.world.card.name, "weights": origin.world.card.weights.sha256, **kept}


def _check_held_out(card: Card, footage: Footage, seed: int) -> None:
    held_out = [footage.episodes[i].name for i in split_episodes(footage, seed=seed)[1]]
    if card.footage.digest == footage.digest() and list(card.held_out_episodes) not in ([], held_out):
        seed = card.training.get("seed", seed)
        raise ValueError(f"{card.name} held out other episodes of {footage.path}; go on with its seed, {seed}.")


def _cards(card: Card, footages: Sequence[Footage]) -> list[Card]:
    """Return the card of the world for each game of the footage."""
    names = [game_name(footage) for footage in footages]
    if card.games and names != card.game_names:
        raise ValueError(
            f"expected footage of {', '.join(card.game_names)}, in this order, to go on with {card.name}, "
            f"got {', '.join(names)}."
        )
    if not card.games and len(names) > 1:
        raise ValueError(f"expected footage of one game to go on with {card.name}, got {', '.join(names)}.")
    cards = [card_of_game(card, name) for name in names] if card.games else [card]
    for one, footage in zip(cards, footages, strict=True):
        check_same_game(one, footage.meta, footage.path, ("size", "action_spec"))
    return cards


def _for_training(configs: Configs) -> Configs:
    """Return the configs without the prompt that stands before all others of one game of several."""
    first_frame = configs.first_frame and _without_prefix(configs.first_frame)
    return configs._replace(dynamics=_without_prefix(configs.dynamics), first_frame=first_frame)


def _without_prefix(config: DynamicsConfig) -> DynamicsConfig:
    return config if config.prompt is None else replace(config, prompt=replace(config.prompt, always=""))
