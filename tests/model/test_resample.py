"""Sampling between pixels: sharp where a picture is moved again and again, exact where it is moved by whole pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from worldsim.model.camera.resample import average, enlarge, sharp, smooth, stretch, written

GRID = np.stack(np.meshgrid(np.arange(24.0), np.arange(40.0), indexing="ij"), -1).astype(np.float32)


def bricks(seed: int = 0) -> np.ndarray:
    """Blocks of four by four pixels of random colours."""
    colours = np.random.default_rng(seed).integers(0, 256, (6, 10, 3))
    return np.repeat(np.repeat(colours, 4, 0), 4, 1).astype(np.uint8)


def gradient(picture) -> float:
    inner = np.asarray(picture, np.float32)[4:-4, 4:-4]
    return float(np.abs(np.diff(inner, axis=1)).mean() + np.abs(np.diff(inner, axis=0)).mean())


@pytest.mark.parametrize("sample", [smooth, sharp])
def test_whole_pixels_are_copied_and_the_edge_repeats(sample):
    picture = bricks()
    np.testing.assert_allclose(sample(jnp.asarray(picture), jnp.asarray(GRID)), picture, atol=1e-3)
    moved = np.asarray(sample(jnp.asarray(picture), jnp.asarray(GRID + np.array([1.0, -2.0], np.float32))))
    np.testing.assert_allclose(moved[:-1, 2:], picture[1:, :-2], atol=1e-3)
    np.testing.assert_allclose(moved[-1, 2:], picture[-1, :-2], atol=1e-3)
    np.testing.assert_allclose(moved[:-1, 0], picture[1:, 0], atol=1e-3)


def test_a_sharp_picture_stays_one_though_it_is_sampled_from_itself_for_a_second():
    kept = {}
    for sample in (smooth, sharp):
        step = jax.jit(lambda picture, by, sample=sample: jnp.round(sample(picture, jnp.asarray(GRID) + by)))
        picture = jnp.asarray(bricks(), jnp.float32)
        for by in np.random.default_rng(0).uniform(-0.8, 0.8, (8, 1, 1, 2)).astype(np.float32):
            picture = step(step(picture, jnp.asarray(by)), jnp.asarray(-by))
        kept[sample] = gradient(picture) / gradient(bricks())
    assert kept[smooth] < 0.6
    assert 0.8 < kept[sharp] < 1.3


def test_nothing_is_brighter_or_darker_than_what_lies_nearby():
    picture = np.zeros((24, 40, 3), np.uint8)
    picture[:, 20:] = 200
    at = GRID + np.random.default_rng(0).uniform(-1, 1, GRID.shape).astype(np.float32)
    sampled = np.asarray(sharp(jnp.asarray(picture), jnp.asarray(at)))
    assert sampled.min() >= 0 and sampled.max() <= 200
    assert (sampled[:, :17] == 0).all() and (sampled[:, 23:] == 200).all(), "a sinc reaches over three pixels"


def test_a_panorama_goes_on_around_itself():
    aside, half = (jnp.asarray(GRID + np.array([0.0, x], np.float32)) for x in (37.5, 0.5))
    turned = jnp.asarray(np.roll(bricks(), -37, 1))
    np.testing.assert_allclose(smooth(jnp.asarray(bricks()), aside, wrap=True), smooth(turned, half, wrap=True))


@pytest.mark.parametrize("times", [1, 2, 3])
def test_an_enlarged_picture_has_the_pixels_of_its_own_as_averages(times):
    picture = jnp.asarray(np.stack([bricks(0), bricks(1)]), jnp.float32)
    large = enlarge(picture, times)
    assert large.shape == (2, 24 * times, 40 * times, 3)
    np.testing.assert_allclose(average(large, times), picture, atol=1e-3)
    flat = stretch(picture, times)
    assert flat.shape == large.shape and flat.min() >= picture.min() and flat.max() <= picture.max()


def test_a_picture_that_is_written_out_is_the_same():
    picture = jnp.asarray(bricks(), jnp.float32)
    np.testing.assert_array_equal(written(picture), picture)


def test_a_picture_that_is_kept_twice_as_large_keeps_more_of_itself():
    kept, large = {}, np.stack(np.meshgrid(np.arange(48.0), np.arange(80.0), indexing="ij"), -1).astype(np.float32)
    for times, grid in ((1, GRID), (2, large)):
        step = jax.jit(lambda picture, by, grid=grid: jnp.round(sharp(picture, jnp.asarray(grid) + by)))
        picture = jnp.round(enlarge(jnp.asarray(bricks(), jnp.float32), times))
        for by in np.random.default_rng(0).uniform(-0.8, 0.8, (8, 1, 1, 2)).astype(np.float32):
            picture = step(step(picture, jnp.asarray(by * times)), jnp.asarray(-by * times))
        kept[times] = float(jnp.abs(average(picture, times) - bricks())[4:-4, 4:-4].mean())
    assert kept[2] < kept[1] / 2
