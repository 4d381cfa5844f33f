"""Time travel: the last states of a stream to rewind to, and one state split into many.

States are immutable, so a history only keeps references and a fork shares its past until it steps.
"""

from __future__ import annotations

from collections import deque

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from worldsim.types import SimState, fold_keys


class History:
    """The last states of a stream, to rewind to."""

    def __init__(self, limit: int):
        if limit < 1:
            raise ValueError(f"a history wants room for at least one state, got {limit}.")
        self._states: deque[SimState] = deque(maxlen=limit)

    def __len__(self) -> int:
        return len(self._states)

    def push(self, state: SimState) -> None:
        """Remember a state; the oldest one goes when there is no room."""
        self._states.append(state)

    def rewind(self, num_frames: int) -> SimState:
        """Go back `num_frames` pushes, or as far as it remembers, and forget what came after."""
        if not self._states:
            raise ValueError("nothing to rewind to: push a state first.")
        for _ in range(min(num_frames, len(self._states) - 1)):
            self._states.pop()
        return self._states[-1]


def fork(state: SimState, key: PRNGKeyArray, count: int, *, index: int = 0) -> SimState:
    """Split one world of a state into `count` with one past and futures of their own."""
    one = jax.tree.map(lambda x: jnp.repeat(x[index : index + 1], count, axis=0), state)
    return one._replace(key=fold_keys(key, count))
