"""The stage of the forecast, before the dynamics: regression of the next frame's latents.

A network that only ever met recorded frames goes on from its own, a few frames later, with errors that it never met. So
once it knows how things move, windows go on for `Recipe.forecast_frames` frames, each forecast from those before, and
each is trained on; no gradient goes from one frame to another. And the frames that it is given are spoiled as a
forecast is that is not quite sure (`spoiled`): it learns to make them whole.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from worldsim.data.dataset import Columns, ShuffledIndex, Windows
from worldsim.metrics import psnr
from worldsim.model.config import DynamicsConfig
from worldsim.model.forecast import Forecast
from worldsim.model.tokenizer import Tokenizer
from worldsim.nn.local import pack_cells, unpack
from worldsim.nn.params import merge, split
from worldsim.train.evaluation import Show, fidelity, pixel_statistics
from worldsim.train.games import Latents
from worldsim.train.loop import Budget, Stage
from worldsim.train.losses import MAX_LATENT
from worldsim.train.optimizer import Fixed, Loss, is_kernel, make_step, muon
from worldsim.train.recipes import Recipe
from worldsim.types import frame_to_obs
from worldsim.video import strip

NUM_CLIPS, HORIZON = 64, 8  # of an evaluation
YOUNG_FRACTION = 0.1  # of the windows, which begin with the first frame of all: there is none before it


class Clips(NamedTuple):
    """Windows of recorded frames, as many as the forecast reads, and of those to be forecast."""

    z: Float[PyTree, "b t n c"]
    prev_action: Float[PyTree, "b t a"]


def forecast_stage(
    graph: nnx.GraphDef,
    dynamics: DynamicsConfig,
    tokenizer: Tokenizer,
    data: tuple[Columns, Columns],
    latents: Latents,
    recipe: Recipe,
    budget: Budget,
    seed: int,
    show: Show,
) -> Stage:
    """Return the stage of a ForecastNet; evaluated by the fidelity of frames that it makes of each other, held out."""
    config, num_made = recipe.forecast_stage, recipe.forecast_frames
    num_given = _num_given(dynamics)
    windows = _windows(data[0], num_given + num_made)
    order = ShuffledIndex(len(windows), config.batch_size, seed)
    evaluate = _evaluation(graph, num_given, tokenizer, data, latents, show)
    return Stage(
        "forecast",
        config,
        budget,
        config.batch_size,
        make_step(forecast_loss(graph, dynamics, recipe), muon(), ema=config.ema, decay=is_kernel),
        lambda step: _clips(windows, latents.train, order.at(step)),
        evaluate,
        flags=lambda progress, step: {"goes_on": progress >= recipe.forecast_goes_on},
        num_evaluations=recipe.num_evaluations,
    )


def forecast_loss(graph: nnx.GraphDef, config: DynamicsConfig, recipe: Recipe) -> Loss:
    """Return the loss of a ForecastNet on Clips: the squared error, and the likelihood of the size of the first one.

    With `goes_on` half of the clips are forecast for all of their frames, else all of them for one.
    """

    def loss(params: PyTree, clips: Clips, key: PRNGKeyArray, fixed: Fixed, *, goes_on: bool):
        net, num_made = merge(graph, params), recipe.forecast_frames if goes_on else 1
        num_given = _num_given(config)
        z, prev_action = (jnp.asarray(x[: len(x) // 2] if goes_on else x, jnp.float32) for x in clips)
        key_young, key_action, key_spoil = jax.random.split(key, 3)
        hidden = jax.random.bernoulli(key_action, recipe.action_dropout, (len(z), 1))
        is_young = jax.random.bernoulli(key_young, YOUNG_FRACTION, (len(z), 1, 1, 1))
        before = jnp.flip(z[:, :num_given], 1)
        before = before.at[:, 1:].multiply(~is_young)
        errors, likelihood = [], jnp.float32(0)
        for i in range(num_made):
            seen = spoiled(
                before, jax.random.fold_in(key_spoil, i), config, recipe.forecast_noise, recipe.forecast_ghost
            )
            action = jnp.where(hidden, jnp.nan, prev_action[:, num_given + i])
            forecast = net(seen, action)
            squared = (forecast.mean - z[:, num_given + i]) ** 2
            errors.append(squared.mean())
            likelihood = _likelihood(forecast, squared, config) if i == 0 else likelihood
            made = jnp.clip(jax.lax.stop_gradient(forecast.mean), -MAX_LATENT, MAX_LATENT)
            before = jnp.concatenate([made[:, None], before[:, :-1]], 1)
        error = jnp.stack(errors).mean()
        return error + likelihood, {"error": error}

    return loss


def _likelihood(forecast: Forecast, squared: Float[Array, "b n c"], config: DynamicsConfig) -> Float[Array, ""]:
    """Return how badly the predicted variances fit the errors of cells; the mean forecast takes no gradient of it."""
    by_cell = unpack(jax.lax.stop_gradient(squared), config.grid, config.pack).mean(-1, keepdims=True)
    return 0.5 * (by_cell * jnp.exp(-forecast.log_variance) + forecast.log_variance).mean()


def _evaluation(
    graph: nnx.GraphDef,
    num_given: int,
    tokenizer: Tokenizer,
    data: tuple[Columns, Columns],
    latents: Latents,
    show: Show,
):
    horizon = min(HORIZON, max(1, data[1].longest - num_given))
    windows, statistics = _windows(data[1], num_given + horizon), pixel_statistics(data[0])
    ids = np.linspace(0, len(windows) - 1, min(NUM_CLIPS, len(windows))).astype(int)
    clips, frames = _clips(windows, latents.held, ids), windows.columns.obs[windows.rows(ids)[0]]
    future, last = frames[:, num_given:], frames[:, num_given - 1 : num_given]
    copy = psnr(future, np.repeat(last, horizon, 1)).mean()
    token_graph, token_params = split(tokenizer)

    @jax.jit
    def run(params: PyTree, token_params: PyTree, clips: Clips):
        net, before = merge(graph, params), jnp.flip(jnp.asarray(clips.z[:, :num_given], jnp.float32), 1)

        def step(before, action):
            z = jnp.clip(net(before, action).mean, -MAX_LATENT, MAX_LATENT)
            return jnp.concatenate([z[:, None], before[:, :-1]], 1), z

        _, z = jax.lax.scan(step, before, jnp.moveaxis(clips.prev_action[:, num_given:], 1, 0))
        return frame_to_obs(merge(token_graph, token_params).decode(jnp.moveaxis(z, 0, 1)))

    def evaluate(params: PyTree, step: int) -> tuple[float, str]:
        made = np.asarray(run(params, token_params, clips))
        show(step, strip([future, made]))
        return fidelity(
            future, made, statistics
        ), f"{horizon} frames {psnr(future, made).mean():.1f} dB, copy-last {copy:.1f}"

    return evaluate


def _windows(columns: Columns, num_frames: int) -> Windows:
    return Windows(columns, num_frames, min_real=num_frames)


def _num_given(config: DynamicsConfig) -> int:
    assert config.forecast is not None
    return config.forecast.num_frames


def _clips(windows: Windows, latents: Float[np.ndarray, "n m c"], ids: np.ndarray) -> Clips:
    rows, _ = windows.rows(ids)
    return Clips(np.asarray(latents[rows], np.float32), windows.columns.prev_action[rows])


def spoiled(
    before: Float[Array, "b k n c"], key: PRNGKeyArray, config: DynamicsConfig, noise: float, ghost: float
) -> Float[Array, "b k n c"]:
    """Spoil frames as a forecast does that is not quite sure: faded in places, with ghosts and smears, and noisy.

    In a smooth random patch of every window a part of up to `ghost` of its frames gives way to those of another window
    or to the frame before, and white noise of a deviation of up to `noise` is added to all.
    """
    b = len(before)
    rows, columns = (n * config.pack for n in config.grid)
    key_share, key_is_on, key_patch, key_kind, key_level, key_noise = jax.random.split(key, 6)
    share = (
        ghost * jax.random.uniform(key_share, (b, 1, 1, 1, 1)) * jax.random.bernoulli(key_is_on, 0.6, (b, 1, 1, 1, 1))
    )
    coarse = jax.random.uniform(key_patch, (b, 1, 5, 5, 1))
    patch = 2 * jax.image.resize(coarse, (b, 1, rows, columns, 1), "linear")
    cell_dim = config.token_dim // config.pack**2
    weight = pack_cells(jnp.repeat(jnp.clip(share * patch, 0, 1), cell_dim, -1), config.pack)
    older = jnp.concatenate([before[:, 1:], before[:, -1:]], 1)
    other = jnp.where(jax.random.bernoulli(key_kind, 0.4, (b, 1, 1, 1)), older, jnp.roll(before, 1, 0))
    level = noise * jax.random.uniform(key_level, (b, 1, 1, 1))
    return before + weight * (other - before) + level * jax.random.normal(key_noise, before.shape)
