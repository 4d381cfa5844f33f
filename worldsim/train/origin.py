"""Going on with a trained world: what is kept of it, and which footage it can go on with."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from worldsim.checkpoint import World
from worldsim.data.store import Footage
from worldsim.modules import build_graphs, read_configs
from worldsim.train.presets import Preset


def go_on(origin: World, preset: Preset, footage: Footage, held_out: list[str], *, only_words: bool = False) -> Preset:
    """Give the preset that goes on with a world: its shape, with all of the training for its dynamics, or its words.

    Raises:
        ValueError: the footage is of another frame size or action space, or holds out what the world was trained on;
            or the world is of several games, or has no opening that reads words.
    """
    card, meta = origin.card, footage.meta
    if tuple(card["size"]) != tuple(meta.size):
        raise ValueError(f"{footage.path} has frames of {list(meta.size)}, and the world to go on from {card['size']}.")
    if origin.action_spec != meta.action_spec:
        raise ValueError(f"{footage.path} has another action space than the world to go on from, {card['name']}.")
    trained = card["training"]
    if card["footage"]["digest"] == footage.digest() and trained.get("held_out_episodes", held_out) != held_out:
        raise ValueError(
            f"{card['name']} held out other episodes of this footage; go on with its seed, {trained.get('seed')}."
        )
    configs = read_configs(card["config"])
    build_graphs(configs, origin.params)
    if configs.dynamics.columns is not None:
        raise ValueError(f"{card['name']} is a world of several games and cannot go on as one game of them.")
    if only_words and (configs.opening is None or configs.opening.prompt is None):
        raise ValueError(f"{card['name']} has no opening that reads words, a network of its own for the first frame.")
    of_footage = {"grid", "token_dim", "pack", "choice_sizes", "num_buttons", "axis_bounds"}
    return dataclasses.replace(
        preset,
        tokenizer=_fields(configs.tokenizer, {"size"}),
        dynamics=_fields(configs.dynamics, of_footage),
        outcome=_fields(configs.outcome, set()),
        tokenizer_share=0.0,
        flow_share=0.0,
        opening_share=float(only_words),
        opening=_fields(configs.opening, of_footage) if configs.opening else None,
        bootstrap_from=0.0,
    )


def _fields(config: Any, without: set[str]) -> dict[str, Any]:
    return {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.name not in without}


def floats(params: dict) -> dict:
    """Give the parameters of a bundle as training wants them."""
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params)


def describe(origin: World) -> dict[str, Any]:
    """Say in a card what a world was before, back to its beginning."""
    training = origin.card["training"]
    kept = {
        key: training[key] for key in ("minutes", "budget", "hardware", "command", "history", "init") if key in training
    }
    return {"name": origin.card["name"], "weights": origin.card["weights"]["sha256"], **kept}
