"""What every test runs under: JAX on the processor, no silent rank promotion, warnings as errors (pyproject.toml).

Two things that many tests want are made once: footage of a block that goes left and right, and an untrained world of
it.
The library is imported inside the functions, so that the type checks of jaxtyping are in place first.
"""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")


def make_footage(path, size=(16, 16), labels=("noop", "left", "right"), lengths=(60, 60, 60)) -> Path:
    """Write footage of a bright block that the actions move left and right; reaching the middle pays."""
    from worldsim.data.store import FootageMeta, FootageWriter
    from worldsim.types import Episode, discrete

    spec = discrete(labels)
    meta = FootageMeta(game="block", title="Block", size=size, fps=15.0, action_spec=spec, objects={}, recorder={})
    rng = np.random.default_rng(0)
    with FootageWriter(path, meta) as writer:
        for seed, n in enumerate(lengths):
            action = rng.integers(len(labels), size=(n, 1)).astype(np.float32)
            moves = (action[:, 0] == 2) * 1 - (action[:, 0] == 1) * 1
            at = (size[1] // 2 + np.concatenate([[0], np.cumsum(moves)])) % size[1]
            obs = np.zeros((n + 1, *size, 3), np.uint8)
            obs[np.arange(n + 1), :, at] = 200
            reward = (at[1:] == size[1] // 2).astype(np.float32)
            episode = Episode(obs, action, reward, np.arange(n) == n - 1, np.zeros(n, bool))
            writer.add(episode, seed=seed, policy="test")
    return Path(path)


def make_world(path, footage) -> Path:
    """Write a bundle of random weights, a few thousand parameters, for footage of 16x16 pixels."""
    from flax import nnx

    from worldsim.checkpoint import World, save_world
    from worldsim.data.dataset import split_episodes
    from worldsim.data.store import Footage
    from worldsim.dynamics import Dynamics, DynamicsConfig
    from worldsim.nn.params import split
    from worldsim.outcome import Outcome, OutcomeConfig
    from worldsim.tokenizer import Tokenizer, TokenizerConfig

    footage = Footage.open(footage)
    meta, episode = footage.meta, footage.read(0)
    tokenizer = TokenizerConfig(size=meta.size, width=16, num_layers=(1, 1), head_dim=16, patch=4, pack=2)
    choices = tuple(len(x.labels) for x in meta.action_spec.choices)
    shape = {"grid": tokenizer.grid, "token_dim": tokenizer.token_dim, "choice_sizes": choices}
    dynamics = DynamicsConfig(**shape, width=16, num_layers=2, head_dim=16, window=4)
    outcome = OutcomeConfig(hidden=16)
    model = Dynamics(dynamics, rngs=nnx.Rngs(1))
    modules = {
        "tokenizer": Tokenizer(tokenizer, rngs=nnx.Rngs(0)),
        "dynamics": model,
        "outcome": Outcome(outcome, d_in=model.hidden_dim, rngs=nnx.Rngs(2)),
    }
    configs = {"tokenizer": tokenizer, "dynamics": dynamics, "outcome": outcome}
    config = {name: dataclasses.asdict(value) for name, value in configs.items()} | {"sampler": {}}
    held = [footage.episodes[i].name for i in split_episodes(footage)[1]]
    card = {
        "schema_version": 1, "name": "block", "title": "Block", "prompts": ["block"], "game": "block",
        "size": list(meta.size), "fps": meta.fps, "action_spec": meta.action_spec.to_json(), "preset": "custom",
        "config": config, "metrics": {}, "licence": {"code": "MIT"}, "limits": [],
        "footage": {"digest": footage.digest()}, "training": {"held_out_episodes": held},
    }  # fmt: skip
    starts = {"obs": episode.obs[None, 1:5], "prev_action": episode.action[None, :4]}
    save_world(World(card=card, params={name: split(x)[1] for name, x in modules.items()}, starts=starts), path)
    return Path(path)


@pytest.fixture(scope="session")
def block_footage(tmp_path_factory) -> Path:
    """Three short episodes at 16x16."""
    return make_footage(tmp_path_factory.mktemp("block") / "footage")


@pytest.fixture(scope="session")
def untrained_world(tmp_path_factory, block_footage) -> Path:
    """A bundle of that footage that has learned nothing."""
    return make_world(tmp_path_factory.mktemp("world") / "block", block_footage)
