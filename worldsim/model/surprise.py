"""What enters by chance: in which cells of a frame its forecast is surprised, and how probable each is.

A forecast by regression is the mean of the possible futures. Where one thing may appear at any of five hundred places,
as the next apple of a snake does, that mean is nothing anywhere. So the places are a discrete latent variable of the
whole frame: in training those cells in which the forecast is far from the recorded frame, the worst first, no two close
together (`find_surprises`); in a dream they are drawn, one after the other, from what `SurpriseNet` has learned of
them, until it draws none. The forecast is then made once more, with its surprises marked, and knows what is there.

The inference is the hard assignment of Neal and Hinton's incremental EM (1998); that the rest is left to regression,
which is sure of it, keeps the latent variable from taking over what follows from the past.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from worldsim.model.config import DynamicsConfig, ForecastConfig
from worldsim.model.picture import shows_picture
from worldsim.nn.embedding import ActionEmbedding
from worldsim.nn.layers import linear
from worldsim.nn.local import ConvBlock, soft_norm

SURPRISE = 0.3  # mean square error of a cell, in units of the latents, from which on it counts
APART = 2  # cells between two surprises, at least
START_NONE = 8.0  # of the logit of "none": five hundred cells have e^6 together


class Scene(NamedTuple):
    """What is known of a frame before its surprises: cells of the last one, and the forecast of it."""

    last: Float[Array, "*b y x c"]
    mean: Float[Array, "*b y x c"]
    log_variance: Float[Array, "*b y x 1"]
    prev_action: Float[Array, "*b a"]


def find_surprises(squared: Float[Array, "*b y x c"], num: int) -> Int[Array, "*b k"]:
    """Return the cells in which a forecast is surprised, row by row, the worst first; y*x stands for none.

    Args:
        squared: the squared error of each channel of each cell.
        num: how many are looked for.
    """
    *batch, height, width, _ = squared.shape
    error = squared.mean(-1).reshape(*batch, height * width)
    rows, columns = jnp.divmod(jnp.arange(height * width).reshape((1,) * len(batch) + (-1,)), width)
    found = []
    for _ in range(num):
        at = error.argmax(-1)
        is_one = jnp.take_along_axis(error, at[..., None], -1)[..., 0] > SURPRISE
        found.append(jnp.where(is_one, at, height * width))
        row, column = jnp.divmod(at[..., None], width)
        error = jnp.where((abs(rows - row) <= APART) & (abs(columns - column) <= APART), 0.0, error)
    return jnp.stack(found, -1)


def mark(cells: Int[Array, "*b k"], size: tuple[int, ...]) -> Float[Array, "*b y x 1"]:
    """Return 1 in each of the cells, numbered row by row, and 0 elsewhere; y*x stands for none."""
    num_cells = size[0] * size[1]
    marked = jax.nn.one_hot(cells, num_cells + 1)[..., :num_cells].sum(-2)
    return marked.reshape(*cells.shape[:-1], *size, 1)


class SurpriseNet(nnx.Module):
    """The probability of each cell to be the next surprise of a frame, and that there is none."""

    def __init__(self, config: DynamicsConfig, forecast: ForecastConfig, *, rngs: nnx.Rngs):
        self.config, self.num = config, forecast.num_surprises
        width, pooled, cell_dim = forecast.width, forecast.inner_width, config.token_dim // config.pack**2
        self.action = ActionEmbedding(pooled, config.controls, rngs=rngs)
        self.in_proj = linear(2 * cell_dim + 3, width, rngs=rngs)
        self.before, self.after = (ConvBlock(width, cond_width=pooled, separable=True, rngs=rngs) for _ in range(2))
        self.pool = linear(2 * width, pooled, rngs=rngs)
        self.out_proj = linear(width, 1, rngs=rngs, zero=True)
        self.none_proj = nnx.Linear(
            pooled, 1, kernel_init=nnx.initializers.zeros, bias_init=nnx.initializers.constant(START_NONE), rngs=rngs
        )

    def __call__(self, scene: Scene, marked: Float[Array, "*b y x 1"]) -> Float[Array, "*b n"]:
        """Return the logits of y*x cells, row by row, and of none, after the surprises that are marked already."""
        cells, summary = self._read(scene, marked)
        cells = self.after(cells, summary)
        logits = self.out_proj(soft_norm(cells)).astype(jnp.float32)
        none = self.none_proj(summary).astype(jnp.float32)
        return jnp.concatenate([logits.reshape(*logits.shape[:-3], -1), none], -1)

    def summary(self, scene: Scene) -> Float[Array, "*b d"]:
        """Return what happens in frames as wholes: what chance, rewards and ends depend on."""
        return self._read(scene, jnp.zeros((*scene.mean.shape[:-1], 1)))[1]

    def _read(
        self, scene: Scene, marked: Float[Array, "*b y x 1"]
    ) -> tuple[Float[Array, "*b y x e"], Float[Array, "*b d"]]:
        outside = jnp.broadcast_to(1 - shows_picture(self.config, marked.shape[-3:-1]), marked.shape)
        frames = [scene.last, scene.mean - scene.last, 0.1 * scene.log_variance, marked, outside]
        cells = self.before(self.in_proj(jnp.concatenate(frames, -1)), self.action(scene.prev_action))
        seen = soft_norm(cells)
        return cells, nnx.silu(self.pool(jnp.concatenate([seen.max((-3, -2)), seen.mean((-3, -2))], -1)))

    def draw(self, scene: Scene, keys: Key[Array, " b"]) -> Float[Array, "b y x 1"]:
        """Draw the surprises of frames, one after the other, and mark them."""
        scene, size = jax.lax.stop_gradient(scene), scene.mean.shape[-3:-1]
        num_cells = size[0] * size[1]

        def goes_on(state):
            turn, _, is_over = state
            return (turn < self.num) & ~is_over.all()

        def draw_one(state):
            turn, marked, is_over = state
            now = jax.vmap(jax.random.fold_in, (0, None))(keys, turn)
            cell = jax.vmap(jax.random.categorical)(now, self(scene, marked))
            is_over |= cell == num_cells
            marked = jnp.maximum(marked, mark(jnp.where(is_over, num_cells, cell)[:, None], size))
            return turn + 1, marked, is_over

        batch = len(keys)
        start = jnp.int32(0), jnp.zeros((batch, *size, 1)), jnp.zeros((batch,), bool)
        return jax.lax.while_loop(goes_on, draw_one, start)[1]
