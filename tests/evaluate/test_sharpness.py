"""Sharpness against a game that can be computed in the head."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tests.evaluate import toy
from tests.evaluate.test_free_play import Fading, Mortal
from worldsim.evaluate.metrics.sharpness import measure_sharpness, sharpness
from worldsim.evaluate.options import EvalOptions
from worldsim.evaluate.reference import open_reference
from worldsim.evaluate.trial import Trial

SECONDS = 12.0


def blurred(obs):
    return gaussian_filter(obs.astype(np.float32), (0, 0, 1.5, 1.5, 0)).astype(np.uint8)


class Aging(toy.Perfect):
    """Shows its frames in another way in some seconds of a dream."""

    span = (2.0, np.inf)

    def rollout(self, state, actions):
        age = (np.asarray(state.frame_index)[:, None] + 1 + np.arange(actions.shape[1])) / self.fps
        state, out = super().rollout(state, actions)
        old = ((age > self.span[0]) & (age <= self.span[1]))[..., None, None, None]
        obs = np.where(old, self.changed(out.obs), out.obs)
        return state._replace(frame_index=state.frame_index + actions.shape[1]), out._replace(obs=obs)

    def changed(self, obs):
        return blurred(obs)


class Healing(Aging):
    """Is fog between its fourth and its eighth second."""

    span = (4.0, 8.0)


class Grainy(Aging):
    """Flickers."""

    def changed(self, obs):
        grain = np.random.default_rng(0).integers(-20, 21, obs.shape)
        return np.clip(obs + grain, 0, 255).astype(np.uint8)


class Soft(toy.Perfect):
    """Its tokenizer blurs; its dreams are as sharp as what the tokenizer shows."""

    def dream(self, last, actions):
        return self.reconstruct(super().dream(last, actions))

    def rollout(self, state, actions):
        obs = toy.Perfect.dream(self, state.cache, np.asarray(actions))
        state, out = super().rollout(state, actions)
        return state._replace(cache=obs[:, -1]), out

    def pay(self, obs):
        return np.zeros(obs.shape[:2], np.float32)

    def reconstruct(self, obs):
        return blurred(obs)


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    return toy.footage(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def answers(footage):
    def ask(world):
        how = EvalOptions(num_windows=2, seeds=(0,), play_seconds=SECONDS, num_plays=4)
        reference = open_reference([world], footage, how)
        return measure_sharpness(Trial(sim=world, reference=reference, options=how, seed=0, horizon=16))

    worlds = (toy.Perfect, toy.Frozen, Aging, Healing, Grainy, Soft, Fading, Mortal)
    return {world.__name__: ask(world()) for world in worlds}


def test_the_game_itself_is_as_sharp_as_the_game(answers):
    numbers = answers["Perfect"]
    for age in (1, 4, 10):  # the recordings last 8.9 seconds
        assert numbers[f"ratio_{age}s"] == pytest.approx(1, abs=0.03)
        assert numbers[f"nearness_{age}s"] == pytest.approx(1, abs=0.03)
    assert numbers["segments"] == pytest.approx([1] * 10, abs=0.08)
    assert numbers["num_dreams_10s"] == 4


def test_ages_past_the_dream_are_not_measured_and_it_says_why(answers):
    numbers = answers["Perfect"]
    assert numbers["ratio_30s"] is None and numbers["nearness_30s"] is None
    assert "12 s" in numbers["ratio_30s_reason"]


def test_fog_is_told_from_when_it_comes(answers):
    numbers = answers["Aging"]
    assert numbers["ratio_1s"] == pytest.approx(1, abs=0.03)
    assert numbers["ratio_4s"] < 0.8 and numbers["nearness_4s"] == numbers["ratio_4s"]


def test_a_world_that_loses_its_only_object_loses_its_edges(answers):
    assert answers["Fading"]["ratio_4s"] < answers["Perfect"]["ratio_4s"] - 0.2


def test_a_still_picture_is_sharp(answers):
    assert answers["Frozen"]["ratio_10s"] == pytest.approx(1, abs=0.1)  # other numbers tell that nothing moves


def test_flicker_is_too_sharp_and_no_nearer_for_it(answers):
    numbers = answers["Grainy"]
    assert numbers["ratio_4s"] > 1.3 and numbers["nearness_4s"] == pytest.approx(1 / numbers["ratio_4s"])


def test_a_collapse_that_heals_shows_in_the_segments(answers):
    segments = answers["Healing"]["segments"]
    assert answers["Healing"]["ratio_10s"] == pytest.approx(1, abs=0.03)
    assert max(segments[4:6]) < 0.8 and min(segments[:3] + segments[7:]) > 0.9


def test_what_the_tokenizer_blurs_is_not_held_against_the_dream(answers):
    assert answers["Soft"]["ratio_4s"] == pytest.approx(1, abs=0.03)


def test_a_dream_that_is_called_over_does_not_count(answers):
    numbers = answers["Mortal"]  # ends after 2 seconds
    assert numbers["ratio_1s"] == pytest.approx(1, abs=0.03) and numbers["num_dreams_1s"] == 4
    assert numbers["ratio_4s"] is None and "called over" in numbers["ratio_4s_reason"]
    assert numbers["segments"][0] is not None and numbers["segments"][-1] is None


def test_sharpness_is_the_mean_magnitude_of_the_gradient():
    ramp = np.add.outer(3 * np.arange(8), 4 * np.arange(8)).astype(np.uint8)
    np.testing.assert_allclose(sharpness(np.repeat(ramp[None, None, ..., None], 3, -1)), [[5.0]])
