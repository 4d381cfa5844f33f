"""A turning camera in a world that is painted on a sphere: all that it has seen, it knows from every heading."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import sphere
from worldsim.model.camera.geometry import CameraConfig, Flow, empty_state, remember, turn, warp, warp_last_two

CONFIG = CameraConfig(size=(32, 56), field_of_view=72.0, yaw=1, pitch=2, supersampling=1)
SEE, LOOK = (jax.jit(lambda *args, f=f: f(*args, CONFIG)) for f in (remember, warp))


def paint(yaw: float, pitch: float) -> np.ndarray:
    return sphere.paint(yaw, pitch, CONFIG.size)[None]


def heading(yaw: float, pitch: float) -> jax.Array:
    return jnp.radians(jnp.array([[yaw, pitch]]))


def seen_from(*headings: tuple[float, float]):
    state = empty_state(1, CONFIG)
    for way in headings:
        state = SEE(state, paint(*way), heading(*way))
    return state


def test_a_camera_that_stands_still_sees_what_it_saw():
    warped = LOOK(seen_from((20, 10)), heading(20, 10))
    np.testing.assert_array_equal(warped.frame, paint(20, 10))
    assert warped.visible.all() and not warped.remembered.any()


@pytest.mark.parametrize(("yaw", "pitch"), [(15, 0), (-15, 0), (0, 15), (0, -15), (12, -9), (170, 40)])
def test_what_was_visible_is_found_again_after_a_turn(yaw: float, pitch: float):
    begin = (yaw - 9, pitch + 7)
    warped = LOOK(seen_from(begin), heading(yaw, pitch))
    error = np.abs(np.asarray(warped.frame, int) - paint(yaw, pitch)).max(-1)
    assert 0.4 < warped.visible.mean() < 0.95
    assert error[np.asarray(warped.visible)].max() <= 4


def test_what_had_left_the_picture_comes_back():
    away = [(float(yaw), 5.0) for yaw in range(0, 100, 20)]
    warped = LOOK(seen_from(*away), heading(0, 5))
    error = np.abs(np.asarray(warped.frame, int) - paint(0, 5)).max(-1)
    is_remembered = np.asarray(warped.remembered) > 0
    assert is_remembered.mean() > 0.7
    assert np.percentile(error[is_remembered], 95) <= 8
    assert (np.asarray(warped.remembered)[is_remembered] < 1).all()  # it was seen a while ago


def test_all_the_way_round_is_where_it_began():
    ring = [(float(yaw), 0.0) for yaw in range(0, 360, 30)]
    warped = LOOK(seen_from(*ring), heading(360, 0))
    known = np.asarray(warped.visible | (warped.remembered > 0))
    assert known[:, 8:24].all()
    assert np.abs(np.asarray(warped.frame, int) - paint(0, 0))[known].mean() < 4


def test_unseen_pixels_have_no_confidence_and_repeat_the_edge():
    warped = LOOK(seen_from((0, 0)), heading(10, 0))
    unknown = ~np.asarray(warped.visible) & (np.asarray(warped.remembered) == 0)
    assert unknown[0, :, -4:].all()
    np.testing.assert_array_equal(warped.frame[0, 16, -1], warped.frame[0, 16, -2])


def test_before_the_first_picture_nothing_is_known():
    warped = LOOK(empty_state(2, CONFIG), jnp.zeros((2, 2)))
    assert not warped.visible.any() and not warped.remembered.any()
    assert not np.asarray(warped.frame).any()


def test_turning_adds_degrees_stops_overhead_and_rests_where_the_action_is_unknown():
    begin = jnp.zeros((3, 2))
    action = jnp.array([[1.0, 90.0, -30.0], [0.0, 0.0, 200.0], [jnp.nan] * 3])
    found = np.degrees(turn(begin, action, CONFIG))
    np.testing.assert_allclose(found, [[90, -30], [0, 89.5], [0, 0]], atol=1e-3)


@pytest.mark.parametrize("degrees", [0.0, -1.0, 180.0])
def test_a_field_of_view_that_no_camera_has_is_refused(degrees: float):
    with pytest.raises(ValueError, match="field_of_view"):
        CameraConfig(size=(32, 56), field_of_view=degrees, yaw=0, pitch=1)


HELD = CameraConfig(
    size=(32, 56), field_of_view=72.0, yaw=1, pitch=2, supersampling=1, hud_regions=((0.5, 0.5, 1.0, 0.75),)
)


def test_what_is_held_stays_where_it_is_and_does_not_turn_with_the_world():
    red = np.where(HELD.hud_mask[..., None], np.uint8([255, 0, 0]), paint(0, 0)[0])[None]
    still, ahead, aside = (jnp.radians(jnp.array([way])) for way in ((0.0, 0.0), (0.0, 0.0), (15.0, 0.0)))
    state = remember(empty_state(1, HELD), jnp.asarray(red), still, HELD)
    assert not (state.panorama == jnp.array([255, 0, 0], jnp.uint8).reshape(1, 1, 1, 3)).all(-1).any()
    np.testing.assert_array_equal(warp(state, ahead, HELD).frame, red)
    turned_view = warp(state, aside, HELD)
    assert not (np.asarray(turned_view.frame) == [255, 0, 0]).all(-1).any(), "what it hid is like what is beside it"
    behind = ~np.asarray(turned_view.visible)[0, 16:, :28]
    assert 0.2 < behind.mean() < 0.8
    error = np.abs(np.asarray(turned_view.frame, int) - paint(15, 0))[0, 16:, :28][behind]
    assert error.mean() < 20


@pytest.mark.parametrize("box", [(0.5, 0.5, 0.4, 1.0), (0.0, 0.0, 1.0, 1.5)])
def test_a_hud_region_outside_of_the_frame_is_refused(box):
    with pytest.raises(ValueError, match="HUD region"):
        dataclasses.replace(HELD, hud_regions=(box,))


def test_a_flow_moves_what_is_visible_and_leaves_what_is_static():
    state, ahead = seen_from((0, 0)), heading(0, 0)
    moved = jnp.zeros((1, *CONFIG.size, 2)).at[..., 1].set(3.0)
    static = jnp.zeros((1, *CONFIG.size)).at[:, :4].set(1.0)
    warped = warp(state, ahead, CONFIG, Flow(moved, static))
    real = paint(0, 0)
    np.testing.assert_array_equal(warped.frame[:, :4], real[:, :4])
    np.testing.assert_array_equal(warped.frame[:, 4:, :-3], real[:, 4:, 3:])
    assert not warped.visible[:, 4:, -3:].any() and warped.visible[:, :4].all() and warped.visible[:, :, :-3].all()


def test_a_flow_does_not_move_what_a_turn_brings_back():
    state, back = seen_from((0, 0), (20, 0), (40, 0)), heading(20, 0)
    drag = jnp.zeros((1, *CONFIG.size, 2)).at[..., 1].set(9.0)
    flow = Flow(drag, jnp.zeros((1, *CONFIG.size)))
    plain, moved = warp(state, back, CONFIG), warp(state, back, CONFIG, flow)
    comes_back = ~np.asarray(plain.visible) & (np.asarray(plain.remembered) > 0)
    assert comes_back[0, :, :4].all()
    np.testing.assert_array_equal(moved.frame[comes_back], plain.frame[comes_back])
    np.testing.assert_array_equal(moved.remembered[comes_back], plain.remembered[comes_back])
    assert np.abs(np.asarray(moved.frame, int) - np.asarray(plain.frame, int))[np.asarray(plain.visible)].mean() > 4


def test_the_last_two_frames_are_warped_to_the_next_heading():
    last, before, visible = warp_last_two(seen_from((0, 0), (8, 4)), heading(10, 5), CONFIG)
    for picture in (last, before):
        error = np.abs(np.asarray(picture) - paint(10, 5)).max(-1)
        assert error[np.asarray(visible)][:].mean() < 6
    np.testing.assert_array_equal(*warp_last_two(seen_from((0, 0), (90, 0)), heading(130, 0), CONFIG)[:2])
    alone = seen_from((0, 0))
    np.testing.assert_array_equal(*warp_last_two(alone, heading(5, 0), CONFIG)[:2])
    assert not warp_last_two(empty_state(1, CONFIG), heading(0, 0), CONFIG)[2].any()
