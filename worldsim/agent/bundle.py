"""An agent on disk: agent.json says what it is and from which world it comes, weights.safetensors is its arrays.

The tokenizer of its world comes along, so that an agent needs nothing else to see the real game.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from worldsim.agent.policy import ActorCritic, PolicyConfig, draw
from worldsim.checkpoint import flatten, load_arrays, save_arrays, unflatten
from worldsim.nn.params import merge, split
from worldsim.tokenizer import Tokenizer, TokenizerConfig
from worldsim.types import ActionSpec, obs_to_frame

CARD, WEIGHTS = "agent.json", "weights.safetensors"


@dataclass(frozen=True)
class Agent:
    """A policy, and what it sees with."""

    card: dict[str, Any]
    params: dict[str, Any]  # "actor" and "tokenizer"

    def __post_init__(self):
        graphs = _graphs(self.card)
        object.__setattr__(self, "_act", jax.jit(lambda params, *args: _act(graphs, params, *args)))

    @property
    def action_spec(self) -> ActionSpec:
        """The controls that it drives."""
        return ActionSpec.from_json(self.card["action_spec"])

    def begin(self, batch: int) -> Float[Array, "b d"]:
        """The state of `batch` players who have seen nothing."""
        return jnp.zeros((batch, self.card["config"]["actor"]["width"]))

    def act(
        self, key: PRNGKeyArray, state: Float[Array, "b d"], obs: UInt8[Any, "b h w c"], prev_action: Float[Any, "b a"]
    ) -> tuple[Float[Array, "b d"], Float[Array, "b a"]]:
        """Take frames in and sample action rows; `prev_action` led into each frame, NaN at the first."""
        return self._act(self.params, key, state, obs, prev_action)  # type: ignore[attr-defined]


def pilot(agent: Agent, seed: int) -> Callable[[Any, Any], Any]:
    """Let an agent hold a stick: from a frame `[h w c]` and the row that led to it to the next row `[a]`."""
    key, state, step = jax.random.key(seed), agent.begin(1), 0

    def act(obs: Any, prev_action: Any) -> Any:
        nonlocal state, step
        state, rows = agent.act(jax.random.fold_in(key, step), state, obs[None], prev_action[None])
        step += 1
        return np.asarray(rows)[0]

    return act


@lru_cache(maxsize=1)
def _load_once(path: str) -> Agent:
    return load_agent(path)


def pilot_of(path: str, spec: ActionSpec, size: tuple[int, int], seed: int) -> Callable[[Any, Any], Any]:
    """Let the agent at a path play a game with these controls and pictures.

    Raises:
        ValueError: no agent there, or one that learned other controls or pictures.
    """
    agent = _load_once(path)
    if agent.action_spec != spec:
        raise ValueError(f"the agent at {path} drives other controls than this game has.")
    if tuple(agent.card["size"]) != tuple(size):
        raise ValueError(f"the agent at {path} sees pictures of {tuple(agent.card['size'])}, this game gives {size}.")
    return pilot(agent, seed)


def save_agent(agent: Agent, path: str | os.PathLike) -> Agent:
    """Write an agent's folder."""
    folder = Path(path)
    save_arrays({name: np.asarray(x) for name, x in flatten(agent.params).items()}, folder / WEIGHTS)
    part = folder / f"{CARD}.part"
    part.write_text(json.dumps(agent.card, indent=1) + "\n", encoding="utf-8")
    part.replace(folder / CARD)
    return agent


def load_agent(path: str | os.PathLike) -> Agent:
    """Read an agent.

    Raises:
        ValueError: the folder holds none, or one whose arrays are not those of its card.
    """
    folder = Path(path)
    folder = folder / "agent" if (folder / "agent" / CARD).is_file() else folder
    file = folder / CARD
    if not file.is_file():
        raise ValueError(f"no agent at {path}: {file} is missing. Train one with `worldsim agent train`.")
    try:
        card = json.loads(file.read_text(encoding="utf-8"))
        graphs = _graphs(card)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is not the card of an agent: {error!r}.") from error
    params = unflatten(load_arrays(folder / WEIGHTS))
    came = {name: x.shape for name, x in flatten(params).items()}
    want = {name: x.shape for name, x in flatten({k: v for k, (_, v) in graphs.items()}).items()}
    if came != want:
        differ = sorted(name for name in came.keys() | want.keys() if came.get(name) != want.get(name))
        raise ValueError(
            f"{folder / WEIGHTS} has other arrays than its card says: {differ[0]} and {len(differ)} in all."
        )
    return Agent(card, params)


def digest_of(agent: Agent) -> str:
    """A hash of an agent's policy."""
    digest = hashlib.sha256()
    for name, x in sorted(flatten(agent.params["actor"]).items()):
        digest.update(name.encode() + np.asarray(x, np.float32).tobytes())
    return digest.hexdigest()


def config_of(policy: PolicyConfig, tokenizer: TokenizerConfig) -> dict[str, Any]:
    """What the card says of the shapes."""
    return {"actor": asdict(policy), "tokenizer": asdict(tokenizer)}


def _graphs(card: dict[str, Any]) -> dict[str, tuple[nnx.GraphDef, Any]]:
    actor, tokenizer = (_tuples(card["config"][name]) for name in ("actor", "tokenizer"))

    def build():
        rngs = nnx.Rngs(0)
        return ActorCritic(PolicyConfig(**actor), rngs=rngs), Tokenizer(TokenizerConfig(**tokenizer), rngs=rngs)

    return {name: split(module) for name, module in zip(("actor", "tokenizer"), nnx.eval_shape(build))}


def _tuples(config: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}


def _act(graphs, params, key, state, obs, prev_action):
    actor, tokenizer = (merge(graphs[name][0], params[name]) for name in ("actor", "tokenizer"))
    z = tokenizer.encode(obs_to_frame(obs)[:, None])[:, 0]
    state = actor.step(state, actor.look(z, prev_action))
    return state, draw(key, actor.logits(state), actor.config)
