"""Between Gymnasium's action spaces and rows of an ActionSpec, one float column a control."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Float

from worldsim.types import ActionSpec, Axis, Button, Choice


def spec_of_space(space: gym.Space, labels: list[str] | None = None) -> ActionSpec:
    """Name every control of an action space: Discrete, MultiDiscrete, MultiBinary, Box, or a Dict or Tuple of them.

    Args:
        space: the action space.
        labels: names of the options where the space is one Discrete, such as Atari's "NOOP", "FIRE".

    Raises:
        ValueError: a space of another kind, a Box without bounds, or a Discrete of one option.
    """
    controls = [c for path, leaf in _leaves(space) for c in _controls(leaf, path)]
    choices = tuple(c for c in controls if isinstance(c, Choice))
    if labels and isinstance(space, gym.spaces.Discrete) and len(labels) == space.n:
        choices = (Choice(name="action", labels=tuple(labels), keys=((),) * len(labels)),)
    buttons = tuple(c for c in controls if isinstance(c, Button))
    return ActionSpec(choices=choices, buttons=buttons, axes=tuple(c for c in controls if isinstance(c, Axis)))


def row_of_action(space: gym.Space, action: Any) -> Float[np.ndarray, " a"]:
    """Turn an action of the space into a row: choices, then buttons, then axes."""
    parts: tuple[list, list, list] = ([], [], [])
    for path, leaf in _leaves(space):
        value = action
        for name in path:
            value = value[name]
        flat = np.ravel(np.asarray(value, np.float64)) - np.ravel(_start(leaf))
        parts[_group(leaf)].extend(flat)
    return np.array([x for part in parts for x in part], np.float32)


def action_of_row(space: gym.Space, row: Float[np.ndarray, " a"]) -> Any:
    """Turn a row into an action of the space, the inverse of `row_of_action`."""
    sizes = [0, 0, 0]
    for _, leaf in _leaves(space):
        sizes[_group(leaf)] += _count(leaf)
    used = [0, sizes[0], sizes[0] + sizes[1]]

    def build(space: gym.Space) -> Any:
        if isinstance(space, gym.spaces.Dict):
            return {name: build(sub) for name, sub in space.spaces.items()}
        if isinstance(space, gym.spaces.Tuple):
            return tuple(build(sub) for sub in space.spaces)
        group, count = _group(space), _count(space)
        part = row[used[group] : used[group] + count]
        used[group] += count
        if isinstance(space, gym.spaces.Discrete):
            return int(part[0]) + int(space.start)
        shape, dtype = space.shape or (), space.dtype
        value = part.reshape(shape) if group == 2 else np.rint(part).reshape(shape) + _start(space)
        return value.astype(dtype)

    return build(space)


def _leaves(space: gym.Space, path: tuple = ()) -> Iterator[tuple[tuple, gym.Space]]:
    if isinstance(space, gym.spaces.Dict):
        for name, sub in space.spaces.items():
            yield from _leaves(sub, (*path, name))
    elif isinstance(space, gym.spaces.Tuple):
        for i, sub in enumerate(space.spaces):
            yield from _leaves(sub, (*path, i))
    else:
        yield path, space


def _controls(leaf: gym.Space, path: tuple) -> list[Choice | Button | Axis]:
    name = ".".join(str(x) for x in path) or "action"
    names = [name] if _count(leaf) == 1 else [f"{name}.{i}" for i in range(_count(leaf))]
    if isinstance(leaf, gym.spaces.Discrete | gym.spaces.MultiDiscrete):
        counts = np.ravel(leaf.n if isinstance(leaf, gym.spaces.Discrete) else leaf.nvec)
        options = [tuple(str(i) for i in range(n)) for n in counts]
        return [Choice(name=n, labels=o, keys=((),) * len(o)) for n, o in zip(names, options, strict=True)]
    if isinstance(leaf, gym.spaces.MultiBinary):
        return [Button(name=n) for n in names]
    assert isinstance(leaf, gym.spaces.Box)
    low, high = np.ravel(leaf.low), np.ravel(leaf.high)
    return [Axis(name=n, low=float(a), high=float(b)) for n, a, b in zip(names, low, high, strict=True)]


def _group(leaf: gym.Space) -> int:
    """Which columns a leaf's values go to: 0 choices, 1 buttons, 2 axes."""
    kinds = ((gym.spaces.Discrete, gym.spaces.MultiDiscrete), gym.spaces.MultiBinary, gym.spaces.Box)
    for group, kind in enumerate(kinds):
        if isinstance(leaf, kind):
            return group
    wanted = "Discrete, MultiDiscrete, MultiBinary, Box, or a Dict or Tuple of them"
    raise ValueError(f"an action space wants to be {wanted}, got {leaf}.")


def _count(leaf: gym.Space) -> int:
    _group(leaf)
    return int(np.prod(leaf.shape or (1,)))


def _start(leaf: gym.Space) -> Any:
    return leaf.start if isinstance(leaf, gym.spaces.Discrete | gym.spaces.MultiDiscrete) else 0
