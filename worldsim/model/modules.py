"""Build the modules of a world from its card's config, abstractly: no parameter is drawn or allocated."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import jax
from flax import nnx
from jaxtyping import PyTree

from worldsim import schema
from worldsim.model.dynamics import Dynamics, DynamicsConfig
from worldsim.model.outcome import Outcome, OutcomeConfig
from worldsim.model.tokenizer import Tokenizer, TokenizerConfig
from worldsim.nn.params import split
from worldsim.world import Card


class Configs(NamedTuple):
    """The configs of a world's modules."""

    tokenizer: TokenizerConfig
    dynamics: DynamicsConfig
    outcome: OutcomeConfig
    first_frame: DynamicsConfig | None = None


class Graphs(NamedTuple):
    """The graphs of a world's modules, for `worldsim.nn.params.merge`."""

    tokenizer: nnx.GraphDef
    dynamics: nnx.GraphDef
    outcome: nnx.GraphDef
    first_frame: nnx.GraphDef | None = None


def read_configs(config: Mapping[str, Mapping[str, object]]) -> Configs:
    """Read `config` of a card.

    Raises:
        ValueError: it is not of this version, or describes what cannot be built.
    """
    return Configs(
        schema.from_json(TokenizerConfig, config["tokenizer"], "config.tokenizer"),
        schema.from_json(DynamicsConfig, config["dynamics"], "config.dynamics"),
        schema.from_json(OutcomeConfig, config["outcome"], "config.outcome"),
        schema.from_json(DynamicsConfig, part, "config.first_frame") if (part := config.get("first_frame")) else None,
    )


def check_configs(configs: Configs, card: Card) -> None:
    """Check that the parts of a world fit each other, its frames and its controls.

    Raises:
        ValueError: names what does not.
    """
    tokenizer = configs.tokenizer
    parts = [part for part in (configs.dynamics, configs.first_frame) if part is not None]
    pairs = [("tokenizer.size", tokenizer.size, card.size)]
    pairs += [("the controls of dynamics", configs.dynamics.action_size, card.action_spec.size)]
    for name, part in zip(("dynamics", "first_frame"), parts):
        pairs += [(f"{name}.{x}", getattr(part, x), getattr(tokenizer, x)) for x in ("grid", "token_dim", "pack")]
    for name, came, expected in pairs:
        if came != expected:
            raise ValueError(f"expected {expected} for {name} in the config of {card.name}, got {came}.")


def count_params(card: Card) -> int:
    """Count the parameters of a world by its card's config, without making any.

    Raises:
        ValueError: the config describes what cannot be built.
    """
    return sum(x.size for x in jax.tree.leaves(graphs_of(read_configs(card.config))[1]))


def build_graphs(configs: Configs, params: dict[str, PyTree]) -> Graphs:
    """Return the modules' graphs, and check that the parameters are theirs.

    Raises:
        ValueError: a parameter is missing, left over, or of another shape.
    """
    graphs, shapes = graphs_of(configs)
    _check_shapes(params, shapes)
    return graphs


@lru_cache(maxsize=64)
def graphs_of(configs: Configs) -> tuple[Graphs, dict[str, PyTree]]:
    """Build the modules' graphs, once for the same configs, and the shapes of their parameters."""

    def build():
        dynamics = Dynamics(configs.dynamics, rngs=nnx.Rngs(0))
        outcome = Outcome(configs.outcome, d_in=dynamics.hidden_dim, d_summary=dynamics.summary_dim, rngs=nnx.Rngs(0))
        first_frame = [] if configs.first_frame is None else [Dynamics(configs.first_frame, rngs=nnx.Rngs(0))]
        return Tokenizer(configs.tokenizer, rngs=nnx.Rngs(0)), dynamics, outcome, *first_frame

    graphs, shapes = zip(*(split(module) for module in nnx.eval_shape(build)), strict=True)
    return Graphs(*graphs), dict(zip(Graphs._fields, shapes, strict=False))


def _check_shapes(params: dict, shapes: dict) -> None:
    came = {jax.tree_util.keystr(k): v.shape for k, v in jax.tree_util.tree_leaves_with_path(params)}
    expected = {jax.tree_util.keystr(k): v.shape for k, v in jax.tree_util.tree_leaves_with_path(shapes)}
    for name in sorted(came.keys() | expected.keys()):
        if came.get(name) != expected.get(name):
            raise ValueError(f"expected shape {expected.get(name)} for weights {name}, got {came.get(name)}.")
