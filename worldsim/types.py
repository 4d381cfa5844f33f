"""The types that travel between modules: episodes, batches, states.

Time has one convention on each side of the data loader.

- An `Episode` follows Gymnasium: `obs` has one row more than `action`; `action[t]` is taken at `obs[t]`
  and leads to `obs[t + 1]`, with `reward[t]`, `terminated[t]` and `truncated[t]` the outcome of that step.
- A `Batch` follows arrival, because the model generates frames: every entry at index t belongs to the
  arrival in frame t. `prev_action[t]` led into it, `reward[t]` and `terminated[t]` came with it.

`obs` is uint8 `[h w c]` in 0..255 at every public border; a `frame` is the same picture in [-1, 1].

Dimension letters: b batch, t time, n tokens, d width, h w c pixels, a action columns, s state columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, PRNGKeyArray, UInt8

AnyArray = Array | np.ndarray
ArrayLike = jax.typing.ArrayLike | Sequence
"""What `np.asarray` takes: an array, a number, or such in nested lists."""
CONTEXT = 8
"""Recorded frames that dreams begin from: in initial contexts, training and evaluation."""


class Episode(NamedTuple):
    """One recorded episode, in Gymnasium's alignment."""

    obs: UInt8[np.ndarray, "t_plus_1 h w c"]
    action: Float[np.ndarray, "t a"]  # columns of an ActionSpec; NaN where the action is not known
    reward: Float[np.ndarray, " t"]
    terminated: Bool[np.ndarray, " t"]
    truncated: Bool[np.ndarray, " t"]
    state: Float[np.ndarray, "t_plus_1 s"] | None = None  # ground truth of the engine, where it has any


class Batch(NamedTuple):
    """Windows of footage, in arrival alignment. `mask` is False on padding past an episode's end."""

    obs: Any  # uint8 [b t h w c], or float latents [b t n d]
    prev_action: Any  # float [b t a]; NaN = not known
    reward: Any  # float [b t]
    terminated: Any  # bool [b t]
    mask: Any  # bool [b t]


class SimState(NamedTuple):
    """All that a simulated world remembers: a pytree to save, restore, fork and rewind.

    Its leading axis is the batch of worlds, save for the key, of which each world has its own.
    """

    key: PRNGKeyArray  # [b]
    cache: Any  # what the dynamics remember of the past frames
    frame_index: Any  # int32 [b], frames since the reset


class StepOutput(NamedTuple):
    """What one simulated step returns, one entry per world."""

    obs: Any  # uint8 [b h w c]; latents float32 [b n d] where nothing is decoded
    reward: Any  # float32 [b]
    terminated: Any  # bool [b]
    truncated: Any  # bool [b]
    uncertainty: Any  # float32 [b], latent units: 0 = certain, about 1 = as wide as the footage itself
    termination_probability: Any = None  # float32 [b], of the outcome head


def obs_to_frame(obs: Any) -> Float[Array, "..."]:
    """Turn uint8 pictures in 0..255 into float frames in [-1, 1]."""
    return jnp.asarray(obs, jnp.float32) / 127.5 - 1.0


def frame_to_obs(frame: Float[Array, "..."]) -> UInt8[Array, "..."]:
    """Turn float frames into uint8 pictures, clipped to 0..255 and rounded."""
    return jnp.clip(jnp.round((frame + 1.0) * 127.5), 0, 255).astype(jnp.uint8)


def fold_keys(key: PRNGKeyArray, count: int) -> Key[Array, " n"]:
    """Derive one key per world `[count]` from one key, so that worlds do not share noise."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(count))
