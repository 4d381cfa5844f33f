"""The Kalman filter against Bayes' rule on a grid, and where it must copy, trust or know nothing."""

import jax.numpy as jnp
import numpy as np
import pytest

from worldsim.diffusion.prior import posterior

POWER = 2.0


def filtered(z, tau, before, before_tau, change_var):
    """Mean and deviation of one latent."""
    shape = (1, 1, 1)
    z, tau, before, before_tau = (jnp.full(shape, float(x)) for x in (z, tau, before, before_tau))
    k = posterior(z, tau, before, before_tau, jnp.array([POWER]), jnp.array([change_var]))
    return float((k.prior + k.gain * k.innovation)[0, 0, 0]), float(k.std[0, 0, 0])


def normal(x, mean, deviation):
    return np.exp(-0.5 * ((x - mean) / deviation) ** 2)


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("before_tau", [0.3, 0.9])
def test_the_posterior_is_that_of_bayes(tau, before_tau):
    """p(z_1 | z_tau, z'): integrate over the previous and the present latent on a grid."""
    z, before, change_var = 0.8, -0.4, 0.1
    grid = np.linspace(-8, 8, 1601)
    previous, present = grid[:, None], grid[None, :]
    joint = (
        normal(previous, 0, np.sqrt(POWER))
        * normal(before, before_tau * previous, 1 - before_tau)
        * normal(present, previous, np.sqrt(change_var))
        * normal(z, tau * present, 1 - tau)
    )
    weight = joint.sum(0) / joint.sum()
    mean = (weight * grid).sum()
    deviation = np.sqrt((weight * (grid - mean) ** 2).sum())
    np.testing.assert_allclose(filtered(z, tau, before, before_tau, change_var), (mean, deviation), rtol=2e-3)


def test_without_a_past_it_is_the_prior_of_the_footage():
    mean, deviation = filtered(z=3.0, tau=0.0, before=0.0, before_tau=0.0, change_var=0.1)
    assert mean == 0 and deviation == pytest.approx(np.sqrt(min(0.1 + POWER, POWER)))


def test_from_pure_noise_it_copies_a_clean_past_and_the_noise_says_nothing():
    for z in (-5.0, 5.0):
        mean, deviation = filtered(z, tau=0.0, before=1.5, before_tau=1.0, change_var=0.04)
        assert mean == pytest.approx(1.5) and deviation == pytest.approx(0.2)


def test_a_nearly_clean_view_is_trusted():
    mean, deviation = filtered(z=0.999 * 1.2, tau=0.999, before=-1.0, before_tau=0.9, change_var=0.5)
    assert mean == pytest.approx(1.2, abs=1e-3) and deviation < 2e-3
