"""The Kalman filter that fuses the past with a noisy view of the next latents, without learning.

If a latent is N(0, p) and changes by N(0, q) a frame, and the previous frame z' is seen at level tau', then Bayes' rule
gives the next one a prior N(m, s), and with the noisy view z_tau a posterior:

    m = tau' p z' / (tau'^2 p + (1 - tau')^2)      s = min(q + (1 - tau')^2 p / (tau'^2 p + (1 - tau')^2), p)
    mean = m + k (z_tau - tau m)                   k = tau s / (tau^2 s + (1 - tau)^2)
    variance = s (1 - tau)^2 / (tau^2 s + (1 - tau)^2)

A network that predicts the residual to the mean in units of the deviation copies the last frame before training,
and has targets of unit scale at every level, as in EDM (Karras et al. 2022, arXiv 2206.00364, table 1), of which this
is the case with a past. `k (z_tau - tau m)` is its input too: what the noisy view adds to the past, zero where the view
is pure noise.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class Posterior(NamedTuple):
    """The filter's estimate of frames; the posterior mean is `prior + gain * innovation`."""

    prior: Float[Array, "..."]  # m
    innovation: Float[Array, "..."]  # z_tau - tau m
    gain: Float[Array, "..."]  # k
    std: Float[Array, "..."]  # of the posterior


def posterior(
    z: Float[Array, "*b n c"],
    tau: Float[Array, "*b 1 1"],
    before: Float[Array, "*b n c"],
    before_tau: Float[Array, "*b 1 1"],
    power: Float[Array, "... c"],
    change_var: Float[Array, "... c"],
) -> Posterior:
    """Fuse the noisy view z with an estimate of it, such as the previous frame.

    Args:
        z: the view, at level tau in 0..1; tau < 1 unless the past is uncertain.
        tau: its level.
        before: the previous frame, at level `before_tau`; 0 where there is none.
        before_tau: its level; 0 where there is none.
        power: p, mean square of each channel over the footage; of each channel, or of each place too.
        change_var: q, mean square of its change from a frame to the next; likewise.
    """
    lead = (1,) * (z.ndim - 1) + (-1,)
    power, change_var = (x.reshape(lead) if x.ndim == 1 else x for x in (power, change_var))
    seen = before_tau**2 * power + (1 - before_tau) ** 2
    prior = before_tau * power * before / seen
    variance = jnp.minimum(change_var + (1 - before_tau) ** 2 * power / seen, power)
    total = tau**2 * variance + (1 - tau) ** 2
    return Posterior(prior, z - tau * prior, tau * variance / total, jnp.sqrt(variance / total) * (1 - tau))
