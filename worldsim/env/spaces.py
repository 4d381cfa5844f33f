"""The Gymnasium spaces of a world, and from an action in its space to checked float rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Float

from worldsim.controls import ActionSpec
from worldsim.simulator import Simulator


def action_space(spec: ActionSpec, axis_bins: int | None = None) -> gym.Space:
    """Return the Gymnasium space of a world's controls: the plainest that holds them.

    Discrete for one choice, MultiBinary for buttons only, Box for axes only, else a Dict of "choices"
    (MultiDiscrete), "buttons" (MultiBinary) and "axes" (Box), as far as there are any. With `axis_bins` it is one
    MultiDiscrete of all controls, in which an axis has so many even values.
    """
    if axis_bins is not None:
        return gym.spaces.MultiDiscrete([len(column) for column in spec.values(axis_bins)])
    if spec.is_discrete:
        return gym.spaces.Discrete(len(spec.choices[0].labels))
    parts = spec.groups
    return parts.popitem()[1] if len(parts) == 1 and not spec.choices else gym.spaces.Dict(parts)


def observation_space(sim: Simulator, obs_type: str) -> gym.spaces.Box:
    """Return the Gymnasium space of a simulator's observations.

    Raises:
        ValueError: `obs_type` is neither "pixels" nor "latent".
    """
    if obs_type == "pixels":
        return gym.spaces.Box(0, 255, (*sim.size, 3), np.uint8)
    if obs_type == "latent":
        return gym.spaces.Box(-np.inf, np.inf, (sim.config.num_latents, sim.config.token_dim), np.float32)
    raise ValueError(f"expected 'pixels' or 'latent' for obs_type, got {obs_type!r}.")


def action_rows(
    spec: ActionSpec, action: Any, batch_shape: tuple[int, ...] = (), axis_bins: int | None = None
) -> Float[np.ndarray, "... a"]:
    """Turn an action of `action_space`, batched or not, into float rows.

    Raises:
        ValueError: it is not in the space; the message names the column.
    """
    if axis_bins is not None:
        return _binned_rows(spec, action, batch_shape, axis_bins)
    if isinstance(action, Mapping):
        keys = [kind.field for kind in spec.kinds]
        if sorted(action) != sorted(keys):
            raise ValueError(f"expected the keys {keys} for an action, got {list(action)}.")
        action = np.concatenate([np.asarray(action[k], np.float32) for k in keys], -1)
    rows = spec.rows(action, batch_shape=batch_shape)
    if np.isnan(rows).any():
        raise ValueError(f"expected numbers for an action, got NaN in {rows[np.isnan(rows).any(-1)][0].tolist()}.")
    return rows


def _binned_rows(
    spec: ActionSpec, action: Any, batch_shape: tuple[int, ...], axis_bins: int
) -> Float[np.ndarray, "... a"]:
    index, columns = np.asarray(action), spec.values(axis_bins)
    if index.shape != (*batch_shape, spec.size) or index.dtype.kind not in "iu":
        raise ValueError(f"expected integers {(*batch_shape, spec.size)} for action, got {index.dtype} {index.shape}.")
    for i, (name, values) in enumerate(zip(spec.column_names, columns)):
        column = index[..., i]
        if ((column < 0) | (column >= len(values))).any():
            raise ValueError(f"expected action column {i} ({name}) in 0..{len(values) - 1}, got {column.tolist()}.")
    return np.stack([values[index[..., i]] for i, values in enumerate(columns)], -1)
