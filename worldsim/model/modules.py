"""Build the modules of a world from its card's config, abstractly: no parameter is drawn or allocated."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import jax
from flax import nnx
from jaxtyping import PyTree

from worldsim.model.camera.geometry import CameraConfig
from worldsim.model.dynamics import Dynamics, DynamicsConfig
from worldsim.model.outcome import Outcome, OutcomeConfig
from worldsim.model.tokenizer import Tokenizer, TokenizerConfig
from worldsim.nn.params import split
from worldsim.text.prompt import PromptConfig


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
    try:
        return Configs(
            TokenizerConfig(**_tuples(config["tokenizer"])),
            DynamicsConfig(**_with_parts(_tuples(config["dynamics"]))),
            OutcomeConfig(**_tuples(config["outcome"])),
            DynamicsConfig(**_with_parts(_tuples(config["first_frame"]))) if config.get("first_frame") else None,
        )
    except TypeError as error:
        raise ValueError(f"the card's config is not of this version: {error}.") from error


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
        outcome = Outcome(configs.outcome, d_in=dynamics.hidden_dim, rngs=nnx.Rngs(0))
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


def _with_parts(fields: dict[str, Any]) -> dict[str, Any]:
    parts = {"prompt": PromptConfig, "camera": CameraConfig}
    return {k: parts[k](**v) if k in parts and v is not None else v for k, v in fields.items()}


def _tuples(value: Any) -> Any:
    """Turn JSON's lists into the tuples that configs hold."""
    if isinstance(value, dict):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value
