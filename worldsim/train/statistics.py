"""Statistics of encoded footage that the model keeps as parameters: where latents lie, and how much they change."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from worldsim.data.dataset import Columns
from worldsim.model.camera.prior import WarpPrior
from worldsim.model.dynamics import Dynamics
from worldsim.model.forecast import ForecastPrior
from worldsim.train.games import Latents
from worldsim.train.stages.warps import FootageWarper, region_errors

NUM_FORECASTS = 1024  # that are measured


def latent_statistics(
    games: Sequence[Float[np.ndarray, "_ _ c"]], *, size_agnostic: bool
) -> tuple[Float[np.ndarray, "m c"], float]:
    """Return the mean of every place, or of all places together, and one deviation; each game counts the same."""
    mean = np.mean([x.mean((0, 1) if size_agnostic else 0, keepdims=size_agnostic) for x in games], 0)
    mean = mean.reshape(-1, mean.shape[-1])
    energies = [np.square(x - mean) for x in games]
    second, fourth = (float(np.mean([(e**power).mean() for e in energies])) for power in (1, 2))
    return mean, max(float(np.sqrt(fourth / max(3 * second, 1e-12))), 1e-3)


def channel_statistics(
    latents: Float[np.ndarray, "n m c"], columns: Columns
) -> tuple[Float[np.ndarray, " c"], Float[np.ndarray, " c"]]:
    """Return the mean square of each channel of latents, and that of its change from a frame to the next."""
    inside = np.ones(len(latents) - 1, bool)
    inside[columns.bounds[1:-1] - 1] = False
    change = np.square(latents[1:][inside] - latents[:-1][inside]).mean((0, 1))
    return np.square(latents).mean((0, 1)), change


def forecast_errors(prior: ForecastPrior, latents: Float[np.ndarray, "n m c"], columns: Columns) -> Float[Array, " c"]:
    """Measure the mean square error of the forecasts of recorded frames, channel by channel; at least 0.001."""
    num_before = prior.config.num_before
    ages = np.arange(1, num_before + 1)
    has_past = np.ones(len(latents), bool)
    has_past[(columns.bounds[:-1, None] + np.arange(num_before)).ravel().clip(max=len(latents) - 1)] = False
    rows = np.flatnonzero(has_past)
    rows = rows[np.linspace(0, len(rows) - 1, min(NUM_FORECASTS, len(rows))).astype(int)]
    forecast = jax.jit(lambda before, action, earlier: prior.net(before, action, earlier=earlier).mean)
    past = rows[:, None] - ages
    before, earlier = np.asarray(latents[past], np.float32), columns.prev_action[past]
    error = np.square(latents[rows] - np.asarray(forecast(before, columns.prev_action[rows], earlier)))
    return jnp.asarray(np.maximum(error.mean((0, 1)), 1e-3), jnp.float32)


def set_statistics(
    modules: Sequence[Dynamics],
    latents: Sequence[Latents],
    data: Sequence[Columns],
    warpers: Sequence[FootageWarper | None],
) -> None:
    """Set power, change_var and residual_var of the first dynamics from the footage of all games, in place.

    Each game counts the same; of remembered and unseen regions only games whose camera turns have any. At least 0.001.
    """
    first = modules[0]
    measured = [channel_statistics(x.train, columns) for x, columns in zip(latents, data, strict=True)]
    first.power[...], first.change_var[...] = (
        jnp.asarray(np.maximum(np.mean(x, 0), 1e-3), jnp.float32) for x in zip(*measured, strict=True)
    )
    if isinstance(first.prior, ForecastPrior):
        first.change_var[...] = jnp.stack(
            [forecast_errors(first.prior, x.train, columns) for x, columns in zip(latents, data, strict=True)]
        ).mean(0)
    errors = [
        (region_errors(x.train, warper.inputs, d.config), d.config.camera)
        for x, d, warper in zip(latents, modules, warpers, strict=True)
        if warper is not None
    ]
    if errors and isinstance(first.prior, WarpPrior):
        visible = jnp.stack([x for x, _ in errors]).mean(0)[:1]
        others = jnp.stack([x for x, camera in errors if camera and camera.turns]).mean(0)[1:]
        first.prior.residual_var[...] = jnp.concatenate([visible, others])
