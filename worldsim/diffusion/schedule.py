"""Signal levels and step sizes on a dyadic grid.

With K_max = `num_levels` finest steps, a level is tau = i / K_max for i in 0..K_max, and a step size is
d = 2^s / K_max for s in 0..log2(K_max). A step of size d starts at a multiple of d and ends at most at 1, so a
step of size 2d is two steps of size d (Frans et al. 2024, "One step diffusion via shortcut models", section 3).

The levels are drawn per frame, as in diffusion forcing (Chen et al. 2024, arXiv 2407.01392).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray


class Levels(NamedTuple):
    """The level and the step size of every frame, as indices of the grid."""

    tau: Int[Array, "b t"]
    step: Int[Array, "b t"]


def num_step_sizes(num_levels: int) -> int:
    """Count the step sizes 1/K_max, 2/K_max, ..., 1.

    Raises:
        ValueError: `num_levels` is not a power of two.
    """
    if num_levels < 1 or num_levels & (num_levels - 1):
        raise ValueError(f"the number of levels must be a power of two, got {num_levels}.")
    return num_levels.bit_length()


def step_index(num_steps: int, num_levels: int) -> int:
    """Find the step-size index of sampling in `num_steps` equal steps.

    Raises:
        ValueError: `num_steps` is not a power of two in 1..num_levels.
    """
    if not 1 <= num_steps <= num_levels or num_steps & (num_steps - 1):
        raise ValueError(f"the number of denoising steps must be a power of two in 1..{num_levels}, got {num_steps}.")
    return (num_levels // num_steps).bit_length() - 1


def draw_levels(
    key: PRNGKeyArray,
    shape: tuple[int, int],
    *,
    num_levels: int,
    pure_noise_fraction: float = 0.0,
    one_step: bool = False,
) -> Levels:
    """Draw levels `[b t]` for steps of the finest size: uniform over 0..num_levels-1, with a fraction of pure noise.

    `one_step` trains that fraction for a single step from noise to data.
    """
    key_tau, key_pure = jax.random.split(key)
    tau = jax.random.randint(key_tau, shape, 0, num_levels)
    is_pure = jax.random.bernoulli(key_pure, pure_noise_fraction, shape)
    step = jnp.where(is_pure & one_step, step_index(1, num_levels), 0)
    return Levels(jnp.where(is_pure, 0, tau), step)


def draw_coarse_levels(key: PRNGKeyArray, shape: tuple[int, int], *, num_levels: int) -> Levels:
    """Draw step sizes `[b t]` above the finest, and levels on the grid of each."""
    key_step, key_tau = jax.random.split(key)
    step = jax.random.randint(key_step, shape, 1, num_step_sizes(num_levels))
    size = 2**step
    return Levels(jax.random.randint(key_tau, shape, 0, num_levels // size) * size, step)
