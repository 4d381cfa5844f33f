import numpy as np
import pytest

from worldsim import metrics


def pictures(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_psnr_of_a_known_error_is_its_formula():
    real = np.full((2, 16, 16, 3), 100, np.uint8)
    np.testing.assert_allclose(metrics.psnr(real, real + 10), 10 * np.log10(255**2 / 100), rtol=1e-5)


def test_psnr_of_identical_frames_is_the_rounding_ceiling():
    real = pictures(3, 16, 16, 3)
    np.testing.assert_allclose(metrics.psnr(real, real), metrics.PSNR_CEILING, rtol=1e-5)


def test_psnr_does_not_wrap_around_at_zero():
    black, white = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)
    assert metrics.psnr(black, white) == pytest.approx(0.0, abs=1e-4)


def test_ssim_is_one_for_identical_frames_and_falls_with_noise():
    real = pictures(2, 5, 24, 32, 3)
    noise = np.random.default_rng(1).normal(0, 1, real.shape)
    little, much = (np.clip(real + s * noise, 0, 255).astype(np.uint8) for s in (5, 50))
    assert metrics.ssim(real, real).shape == (2, 5)
    np.testing.assert_allclose(metrics.ssim(real, real), 1, atol=1e-5)
    assert (metrics.ssim(real, little) > metrics.ssim(real, much)).all()


def test_ssim_agrees_with_the_definition_at_one_window():
    x, y = pictures(11, 11, 1).astype(float), pictures(11, 11, 1, seed=1).astype(float)
    line = np.exp(-np.square(np.arange(11) - 5) / 4.5)
    weight = np.outer(line, line)[..., None] / line.sum() ** 2
    mx, my = (weight * x).sum(), (weight * y).sum()
    vx, vy, cov = (weight * (x - mx) ** 2).sum(), (weight * (y - my) ** 2).sum(), (weight * (x - mx) * (y - my)).sum()
    c1, c2 = 2.55**2, 7.65**2
    want = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    got = metrics.ssim(x.astype(np.uint8), y.astype(np.uint8))
    assert got == pytest.approx(want, abs=1e-4)


def test_ssim_does_not_depend_on_the_chunk():
    x, y = pictures(7, 16, 16, 3), pictures(7, 16, 16, 3, seed=1)
    np.testing.assert_allclose(metrics.ssim(x, y, chunk=3), metrics.ssim(x, y), atol=1e-6)


@pytest.mark.parametrize("call", [metrics.psnr, metrics.ssim])
def test_pictures_of_two_shapes_are_refused(call):
    with pytest.raises(ValueError, match="one shape"):
        call(pictures(1, 16, 16, 3), pictures(2, 16, 16, 3))


def test_average_precision_of_a_perfect_ranking_is_one():
    assert metrics.average_precision(np.array([0.9, 0.8, 0.1, 0.0]), np.array([1, 1, 0, 0])) == 1.0


def test_average_precision_of_a_known_ranking():
    score, positive = np.array([0.9, 0.8, 0.7, 0.6]), np.array([1, 0, 1, 0])
    assert metrics.average_precision(score, positive) == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_average_precision_of_a_constant_score_is_the_base_rate():
    positive = np.arange(100) % 4 == 0
    assert metrics.average_precision(np.zeros(100), positive) == pytest.approx(0.25)


def test_average_precision_without_positives_is_none_not_nan():
    assert metrics.average_precision(np.zeros(3), np.zeros(3)) is None


def test_average_precision_refuses_nan_scores():
    with pytest.raises(ValueError, match="finite"):
        metrics.average_precision(np.array([np.nan, 1.0]), np.array([0, 1]))


def test_frechet_distance_of_commuting_gaussians_is_the_closed_form():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(4000, 6))
    base = (base - base.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(base.T))).T  # exactly N(0, 1)
    got = metrics.frechet_distance(metrics.moments(base), metrics.moments(2 * base + 3), ridge=0.0)
    assert got == pytest.approx(6 * (3**2 + (2 - 1) ** 2), rel=1e-6)


def test_frechet_distance_agrees_with_the_product_form_when_nothing_commutes():
    rng = np.random.default_rng(0)
    real, other = (rng.normal(size=(300, 5)) @ rng.normal(size=(5, 5)) + rng.normal(size=5) for _ in range(2))
    a, b = np.cov(real.T), np.cov(other.T)
    root = np.sqrt(np.clip(np.linalg.eigvals(a @ b).real, 0, None)).sum()
    want = np.square(real.mean(0) - other.mean(0)).sum() + np.trace(a) + np.trace(b) - 2 * root
    assert metrics.frechet_distance(metrics.moments(real), metrics.moments(other), ridge=0.0) == pytest.approx(want)


def test_moments_of_parts_add_up_to_the_moments_of_the_whole():
    features = np.random.default_rng(0).normal(5, 2, (50, 4))
    whole, parts = metrics.moments(features), metrics.moments(features[:13]) + metrics.moments(features[13:])
    assert parts.count == 50
    np.testing.assert_allclose(parts.mean, whole.mean)
    np.testing.assert_allclose(parts.covariance, np.cov(features.T))


def test_video_distance_is_zero_for_the_same_videos_and_grows_with_the_change():
    video = pictures(6, 8, 32, 32, 3) // 4
    same, near, far = (metrics.video_moments(video + np.uint8(s)) for s in (0, 10, 60))
    assert metrics.frechet_distance(same, same) == pytest.approx(0, abs=1e-6)
    assert metrics.frechet_distance(same, near) < metrics.frechet_distance(same, far)


def test_one_clip_a_frame_and_the_first_generated_frame_is_repeated():
    video = pictures(2, 5, 32, 32, 3)
    assert metrics.video_moments(video).count == 10
    still = np.repeat(video[:, :1], 5, 1)
    np.testing.assert_allclose(metrics.video_moments(still).mean, metrics.video_moments(video[:, :1]).mean, atol=1e-6)


def test_random_features_never_change():
    """The seed, the initialisation and the order of the stack are part of the metric's name."""
    video = (np.arange(2 * 4 * 32 * 32 * 3).reshape(2, 4, 32, 32, 3) % 251).astype(np.uint8)
    got = metrics.video_moments(video)
    assert got.mean.shape == (2 * 2 * 32,)
    np.testing.assert_allclose(got.mean[:3], (-0.0079738, 0.0118804, -0.0757815), atol=1e-4)
