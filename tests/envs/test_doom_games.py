import os
from pathlib import Path

import numpy as np
import pytest

from worldsim.env import check_world_env

pytest.importorskip("vizdoom")
pytest.importorskip("cv2")


def shared_memory():
    return {p.name for p in Path("/dev/shm").glob("ViZDoom*")} if Path("/dev/shm").is_dir() else set()


@pytest.mark.parametrize("game", ["doom-takecover", "doom-lookaway"])
def test_doom_keeps_the_contract(game, seen):
    check_world_env(lambda: seen(game))


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


def test_fireballs_are_where_the_picture_is_brightest(player):
    cover = player("doom-takecover").reset(0)
    num_seen = 0
    while not cover.step("noop"):
        for ball in (f"fireball{i}" for i in range(4)):
            if np.isfinite(cover.state[f"{ball}_x"]):
                num_seen += 1
                row, column = int(cover.state[f"{ball}_y"] * 60), int(cover.state[f"{ball}_x"] * 80)
                near = cover.obs[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
                assert near.max() > 130 > np.median(cover.obs)
    assert num_seen > 10


def test_death_terminates(player):
    cover = player("doom-takecover").reset(0)
    while not cover.step("noop"):
        assert cover.state["health"] > 0
    assert cover.terminated and not cover.truncated and cover.state["health"] <= 0


def test_the_looker_turns_away_by_90_180_and_360_degrees_and_back_to_the_very_angle(player):
    looks = player("doom-lookaway").reset(0)
    poses, over = [], False
    while not over:
        over = looks.step(looks.scripted())
        poses.append((looks.state["x"], looks.state["y"], looks.state["angle"]))
    x, y, angle = np.array(poses).T
    steps = (np.diff(angle, prepend=angle[0]) + 180) % 360 - 180
    assert set(np.round(np.abs(steps), 3)) == {0, 22.5}
    heading = np.round(np.cumsum(steps) / 22.5).astype(int)
    for turn in (4, 8, 16):
        assert any(
            (x[i], y[i]) == (x[j], y[j])
            and angle[i] == pytest.approx(angle[j], abs=1e-3)
            and abs(heading[i : j + 1] - heading[i]).max() == turn
            for i in np.flatnonzero((steps[:-1] == 0) & (steps[1:] != 0))
            for j in range(i + 8, min(i + 42, len(x)))
        )


def test_looking_turns_by_the_same_angle_in_every_tic(player):
    for frame_skip in (1, 3):
        looks = player("doom-lookaway", frame_skip=frame_skip).reset(0)
        before = looks.state["angle"]
        looks.step("look-left")
        assert (looks.state["angle"] - before) % 360 == pytest.approx(5.625 * frame_skip, abs=1e-3)


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
