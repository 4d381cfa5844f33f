"""A small world to save, and the hand that changes its card."""

import json

import jax.numpy as jnp
import numpy as np

from worldsim.controls import discrete
from worldsim.world import Card, FootageSource, World


def make_card(name="pong", size=(8, 12), **fields) -> Card:
    base = {
        "title": f"A dream of {name}",
        "prompts": (name,),
        "game": name,
        "fps": 15.0,
        "action_spec": discrete(("noop", "up", "down")),
        "preset": "tiny",
        "config": {"tokenizer": {}, "dynamics": {}, "outcome": {}},
        "footage": FootageSource(frames=10),
        "training": {"minutes": 1.0, "seed": 0},
        "licence": {"code": "MIT"},
        "limits": ("forgets",),
    }
    return Card(name=name, size=size, **base | fields)


def make_world(*args, metrics=None, **fields) -> World:
    rng = np.random.default_rng(0)
    card = make_card(*args, **fields)
    params = {
        "tokenizer": {"kernel": rng.normal(size=(3, 4)).astype(np.float32)},
        "dynamics": {"blocks": {0: {"scale": jnp.ones(5, jnp.bfloat16)}, 1: {"scale": np.zeros(5, np.float32)}}},
        "outcome": {"bias": np.zeros((), np.float32)},
    }
    contexts = {
        "obs": rng.integers(0, 256, (2, 4, *card.size, 3), dtype=np.uint8),
        "prev_action": np.zeros((2, 4, 1), np.float32),
    }
    if metrics is None:
        metrics = {"psnr": {"value": 20.0, "command": "worldsim eval"}}
    return World(card=card, params=params, initial_contexts=contexts, metrics=metrics)


def change_card(folder, change):
    card = json.loads((folder / "card.json").read_text())
    change(card)
    (folder / "card.json").write_text(json.dumps(card))
