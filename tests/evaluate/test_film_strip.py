"""The film strip: fixed starts, a column a second, small enough for a bundle."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.evaluate import toy
from worldsim.data.dataset import load_columns
from worldsim.evaluate.report.film_strip import (
    LEFT,
    TOP,
    FilmStrip,
    draw_film_strip,
    film_strip_png,
    film_strip_section,
    gather_film_strip,
)


@pytest.fixture(scope="module")
def columns(tmp_path_factory):
    footage = toy.footage(tmp_path_factory.mktemp("toy"))
    return load_columns(footage, range(len(footage)))


def test_the_game_played_on_has_the_same_two_rows_and_a_frozen_world_repeats_its_first_frame(columns):
    strip = gather_film_strip({"good": toy.Perfect(), "frozen": toy.Frozen()}, columns, seconds=7, num_starts=5)
    assert strip.names == ("game", "good", "frozen") and strip.frames.shape == (5, 3, 8, 32, 32, 3)
    game, good, frozen = np.moveaxis(strip.frames, 1, 0)
    assert np.array_equal(game, good) and (np.diff(game.astype(int), axis=1) != 0).any()
    assert np.array_equal(frozen, np.repeat(game[:, :1], 8, 1))


def test_starts_are_the_same_for_every_world(columns):
    one, other = (gather_film_strip({"x": world()}, columns, seconds=2) for world in (toy.Perfect, toy.Deaf))
    assert len(one.frames) == 8 and np.array_equal(one.frames[:, 0], other.frames[:, 0])
    assert not np.array_equal(one.frames[:, 1], other.frames[:, 1])


def test_the_game_is_dark_where_its_episode_is_over_and_the_dream_goes_on(columns):
    strip = gather_film_strip({"good": toy.Perfect()}, columns, seconds=12, num_starts=3)  # episodes last 9.7 s
    game, dream = np.moveaxis(strip.frames, 1, 0)
    assert (game[:, -1] == 24).all() and (game[:, 0] != 24).any() and (dream[:, -1] != 24).any()


class Mortal(toy.Perfect):
    """Is over after 2.5 seconds."""

    def rollout(self, state, actions):
        age = np.asarray(state.frame_index)[:, None] + 1 + np.arange(actions.shape[1])
        state, out = super().rollout(state, actions)
        state = state._replace(frame_index=state.frame_index + actions.shape[1])
        return state, out._replace(terminated=age == 25)


def test_a_dream_is_dark_where_it_called_itself_over(columns):
    strip = gather_film_strip({"mortal": Mortal()}, columns, seconds=8, num_starts=3)
    is_dark = (strip.frames[:, 1] == 24).all((-3, -2, -1))
    assert not is_dark[:, :3].any() and is_dark[:, 3:].all()


def test_the_picture_has_every_frame_at_its_place():
    frames = np.arange(2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 3, 1, 1, 1) * 20
    strip = FilmStrip(("game", "dream"), np.broadcast_to(frames, (2, 2, 3, 16, 32, 3)).copy())
    picture = draw_film_strip(strip, width=64)
    assert picture.shape == (TOP + 2 * (2 * 34 + 4), LEFT + 3 * 66, 3)
    for start in range(2):
        for row in range(2):
            y = TOP + start * 72 + row * 34
            cells = [picture[y : y + 32, LEFT + second * 66 : LEFT + second * 66 + 64] for second in range(3)]
            assert (
                [cell.min() for cell in cells] == [cell.max() for cell in cells] == list(frames[start, row, :, 0, 0, 0])
            )
    assert (picture[:TOP] > 200).any() and (picture[TOP : TOP + 32, :LEFT] > 200).any()  # seconds and names


@pytest.mark.parametrize(("size", "num_starts"), [((48, 64), 8), ((120, 160), 2)])
def test_a_file_stays_below_its_limit_where_frames_are_hard_to_press(size, num_starts):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (num_starts, 2, 21, size[0] // 4, size[1] // 4, 3), dtype=np.uint8)
    strip = FilmStrip(("game", "dream"), coarse.repeat(4, -3).repeat(4, -2))
    raw = film_strip_png(strip)
    assert len(raw) <= 300 * 1024
    assert Image.open(io.BytesIO(raw)).size[0] > 21 * 32


def test_a_page_shows_the_strip_or_nothing(columns):
    strip = FilmStrip(("game", "<b>"), np.zeros((1, 2, 3, 8, 8, 3), np.uint8))
    html = film_strip_section(strip)
    assert html.count("<img") == 1 and "&lt;b&gt;" in html and "for 2 s of 1 fixed starts" in html
    assert film_strip_section(None) == ""
