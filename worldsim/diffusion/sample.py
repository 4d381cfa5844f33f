"""From noise to data in K equal steps with the implied noise.

Each step asks for the clean sample, finds the noise that explains the present point, and mixes both at the next
level: an Euler step of the flow, exact for a straight path. Mixing in the first noise again, or feeding the
prediction back as the input, is no flow sampler and gets worse with more steps.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from worldsim.diffusion.parametrize import implied_noise, noised

Denoise = Callable[[Float[Array, "..."], Float[Array, ""]], Float[Array, "..."]]


def sample(denoise: Denoise, z_0: Float[Array, "..."], num_steps: int) -> Float[Array, "..."]:
    """Draw one sample.

    Args:
        denoise: `(z_tau, tau) -> z_hat`, the clean prediction at level tau (a scalar array in 0..1).
        z_0: standard normal noise.
        num_steps: K >= 1, the number of calls of `denoise`.

    Returns:
        The prediction of the last step, which ends at tau = 1.
    """
    return sample_with_first(denoise, z_0, num_steps)[0]


def sample_with_first(
    denoise: Denoise, z_0: Float[Array, "..."], num_steps: int
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Draw one sample, and return the first step's prediction beside it.

    The first prediction is made from pure noise, so it estimates the mean of all samples; the distance of the
    sample from it is a one-sample estimate of their spread.
    """
    if num_steps < 1:
        raise ValueError(f"expected at least one step for sampling, got {num_steps}.")
    first = denoise(z_0, jnp.float32(0))
    if num_steps == 1:
        return first, first

    def step(carry, index: Float[Array, ""]):
        z_tau, z_hat = carry
        tau, tau_next = (index - 1) / num_steps, index / num_steps
        z_next = noised(z_hat, implied_noise(z_tau, z_hat, tau), tau_next)
        return (z_next, denoise(z_next, tau_next)), None

    (_, z_hat), _ = jax.lax.scan(step, (z_0, first), jnp.arange(1, num_steps, dtype=jnp.float32))
    return z_hat, first
