"""A small world to save, and the hand that changes its card."""

import json

import jax.numpy as jnp
import numpy as np

from worldsim.checkpoint.bundle import World
from worldsim.types import discrete


def make_world(name="pong", size=(8, 12), **card) -> World:
    rng = np.random.default_rng(0)
    params = {
        "tokenizer": {"kernel": rng.normal(size=(3, 4)).astype(np.float32)},
        "dynamics": {"blocks": {0: {"scale": jnp.ones(5, jnp.bfloat16)}, 1: {"scale": np.zeros(5, np.float32)}}},
        "outcome": {"bias": np.zeros((), np.float32)},
    }
    base = {
        "schema_version": 1,
        "name": name,
        "title": f"A dream of {name}",
        "prompts": [name],
        "game": name,
        "size": list(size),
        "fps": 15,
        "action_spec": discrete(("noop", "up", "down")).to_json(),
        "preset": "tiny",
        "config": {"tokenizer": {}, "dynamics": {}, "outcome": {}, "sampler": {}},
        "footage": {"frames": 10},
        "training": {"minutes": 1.0, "seed": 0},
        "metrics": {"psnr": {"value": 20.0, "command": "worldsim eval"}},
        "licence": {"code": "MIT"},
        "limits": ["forgets"],
    }
    starts = {
        "obs": rng.integers(0, 256, (2, 4, *size, 3), dtype=np.uint8),
        "prev_action": np.zeros((2, 4, 1), np.float32),
    }
    return World(card=base | card, params=params, starts=starts)


def change_card(folder, change):
    card = json.loads((folder / "card.json").read_text())
    change(card)
    (folder / "card.json").write_text(json.dumps(card))
