"""The prior of worlds without a camera: a convolutional network's forecast of the next frame, and how sure it is.

Most of a frame follows from the few before it and the action. A network that only learns that, by regression, learns it
ten times faster than a denoiser does, for which most of every batch is noise; and it is asked once a frame, not once a
denoising step. What it cannot know it blurs, and says so: for every cell it predicts the variance of its error. The
denoiser then begins from the forecast, with noise of that variance: where the forecast is sure nothing is left to
generate, and where it is not the denoiser chooses one of the possible futures.

A diffusion model of the residual of a deterministic prediction is Yang et al. 2022 (arXiv 2203.09481); a variance that
is learned beside the mean, without a hold on it, is Seitzer et al. 2022 (arXiv 2203.09168).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key, PyTree, UInt8

from worldsim.model.config import DynamicsConfig, ForecastConfig
from worldsim.model.overview import Overview
from worldsim.model.picture import RING, lay_out, put_back, shows_picture
from worldsim.model.prior import CopyLast, Prior
from worldsim.model.surprise import Scene, SurpriseNet, unmarked
from worldsim.model.tokenizer import Tokenizer
from worldsim.nn.embedding import ActionEmbedding, GridEmbedding, patchify, unpatchify
from worldsim.nn.layers import like, linear
from worldsim.nn.local import ConvBlock, conv, pack_cells, soft_norm, unpack

MIN_LOG_VARIANCE, MAX_LOG_VARIANCE = -7.0, 3.0  # of the error of a cell, in units of the latents
INPUT_GAIN = 4.0  # latents of things are about one, and blocks that gate do little to what is small
START_LOG_VARIANCE = -4.0
VARIANCE_RATE = 4.0  # the variances range over ten units, for which a step of the optimizer is small


class Forecast(NamedTuple):
    """The next frame as its past has it."""

    mean: Float[Array, "*b n c"]
    log_variance: Float[Array, "*b y x 1"]  # of the error of each cell
    earlier: Float[Array, "*b p a"] | None = None  # the actions before the one that it was made for


class ForecastNet(nnx.Module):
    """Predict the next frame from the frames before it and the action: a U-Net of two levels over the cells."""

    def __init__(self, config: DynamicsConfig, forecast: ForecastConfig, *, rngs: nnx.Rngs):
        self.config, self.num_frames = config, forecast.num_frames
        width, inner, cell_dim = forecast.width, forecast.inner_width, config.token_dim // config.pack**2
        self.action, *earlier = (
            ActionEmbedding(inner, config.controls, rngs=rngs) for _ in range(forecast.num_actions)
        )
        self.earlier = nnx.List(earlier)
        seen = forecast.overview_width
        self.overview: PyTree = Overview(cell_dim, seen, inner, rngs=rngs) if seen else None
        self.conv_in = conv((forecast.num_frames + 1) * cell_dim + 2, width, rngs=rngs)
        self.before, self.inner, self.after = (
            nnx.List([ConvBlock(n, cond_width=inner, separable=True, rngs=rngs) for _ in range(forecast.num_blocks)])
            for n in (width, inner, width)
        )
        self.down, self.up = linear(4 * width, inner, rngs=rngs), linear(inner, 4 * width, rngs=rngs)
        self.pos_embed = GridEmbedding(inner, rngs=rngs)
        self.out_proj = linear(width, cell_dim, rngs=rngs, zero=True)
        self.variance_in = linear(width, width, rngs=rngs)
        self.variance_proj = nnx.Linear(width, 1, kernel_init=nnx.initializers.zeros, rngs=rngs)

    def __call__(
        self,
        before: Float[Array, "*b k n c"],
        prev_action: Float[Array, "*b a"],
        marked: Float[Array, "*b y x e"] | None = None,
        earlier: Float[Array, "*b p a"] | None = None,
    ) -> Forecast:
        """Return the forecast after the frames `before`, latest first, zeros where there is none.

        Of the k frames `ForecastConfig.num_frames` are read. `earlier` are the actions before `prev_action`, latest
        first, NaN or None where they are not known; one fewer than `num_actions` are read. `marked` tells the cells
        where something enters by chance (`worldsim.model.surprise.mark`).
        """
        config, last = self.config, before[..., 0, :, :]
        cells = lay_out(before[..., : self.num_frames, :, :], config)
        mean, log_variance = self.forecast(cells, prev_action, marked=marked, earlier=earlier)
        whole = unpack(last, config.grid, config.pack)
        log_variance = put_back(log_variance, jnp.full((*whole.shape[:-1], 1), MIN_LOG_VARIANCE))
        return Forecast(pack_cells(put_back(mean, whole), config.pack), log_variance, earlier)

    def forecast(
        self,
        before: Float[Array, "*b k y x c"],
        prev_action: Float[Array, "*b a"],
        corner: Int[Array, "*b 2"] | None = None,
        marked: Float[Array, "*b y x e"] | None = None,
        whole: Float[Array, "*b k v u c"] | None = None,
        earlier: Float[Array, "*b p a"] | None = None,
    ) -> tuple[Float[Array, "*b y x c"], Float[Array, "*b y x 1"]]:
        """Return the forecast of cells and its log variance: of whole frames, as `lay_out` has them, or of parts.

        `corner` is the row and column of a part's first cell in the whole, both even; `whole` the frames that parts
        were cut out of.
        """
        cond = self._read_actions(prev_action, earlier)
        if self.overview is not None:
            cond = cond + like(self.overview(before if whole is None else whole, cond), cond)
        batch, size = before.shape[:-4], before.shape[-3:-1]
        inside = jnp.broadcast_to(shows_picture(self.config, size, corner), (*batch, *size, 1))
        last = before[..., 0, :, :, :]
        marked = unmarked(last) if marked is None else marked
        frames = [before[..., age, :, :, :] for age in range(self.num_frames)]
        cells = self.conv_in(INPUT_GAIN * jnp.concatenate([*frames, marked, 1 - inside], -1))
        for block in self.before:
            cells = block(cells, cond)
        cells = cells + self._inner(cells, cond, corner)
        for block in self.after:
            cells = block(cells, cond)
        change = self.out_proj(cells).astype(jnp.float32)
        seen = nnx.silu(self.variance_in(soft_norm(jax.lax.stop_gradient(cells))))
        log_variance = START_LOG_VARIANCE + VARIANCE_RATE * self.variance_proj(seen).astype(jnp.float32)
        start = last + marked[..., :1] * (marked[..., 1:] - last)
        return start + inside * change, _bounded(log_variance)

    def _read_actions(
        self, prev_action: Float[Array, "*b a"], earlier: Float[Array, "*b p a"] | None
    ) -> Float[Array, "*b d"]:
        seen, unknown = self.action(prev_action), jnp.full(prev_action.shape, jnp.nan)
        for age, embedding in enumerate(self.earlier):
            seen += embedding(unknown if earlier is None else earlier[..., age, :])
        return seen

    def _inner(
        self, cells: Float[Array, "*b y x e"], cond: Float[Array, "*b d"], corner: Int[Array, "*b 2"] | None
    ) -> Float[Array, "*b y x e"]:
        height, width = cells.shape[-3:-1]
        ends = [(0, 0)] * (cells.ndim - 3) + [(0, height % 2), (0, width % 2), (0, 0)]
        squares = self.down(patchify(jnp.pad(cells, ends), 2))
        squares = squares + like(self._place(*squares.shape[-3:-1], corner), squares)
        for block in self.inner:
            squares = block(squares, cond)
        return unpatchify(self.up(squares), 2)[..., :height, :width, :]

    def _place(self, height: int, width: int, corner: Int[Array, "*b 2"] | None) -> Float[Array, "*b y x d"]:
        """Return a vector for the place in the whole frame of each square of two by two cells."""
        rows, columns = (-(-(n + 2 * RING) // 2) for n in self.config.picture)
        place = self.pos_embed(rows, columns).reshape(rows, columns, -1)
        if corner is None:
            return place
        return jax.vmap(lambda at: jax.lax.dynamic_slice(place, (*at, 0), (height, width, place.shape[-1])))(
            corner // 2
        )


def _bounded(log_variance: Float[Array, "..."]) -> Float[Array, "..."]:
    """Bound softly: a clip takes the gradient of what is far below, so that it would never come up again."""
    raised = MIN_LOG_VARIANCE + jax.nn.softplus(log_variance - MIN_LOG_VARIANCE)
    return MAX_LOG_VARIANCE - jax.nn.softplus(MAX_LOG_VARIANCE - raised)


class ForecastPrior(CopyLast):
    """Expect what a ForecastNet predicts. Same methods as `worldsim.model.prior.CopyLast`."""

    def __init__(self, config: DynamicsConfig, *, rngs: nnx.Rngs):
        assert config.forecast is not None
        self.config = config
        self.net = ForecastNet(config, config.forecast, rngs=rngs)
        has_surprises = config.forecast.num_surprises > 0
        self.surprise: PyTree = SurpriseNet(config, config.forecast, rngs=rngs) if has_surprises else None

    @staticmethod
    def num_features(config: DynamicsConfig) -> int:
        """Return how many channels `Prior.features` has together: a cell of the forecast, and its variance."""
        return config.token_dim // config.pack**2 + 1

    @staticmethod
    def summary_dim(config: DynamicsConfig) -> int:
        """Return the width of the `summary` of a frame."""
        forecast = config.forecast
        return 0 if forecast is None or not forecast.num_surprises else forecast.inner_width

    def look(
        self,
        before: Float[Array, "*b k n c"],
        before_tau: Float[Array, "*b 1 1"],
        prev_action: Float[Array, "*b a"],
        inputs: PyTree,
    ) -> Forecast:
        """Forecast frames from those before them, each seen at level `before_tau`.

        `inputs` are the actions before these, of `predict`; of whole windows, `()`, they are found here.
        """
        earlier = inputs
        if isinstance(inputs, tuple):
            is_window = before.ndim > 4
            earlier = earlier_actions(prev_action, self._num_earlier, before_tau[..., 0]) if is_window else None
        return self.net(_clean(before, before_tau), prev_action, earlier=earlier)

    def empty_state(self, batch: int) -> Float[Array, "b p a"]:
        """Return the actions of streams that have seen nothing: unknown ones."""
        return jnp.full((batch, self._num_earlier, self.config.action_size), jnp.nan)

    def predict(self, tokenizer: Tokenizer, state: PyTree, prev_action: Float[Array, "b a"]) -> tuple[PyTree, PyTree]:
        """Return no picture, and the actions before the present one."""
        return (), state

    def update(
        self,
        tokenizer: Tokenizer,
        state: PyTree,
        z: Float[Array, "b n c"],
        prediction: tuple[PyTree, PyTree],
        prev_action: Float[Array, "b a"],
        count: Array,
        *,
        real: UInt8[Array, "b h w 3"] | None = None,
        knows_pitch: bool = False,
    ) -> PyTree:
        """Return the actions that come before the next one."""
        return jnp.concatenate([prev_action[:, None], state], 1)[:, : self._num_earlier]

    @property
    def _num_earlier(self) -> int:
        return len(self.net.earlier)

    def draw(
        self,
        before: Float[Array, "b k n c"],
        before_tau: Float[Array, "b 1 1"],
        prev_action: Float[Array, "b a"],
        inputs: Forecast,
        keys: Key[Array, " b"],
    ) -> Forecast:
        """Draw the surprises of frames, and forecast them again with these."""
        if self.surprise is None:
            return inputs
        before = _clean(before, before_tau)
        marked = self.surprise.draw(self.scene(before, prev_action, inputs), keys)
        return jax.lax.cond(marked.any(), lambda: self.net(before, prev_action, marked, inputs.earlier), lambda: inputs)

    def summary(
        self,
        before: Float[Array, "*b k n c"],
        before_tau: Float[Array, "*b 1 1"],
        prev_action: Float[Array, "*b a"],
        inputs: Forecast,
    ) -> tuple[Float[Array, "*b d"], ...]:
        """Return what the SurpriseNet sees happen in frames; zeros where nothing comes before."""
        if self.surprise is None:
            return ()
        seen = self.surprise.summary(self.scene(_clean(before, before_tau), prev_action, inputs))
        return (seen * (before_tau[..., 0] > 0),)

    def scene(self, before: Float[Array, "*b k n c"], prev_action: Float[Array, "*b a"], inputs: Forecast) -> Scene:
        """Return what a SurpriseNet reads of frames, given the clean ones before them."""
        log_variance = pack_cells(inputs.log_variance, self.config.pack)
        return Scene(self.cells(before[..., 0, :, :]), self.cells(inputs.mean), self.cells(log_variance), prev_action)

    def cells(self, z: Float[Array, "*b n c"]) -> Float[Array, "*b y x e"]:
        """Lay latents out as cells of the picture, in their ring."""
        return lay_out(z, self.config)

    def __call__(
        self, before: Float[Array, "*b k n c"], before_tau: Float[Array, "*b 1 1"], inputs: Forecast, change_var: Array
    ) -> Prior:
        """Return the forecast as a prior; where nothing comes before there is none."""
        config, is_known = self.config, (before_tau > 0).astype(jnp.float32)
        mean = inputs.mean * is_known
        cell_dim = config.token_dim // config.pack**2
        variance = pack_cells(jnp.repeat(jnp.exp(inputs.log_variance), cell_dim, -1), config.pack)
        features = (unpack(mean, config.grid, config.pack), inputs.log_variance * is_known[..., None])
        return Prior(mean, is_known, variance, features)


def earlier_actions(
    prev_action: Float[Array, "*b t a"], num: int, is_known: Float[Array, "*b t 1"] | None = None
) -> Float[Array, "*b t p a"]:
    """Return the actions before each of a window, latest first, NaN where there are none or the past is not known."""
    length, ends = prev_action.shape[-2], [(0, 0)] * (prev_action.ndim - 2)
    shifted = [
        jnp.pad(prev_action, [*ends, (age, 0), (0, 0)], constant_values=jnp.nan)[..., :length, :]
        for age in range(1, num + 1)
    ]
    earlier = jnp.stack(shifted, -2) if num else jnp.zeros((*prev_action.shape[:-1], 0, prev_action.shape[-1]))
    return earlier if is_known is None else jnp.where(is_known[..., None] > 0, earlier, jnp.nan)


def _clean(before: Float[Array, "*b k n c"], before_tau: Float[Array, "*b 1 1"]) -> Float[Array, "*b k n c"]:
    """Return frames that are seen at a level as they are without it; zeros where there is none."""
    return before / jnp.where(before_tau > 0, before_tau, 1.0)[..., None]
