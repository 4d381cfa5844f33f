"""The sampler against denoisers that are known in closed form, and the objective against targets worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from worldsim.diffusion.loss import bootstrap_target, x_loss
from worldsim.diffusion.parametrize import implied_noise, noised, velocity
from worldsim.diffusion.sample import sample
from worldsim.diffusion.schedule import Levels, draw_coarse_levels, draw_levels, num_step_sizes, step_index

MEAN, DEVIATION = 0.7, 0.5
STEPS = (1, 2, 4, 64)


def gaussian_denoiser(z_tau, tau):
    """E[z_1 | z_tau] for z_1 ~ N(MEAN, DEVIATION^2)."""
    gain = tau * DEVIATION**2 / (tau**2 * DEVIATION**2 + (1 - tau) ** 2)
    return MEAN + gain * (z_tau - tau * MEAN)


def test_sampler_is_exact_on_a_point_at_every_number_of_steps():
    z_0 = jax.random.normal(jax.random.key(0), (1000,))
    for num_steps in STEPS:
        z = sample(lambda z_tau, tau: jnp.full_like(z_tau, MEAN), z_0, num_steps)
        np.testing.assert_allclose(z, MEAN, atol=1e-6)


def test_sampler_error_on_a_gaussian_falls_with_the_number_of_steps():
    z_0 = jax.random.normal(jax.random.key(0), (4000,))
    exact = MEAN + DEVIATION * z_0  # the flow of a Gaussian is this straight map of noise to data
    errors = [float(jnp.abs(sample(gaussian_denoiser, z_0, k) - exact).mean()) for k in (1, 2, 4, 8, 16, 32, 64)]
    assert all(later < earlier for earlier, later in zip(errors, errors[1:], strict=False))
    slope = np.polyfit(np.log([8, 16, 32, 64]), np.log(errors[3:]), 1)[0]
    assert -1.3 < slope < -0.7, f"an Euler step is of first order, measured {slope}"


def test_sampler_with_many_steps_has_the_right_mean_and_deviation():
    z = sample(gaussian_denoiser, jax.random.normal(jax.random.key(1), (20000,)), 64)
    assert abs(float(z.mean()) - MEAN) < 0.02
    assert abs(float(z.std()) - DEVIATION) < 0.02


def test_sampling_wants_a_step():
    with pytest.raises(ValueError, match="at least one"):
        sample(gaussian_denoiser, jnp.zeros(3), 0)


@pytest.mark.parametrize("tau", [0.0, 0.25, 0.9])
def test_parametrisations_round_trip(tau):
    z_1, z_0 = jax.random.normal(jax.random.key(2), (2, 50))
    t = jnp.float32(tau)
    z_tau = noised(z_1, z_0, t)
    np.testing.assert_allclose(implied_noise(z_tau, z_1, t), z_0, atol=1e-5)
    np.testing.assert_allclose(velocity(z_tau, z_1, t), z_1 - z_0, atol=1e-5)


def test_step_sizes_are_dyadic():
    assert num_step_sizes(16) == 5
    assert [step_index(k, 16) for k in (16, 8, 4, 2, 1)] == [0, 1, 2, 3, 4]
    for bad in (3, 32, 0):
        with pytest.raises(ValueError, match="power of two"):
            step_index(bad, 16)


def test_levels_lie_on_the_grid_of_their_step_and_end_at_data():
    fine = draw_levels(jax.random.key(3), (64, 16), num_levels=16)
    assert int(fine.tau.min()) == 0 and int(fine.tau.max()) == 15 and not bool(fine.step.any())
    coarse = draw_coarse_levels(jax.random.key(4), (64, 16), num_levels=16)
    size = 2**coarse.step
    assert bool((coarse.tau % size == 0).all()) and bool((coarse.tau + size <= 16).all())
    assert sorted(set(np.asarray(coarse.step).ravel())) == [1, 2, 3, 4]


def test_a_share_of_frames_is_predicted_from_pure_noise():
    pure = draw_levels(jax.random.key(3), (500, 16), num_levels=16, pure_noise_fraction=0.3).tau == 0
    assert abs(float(pure.mean()) - (0.3 + 0.7 / 16)) < 0.02


def test_bootstrap_target_of_a_perfect_network_is_where_the_flow_leads():
    """Two exact half steps of the Gaussian's flow, approximated by Euler as the network is trained to."""
    key = jax.random.key(5)
    z = jax.random.normal(key, (2, 3, 4, 5))
    levels = Levels(jnp.full((2, 3), 8), jnp.full((2, 3), 2))
    seen = []

    def predict(z_tau, at):
        seen.append(at)
        return gaussian_denoiser(z_tau, (at.tau / 16)[:, :, None, None])

    target = bootstrap_target(predict, z, levels, num_levels=16)
    first = velocity(z, gaussian_denoiser(z, 0.5), jnp.float32(0.5))
    middle = z + first * 2 / 16
    second = velocity(middle, gaussian_denoiser(middle, 10 / 16), jnp.float32(10 / 16))
    want = z + 0.5 * (first + second) / 2
    np.testing.assert_allclose(target, want, rtol=1e-5)
    assert [int(s.step[1, 0]) for s in seen] == [1, 1] and [int(s.tau[1, 0]) for s in seen] == [8, 10]


def test_loss_counts_the_frames_of_the_mask_alike():
    target = jnp.zeros((1, 3, 2, 2))
    z_hat = jnp.stack([jnp.full((2, 2), v) for v in (1.0, 2.0, 100.0)])[None]
    np.testing.assert_allclose(x_loss(z_hat, target, jnp.array([[True, True, False]])), (1 + 4) / 2, rtol=1e-5)
    assert float(x_loss(z_hat, target, jnp.zeros((1, 3), bool))) == 0
