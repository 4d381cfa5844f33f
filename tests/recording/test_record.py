"""A recording depends on its seed alone, and survives what happens to its processes."""

import errno
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.data.footage_factory import TOY, assert_same_episode
from worldsim.data.store import Footage
from worldsim.recording.game import Game
from worldsim.recording.process import _portable_config, _write
from worldsim.recording.record import record
from worldsim.recording.source import GameConfig

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


def assert_same_footage(a: Footage, b: Footage) -> None:
    assert a.digest() == b.digest()
    assert len(a) == len(b)
    for i in range(len(a)):
        assert_same_episode(a[i], b[i])


def test_two_workers_record_the_same_footage_as_one(toy_footage, tmp_path):
    seen = []
    progress = lambda done, wanted: seen.append((done, wanted))  # noqa: E731
    two = record(TOY, tmp_path / "f", num_frames=300, policy="random", seed=3, num_workers=2, on_progress=progress)
    assert_same_footage(two, toy_footage)
    listed = [e.name for e in two.episodes]
    assert sorted(p.name for p in (two.path / "episodes").iterdir()) == listed
    assert two.num_frames >= 300 > two.num_frames - two.episodes[-1].length
    assert seen[-1] == (300, 300)
    assert all(wanted == 300 and done <= 300 for done, wanted in seen)


def test_a_recording_that_goes_on_equals_one_made_in_one_go(toy_footage, tmp_path):
    first = record(TOY, tmp_path / "f", num_frames=100, policy="random", seed=3)
    assert first.num_frames < 150
    assert_same_footage(record(TOY, tmp_path / "f", num_frames=300, policy="random", seed=3), toy_footage)


def test_episodes_say_how_they_ended(toy_footage):
    ends = set()
    for info, episode in zip(toy_footage.episodes, toy_footage):
        assert info.terminated == episode.terminated[-1]
        assert episode.terminated[-1] != episode.truncated[-1]
        assert not episode.terminated[:-1].any() and not episode.truncated[:-1].any()
        assert info.return_ == episode.reward.sum()
        ends.add(info.terminated)
    assert ends == {True, False}  # the toy has a time limit


def test_long_episodes_are_cut_and_called_truncated(tmp_path):
    footage = record(TOY, tmp_path / "f", num_frames=40, max_episode_len=7)
    for i, info in enumerate(footage.episodes):
        episode = footage[i]
        assert info.length <= 8
        assert episode.truncated[-1] == (info.length == 8 and not info.terminated)


def test_a_game_with_every_kind_of_control_that_only_renders_is_recorded(tmp_path):
    footage = record(
        "tests.contracts.toy_env:worldsim_test/Mixed-v0", tmp_path / "f", num_frames=60, size=(4, 6), frame_skip=2
    )
    assert footage.meta.size == (4, 6)
    assert footage.meta.fps == 5.0
    assert footage.meta.action_spec.size == 7
    for i in range(len(footage)):
        footage.meta.action_spec.rows(footage[i].action, batch_shape=(footage.episodes[i].length - 1,))


def test_footage_of_another_size_is_refused_and_left_alone(toy_footage):
    before = toy_footage.digest()
    with pytest.raises(ValueError, match=r"size \[8, 12\] cannot go on with \[4, 6\]"):
        record(TOY, toy_footage.path, num_frames=9000, size=(4, 6))
    assert Footage.open(toy_footage.path).digest() == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_frames": 0},
        {"num_frames": -5},
        {"num_workers": 0},
        {"max_episode_len": 0},
        {"seed": -1},
        {"size": (0, 4)},
        {"frame_skip": 0},
    ],
)
def test_numbers_out_of_range_are_refused_before_anything_starts(tmp_path, wrong):
    with pytest.raises(ValueError, match="expected"):
        record(TOY, tmp_path / "f", **{"num_frames": 10, **wrong})
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize(
    ("game", "words"),
    [
        ("CartPoll-v1", "Did you mean CartPole-v1"),
        ("tests.contracts.toy_env:worldsim_test/Toi-v0", "there is no game"),
        ("jumpp", "Did you mean jump"),
        ("FrozenLake-v7", "there is no game"),
    ],
)
def test_an_unknown_game_is_refused_with_names_that_are_close(game, words):
    with pytest.raises(ValueError, match=words):
        Game(game)


def test_an_unknown_game_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="Did you mean CartPole-v1"):
        record("CartPoll-v1", tmp_path / "f", num_frames=10)
    assert not (tmp_path / "f").exists()


def test_a_game_without_pictures_is_refused():
    with pytest.raises(ValueError, match="expected pictures in the observations of .*, or rgb_array rendering"):
        Game("tests.contracts.toy_env:worldsim_test/Blind-v0")


def test_a_full_disk_ends_the_recording_with_what_was_whole(tmp_path):
    with pytest.raises(OSError, match="no room left on the disk") as error:
        record("tests.recording.full_disk_env:worldsim_test/FullDisk-v0", tmp_path / "f", num_frames=500)
    assert error.value.errno == errno.ENOSPC
    footage = Footage.open(tmp_path / "f")
    assert len(footage) == 1
    footage[0]
    assert [p.name for p in (tmp_path / "f/episodes").iterdir()] == ["000000"]


def test_an_episode_whose_process_died_is_played_again_and_that_is_said(tmp_path, monkeypatch):
    crash = tmp_path / "crash"
    crash.touch()
    monkeypatch.setenv("WORLDSIM_TEST_CRASH_FILE", str(crash))
    with pytest.warns(RuntimeWarning, match="died with exit code -9.*episode 0 is played again"):
        footage = record("tests.contracts.toy_env:worldsim_test/CrashOnce-v0", tmp_path / "f", num_frames=60)
    assert footage.num_frames >= 60
    assert not crash.exists()


@pytest.mark.filterwarnings("ignore:episode")
def test_a_game_that_dies_again_and_again_is_given_up(tmp_path):
    with (
        pytest.warns(RuntimeWarning, match="played again"),
        pytest.raises(RuntimeError, match="whole episodes are kept"),
    ):
        record("tests.contracts.toy_env:worldsim_test/Crash-v0", tmp_path / "f", num_frames=500)


KILL_ME = """
from worldsim.recording.game import Game
from worldsim.recording.record import record
record({game!r}, {out!r}, num_frames=100_000, policy="random", seed=3, num_workers=2)
"""


def _processes_below(pid: int) -> list[int]:
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
    return [p for p, parent in parents.items() if parent == pid]


def _wait(until, what: str, limit_s: float = 300) -> None:
    deadline = time.monotonic() + limit_s  # long, for a machine that is busy with other things
    while not until():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@linux
@pytest.mark.parametrize("seed", [0, 1])
def test_kill_9_loses_the_unfinished_episode_alone_and_leaves_no_process(toy_footage, tmp_path, seed):
    index = tmp_path / "f/episodes.jsonl"
    script = KILL_ME.format(game=TOY, out=str(tmp_path / "f"))
    path = os.pathsep.join(p or os.getcwd() for p in sys.path)
    with subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": path}) as parent:
        try:
            _wait(lambda: index.exists() and index.read_bytes().count(b"\n") > 2, "no episode was listed")
            time.sleep(random.Random(seed).uniform(0, 0.3))
            workers = _processes_below(parent.pid)
        finally:
            parent.kill()
    assert len(workers) == 2
    footage = Footage.open(tmp_path / "f")
    assert len(footage) >= 3
    episodes = [footage[i] for i in range(len(footage))]
    for mine, whole in zip(episodes, toy_footage):
        assert_same_episode(mine, whole)
    _wait(lambda: not any(map(_alive, workers)), "a worker outlived its parent")


def test_a_worker_whose_parent_is_gone_before_it_is_ready_leaves():
    serve = "from worldsim.recording.process import serve; serve()"
    path = os.pathsep.join(p or os.getcwd() for p in sys.path)
    with subprocess.Popen(
        [sys.executable, "-c", serve], stdin=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    ) as worker:
        _write(worker.stdin, _portable_config(GameConfig(name="none-v0")))
        worker.stdin.close()
        assert worker.wait(60) in (0, 1)


def test_a_recording_ended_by_an_error_of_the_callback_leaves_whole_episodes(toy_footage, tmp_path):
    def stop(done, _):
        if done > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(TOY, tmp_path / "f", num_frames=300, policy="random", seed=3, on_progress=stop)
    footage = Footage.open(tmp_path / "f")
    assert 0 < len(footage) < len(toy_footage)
    assert footage.episodes == toy_footage.episodes[: len(footage)]
    assert len(list((tmp_path / "f/episodes").iterdir())) == len(footage)


def test_policies_differ_and_seeds_differ(toy_footage, tmp_path):
    other = record(TOY, tmp_path / "f", num_frames=20, policy="random", seed=4)
    assert not np.array_equal(other[0].obs, toy_footage[0].obs)
