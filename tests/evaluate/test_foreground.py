"""Foreground without labels, in a game that can be computed in the head and in one whose camera moves."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tests.evaluate import toy
from tests.evaluate.trials import trial
from worldsim.data.dataset import load_columns
from worldsim.evaluate.fitted.background import Background, fit_background, near
from worldsim.evaluate.metrics.foreground import FRAMES, measure_foreground, overlaps, scores


class Losing(toy.Perfect):
    """Its tokenizer is perfect, and its dreams have no block."""

    def dream(self, last, actions):
        return toy.Blind().reconstruct(super().dream(last, actions))


class Foggy(toy.Perfect):
    """Its frames are blurred until little stands out."""

    def dream(self, last, actions):
        return gaussian_filter(super().dream(last, actions).astype(np.float32), (0, 0, 8, 8, 0)).astype(np.uint8)


class Elsewhere(toy.Perfect):
    """Plays the game, but another clip of it."""

    def dream(self, last, actions):
        return np.roll(super().dream(last[::-1], actions[::-1]), 11, 3)


class Haunted(toy.Perfect):
    """Adds a second block."""

    def dream(self, last, actions):
        place = (toy.locate(last) + 16) % toy.SIZE
        ghosts = toy.draw(np.repeat(place[:, None], actions.shape[1], 1))
        obs = super().dream(last, actions)
        return np.where((ghosts == toy.COLOUR).all(-1, keepdims=True), ghosts, obs)


@pytest.fixture(scope="module")
def columns(tmp_path_factory):
    footage = toy.footage(tmp_path_factory.mktemp("toy"))
    return load_columns(footage, range(len(footage)))


@pytest.fixture(scope="module")
def answers(columns):
    worlds = (toy.Perfect, toy.Frozen, Losing, Foggy, Elsewhere, Haunted)
    return {world.__name__: measure_foreground(trial(world(), columns, horizon=64, num_windows=16)) for world in worlds}


def test_the_game_itself_has_all_of_its_foreground_in_place(answers):
    numbers = answers["Perfect"]
    for frame in FRAMES:
        for name in ("recall", "precision", "f1"):
            assert numbers[f"{name}_{frame}"] == numbers[f"{name}_tokenizer_{frame}"] == 1
    assert numbers["score_32"] == numbers["score_64"] == 1
    assert numbers["by_contrast"] == 0 and numbers["moving_fraction"] < 0.05


def test_a_world_that_freezes_is_as_good_as_the_last_frame(answers):
    numbers = answers["Frozen"]
    for frame in FRAMES:
        assert numbers[f"recall_{frame}"] == numbers[f"recall_copy_last_{frame}"]
    assert numbers["recall_1"] > 0.95 and numbers["recall_32"] < 0.6  # 2 pixels are forgiven, 64 frames are not
    assert numbers["score_32"] == 0


def test_where_standing_still_is_right_there_is_no_score(columns):
    still = columns._replace(obs=np.repeat(columns.obs[:1], len(columns.obs), 0))
    background = fit_background(columns.obs)
    numbers = measure_foreground(
        trial(toy.Frozen(), still, horizon=16, num_windows=4, reference={"background": background})
    )
    assert numbers["recall_8"] == 1 and numbers["score_8"] is None and "still" in numbers["score_8_reason"]


def test_a_dream_that_shows_nothing_is_worse_than_standing_still(answers):
    assert answers["Losing"]["score_32"] < 0 < answers["Haunted"]["score_32"] < 1


def test_a_dream_without_its_block_has_no_foreground(answers):
    numbers = answers["Losing"]
    assert numbers["recall_8"] == numbers["f1_8"] == 0
    assert numbers["precision_8"] is None and "nothing stands out" in numbers["precision_8_reason"]


def test_fog_hides_most_of_the_foreground(answers):
    assert answers["Foggy"]["recall_8"] < 0.4


def test_another_clip_of_the_game_has_its_foreground_elsewhere(answers):
    numbers = answers["Elsewhere"]
    for name in ("recall", "precision", "f1"):
        assert numbers[f"{name}_32"] < 0.4


def test_what_is_too_much_costs_precision_alone(answers):
    numbers = answers["Haunted"]
    assert numbers["recall_32"] == 1 and numbers["precision_32"] < 0.8
    assert numbers["precision_32"] < numbers["f1_32"] < 1


def test_a_pixel_is_found_within_two_pixels_and_not_within_three():
    game = np.zeros((1, 9, 9), bool)
    game[0, 0, 0] = True
    for x, found in ((2, 1), (3, 0)):
        dream = np.zeros_like(game)
        dream[0, 2, x] = True
        assert overlaps(game, dream).tolist() == [[found, 1, found, 1]]
    assert near(game, 2).sum() == 9


def test_scores_of_nothing_are_none():
    assert scores(0, 0, 0, 5) == {"recall": None, "precision": 0, "f1": None}
    assert scores(0, 7, 0, 0) == {"recall": 0, "precision": None, "f1": 0}
    assert scores(3, 4, 3, 6)["f1"] == pytest.approx(0.6)


def test_where_the_camera_moves_foreground_is_local_contrast():
    rng = np.random.default_rng(0)
    world = gaussian_filter(rng.integers(0, 256, (256, 256)).astype(float), 6) * 12 % 200
    corners = rng.integers(0, 220, (64, 2))
    frames = np.stack([world[y : y + 32, x : x + 32] for y, x in corners])
    frames = np.repeat(frames[..., None], 3, -1).astype(np.uint8)
    background = fit_background(frames)
    assert background.by_contrast
    plain = np.full((1, 32, 32, 3), 90, np.uint8)
    plain[:, 10:13, 20:23] = 160
    seen = background.foreground(plain)
    assert seen[0, 10:13, 20:23].all() and seen.sum() < 30


def test_a_still_ground_with_one_thing_on_it_is_its_median():
    frames = np.full((40, 8, 8, 3), 50, np.uint8)
    frames[np.arange(40), np.arange(40) % 8, 3, 1] = 80
    background = fit_background(frames)
    assert background.median.min() == background.median.max() == 50 and not background.by_contrast
    assert background.foreground(frames).sum() == 40
    assert Background(background.median, 0.3).by_contrast
