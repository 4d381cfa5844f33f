"""Between Gymnasium's action spaces and rows of an ActionSpec, one float column a control."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Float, Int

from worldsim.controls import KINDS, ActionSpec, Control, discrete


def spec_of_space(space: gym.Space, labels: list[str] | None = None) -> ActionSpec:
    """Name every control of an action space: Discrete, MultiDiscrete, MultiBinary, Box, or a Dict or Tuple of them.

    Args:
        space: the action space.
        labels: names of the options where the space is one Discrete, such as Atari's "NOOP", "FIRE".

    Raises:
        ValueError: a space of another kind, a Box without bounds, or a Discrete of one option.
    """
    if labels and isinstance(space, gym.spaces.Discrete) and len(labels) == space.n:
        return discrete(tuple(labels))
    return ActionSpec.of(c for path, leaf in _leaves(space) for c in _controls(leaf, path))


def row_of_action(space: gym.Space, action: Any) -> Float[np.ndarray, " a"]:
    """Turn an action of the space into a row: choices, then buttons, then axes."""
    parts = []
    for path, leaf in _leaves(space):
        value = action
        for name in path:
            value = value[name]
        parts.append(np.ravel(np.asarray(value, np.float64)) - np.ravel(_start(leaf)))
    return np.concatenate(parts)[_columns(space)].astype(np.float32)


def action_of_row(space: gym.Space, row: Float[np.ndarray, " a"]) -> Any:
    """Turn a row into an action of the space, the inverse of `row_of_action`."""
    flat = np.empty_like(row)
    flat[_columns(space)] = row
    values = iter(flat)

    def build(space: gym.Space) -> Any:
        if isinstance(space, gym.spaces.Dict):
            return {name: build(sub) for name, sub in space.spaces.items()}
        if isinstance(space, gym.spaces.Tuple):
            return tuple(build(sub) for sub in space.spaces)
        part = np.array([next(values) for _ in range(_count(space))])
        if isinstance(space, gym.spaces.Discrete):
            return int(part[0]) + int(space.start)
        is_whole = not isinstance(space, gym.spaces.Box) or np.issubdtype(space.dtype, np.integer)
        value = (np.rint(part) if is_whole else part) + np.ravel(_start(space))
        return value.reshape(space.shape or ()).astype(space.dtype)

    return build(space)


def _leaves(space: gym.Space, path: tuple = ()) -> Iterator[tuple[tuple, gym.Space]]:
    if isinstance(space, gym.spaces.Dict | gym.spaces.Tuple):
        subs = space.spaces.items() if isinstance(space, gym.spaces.Dict) else enumerate(space.spaces)
        for name, sub in subs:
            yield from _leaves(sub, (*path, name))
    else:
        yield path, space


def _columns(space: gym.Space) -> Int[np.ndarray, " a"]:
    """For each column of a row, which of the leaves' values it is."""
    groups = [group for _, leaf in _leaves(space) for group in [_group(leaf)] * _count(leaf)]
    return np.argsort(groups, kind="stable")


def _controls(leaf: gym.Space, path: tuple) -> Sequence[Control]:
    count = _count(leaf)
    name = ".".join(str(x) for x in path) or "action"
    names = [name] if count == 1 else [f"{name}.{i}" for i in range(count)]
    return KINDS[_group(leaf)].of_space(leaf, names)


def _group(leaf: gym.Space) -> int:
    """Which of the kinds of control a leaf's values are."""
    for group, kind in enumerate(KINDS):
        if isinstance(leaf, kind.leaves):
            return group
    wanted = "Discrete, MultiDiscrete, MultiBinary, Box, or a Dict or Tuple of them"
    raise ValueError(f"expected {wanted} for an action space, got {leaf}.")


def _count(leaf: gym.Space) -> int:
    _group(leaf)
    return int(np.prod(leaf.shape or (1,)))


def _start(leaf: gym.Space) -> Any:
    return leaf.start if isinstance(leaf, gym.spaces.Discrete | gym.spaces.MultiDiscrete) else 0
