import json

import numpy as np
import pytest

from tests.evaluate import coin, toy
from tests.evaluate.trials import trial
from worldsim.data.dataset import load_columns
from worldsim.data.store import Footage
from worldsim.evaluate.metrics.foreign import CORRUPTIONS, fit, measure_foreign
from worldsim.evaluate.metrics.uncertainty import HORIZON, LEVELS, MAX_WINDOWS, MEMBERS, measure_uncertainty
from worldsim.evaluate.run import spread, write_json
from worldsim.evaluate.trial import CONTEXT, draw_windows
from worldsim.simulator import load

WORLDS = (coin.Calibrated, coin.OverConfident, coin.UnderConfident, coin.Anywhere, coin.Frozen, coin.Contrary)


def measure(own):
    """All numbers of the section."""
    return measure_uncertainty(own) | measure_foreign(own)


@pytest.fixture(scope="module")
def columns():
    return coin.columns(seed=0)


@pytest.fixture(scope="module")
def answers(columns):
    return {world: measure(trial(world(), columns, num_windows=MAX_WINDOWS, seed=0)) for world in WORLDS}


@pytest.fixture(scope="module")
def tosses(columns):
    """Share of right seats among the measured frames of either bench, and the share of frames on the upper one."""
    rows = draw_windows(columns, CONTEXT + HORIZON, MAX_WINDOWS, seed=0)[:, CONTEXT:]
    upper = rows[:, 0] // coin.LENGTH % 2 == 0
    seat = columns.obs[rows][:, :, :, coin.SEATS[1]].max((2, 3)) == coin.BRIGHT
    return seat[upper].mean(), upper.mean()


# --- the world of chance


@pytest.mark.parametrize("world", [coin.Calibrated, coin.OverConfident, coin.UnderConfident])
def test_crps_of_a_coin_is_what_its_odds_say(answers, tosses, world):
    came, upper = tosses
    assert abs(came - coin.ODDS) < 0.1
    belief = world().believes(np.array([0, 1]))
    squared = [p * (1 - q) ** 2 + (1 - p) * q**2 for p, q in zip((came, 1.0), belief)]
    expected = coin.SHARE * coin.STEP * (upper * squared[0] + (1 - upper) * squared[1])
    assert answers[world]["crps"] == pytest.approx(expected, rel=0.1)


def test_crps_puts_the_worlds_in_order(answers):
    order = [coin.Calibrated, coin.OverConfident, coin.UnderConfident, coin.Frozen, coin.Anywhere]
    scores = [answers[world]["crps"] for world in order]
    assert scores == sorted(scores) and len(set(scores)) == len(scores)
    assert answers[coin.Calibrated]["crps_changed"] < answers[coin.OverConfident]["crps_changed"]


def test_a_frozen_world_scores_as_the_copy_of_the_last_frame(answers):
    numbers = answers[coin.Frozen]
    assert numbers["crps"] == pytest.approx(numbers["crps_copy_last"])
    assert numbers["crps_changed"] == pytest.approx(numbers["crps_changed_copy_last"])
    assert numbers["crps_changed"] == pytest.approx(coin.STEP)
    assert numbers["crps_skill"] == pytest.approx(0, abs=1e-6)
    assert answers[coin.Anywhere]["crps_skill"] < 0 < answers[coin.Calibrated]["crps_skill"]


def test_intervals_of_a_calibrated_world_hold_as_often_as_they_say(answers):
    for level in LEVELS:
        name = f"coverage_{level}"
        assert answers[coin.Calibrated][name] == pytest.approx(level / 100, abs=0.04)
        assert answers[coin.OverConfident][name] < 0.75 * level / 100
        assert answers[coin.Frozen][name] == 0


def test_spread_is_as_wide_as_the_error_of_a_calibrated_world_only(answers):
    assert answers[coin.Calibrated]["spread_skill"] == pytest.approx(1, abs=0.1)
    assert answers[coin.OverConfident]["spread_skill"] < 1e-6
    assert answers[coin.Frozen]["spread_skill"] < 1e-6
    assert answers[coin.UnderConfident]["spread_skill"] == pytest.approx(1.28, abs=0.12)  # by the odds .65 and .75


def test_doubt_goes_with_error_where_the_world_is_honest(answers):
    for kind in ("", "_same_step", "_1"):
        assert answers[coin.Calibrated][f"spearman_uncertainty{kind}"] > 0.8
        assert answers[coin.Calibrated][f"spearman_spread{kind}"] > 0.6
        assert answers[coin.Contrary][f"spearman_uncertainty{kind}"] < -0.8
        assert answers[coin.Frozen][f"spearman_uncertainty{kind}"] == 0
        assert answers[coin.Frozen][f"spearman_spread{kind}"] == 0
    assert answers[coin.Frozen]["uncertainty_reason"] == "the world reports 0 of every frame"
    assert "uncertainty_reason" not in answers[coin.Calibrated]


def test_foreign_pictures_are_told_by_a_world_that_doubts_them(answers):
    assert answers[coin.Calibrated]["auroc_foreign"] == 1
    assert answers[coin.Frozen]["auroc_foreign"] == 0.5
    assert answers[coin.Contrary]["auroc_foreign"] == 0
    assert answers[coin.Calibrated]["foreign"] == "corrupted frames of the same game"
    assert {f"auroc_{name}" for name in CORRUPTIONS} < set(answers[coin.Calibrated])


def test_counts_and_curves_tell_how_much_was_measured(answers):
    numbers = answers[coin.Calibrated]
    assert numbers["num_windows"] == MAX_WINDOWS and numbers["num_members"] == MEMBERS
    assert numbers["num_own_contexts"] == numbers["num_foreign_contexts"] == MAX_WINDOWS
    assert all(len(curve) == HORIZON for curve in numbers["curves"].values())
    assert np.mean(numbers["curves"]["crps"]) == pytest.approx(numbers["crps"])


def test_numbers_of_several_seeds_are_averaged_and_written(answers, tmp_path):
    numbers = spread([answers[coin.Calibrated], answers[coin.Frozen]])
    assert numbers["crps_sd"] > 0 and len(numbers["curves"]["crps"]) == HORIZON
    assert json.loads(write_json(numbers, tmp_path / "x.json").read_text()) == numbers


def test_the_same_seed_gives_the_same_numbers_and_another_one_others(columns):
    first, again, other = (
        measure(trial(coin.Calibrated(), columns, num_windows=3, seed=seed, batch_size=7)) for seed in (5, 5, 6)
    )
    assert first == again and first["crps"] != other["crps"]
    assert first["num_windows"] == 3 and "needs 8 windows, got 3" in first["spearman_reason"]
    assert first["spearman_spread_1"] is None


def test_doubt_that_is_no_number_is_refused(columns):
    class Broken(coin.Calibrated):
        def says(self, last):
            return np.full(len(last), np.nan)

    with pytest.raises(ValueError, match="NaN or infinity as uncertainty in 32 of 32"):
        measure(trial(Broken(), columns, num_windows=8, seed=0))


# --- the game played back, and the real model


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    footage = toy.footage(tmp_path_factory.mktemp("toy") / "footage", episodes=3)
    return load_columns(footage, range(len(footage)))


def test_the_game_played_back_gets_the_best_of_every_number(walk):
    numbers = measure(trial(toy.Perfect(), walk, num_windows=8, seed=0))
    assert numbers["crps"] == numbers["crps_changed"] == 0
    assert numbers["crps_skill"] == numbers["spread_skill"] == 1
    assert [numbers[f"coverage_{level}"] for level in LEVELS] == pytest.approx([0.5, 0.8, 0.9])
    assert numbers["spearman_uncertainty"] is None and "every frame is 0" in numbers["spearman_reason"]


def test_where_nothing_changes_there_is_no_coverage_and_the_result_says_why(walk):
    still = walk._replace(obs=np.broadcast_to(walk.obs[:1], walk.obs.shape))
    numbers = measure(trial(toy.Frozen(), still, num_windows=8, seed=0))
    assert numbers["coverage_50"] is None and "nothing changes" in numbers["moved_reason"]
    assert numbers["crps_changed"] is None and "nothing changes" in numbers["changed_reason"]
    assert numbers["crps"] == 0 and numbers["crps_skill"] is None


def test_a_real_model_takes_repeated_contexts_and_unknown_actions(untrained_world, bar_folder):
    footage = Footage.open(bar_folder)
    columns = load_columns(footage, range(len(footage)))
    numbers = measure(trial(load(str(untrained_world)), columns, num_windows=2, seed=0, batch_size=19))
    measured = ("crps", "crps_changed", "coverage_90", "spread_skill", "uncertainty_mean", "auroc_foreign")
    assert all(np.isfinite(numbers[name]) for name in measured)
    assert numbers["crps"] > 0 and numbers["num_windows"] == 2


# --- foreign footage


def test_frames_of_another_game_may_have_any_size_and_controls(columns):
    rng = np.random.default_rng(0)
    n = 30
    other = columns._replace(
        obs=rng.integers(256, size=(n, 48, 40, 3), dtype=np.uint8),
        prev_action=np.zeros((n, 4), np.float32),
        bounds=np.array([0, n]),
    )
    numbers = measure(trial(coin.Calibrated(), columns, num_windows=32, seed=0, reference={"foreign": other}))
    assert numbers["auroc_foreign"] == 1 and numbers["foreign"] == "another game"
    assert numbers["num_own_contexts"] == 32 and numbers["num_foreign_contexts"] == n - CONTEXT + 1


def test_footage_of_the_same_game_is_not_foreign(columns):
    same = measure_foreign(trial(coin.Calibrated(), columns, num_windows=64, seed=0, reference={"foreign": columns}))
    assert same["auroc_foreign"] == 0.5
    again = measure_foreign(
        trial(coin.Calibrated(), columns, num_windows=64, seed=0, reference={"foreign": coin.columns(seed=1)})
    )
    assert again["auroc_foreign"] == pytest.approx(0.5, abs=0.15)


def test_too_little_of_another_game_is_refused(columns):
    short = columns._replace(bounds=np.arange(0, len(columns.obs) + 1, 5))
    with pytest.raises(ValueError, match="another game with an episode of 8 frames, the longest has 5"):
        measure_foreign(trial(coin.Calibrated(), columns, num_windows=8, seed=0, reference={"foreign": short}))


def test_tiles_keep_their_pixels_and_their_order_in_time():
    rng = np.random.default_rng(0)
    still = np.repeat(rng.integers(256, size=(2, 1, 35, 32, 3), dtype=np.uint8), 3, 1)
    mixed = CORRUPTIONS["shuffled"](still, rng)
    assert (mixed[:, 0] == mixed[:, 2]).all() and (mixed != still).mean() > 0.8
    np.testing.assert_array_equal(np.sort(mixed, axis=None), np.sort(still, axis=None))
    np.testing.assert_array_equal(mixed[:, :, 32:], still[:, :, 32:])
    tile = mixed[0, 0, :4, :4]
    tiles = [still[0, 0, y : y + 4, x : x + 4] for y in range(0, 32, 4) for x in range(0, 32, 4)]
    assert any((tile == candidate).all() for candidate in tiles)


def test_frames_are_brought_to_size_by_their_means():
    frames = np.zeros((1, 2, 4, 6, 3), np.uint8)
    frames[..., ::2, :] = 100
    small = fit(frames, (2, 3))
    assert small.shape == (1, 2, 2, 3, 3) and (small == 50).all()
