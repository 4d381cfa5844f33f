"""Commands that measure: eval, compare and bench."""

import dataclasses
import json
import shlex
from pathlib import Path

import pytest

from tests.commands import make_footage, refused, run
from tests.evaluate import toy
from worldsim import cli
from worldsim.controls import discrete

pytestmark = pytest.mark.usefixtures("somewhere_empty")


def test_eval_refuses_footage_of_another_size_or_controls_and_writes_nothing(capsys, tmp_path, untrained_world):
    make_footage("wide", size=(16, 32))
    make_footage("other", spec=discrete(("noop", "jump")))
    for folder, said in (("wide", "size"), ("other", "controls"), ("nowhere", "not a footage folder")):
        assert said in refused(capsys, "eval", untrained_world, "--data", folder, "--out", "report")
    assert not (tmp_path / "report").exists()


def test_eval_needs_footage_or_a_game(capsys, untrained_world):
    assert "either --data" in refused(capsys, "eval", untrained_world, "--out", "report")


def test_eval_refuses_sections_that_there_are_not_before_anything_is_recorded(capsys, tmp_path, untrained_world):
    args = ("eval", untrained_world, "--game", "jump", "--out", "report", "--only")
    assert "among control" in refused(capsys, *args, "presense")
    assert not (tmp_path / "report").exists()


def test_a_game_that_is_not_here_is_left_out_of_the_evaluation_and_that_is_said(
    capsys, tmp_path, untrained_world, bar_folder
):
    args = ("--data", bar_folder, "--out", "report", "--seeds", 1, "--only", "free_play", "--play-seconds", 2)
    status, out, err = run(capsys, "eval", untrained_world, *args, "--json")
    assert status == 0 and "the game is not played for the evaluation: there is no game 'bar'" in err
    assert json.loads(out)["free_play"]["num_recorded_plays"] > 0
    assert not (tmp_path / "report" / "film_strip.png").exists()


def test_eval_writes_and_prints_the_same_numbers(capsys, tmp_path, untrained_world, bar_folder):
    args = ("--data", bar_folder, "--out", "report", "--windows", 4, "--seeds", 1, "--quick", "--json")
    status, out, err = run(capsys, "eval", untrained_world, *args)
    assert status == 0, err
    result = json.loads(out)
    assert result == json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert result["fidelity"]["psnr_copy_last_16"] > 0 and 0 <= result["control"]["action_following"] <= 1
    assert result["speed"]["fps_batch_1"] > 0
    said = shlex.split(result["protocol"]["command"])
    assert cli.parse(said[1:]) == cli.parse(["eval", str(untrained_world), *map(str, args)])
    report = (tmp_path / "report" / "report.html").read_text()
    assert "data:image/png" in report and result["protocol"]["weights_sha256"] in report


def test_footage_of_the_same_game_is_no_other_game(capsys, tmp_path, untrained_world, bar_folder):
    args = ("eval", untrained_world, "--data", bar_folder, "--out", "report", "--other", bar_folder)
    assert "of 'bar' too" in refused(capsys, *args)
    assert "leave quick out" in refused(capsys, *args, "--quick")
    assert "not a footage folder" in refused(capsys, *args[:-1], "nowhere")
    assert not (tmp_path / "report").exists()


def test_compare_writes_and_prints_the_same_differences(capsys, monkeypatch, tmp_path):
    def load(name, **_):
        world = {"frozen": toy.Frozen, "perfect": toy.Perfect}[name]()
        world.card = dataclasses.replace(world.card, name=name)
        world.sampler.noise_scale = 1.0
        return world

    monkeypatch.setattr("worldsim.simulator.load", load)
    footage = toy.footage(tmp_path / "footage", episodes=2).path
    args = ("--data", footage, "--out", "beside", "--windows", 2, "--quick", "--json")
    status, out, err = run(capsys, "compare", "frozen", "perfect", *args)
    assert status == 0, err
    result = json.loads(out)
    assert result == json.loads((tmp_path / "beside" / "compare.json").read_text())
    assert not result["differences"]["fidelity"]["psnr_free_16"]["within_noise"]
    assert result["a"]["speed"]["fps_batch_1"] > 0
    page = (tmp_path / "beside" / "compare.html").read_text()
    assert "data:image/png" in page and result["verdict"] in page and "frozen (A) beside perfect (B)" in page


def test_compare_refuses_worlds_of_two_games_before_it_records(capsys, tmp_path):
    pong, jump = (Path(__file__).parents[1] / "checkpoints" / name for name in ("pong", "jump"))
    said = refused(capsys, "compare", pong, jump, "--game", "pong", "--out", tmp_path / "beside")
    assert "jump differs from the world in its game: expected pong, got jump" in said
    assert not (tmp_path / "beside").exists()


def test_compare_refuses_too_few_seeds_and_writes_nothing(capsys, tmp_path, untrained_world, bar_folder):
    args = ("--data", bar_folder, "--out", "beside", "--seeds", 4)
    assert "at least 5" in refused(capsys, "compare", untrained_world, untrained_world, *args)
    assert not (tmp_path / "beside").exists()


def test_bench_says_how_fast_it_is(capsys, untrained_world):
    args = ("--repeats", 1, "--seconds", 0.01, "--batch-size", 2, "--json")
    status, out, err = run(capsys, "bench", untrained_world, *args)
    assert status == 0, err
    result = json.loads(out)
    wanted = ("fps_batch_1", "fps_batch_2", "latency_p50_ms", "latency_p95_ms", "compute_seconds_per_video_minute")
    assert all(result[name] > 0 for name in wanted)
