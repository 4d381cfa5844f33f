"""A turning camera in a world that is painted on a sphere: all that it has seen, it knows from every heading."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import sphere
from worldsim.nn.camera import CameraConfig, Flow, empty_view, look, look_back, see, turned

CONFIG = CameraConfig(size=(32, 56), field_of_view=72.0, yaw=1, pitch=2)
SEE, LOOK = (jax.jit(lambda *args, f=f: f(*args, CONFIG)) for f in (see, look))


def paint(yaw: float, pitch: float) -> np.ndarray:
    return sphere.paint(yaw, pitch, CONFIG.size)[None]


def heading(yaw: float, pitch: float) -> jax.Array:
    return jnp.radians(jnp.array([[yaw, pitch]]))


def seen_from(*headings: tuple[float, float]):
    view = empty_view(1, CONFIG)
    for way in headings:
        view = SEE(view, paint(*way), heading(*way))
    return view


def test_a_camera_that_stands_still_sees_what_it_saw():
    sight = LOOK(seen_from((20, 10)), heading(20, 10))
    np.testing.assert_array_equal(sight.frame, paint(20, 10))
    assert sight.fresh.all() and not sight.old.any()


@pytest.mark.parametrize(("yaw", "pitch"), [(15, 0), (-15, 0), (0, 15), (0, -15), (12, -9), (170, 40)])
def test_what_was_in_sight_is_found_again_after_a_turn(yaw: float, pitch: float):
    begin = (yaw - 9, pitch + 7)
    sight = LOOK(seen_from(begin), heading(yaw, pitch))
    error = np.abs(np.asarray(sight.frame, int) - paint(yaw, pitch)).max(-1)
    assert 0.4 < sight.fresh.mean() < 0.95
    assert error[np.asarray(sight.fresh)].max() <= 4


def test_what_had_left_the_picture_comes_back():
    away = [(float(yaw), 5.0) for yaw in range(0, 100, 20)]
    sight = LOOK(seen_from(*away), heading(0, 5))
    error = np.abs(np.asarray(sight.frame, int) - paint(0, 5)).max(-1)
    is_old = np.asarray(sight.old) > 0
    assert is_old.mean() > 0.7
    assert np.percentile(error[is_old], 95) <= 8
    assert (np.asarray(sight.old)[is_old] < 1).all()  # it was seen a while ago


def test_all_the_way_round_is_where_it_began():
    ring = [(float(yaw), 0.0) for yaw in range(0, 360, 30)]
    sight = LOOK(seen_from(*ring), heading(360, 0))
    known = np.asarray(sight.fresh | (sight.old > 0))
    assert known[:, 8:24].all()
    assert np.abs(np.asarray(sight.frame, int) - paint(0, 0))[known].mean() < 4


def test_what_nobody_saw_is_not_trusted_and_goes_on_from_the_edge():
    sight = LOOK(seen_from((0, 0)), heading(10, 0))
    unknown = ~np.asarray(sight.fresh) & (np.asarray(sight.old) == 0)
    assert unknown[0, :, -4:].all()
    np.testing.assert_array_equal(sight.frame[0, 16, -1], sight.frame[0, 16, -2])


def test_before_the_first_picture_nothing_is_known():
    sight = LOOK(empty_view(2, CONFIG), jnp.zeros((2, 2)))
    assert not sight.fresh.any() and not sight.old.any()
    assert not np.asarray(sight.frame).any()


def test_turning_adds_degrees_stops_overhead_and_rests_where_the_action_is_unknown():
    begin = jnp.zeros((3, 2))
    action = jnp.array([[1.0, 90.0, -30.0], [0.0, 0.0, 200.0], [jnp.nan] * 3])
    found = np.degrees(turned(begin, action, CONFIG))
    np.testing.assert_allclose(found, [[90, -30], [0, 89.5], [0, 0]], atol=1e-3)


@pytest.mark.parametrize("degrees", [0.0, -1.0, 180.0])
def test_a_field_of_view_that_no_camera_has_is_refused(degrees: float):
    with pytest.raises(ValueError, match="field_of_view"):
        CameraConfig(size=(32, 56), field_of_view=degrees, yaw=0, pitch=1)


HELD = CameraConfig(size=(32, 56), field_of_view=72.0, yaw=1, pitch=2, overlays=((0.5, 0.5, 1.0, 0.75),))


def test_what_is_held_stays_where_it_is_and_does_not_turn_with_the_world():
    red = np.where(HELD.covered[..., None], np.uint8([255, 0, 0]), paint(0, 0)[0])[None]
    still, ahead, aside = (jnp.radians(jnp.array([way])) for way in ((0.0, 0.0), (0.0, 0.0), (15.0, 0.0)))
    view = see(empty_view(1, HELD), jnp.asarray(red), still, HELD)
    assert not (view.panorama == jnp.array([255, 0, 0], jnp.uint8).reshape(1, 1, 1, 3)).all(-1).any()
    np.testing.assert_array_equal(look(view, ahead, HELD).frame, red)
    turned_view = look(view, aside, HELD)
    is_red = (np.asarray(turned_view.frame) == [255, 0, 0]).all(-1)
    assert is_red.any() and not np.asarray(turned_view.fresh)[is_red].any()


@pytest.mark.parametrize("box", [(0.5, 0.5, 0.4, 1.0), (0.0, 0.0, 1.0, 1.5)])
def test_an_overlay_outside_of_the_picture_is_refused(box):
    with pytest.raises(ValueError, match="overlay"):
        dataclasses.replace(HELD, overlays=(box,))


def test_a_flow_moves_what_is_seen_and_leaves_what_stays():
    view, ahead = seen_from((0, 0)), heading(0, 0)
    moved = jnp.zeros((1, *CONFIG.size, 2)).at[..., 1].set(3.0)
    stays = jnp.zeros((1, *CONFIG.size)).at[:, :4].set(1.0)
    sight = look(view, ahead, CONFIG, Flow(moved, stays))
    real = paint(0, 0)
    np.testing.assert_array_equal(sight.frame[:, :4], real[:, :4])
    np.testing.assert_array_equal(sight.frame[:, 4:, :-3], real[:, 4:, 3:])
    assert not sight.fresh[:, 4:, -3:].any() and sight.fresh[:, :4].all() and sight.fresh[:, :, :-3].all()


def test_looking_back_shows_the_last_two_pictures_as_the_next_heading_would():
    last, before, fresh = look_back(seen_from((0, 0), (8, 4)), heading(10, 5), CONFIG)
    for picture in (last, before):
        error = np.abs(np.asarray(picture) - paint(10, 5)).max(-1)
        assert error[np.asarray(fresh)][:].mean() < 6
    alone = seen_from((0, 0))
    np.testing.assert_array_equal(*look_back(alone, heading(5, 0), CONFIG)[:2])
    assert not look_back(empty_view(1, CONFIG), heading(0, 0), CONFIG)[2].any()
