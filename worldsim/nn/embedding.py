"""From pixels, actions and levels to vectors: patches, packed latents, coordinates, controls."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax import nnx
from jaxtyping import Array, Float, Int

from worldsim.nn.layers import linear


def patchify(x: Float[Array, "... h w c"], patch: int) -> Float[Array, "... gh gw d"]:
    """Cut pictures into patches: `[... h w c] -> [... h/p w/p p*p*c]`. Packs latents as well."""
    return rearrange(x, "... (h p) (w q) c -> ... h w (p q c)", p=patch, q=patch)


def unpatchify(x: Float[Array, "... gh gw d"], patch: int) -> Float[Array, "... h w c"]:
    """The inverse of `patchify`."""
    return rearrange(x, "... h w (p q c) -> ... (h p) (w q) c", p=patch, q=patch)


def coordinates(height: int, width: int, num_frequencies: int = 4) -> Float[np.ndarray, "n f"]:
    """Describe each place of a grid by waves over the whole picture, so that any grid size means the same places."""
    y = (np.arange(height) + 0.5) / height
    x = (np.arange(width) + 0.5) / width
    place = np.stack(np.meshgrid(y, x, indexing="ij"), -1).reshape(-1, 2)
    angle = place[:, :, None] * np.pi * 2.0 ** np.arange(num_frequencies)
    waves = np.concatenate([np.sin(angle), np.cos(angle)], -1)
    return waves.reshape(height * width, 4 * num_frequencies).astype(np.float32)


class GridEmbedding(nnx.Module):
    """A learned vector for every place of a grid, as a linear map of its coordinates."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.frequencies = 4
        self.map = linear(4 * self.frequencies, width, rngs=rngs)

    def __call__(self, height: int, grid_width: int) -> Float[Array, "n d"]:
        """Embed a grid of `height` x `grid_width` places."""
        return self.map(jnp.asarray(coordinates(height, grid_width, self.frequencies)))


class Controls(NamedTuple):
    """The columns of an action row, as an embedding sees them."""

    choice_sizes: tuple[int, ...] = ()  # options of each choice
    num_buttons: int = 0
    axis_bounds: tuple[tuple[float, float], ...] = ()  # low and high of each axis
    columns: tuple[int, ...] | None = (
        None  # of one game of several: the places of its controls among those of all games
    )


class ActionEmbedding(nnx.Module):
    """A vector for an action row: one table a choice, a linear map of buttons and axes, one vector for unknown.

    A row with NaN in any column is unknown, which is how unlabelled footage trains too. Controls that are not among the
    columns of a game rest.
    """

    def __init__(self, width: int, controls: Controls, *, rngs: nnx.Rngs):
        choice_sizes, num_buttons, axis_bounds, self.columns = controls
        self.size = len(choice_sizes) + num_buttons + len(axis_bounds)
        self.num_choices, self.num_buttons, self.axis_bounds = len(choice_sizes), num_buttons, axis_bounds
        self.tables = nnx.List([nnx.Embed(size, width, rngs=rngs) for size in choice_sizes])
        num_values = num_buttons + len(axis_bounds)
        self.values = linear(num_values, width, rngs=rngs) if num_values else None
        self.unknown = nnx.Param(0.02 * nnx.initializers.normal(1.0)(rngs.params(), (width,)))

    def __call__(self, action: Float[Array, "*n a"]) -> Float[Array, "*n d"]:
        """Embed action rows, each axis scaled to -1..1."""
        if self.columns is not None:
            wide = jnp.zeros((*action.shape[:-1], self.size), action.dtype)
            action = wide.at[..., np.array(self.columns)].set(action)
        is_unknown = jnp.isnan(action).any(-1, keepdims=True)
        known = jnp.where(is_unknown, 0.0, action)
        index: Int[Array, "*n a"] = known[..., : self.num_choices].astype(jnp.int32)
        total = jnp.zeros((*action.shape[:-1], self.unknown.shape[0]), jnp.float32)
        for i, table in enumerate(self.tables):
            total += table(index[..., i])
        if self.values is not None:
            value = known[..., self.num_choices :]
            low = jnp.array([0.0] * self.num_buttons + [b[0] for b in self.axis_bounds])
            high = jnp.array([1.0] * self.num_buttons + [b[1] for b in self.axis_bounds])
            lead = (1,) * (value.ndim - 1) + (-1,)
            scaled = 2 * (value - low.reshape(lead)) / (high - low).reshape(lead) - 1
            total += self.values(scaled)
        unknown = self.unknown[...].reshape((1,) * (action.ndim - 1) + (-1,))
        return jnp.where(is_unknown, unknown, total)
