import dataclasses
import json
from functools import partial

import numpy as np
import pytest

from tests.evaluate import toy
from tests.evaluate.trials import trial
from worldsim.data.dataset import load_columns
from worldsim.data.store import Footage
from worldsim.evaluate import EvalOptions, bench, evaluate, reference, write_json
from worldsim.evaluate.metrics.control import action_following, changed_error, measure_control
from worldsim.evaluate.metrics.outcome import _stretches, measure_outcome
from worldsim.evaluate.reference import _training_episodes, held_out_columns
from worldsim.evaluate.run import spread
from worldsim.evaluate.trial import CONTEXT, batches, draw_windows, longest_horizon
from worldsim.metrics import PSNR_CEILING
from worldsim.world import FootageSource


@pytest.fixture(scope="module")
def footage(tmp_path_factory) -> Footage:
    return toy.footage(tmp_path_factory.mktemp("toy") / "footage")


@pytest.fixture(scope="module")
def columns(footage):
    return load_columns(footage, range(len(footage)))


@pytest.fixture(scope="module")
def answers(footage):
    how = EvalOptions(num_windows=8, seeds=(0, 1), batch_size=4, drift_seconds=8.0, play_seconds=8.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "fit_inverse", partial(reference.fit_inverse, num_steps=150))
        shared = reference.open_reference([toy.Perfect()], footage, how)  # one inverse model for all
        worlds = (toy.Perfect, toy.Frozen, toy.Blind)
        return {world: evaluate(world(), footage, how, reference=shared) for world in worlds}


def test_a_perfect_world_gets_the_best_of_every_number(answers):
    numbers = answers[toy.Perfect]
    for name in ("psnr_free_16", "psnr_free_64", "psnr_tokenizer", "psnr_teacher_forced"):
        assert numbers["fidelity"][name] == pytest.approx(PSNR_CEILING, abs=1e-3)
    assert numbers["fidelity"]["ssim_free_64"] == pytest.approx(1, abs=1e-4)
    assert numbers["fidelity"]["gfvd_16"] == pytest.approx(0, abs=1e-4)
    assert numbers["control"]["action_following"] == 1
    assert numbers["outcome"]["reward_ap"] == 1
    assert numbers["objects"]["block_recall_free_32"] == numbers["objects"]["block_recall_real"] == 1
    assert numbers["objects"]["block_error_free_32"] < 0.5


def test_a_frozen_world_scores_as_the_copy_of_the_last_frame(answers):
    numbers = answers[toy.Frozen]
    for horizon in (1, 4, 8, 16, 32, 64):
        assert numbers["fidelity"][f"psnr_free_{horizon}"] == numbers["fidelity"][f"psnr_copy_last_{horizon}"]
    assert numbers["objects"]["block_recall_free_32"] == numbers["objects"]["block_recall_copy_last_32"]
    assert numbers["control"]["action_following"] == 0.5
    assert numbers["control"]["action_shuffle_ratio"] == pytest.approx(1)


def test_a_world_without_the_object_has_a_fair_psnr_and_no_recall(answers):
    numbers = answers[toy.Blind]
    assert numbers["fidelity"]["psnr_tokenizer"] > 17
    assert numbers["objects"]["block_recall"] == 0
    assert numbers["objects"]["block_error_reconstruction"] == pytest.approx(6)


def test_a_world_that_predicts_nothing_gets_the_base_rate(answers):
    outcome = answers[toy.Blind]["outcome"]
    assert outcome["reward_ap"] == pytest.approx(outcome["reward_base_rate"])
    assert outcome["termination_ap"] == pytest.approx(outcome["termination_base_rate"])


@pytest.mark.parametrize("worse", [toy.Frozen, toy.Blind])
def test_a_worse_world_is_farther_in_feature_space(answers, worse):
    assert answers[worse]["fidelity"]["gfvd_16"] > 0.005 > answers[toy.Perfect]["fidelity"]["gfvd_16"]


def test_a_world_that_ignores_its_actions_follows_about_half_of_them(columns):
    numbers = measure_control(trial(toy.Deaf(), columns, num_windows=64, seed=0))
    assert numbers["action_following"] == pytest.approx(0.5, abs=0.15)
    assert numbers["action_shuffle_ratio"] == pytest.approx(1)


def test_every_number_has_its_deviation_and_no_number_is_nan(answers, tmp_path):
    numbers = answers[toy.Perfect]
    path = write_json(numbers, tmp_path / "out" / "metrics.json")
    assert json.loads(path.read_text()) == numbers
    for section in ("fidelity", "control", "outcome", "objects"):
        for key, value in numbers[section].items():
            if isinstance(value, float) and not key.endswith("_sd") and not key.startswith("num_"):
                assert numbers[section][f"{key}_sd"] >= 0


def test_objects_of_a_kind_are_averaged(answers):
    objects = answers[toy.Perfect]["objects"]
    assert objects["paddle_error_free_32"] == objects["block_error_free_32"]


def test_the_same_seeds_give_the_same_numbers(footage):
    first, second = (
        evaluate(toy.Deaf(), footage, EvalOptions(num_windows=4, seeds=(3,), quick=True)) for _ in range(2)
    )
    del first["protocol"]["seconds"], second["protocol"]["seconds"]
    assert first == second


def test_numbers_that_are_not_finite_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="fidelity.psnr"):
        write_json({"fidelity": {"psnr": float("nan")}}, tmp_path / "x.json")
    assert not list(tmp_path.iterdir())


def test_footage_of_another_size_is_refused(footage):
    world = toy.Perfect()
    world.card = dataclasses.replace(world.card, size=(64, 64))
    with pytest.raises(ValueError, match="in its frame size: expected 64x64, got"):
        evaluate(world, footage)


def test_episodes_that_were_trained_on_are_never_measured(footage):
    world = toy.Perfect()
    names = [episode.name for episode in footage.episodes]
    source = FootageSource(digest=footage.digest(), episodes=len(footage))
    world.card = dataclasses.replace(world.card, footage=source, held_out_episodes=tuple(names[2:4]))
    assert _training_episodes(world, footage) == set(range(len(names))) - {2, 3}
    _, held_out, protocol = held_out_columns(world, footage)
    assert protocol["trained_on_this_footage"] and protocol["held_out_episodes"] == 2
    np.testing.assert_array_equal(held_out.obs[:97], footage[2].obs)


def test_windows_never_reach_past_an_episode(columns):
    rows = draw_windows(columns, CONTEXT + 64, 1000, seed=0)
    assert len(rows) == 8 * (97 - 72 + 1)
    assert (np.diff(rows, axis=1) == 1).all()
    episode = np.searchsorted(columns.bounds, rows, side="right")
    assert (episode == episode[:, :1]).all()


def test_batches_have_one_size_and_count_what_is_meant():
    parts = list(batches(np.arange(20).reshape(10, 2), 4))
    assert [(len(rows), count) for rows, count in parts] == [(4, 4), (4, 4), (4, 2)]


def test_short_episodes_shorten_the_horizon_and_shorter_ones_are_refused(columns):
    short = columns._replace(bounds=np.arange(0, 41, 40))
    assert longest_horizon(short) == 32
    with pytest.raises(ValueError, match="at least 24 frames"):
        longest_horizon(columns._replace(bounds=np.arange(0, 21, 20)))


def test_only_changed_pixels_count_for_control():
    real = np.zeros((1, CONTEXT + 1, 4, 4, 3), np.uint8)
    real[0, -1, 0, 0] = 255
    dream = np.full((1, 1, 4, 4, 3), 128, np.uint8)
    dream[0, 0, 0, 0] = 255
    assert changed_error(real, dream)[0] == 0


def test_a_tie_counts_one_half():
    assert action_following(np.array([0.0, 1.0, 1.0, 0.0]), np.array([1.0, 0.0, 1.0, 0.0])) == 0.5


def test_footage_without_actions_has_no_control_and_says_why(columns):
    unlabelled = columns._replace(prev_action=np.full_like(columns.prev_action, np.nan))
    numbers = measure_control(trial(toy.Perfect(), unlabelled, num_windows=4, seed=0))
    assert numbers["action_following"] is None and "not known" in numbers["reason"]


def test_outcome_without_events_is_none_and_says_why(columns):
    quiet = columns._replace(reward=np.zeros_like(columns.reward))
    numbers = measure_outcome(trial(toy.Perfect(), quiet, num_windows=16, seed=0))
    assert numbers["reward_ap"] is None and "no reward" in numbers["reward_reason"]


def test_outcome_judges_every_frame_but_the_first_exactly_once(columns):
    starts, stops = _stretches(columns.bounds)
    numbers = measure_outcome(trial(toy.Perfect(), columns, num_windows=len(starts), seed=0))
    assert numbers["num_frames"] == len(columns.obs) - (len(columns.bounds) - 1)
    assert numbers["termination_positives"] == columns.terminated.sum()


def test_bench_names_the_machine_and_its_rates_are_consistent():
    numbers = bench(toy.Perfect(), batch_size=4, num_repeats=2, seconds_per_repeat=0.02)
    assert numbers["fps_batch_1"] > 0 and numbers["fps_batch_4"] > 0
    assert numbers["latency_p50_ms"] <= numbers["latency_p95_ms"]
    assert numbers["compute_seconds_per_video_minute"] == pytest.approx(600 / numbers["fps_batch_1"])
    assert "cores" in numbers["hardware"]


def test_the_spread_skips_runs_without_an_answer():
    result = spread([{"x": 1.0, "y": None}, {"x": 3.0, "y": None}, {"x": None, "y": None}])
    assert result["x"] == 2 and result["x_sd"] == 1 and result["y"] is None
