import os
from pathlib import Path

import numpy as np
import pytest

from tests.contracts.check_world_env import check_world_env

pytest.importorskip("vizdoom")
pytest.importorskip("cv2")


def shared_memory():
    return {p.name for p in Path("/dev/shm").glob("ViZDoom*")} if Path("/dev/shm").is_dir() else set()


def test_doom_keeps_the_contract(seen):
    check_world_env(lambda: seen("doom-takecover"))


def test_an_episode_depends_on_its_seed_only_whatever_was_played_before(player):
    home = player("doom-mywayhome")
    first = home.trace(seed=1)
    home.trace(seed=2, num_steps=25)
    np.testing.assert_array_equal(home.trace(seed=1), first)
    np.testing.assert_array_equal(player("doom-mywayhome").trace(seed=1), first)


def test_nothing_is_left_behind_after_closing(player, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = shared_memory()
    home = player("doom-mywayhome").reset(0)
    home.step("forward")
    home.env.close()
    assert shared_memory() <= before
    assert os.listdir(tmp_path) == []
    home.reset(0)  # and it can be started again
    home.step("forward")


def test_turning_left_raises_the_angle_and_right_lowers_it(player):
    home = player("doom-mywayhome").reset(0)
    for label, sign in (("turn-left", 1), ("turn-right", -1)):
        before = home.state["angle"]
        for _ in range(3):
            home.step(label)
        turned = (home.state["angle"] - before + 180) % 360 - 180
        assert np.sign(turned) == sign and abs(turned) > 10


def test_left_and_right_walk_along_the_wall(player):
    cover = player("doom-takecover").reset(0)
    for label, sign in (("left", 1), ("right", -1)):  # the player faces east, so that left is north
        before = cover.state["y"]
        for _ in range(6):
            cover.step(label)
        assert np.sign(cover.state["y"] - before) == sign


def test_death_terminates(player):
    cover = player("doom-takecover").reset(0)
    while not cover.step("noop"):
        assert cover.state["health"] > 0
    assert cover.terminated and not cover.truncated and cover.state["health"] <= 0


@pytest.mark.parametrize(
    ("game", "seed", "least"),
    [("doom-mywayhome", 100, 0.8), ("doom-defend-center", 100, 5), ("doom-corridor", 103, 300)],
)
def test_the_scripted_player_scores(game, seed, least, player):
    played = player(game).reset(seed)
    total, over = 0.0, False
    while not over:
        over = played.step(played.scripted())
        total += played.reward
    assert total >= least
