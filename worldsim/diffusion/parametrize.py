"""Clean, noise and velocity: three views of one point on the path z_tau = tau z_1 + (1 - tau) z_0."""

from __future__ import annotations

from jaxtyping import Array, Float


def noised(z_1: Float[Array, "..."], z_0: Float[Array, "..."], tau: Float[Array, "..."] | float) -> Float[Array, "..."]:
    """Mix data and noise at level tau in 0..1."""
    return tau * z_1 + (1 - tau) * z_0


def implied_noise(
    z_tau: Float[Array, "..."], z_hat: Float[Array, "..."], tau: Float[Array, "..."] | float
) -> Float[Array, "..."]:
    """Find the noise that, with the clean prediction z_hat, explains z_tau. Requires tau < 1."""
    return (z_tau - tau * z_hat) / (1 - tau)


def velocity(
    z_tau: Float[Array, "..."], z_hat: Float[Array, "..."], tau: Float[Array, "..."] | float
) -> Float[Array, "..."]:
    """Find dz/dtau = z_1 - z_0 = (z_hat - z_tau) / (1 - tau). Requires tau < 1."""
    return (z_hat - z_tau) / (1 - tau)
