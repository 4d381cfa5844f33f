"""Shortcut forcing: one network for every number of sampling steps, every frame at its own level.

At the finest step size the target is the data (flow loss). At a step size d the target is where two steps of d/2
by the network itself lead (bootstrap loss), written for the clean prediction:

    z_hat(z_tau, tau, d)  <-  z_tau + (1 - tau) * (v' + v'') / 2

Source: Dreamer 4 (Hafner et al. 2025, arXiv 2509.24527), equations 6 to 8; shortcut models (Frans et al. 2024, arXiv
2410.12557). Dreamer 4 weighs levels by 0.9 tau + 0.1; here all weigh alike. What a game does next is decided by its
past and the action, so pure noise is where the dynamics are learned, and with a tenth of the weight they are slow.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from worldsim.diffusion.parametrize import noised, velocity
from worldsim.diffusion.schedule import Levels

Predict = Callable[[Float[Array, "b t n c"], Levels], Float[Array, "b t n c"]]


def bootstrap_target(
    predict: Predict, z_tau: Float[Array, "b t n c"], levels: Levels, *, num_levels: int
) -> Float[Array, "b t n c"]:
    """Take two half steps with the network and return the clean sample that one whole step must point at."""
    half = Levels(levels.tau, levels.step - 1)
    tau, size = _spread(levels.tau / num_levels), 2**half.step
    first = velocity(z_tau, predict(z_tau, half), tau)
    z_middle = z_tau + first * _spread(size / num_levels)
    middle = Levels(half.tau + size, half.step)
    second = velocity(z_middle, predict(z_middle, middle), _spread(middle.tau / num_levels))
    return jax.lax.stop_gradient(z_tau + (1 - tau) * (first + second) / 2)


def noisy_input(
    key: PRNGKeyArray, z_1: Float[Array, "b t n c"], levels: Levels, *, num_levels: int
) -> Float[Array, "b t n c"]:
    """Noise each frame to its own level."""
    return noised(z_1, jax.random.normal(key, z_1.shape, z_1.dtype), _spread(levels.tau / num_levels))


def x_loss(
    z_hat: Float[Array, "b t n c"], target: Float[Array, "b t n c"], mask: Bool[Array, "b t"]
) -> Float[Array, ""]:
    """Mean squared error of the clean prediction over the frames in `mask`, every level alike."""
    error = jnp.mean((z_hat - target).astype(jnp.float32) ** 2, axis=(2, 3))
    return (error * mask).sum() / jnp.maximum(mask.sum(), 1)


def _spread(per_frame: Float[Array, "b t"]) -> Float[Array, "b t 1 1"]:
    return per_frame[:, :, None, None]
