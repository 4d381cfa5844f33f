"""Every command parses; bad input ends in one line and status 2 with nothing written; --json is one object."""

import json
import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.commands import make_footage, refused, run
from worldsim import cli
from worldsim.cli.train import Train
from worldsim.controls import discrete
from worldsim.video import read_prompt, write_video
from worldsim.world import check_name

pytestmark = pytest.mark.usefixtures("somewhere_empty")
COMMANDS = ["games", "record", "inspect", "train", "worlds", "play", "rollout", "eval", "compare", "bench", "agent"]


def test_without_a_command_it_teaches(capsys):
    status, out, err = run(capsys)
    assert status == 0 and err == ""
    assert all(f"worldsim {command}" in out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example_that_parses(capsys, command):
    status, out, _ = run(capsys, command, "--help")
    assert status == 0
    examples = [p for p in out.split("\n\n") if p.startswith("Example: ")]
    assert examples
    for example in examples:
        name, *args = shlex.split(example.removeprefix("Example: "))
        assert name == "worldsim"
        cli.parse(args)


@pytest.mark.parametrize("frames", [4, 60])
def test_every_printed_command_works_as_it_is_printed(capsys, frames):
    game, printed = "tests.contracts.odd_envs:worldsim_odd/Short-v0", []
    for command in (("record", game, "--out", "my foot age:2", "--frames", frames), ("games",)):
        status, out, _ = run(capsys, *command)
        assert status == 0
        printed += [line[line.index("worldsim ") :].split("  (")[0] for line in out.splitlines() if "worldsim " in line]
    commands = [cli.parse(shlex.split(line)[1:]) for line in printed]
    trains = [command for command in commands if isinstance(command, Train)]
    assert len(commands) == 3 and len(trains) == (frames == 60)
    for train in trains:
        assert check_name(train.out.name) == "my-foot-age-2" and train.data[0].is_dir()


def test_help_waits_for_no_heavy_import():
    code = (
        "import sys, worldsim.cli as c\ntry: c.main(['train', '--help'])\nexcept SystemExit: pass\n"
        "print('jax' in sys.modules, file=sys.stderr)"
    )
    env = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stderr == "False\n"


def test_an_unknown_command_or_option_has_status_2_and_no_traceback(capsys):
    for args in (["fly"], ["record", "jump", "--out", "x", "--frames", "many"], ["inspect"]):
        status, out, err = run(capsys, *args)
        assert status == 2 and out == "" and err and "Traceback" not in err


def test_games_names_what_is_registered_and_what_each_needs(capsys):
    status, out, err = run(capsys, "games", "--json")
    games = {g["name"]: g for g in json.loads(out)["games"]}
    assert status == 0 and err == ""
    assert {"jump", "pong", "breakout"} <= set(games)
    assert games["jump"]["ready"] in (True, False) and "pip install" in games["jump"]["install"]


def test_worlds_lists_none_in_an_empty_place_as_json(capsys):
    status, out, _ = run(capsys, "worlds", "--json")
    assert status == 0 and isinstance(json.loads(out)["worlds"], list)


def test_record_and_inspect_say_the_same_as_json(capsys, tmp_path):
    toy = "tests.contracts.toy_env:worldsim_test/Toy-v0"
    status, out, _ = run(capsys, "record", toy, "--out", "footage", "--frames", 60, "--json")
    made = json.loads(out)
    assert status == 0 and made["frames"] >= 60
    status, out, err = run(capsys, "inspect", "footage", "--sheet", "sheet.png", "--json")
    assert status == 0, err
    seen = json.loads(out)
    assert status == 0 and seen["frames"] == made["frames"] and seen["episodes"] == made["episodes"]
    assert (tmp_path / "sheet.png").stat().st_size > 0


def test_numbers_that_are_not_finite_become_null_in_json(capsys):
    cli.console.print_json({"a": float("nan"), "b": np.float32(2), "c": [np.inf, np.arange(2)]})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": 2.0, "c": [None, [0, 1]]}


def test_text_from_outside_is_printed_with_what_steers_a_terminal_escaped(capsys):
    title = "A \x1b[31mred\u202e 게임\nline \x9b\ud800"
    for as_json in (False, True):
        rows = cli.console.table(("title",), [[title]]) + "\n" + cli.console.tree({title: title})
        cli.console.report(as_json, {"title": title}, rows)
        out = capsys.readouterr().out
        assert not {c for c in out if not c.isprintable()} - {"\n"}
        assert r"\u001b[31mred\u202e 게임\nline \u009b\ud800" in out
    assert json.loads(out) == {"title": title}


def test_an_unknown_game_is_refused_with_close_names(capsys, tmp_path):
    assert "jump" in refused(capsys, "record", "jmup", "--out", "footage", "--frames", 10)
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_refused_with_the_extra_that_has_it(capsys, tmp_path):
    (tmp_path / "pyxel.py").write_text("raise ModuleNotFoundError('hidden', name='pyxel')")
    sys.path.insert(0, str(tmp_path))
    try:
        assert "worldsim-jax[games]" in refused(capsys, "record", "jump", "--out", "footage", "--frames", 10)
    finally:
        sys.path.remove(str(tmp_path))
    assert not (tmp_path / "footage").exists()


@pytest.mark.parametrize("bad", [["--frames", 0], ["--frames", 10, "--workers", 0], ["--frames", 10, "--size", 0, 9]])
def test_counts_below_one_are_refused(capsys, tmp_path, bad):
    assert "at least 1" in refused(capsys, "record", "jump", "--out", "footage", *bad)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("args", [("inspect",), ("train", "--out", "run")])
def test_what_is_no_footage_is_refused(capsys, tmp_path, args):
    (tmp_path / "holiday").mkdir()
    assert "not a footage folder" in refused(capsys, args[0], "holiday", *args[1:])
    assert [x.name for x in tmp_path.iterdir()] == ["holiday"]


def test_a_contact_sheet_of_another_format_is_refused(capsys, tmp_path):
    make_footage("footage", lengths=(3,))
    assert ".png" in refused(capsys, "inspect", "footage", "--sheet", "sheet.jpg")


def test_traceback_shows_where_an_error_came_from():
    with pytest.raises(ValueError, match="not a footage folder"):
        cli.main(["--traceback", "inspect", "nowhere"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_kill_end_in_order_and_say_how_to_go_on(capfd, monkeypatch, number):
    monkeypatch.setattr("worldsim.agent.record_game", lambda *args, **kwargs: signal.raise_signal(number))
    status, out, err = run(capfd, "record", "jump", "--out", "footage", "--frames", 10)
    assert status == 130 and out == "" and "same command goes on" in err


@pytest.mark.parametrize(
    "args", [("rollout", "--out", "a.gif"), ("eval", "--data", "nowhere", "--out", "report"), ("bench",)]
)
def test_an_unknown_world_is_refused_with_what_exists(capsys, tmp_path, args):
    assert "Worlds here" in refused(capsys, args[0], "atlantis", *args[1:])
    assert not list(tmp_path.iterdir())


def test_rollout_writes_as_many_frames_as_asked_for(capsys, tmp_path, untrained_world):
    status, out, err = run(capsys, "rollout", untrained_world, "--out", "dream.gif", "--frames", 5, "--json")
    assert status == 0, err
    assert json.loads(out)["frames"] == 5
    assert read_prompt(tmp_path / "dream.gif").shape[0] <= 5  # a gif merges frames that are alike


def test_side_by_side_shows_the_recorded_frames_left(capsys, tmp_path, untrained_world, bar_folder):
    args = ("--out", "both.mp4", "--frames", 6, "--side-by-side", bar_folder)
    status, _, err = run(capsys, "rollout", untrained_world, *args)
    assert status == 0, err
    video = read_prompt(tmp_path / "both.mp4")
    assert video.shape[0] == 6
    left = video[:, :, : video.shape[2] * 16 // 34].max(axis=(1, 3))
    assert (left > 150).any(axis=1).all()  # the bar is in every recorded frame


def test_actions_come_from_a_file_by_label_or_number(capsys, tmp_path, untrained_world):
    (tmp_path / "keys.txt").write_text("left\n2\nstay\n")
    args = ("--out", "a.gif", "--frames", 4, "--actions", "keys.txt", "--prompt", "nothing")
    assert run(capsys, "rollout", untrained_world, *args)[0] == 0


def test_a_rollout_goes_on_from_a_saved_state(capsys, tmp_path, untrained_world):
    first = ("rollout", untrained_world, "--out", "a.gif", "--frames", 3, "--actions", "noop", "--save-state", "state")
    assert run(capsys, *first)[0] == 0
    again = ("--out", "b.gif", "--frames", 2, "--actions", "noop", "--from-state", "state", "--json")
    status, out, err = run(capsys, "rollout", untrained_world, *again)
    assert status == 0 and json.loads(out)["frames"] == 2, err
    said = refused(capsys, "rollout", untrained_world, *again, "--prompt", "nothing")
    assert "--from-state" in said
    (tmp_path / "state").write_bytes(b"no state")
    assert "state" in refused(capsys, "rollout", untrained_world, *again)


def test_a_rollout_is_played_by_the_planner_from_a_saved_state_too(capsys, tmp_path, untrained_world):
    first = ("rollout", untrained_world, "--out", "a.gif", "--frames", 3, "--actions", "plan", "--save-state", "state")
    assert run(capsys, *first)[0] == 0
    again = ("--out", "b.gif", "--frames", 2, "--actions", "plan", "--from-state", "state", "--json")
    status, out, err = run(capsys, "rollout", untrained_world, *again)
    assert status == 0 and json.loads(out)["frames"] == 2, err


def test_actions_that_the_world_does_not_have_are_refused(capsys, tmp_path, untrained_world):
    (tmp_path / "keys.txt").write_text("left\nfly\n7\n")
    for frames, said in ((3, "'fly'"), (9, "expected 8 actions")):
        args = ("--out", "a.gif", "--frames", frames, "--actions", "keys.txt")
        assert said in refused(capsys, "rollout", untrained_world, *args)
    (tmp_path / "keys.txt").write_text("7\n")
    assert "0..2" in refused(
        capsys, "rollout", untrained_world, "--out", "a.gif", "--frames", 2, "--actions", "keys.txt"
    )
    assert "random, noop, plan, agent:PATH or a file" in refused(
        capsys, "rollout", untrained_world, "--out", "a.gif", "--actions", "nofile"
    )
    assert not (tmp_path / "a.gif").exists()


def test_zero_frames_are_refused(capsys, tmp_path, untrained_world):
    assert "at least 1 frame" in refused(capsys, "rollout", untrained_world, "--out", "a.gif", "--frames", 0)
    assert not list(tmp_path.iterdir())


def test_a_prompt_of_another_size_is_refused(capsys, tmp_path, untrained_world):
    write_video(tmp_path / "big.gif", np.zeros((1, 24, 32, 3), np.uint8), fps=10, min_width=32)
    said = refused(capsys, "rollout", untrained_world, "--out", "a.gif", "--prompt", "big.gif")
    assert "16x16" in said and "24x32" in said
    make_footage("wide", size=(16, 32), lengths=(20,))
    assert "16x32" in refused(capsys, "rollout", untrained_world, "--out", "a.gif", "--prompt", "wide")


def test_a_picture_of_any_size_is_fitted_and_one_that_nobody_could_hold_is_refused(capsys, tmp_path, untrained_world):
    for name, size in (("dot", (1, 1)), ("wide", (90, 20))):
        Image.new("RGB", size, (10, 200, 30)).save(tmp_path / f"{name}.png")
        args = ("--out", f"{name}.gif", "--frames", 2, "--prompt", f"{name}.png")
        status, _, err = run(capsys, "rollout", untrained_world, *args)
        assert status == 0, err
        assert read_prompt(tmp_path / f"{name}.gif").shape[0] >= 1
    Image.new("1", (20_000, 20_000)).save(tmp_path / "vast.png")
    said = refused(capsys, "rollout", untrained_world, "--out", "a.gif", "--prompt", "vast.png")
    assert "vast.png" in said and "pixels a side" in said
    said = refused(capsys, "rollout", untrained_world, "--out", "a.gif", "--prompt", "castle " * 1000)
    assert "reads no text" in said and len(said) < 300


def test_footage_of_other_controls_is_refused(capsys, tmp_path, untrained_world):
    make_footage("other", spec=discrete(("noop", "jump")), lengths=(60,))
    args = ("--out", "a.gif", "--frames", 9, "--side-by-side", "other")
    assert "differs from the world in its controls" in refused(capsys, "rollout", untrained_world, *args)
    assert not (tmp_path / "a.gif").exists()


def test_a_clip_longer_than_any_episode_is_refused(capsys, untrained_world, bar_folder):
    args = ("--out", "a.gif", "--frames", 400, "--side-by-side", bar_folder)
    assert "fewer --frames" in refused(capsys, "rollout", untrained_world, *args)


def test_a_damaged_world_is_refused(capsys, tmp_path, untrained_world):
    import shutil

    shutil.copytree(untrained_world, "broken")
    weights = tmp_path / "broken" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    refused(capsys, "rollout", "broken", "--out", "a.gif")
    assert not (tmp_path / "a.gif").exists()
