import numpy as np
import pytest

from worldsim.evaluate.fitted.detector import REACH, SEARCH, inside
from worldsim.evaluate.fitted.templates import fit_detector


def scene(count: int, seed: int, contrast: float = 1.0, size: float = 1.2):
    """A small soft ball, anywhere between pixels, on a gradient with a bar like a paddle that moves by itself."""
    rng = np.random.default_rng(seed)
    grid = np.arange(48)
    x, y = rng.uniform(4, 44, (2, count))
    cover = [
        np.clip(np.minimum(grid + 1, c[:, None] + size / 2) - np.maximum(grid, c[:, None] - size / 2), 0, 1)
        for c in (x, y)
    ]
    ball = contrast * cover[1][:, :, None] * cover[0][:, None, :]
    picture = np.broadcast_to(60 + grid[:, None, None] * np.array([0.5, 1.0, 0.2]), (count, 48, 48, 3)).copy()
    for i, top in enumerate(rng.integers(0, 40, count)):
        picture[i, top : top + 6, 2:4] = (200, 120, 60)
    picture += ball[..., None] * (235 - picture)
    places = np.stack([x, y], -1)[:, None] / 48
    return picture.round().astype(np.uint8), places.astype(np.float32)


@pytest.fixture(scope="module")
def detector():
    found = fit_detector(*scene(800, seed=0), (1.2, 1.2))
    assert found is not None
    return found


def test_a_ball_smaller_than_two_pixels_is_found_on_new_frames(detector):
    frames, places = scene(200, seed=1)
    found, error = detector.check(frames, places)
    assert found.mean() >= 0.99
    assert error.mean() < 0.35


def test_it_hardly_fires_where_no_ball_is(detector):
    frames, places = scene(200, seed=2)
    empty, _ = scene(200, seed=2, contrast=0.0)
    assert detector.ghosts(frames, places).mean() < 0.05
    assert not detector.check(empty, places)[0].any()


def test_a_ball_in_another_place_is_not_found_and_its_distance_is_told(detector):
    frames, places = scene(100, seed=3)
    wrong = places + np.float32(3.2 / 48)  # 4.5 pixels off, 6.0 in a frame 64 wide
    found, error = detector.check(frames, wrong)
    assert found.mean() < 0.05
    assert np.nanmin(error) > REACH
    assert np.nanmax(error) <= SEARCH


def test_objects_that_are_absent_or_cut_by_the_edge_do_not_count(detector):
    frames, places = scene(3, seed=4)
    places[0], places[1] = np.nan, 0.0
    found, error = detector.check(frames, places)
    assert np.isnan(error[:2]).all() and not found[:2].any() and np.isfinite(error[2]).all()


def test_inside_wants_the_whole_box():
    places = np.array([[0.5, 0.5], [0.05, 0.5], [np.nan, np.nan]])
    np.testing.assert_array_equal(inside(places, (10.0, 10.0), (64, 64)), [True, False, False])


def test_too_few_examples_give_no_detector():
    assert fit_detector(*scene(10, seed=0), (1.2, 1.2)) is None


def test_balls_are_counted(detector):
    frames, _ = scene(100, seed=5)
    more, places = scene(100, seed=6)
    empty, _ = scene(100, seed=5, contrast=0.0)
    both, apart = np.where(more > empty, more, frames), np.abs(places - scene(100, seed=5)[1]).max((1, 2)) > 0.15
    assert (detector.num_seen(frames) == 1).mean() > 0.95
    assert (detector.num_seen(empty) == 0).all()
    assert (detector.num_seen(both)[apart] == 2).mean() > 0.9
