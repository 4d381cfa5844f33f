"""Modules <-> plain nested dicts of arrays with string keys, the form in which parameters travel and are stored."""

from __future__ import annotations

from flax import nnx
from jaxtyping import PyTree


def split(module: nnx.Module) -> tuple[nnx.GraphDef, dict[str, PyTree]]:
    """Take a module apart into its graph, which is static, and its parameters."""
    graph, state = nnx.split(module)
    return graph, _map_keys(nnx.to_pure_dict(state), str)


def merge(graph: nnx.GraphDef, params: dict[str, PyTree]) -> PyTree:
    """Put a module together again, inside or outside of jit."""
    return nnx.merge(graph, _map_keys(params, lambda key: int(key) if key.isdigit() else key))


def _map_keys(tree: PyTree, change) -> PyTree:
    if not isinstance(tree, dict):
        return tree
    return {change(key): _map_keys(value, change) for key, value in tree.items()}
