"""Outcome and returns: sizes of what is foretold, beside its ranks."""

import numpy as np
import pytest

from tests.evaluate import toy
from tests.evaluate.trials import trial
from worldsim.data.dataset import Columns, load_columns
from worldsim.evaluate.metrics.free_outcome import HORIZON, measure_free_outcome
from worldsim.evaluate.metrics.outcome import measure_outcome
from worldsim.evaluate.metrics.returns import LEAST, measure_returns


@pytest.fixture(scope="module")
def columns(tmp_path_factory) -> Columns:
    footage = toy.footage(tmp_path_factory.mktemp("toy") / "footage")
    return load_columns(footage, range(len(footage)))


class Miser(toy.Perfect):
    """Never pays."""

    def pay(self, obs):
        return np.zeros(obs.shape[:2], np.float32)


class Lottery(toy.Perfect):
    """Pays at random."""

    def pay(self, obs):
        return np.random.default_rng(int(obs.sum())).integers(2, size=obs.shape[:2]).astype(np.float32)


class Says(toy.Perfect):
    """Says the same of the end at every frame."""

    def __init__(self, probability):
        super().__init__()
        self.probability = probability

    def teacher_forced_outcome(self, obs, prev_action, key):
        return self.pay(obs), np.full(obs.shape[:2], self.probability, np.float32)


class EndsWhereItPays(toy.Perfect):
    """Its dreams are the game, and are over where that pays."""

    def rollout(self, state, actions):
        state, out = super().rollout(state, actions)
        return state, out._replace(termination_probability=self.fear(out.reward))

    def fear(self, reward):
        return reward


class EndsLate(EndsWhereItPays):
    """Knows of an end when it is over."""

    def fear(self, reward):
        return np.roll(reward, 1, 1)


def returns(world, columns, num_windows=48):
    return measure_returns(trial(world, columns, num_windows=num_windows, seed=0))


def outcome(world, columns):
    return measure_outcome(trial(world, columns, num_windows=64, seed=0))


def test_the_game_played_on_pays_what_was_paid(columns):
    numbers = returns(toy.Perfect(), columns)
    assert numbers["return_pearson"] == pytest.approx(1) and numbers["return_spearman"] == pytest.approx(1)
    assert numbers["return_bias"] == numbers["return_absolute_error"] == 0 < numbers["return_absolute_error_of_mean"]


def test_a_world_that_never_pays_tells_no_window_from_another(columns):
    numbers = returns(Miser(), columns)
    assert numbers["return_pearson"] == numbers["return_spearman"] == 0
    assert numbers["return_bias"] == pytest.approx(-numbers["return_real"])


def test_a_world_that_pays_by_chance_has_no_correlation(columns):
    numbers = returns(Lottery(), columns)
    assert abs(numbers["return_pearson"]) < 0.35 and abs(numbers["return_spearman"]) < 0.35
    assert numbers["return_absolute_error"] > numbers["return_absolute_error_of_mean"]


def test_a_world_that_ignores_its_actions_pays_something_else(columns):
    assert returns(toy.Deaf(), columns)["return_pearson"] < 0.9


def test_returns_that_cannot_be_told_apart_say_why(columns):
    still = columns._replace(reward=np.zeros_like(columns.reward))
    assert "are 0" in returns(toy.Perfect(), still)["return_reason"]
    few = returns(toy.Perfect(), columns, num_windows=4)
    assert few["return_pearson"] is None and str(LEAST) in few["return_reason"]
    assert few["return_bias"] == 0  # what does not want many windows is measured all the same


def test_a_return_that_is_no_number_is_refused(columns):
    class Broken(toy.Perfect):
        def pay(self, obs):
            return np.full(obs.shape[:2], np.nan, np.float32)

    with pytest.raises(ValueError, match="NaN or infinity as reward"):
        returns(Broken(), columns)
    with pytest.raises(ValueError, match="NaN or infinity as reward"):
        outcome(Broken(), columns)


def test_rewards_of_the_game_itself_have_no_bias_and_those_of_a_miser_have(columns):
    right, miser = outcome(toy.Perfect(), columns), outcome(Miser(), columns)
    assert right["reward_bias"] == right["reward_absolute_error"] == 0
    assert miser["reward_bias"] == pytest.approx(-miser["reward_mean"]) and miser["reward_mean"] > 0.1


def test_brier_is_best_where_the_end_is_known_and_misleads_where_it_is_foretold_in_vain(columns):
    base_rate = outcome(Says(0.0), columns)["termination_base_rate"]
    calibrated, sure = outcome(Says(base_rate), columns), outcome(Says(1.0), columns)
    assert calibrated["termination_brier_skill"] == pytest.approx(0, abs=1e-3)
    assert calibrated["termination_calibration_error"] < 2 * base_rate + 1e-6
    assert sure["termination_brier_skill"] < -1 and sure["termination_calibration_error"] > 0.9
    assert sure["termination_brier"] == pytest.approx(1 - base_rate)

    class Oracle(toy.Perfect):
        def teacher_forced_outcome(self, obs, prev_action, key):
            return self.pay(obs), self.pay(obs)

    ends_where_it_pays = columns._replace(terminated=columns.reward > 0)
    numbers = outcome(Oracle(), ends_where_it_pays)
    assert numbers["termination_brier_skill"] == 1 and numbers["termination_calibration_error"] == 0


def test_a_free_dream_has_to_be_over_in_the_very_frame(columns):
    ends = columns._replace(terminated=columns.reward > 0)
    free = lambda world, columns=ends: measure_free_outcome(trial(world, columns, num_windows=12, seed=0))  # noqa: E731
    right, late = free(EndsWhereItPays()), free(EndsLate())
    assert right["termination_free_ap"] == right["reward_free_ap"] == 1 > right["termination_free_base_rate"] > 0
    assert late["termination_free_ap"] < 0.9 and right["num_free_frames"] == 4 * 12 * HORIZON
    assert free(toy.Perfect())["termination_free_reason"] == "the world predicts no outcomes"
    endless = free(EndsWhereItPays(), columns._replace(terminated=np.zeros_like(columns.terminated)))
    assert endless["termination_free_ap"] is None and "no termination" in endless["termination_free_reason"]
