"""Go back in a stream of states, and split one state into many.

States are immutable, so a history only keeps references and a fork shares its past until it steps.

>>> history = worldsim.History(limit=300)
>>> state, out = sim.step(state, action)
>>> history.push(state)
>>> state = history.rewind(30)                                  # 30 steps ago
>>> states = worldsim.fork(state, jax.random.key(1), count=8)   # eight futures of it
>>> sim.save_state(state, "jump.state")                         # for another process: sim.load_state("jump.state")
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from worldsim.types import SimState, fold_keys


class History:
    """The last `limit` states of a stream."""

    def __init__(self, limit: int):
        if limit < 1:
            raise ValueError(f"expected at least 1 for the limit of a history, got {limit}.")
        self._states: deque[SimState] = deque(maxlen=limit)

    def __len__(self) -> int:
        return len(self._states)

    def push(self, state: SimState) -> None:
        """Append a state; the oldest one goes when there is no room."""
        self._states.append(state)

    def rewind(self, num_frames: int) -> SimState:
        """Return the state of `num_frames` pushes ago, or the oldest, and forget what came after."""
        if not self._states:
            raise ValueError("expected a state to rewind to, got none; push one first.")
        for _ in range(min(num_frames, len(self._states) - 1)):
            self._states.pop()
        return self._states[-1]


def fork(state: SimState, key: PRNGKeyArray, count: int, *, index: int = 0) -> SimState:
    """Split one world of a state into `count` with one past and futures of their own."""
    one = jax.tree.map(lambda x: jnp.repeat(x[index : index + 1], count, axis=0), state)
    return one._replace(key=fold_keys(key, count))


def to_host(state: SimState) -> SimState:
    """Return a state of numpy arrays, its keys as their bits, which pickle takes."""
    return jax.tree.map(np.asarray, state._replace(key=jax.random.key_data(state.key)))


def to_device(state: SimState) -> SimState:
    """Return the inverse of `to_host`."""
    state = jax.tree.map(jnp.asarray, state)
    return state._replace(key=jax.random.wrap_key_data(state.key))


def state_to_arrays(state: SimState) -> dict[str, np.ndarray]:
    """Return a state as numbered arrays, its keys as their bits."""
    return {str(i): x for i, x in enumerate(jax.tree.leaves(to_host(state)))}


def arrays_to_state(arrays: Mapping[str, np.ndarray], like: SimState) -> SimState:
    """Return the state of numbered arrays, which must have the shapes and dtypes of `like`.

    Raises:
        ValueError: they have others, or hold no world.
    """
    expected = {str(i): f"{x.dtype} {list(x.shape)}" for i, x in enumerate(jax.tree.leaves(like))}
    came = {name: f"{x.dtype} {list(x.shape)}" for name, x in arrays.items()}
    differ = [name for name in (*expected, *came) if expected.get(name) != came.get(name)]
    if differ or not np.size(arrays["0"]):
        name = differ[0] if differ else "0"
        raise ValueError(
            f"expected a state of this world, with {expected.get(name, 'nothing')} as its array {name[:40]}, "
            f"got {came.get(name, 'none')}."
        )
    return to_device(jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in expected]))
