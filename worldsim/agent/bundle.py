"""An agent on disk: agent.json is its card, weights.safetensors its arrays.

The tokenizer of its world is part of it, so that an agent needs nothing else to play the real game.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from worldsim import backend, schema
from worldsim.agent.policy import ActorCritic, PolicyConfig, sample_action
from worldsim.controls import ActionSpec
from worldsim.model.tokenizer import Tokenizer, TokenizerConfig
from worldsim.nn.params import merge, split
from worldsim.places import as_path
from worldsim.types import obs_to_frame
from worldsim.world import LearnedGame, flatten, load_arrays, save_arrays, unflatten
from worldsim.world.arrays import MAX_HEADER_BYTES
from worldsim.world.card import MAX_CARD_BYTES
from worldsim.world.files import read_json

CARD, WEIGHTS = "agent.json", "weights.safetensors"

Policy = Callable[[UInt8[np.ndarray, "h w c"], Float[np.ndarray, " a"]], Float[np.ndarray, " a"]]
"""From a frame and the action row that led to it, NaN at an episode's first, to the next row."""


@dataclass(frozen=True, kw_only=True)
class AgentCard(LearnedGame):
    """What agent.json says: which game an agent plays, where it learned, and its shapes."""

    config: Mapping[str, Mapping[str, Any]]
    """Fields of the configs of "actor" and "tokenizer"."""
    world: Mapping[str, str]
    """name, and weights: the sha256 of the world's."""
    recording: Mapping[str, Any]
    """Of the footage where its dreams began: digest, policy, mean return."""
    real_steps: Annotated[int, schema.Range(0, 2**48)]
    """Steps of the game that world and agent have learned from."""
    training: Mapping[str, Any]


@dataclass(frozen=True)
class Agent:
    """A policy and the tokenizer that encodes its frames."""

    card: AgentCard
    params: dict[str, Any]  # "actor" and "tokenizer"

    @cached_property
    def _configs(self) -> tuple[PolicyConfig, TokenizerConfig]:
        return configs_of(self.card)

    @property
    def action_spec(self) -> ActionSpec:
        """The controls of its game."""
        return self.card.action_spec

    def initial_state(self, batch: int) -> Float[Array, "b d"]:
        """Return the state of `batch` players before their first frame."""
        return jnp.zeros((batch, self.card.config["actor"]["width"]))

    def act(
        self,
        key: PRNGKeyArray,
        state: Float[Array, "b d"],
        obs: UInt8[Array | np.ndarray, "b h w c"],
        prev_action: Float[Array | np.ndarray, "b a"],
    ) -> tuple[Float[Array, "b d"], Float[Array, "b a"]]:
        """Return the next states and sampled action rows; `prev_action` led into each frame, NaN at the first."""
        backend.prepare()
        return _program(*self._configs)(self.params, key, state, obs, prev_action)

    def policy(self, seed: int) -> Policy:
        """Return the policy of one player: from a frame and the action row that led to it to the next row."""
        key, state, step = jax.random.key(seed), self.initial_state(1), 0

        def act(obs: UInt8[np.ndarray, "h w c"], prev_action: Float[np.ndarray, " a"]) -> Float[np.ndarray, " a"]:
            nonlocal state, step
            state, rows = self.act(jax.random.fold_in(key, step), state, obs[None], prev_action[None])
            step += 1
            return np.asarray(rows)[0]

        return act


@lru_cache(maxsize=1)
def _load_once(path: str) -> Agent:
    return load_agent(path)


def load_policy(path: str, spec: ActionSpec, size: tuple[int, int], seed: int) -> Policy:
    """Return the policy of the agent at a path, for a game with these controls and pictures.

    Raises:
        ValueError: no agent there, or one of other controls or another frame size.
    """
    agent = _load_once(path)
    if agent.action_spec != spec:
        raise ValueError(
            f"the agent at {path} has other controls than this game; use one that learned in a world of it."
        )
    if agent.card.size != tuple(size):
        raise ValueError(f"expected frames of {agent.card.size} for the agent at {path}, this game has {size}.")
    return agent.policy(seed)


def save_agent(agent: Agent, path: str | os.PathLike[str]) -> Agent:
    """Write an agent's folder."""
    folder = as_path(path)
    save_arrays({name: np.asarray(x) for name, x in flatten(agent.params).items()}, folder / WEIGHTS)
    part = folder / f"{CARD}.part"
    part.write_text(json.dumps(schema.to_json(agent.card), indent=1) + "\n", encoding="utf-8")
    part.replace(folder / CARD)
    return agent


def load_agent(path: str | os.PathLike[str]) -> Agent:
    """Read an agent.

    Raises:
        ValueError: the folder holds none, or one whose arrays do not fit its card.
    """
    folder = as_path(path)
    folder = folder / "agent" if (folder / "agent" / CARD).is_file() else folder
    file = folder / CARD
    if not file.is_file():
        raise ValueError(f"no agent at {path}: {file} is missing; train one with `worldsim agent train`.")
    try:
        card = schema.from_json(AgentCard, read_json(file, MAX_CARD_BYTES))
        graphs = _graphs(*configs_of(card))
    except ValueError as error:
        raise ValueError(f"{file} is not the card of an agent: {error}") from error
    want = {name: x.shape for name, x in flatten({k: v for k, (_, v) in graphs.items()}).items()}
    num_bytes = 4 * sum(math.prod(shape) for shape in want.values())
    params = unflatten(load_arrays(folder / WEIGHTS, num_bytes + MAX_HEADER_BYTES))
    came = {name: x.shape for name, x in flatten(params).items()}
    if came != want:
        differ = sorted(name for name in came.keys() | want.keys() if came.get(name) != want.get(name))
        raise ValueError(
            f"{folder / WEIGHTS} has other arrays than its card says: {differ[0]} and {len(differ)} in all."
        )
    return Agent(card, params)


def digest_of(agent: Agent) -> str:
    """Return a hash of an agent's policy."""
    digest = hashlib.sha256()
    for name, x in sorted(flatten(agent.params["actor"]).items()):
        digest.update(name.encode() + np.asarray(x, np.float32).tobytes())
    return digest.hexdigest()


def configs_of(card: AgentCard) -> tuple[PolicyConfig, TokenizerConfig]:
    """Return the shapes of an agent's policy and tokenizer."""
    kinds = {"actor": PolicyConfig, "tokenizer": TokenizerConfig}
    actor, tokenizer = (
        schema.from_json(x, card.config.get(name), f"config.{name}", complete=False) for name, x in kinds.items()
    )
    return actor, tokenizer


@lru_cache(maxsize=16)
def _graphs(actor: PolicyConfig, tokenizer: TokenizerConfig) -> dict[str, tuple[nnx.GraphDef, Any]]:
    def build():
        rngs = nnx.Rngs(0)
        return ActorCritic(actor, rngs=rngs), Tokenizer(tokenizer, rngs=rngs)

    return {name: split(module) for name, module in zip(("actor", "tokenizer"), nnx.eval_shape(build))}


@lru_cache(maxsize=16)
def _program(actor: PolicyConfig, tokenizer: TokenizerConfig) -> Callable[..., Any]:
    """Compile `_act` once for all agents of one shape."""
    return jax.jit(partial(_act, _graphs(actor, tokenizer)))


def _act(graphs, params, key, state, obs, prev_action):
    actor, tokenizer = (merge(graphs[name][0], params[name]) for name in ("actor", "tokenizer"))
    z = tokenizer.encode(obs_to_frame(obs)[:, None])[:, 0]
    state = actor.step(state, actor.embed(z, prev_action))
    return state, sample_action(key, actor.logits(state), actor.config)
