"""Shortcut forcing: one network for every number of sampling steps, every frame at its own level.

At the finest step size the target is the data (flow loss). At a step size d the target is where two steps of d/2
by the network itself lead (bootstrap loss), written for the clean prediction:

    z_hat(z_tau, tau, d)  <-  z_tau + (1 - tau) * (v' + v'') / 2

Both are weighted by the ramp 0.9 tau + 0.1. Source: Dreamer 4 (Hafner et al. 2025, arXiv 2509.24527), equations
6 to 8; shortcut models (Frans et al. 2024, arXiv 2410.12557).
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from worldsim.diffusion.parametrize import noised, velocity
from worldsim.diffusion.schedule import Levels

Predict = Callable[[Float[Array, "b t n c"], Levels], Float[Array, "b t n c"]]


def ramp_weight(tau: Float[Array, "..."]) -> Float[Array, "..."]:
    """Weight levels by what they teach: 0.1 at pure noise, 1 at data."""
    return 0.9 * tau + 0.1


def bootstrap_target(
    predict: Predict,
    z_tau: Float[Array, "b t n c"],
    levels: Levels,
    is_target: Bool[Array, "b t"],
    *,
    num_levels: int,
) -> Float[Array, "b t n c"]:
    """Take two half steps with the network and give the clean sample that one whole step must point at.

    Frames that are no target keep their level in both half steps, as the past does in generation.
    """
    half = Levels(levels.tau, jnp.maximum(levels.step - 1, 0))
    half_size = jnp.where(is_target, 2**half.step, 0)
    tau = _spread(levels.tau / num_levels)
    first = velocity(z_tau, predict(z_tau, half), tau)
    z_middle = z_tau + first * _spread(half_size / num_levels)
    middle = Levels(half.tau + half_size, half.step)
    second = velocity(z_middle, predict(z_middle, middle), _spread(middle.tau / num_levels))
    return jax.lax.stop_gradient(z_tau + (1 - tau) * (first + second) / 2)


def noisy_input(
    key: PRNGKeyArray, z_1: Float[Array, "b t n c"], levels: Levels, *, num_levels: int
) -> Float[Array, "b t n c"]:
    """Noise each frame to its own level."""
    return noised(z_1, jax.random.normal(key, z_1.shape, z_1.dtype), _spread(levels.tau / num_levels))


def x_loss(
    z_hat: Float[Array, "b t n c"],
    target: Float[Array, "b t n c"],
    levels: Levels,
    mask: Bool[Array, "b t"],
    *,
    num_levels: int,
) -> Float[Array, ""]:
    """Mean ramp-weighted squared error of the clean prediction over the frames in `mask`."""
    error = jnp.mean((z_hat - target).astype(jnp.float32) ** 2, axis=(2, 3))
    weight = ramp_weight(levels.tau / num_levels) * mask
    return (weight * error).sum() / jnp.maximum(weight.sum(), 1e-6)


def _spread(per_frame: Float[Array, "b t"]) -> Float[Array, "b t 1 1"]:
    return per_frame[:, :, None, None]
