"""What enters by chance: in which cells of a frame its forecast is surprised, by what, and how probable each is.

A forecast by regression is the mean of the possible futures. Where one thing may appear at any of five hundred places,
as the next apple of a snake does, that mean is nothing anywhere. So the places are a discrete latent variable of the
whole frame: in training those cells in which the forecast is far from the recorded frame, the worst first, no two close
together (`find_surprises`), and what is there, as one of a few codes; in a dream they are drawn, one after the other,
from what `SurpriseNet` has learned of them, until it draws none. The forecast is then made once more, with its
surprises marked, and goes by what is there.

The inference is the hard assignment of Neal and Hinton's incremental EM (1998); that the rest is left to regression,
which is sure of it, keeps the latent variable from taking over what follows from the past.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key

from worldsim.model.config import DynamicsConfig, ForecastConfig
from worldsim.model.picture import shows_picture
from worldsim.nn.embedding import ActionEmbedding
from worldsim.nn.layers import linear
from worldsim.nn.local import ConvBlock, pool, soft_norm

SURPRISE = 0.3  # mean square error of a cell, in units of the latents, from which on it counts
APART = 2  # cells between two surprises, at least
MOVED = 0.03  # mean square change of a cell from which on it moves
NEAR = 2  # cells within which what moves is taken to come from
START_NONE = 8.0  # of the logit of "none": five hundred cells have e^6 together


class Scene(NamedTuple):
    """What is known of a frame before its surprises: cells of the last one, and the forecast of it."""

    last: Float[Array, "*b y x c"]
    mean: Float[Array, "*b y x c"]
    log_variance: Float[Array, "*b y x 1"]
    prev_action: Float[Array, "*b a"]


def find_surprises(
    truth: Float[Array, "*b y x c"], expected: Float[Array, "*b y x c"], before: Float[Array, "*b k y x c"], num: int
) -> Int[Array, "*b s"]:
    """Return the cells in which a forecast is surprised, row by row, the worst first; y*x stands for none.

    Where something near has just moved there is none: what moves goes on, and a player who was drawn by chance would
    soon be two.

    Args:
        truth: cells of the recorded frame.
        expected: those of the forecast.
        before: those of the frames before, latest first.
        num: how many are looked for.
    """
    *batch, height, width, _ = truth.shape
    error = jnp.where(moved_near(before), 0.0, ((expected - truth) ** 2).mean(-1)).reshape(*batch, height * width)
    rows, columns = jnp.divmod(jnp.arange(height * width).reshape((1,) * len(batch) + (-1,)), width)
    found = []
    for _ in range(num):
        at = error.argmax(-1)
        is_one = jnp.take_along_axis(error, at[..., None], -1)[..., 0] > SURPRISE
        found.append(jnp.where(is_one, at, height * width))
        row, column = jnp.divmod(at[..., None], width)
        error = jnp.where((abs(rows - row) <= APART) & (abs(columns - column) <= APART), 0.0, error)
    return jnp.stack(found, -1)


def moved_near(before: Float[Array, "*b k y x c"]) -> Bool[Array, "*b y x"]:
    """Return where something has moved, within NEAR cells, from the frame before the last to the last."""
    change = ((before[..., 0, :, :, :] - before[..., min(1, before.shape[-4] - 1), :, :, :]) ** 2).mean(-1)
    window = (1,) * (change.ndim - 2) + (2 * NEAR + 1,) * 2
    return jax.lax.reduce_window(change, -jnp.inf, jax.lax.max, window, (1,) * change.ndim, "SAME") > MOVED


def contents_of(cells: Float[Array, "*b y x c"], at: Int[Array, "*b k"]) -> Float[Array, "*b k c"]:
    """Return what the cells hold that are numbered row by row; for y*x, which stands for none, anything."""
    *batch, height, width, dim = cells.shape
    flat = cells.reshape(*batch, height * width, dim)
    return jnp.take_along_axis(flat, jnp.minimum(at, height * width - 1)[..., None], -2)


def mark(at: Int[Array, "*b k"], contents: Float[Array, "*b k c"], size: tuple[int, ...]) -> Float[Array, "*b y x 1+c"]:
    """Return 1 and what is there for each of the cells, numbered row by row, and 0 elsewhere; y*x stands for none."""
    num_cells = size[0] * size[1]
    place = jax.nn.one_hot(at, num_cells + 1)[..., :num_cells]
    told = jnp.concatenate([jnp.ones((*at.shape, 1)), contents], -1)
    return jnp.einsum("...kn,...kc->...nc", place, told).reshape(*at.shape[:-1], *size, told.shape[-1])


class SurpriseNet(nnx.Module):
    """The probability of each cell to be the next surprise of a frame, that there is none, and of what is there."""

    def __init__(self, config: DynamicsConfig, forecast: ForecastConfig, *, rngs: nnx.Rngs):
        self.config, self.num = config, forecast.num_surprises
        width, pooled, cell_dim = forecast.width, forecast.inner_width, config.token_dim // config.pack**2
        self.action = ActionEmbedding(pooled, config.controls, rngs=rngs)
        self.in_proj = linear(3 * cell_dim + 3, width, rngs=rngs)
        self.before, self.after = (ConvBlock(width, cond_width=pooled, separable=True, rngs=rngs) for _ in range(2))
        self.pool = linear(2 * width, pooled, rngs=rngs)
        self.out_proj = linear(width, 1, rngs=rngs, zero=True)
        self.code_proj = linear(width, forecast.num_codes, rngs=rngs, zero=True)
        self.codes = nnx.Param(jnp.zeros((forecast.num_codes, cell_dim)))  # training sets them, before it learns
        self.none_proj = nnx.Linear(
            pooled, 1, kernel_init=nnx.initializers.zeros, bias_init=nnx.initializers.constant(START_NONE), rngs=rngs
        )

    def __call__(
        self, scene: Scene, marked: Float[Array, "*b y x e"]
    ) -> tuple[Float[Array, "*b n"], Float[Array, "*b m k"]]:
        """Return logits after the surprises that are marked already.

        Those of the y*x cells, row by row, and of none; and those of the codes that each cell may hold then.
        """
        cells, summary = self._read(scene, marked)
        cells = self.after(cells, summary)
        seen = soft_norm(cells).reshape(*cells.shape[:-3], -1, cells.shape[-1])
        logits, codes = (proj(seen).astype(jnp.float32) for proj in (self.out_proj, self.code_proj))
        none = self.none_proj(summary).astype(jnp.float32)
        return jnp.concatenate([logits[..., 0], none], -1), codes

    def summary(self, scene: Scene) -> Float[Array, "*b d"]:
        """Return what happens in frames as wholes: what chance, rewards and ends depend on."""
        return self._read(scene, unmarked(scene.mean))[1]

    def nearest_code(self, contents: Float[Array, "*b c"]) -> Int[Array, "*b"]:
        """Return the number of the code that is nearest to each."""
        codes = jax.lax.stop_gradient(self.codes[...])
        far = contents[..., None, :] - codes.reshape((1,) * (contents.ndim - 1) + codes.shape)
        return (far**2).sum(-1).argmin(-1)

    def _read(
        self, scene: Scene, marked: Float[Array, "*b y x m"]
    ) -> tuple[Float[Array, "*b y x e"], Float[Array, "*b d"]]:
        outside = jnp.broadcast_to(1 - shows_picture(self.config, marked.shape[-3:-1]), marked[..., :1].shape)
        frames = [scene.last, scene.mean - scene.last, 0.1 * scene.log_variance, marked, outside]
        cells = self.before(self.in_proj(jnp.concatenate(frames, -1)), self.action(scene.prev_action))
        return cells, nnx.silu(self.pool(pool(cells)))

    def draw(self, scene: Scene, keys: Key[Array, " b"]) -> Float[Array, "b y x e"]:
        """Draw the surprises of frames, one after the other, and `mark` them."""
        scene, size = jax.lax.stop_gradient(scene), scene.mean.shape[-3:-1]
        num_cells = size[0] * size[1]

        def goes_on(state):
            turn, _, is_over = state
            return (turn < self.num) & ~is_over.all()

        def draw_one(state):
            turn, marked, is_over = state
            now = jax.vmap(jax.random.fold_in, (0, None))(keys, turn)
            logits, codes = self(scene, marked)
            at = jax.vmap(jax.random.categorical)(now, logits)[:, None]
            is_over |= at[:, 0] == num_cells
            codes = jnp.take_along_axis(codes, jnp.minimum(at, num_cells - 1)[..., None], -2)[:, 0]
            code = jax.vmap(jax.random.categorical)(jax.vmap(jax.random.fold_in, (0, None))(now, 1), codes)
            told = mark(jnp.where(is_over[:, None], num_cells, at), self.codes[...][code][:, None], size)
            return turn + 1, jnp.where(told[..., :1] > 0, told, marked), is_over

        start = jnp.int32(0), unmarked(scene.mean), jnp.zeros((len(keys),), bool)
        return jax.lax.while_loop(goes_on, draw_one, start)[1]


def unmarked(cells: Float[Array, "*b y x c"]) -> Float[Array, "*b y x e"]:
    """Return what `mark` returns where there is no surprise, for frames of these cells."""
    return jnp.zeros((*cells.shape[:-1], 1 + cells.shape[-1]))
