"""Luanti in lock-step: one action a frame, the same for the same seed, and nothing is left behind."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import worldsim_envs
from worldsim.data.meta import FootageMeta
from worldsim.recording.game import Game
from worldsim_envs.luanti import client, lockstep
from worldsim_envs.luanti.player import SLOW, Player
from worldsim_envs.luanti.words import NODES, attributes, node_index, place_index, time_index

IS_HERE = (
    Path(client.PROGRAM).exists()
    and shutil.which("Xvfb") is not None
    and importlib.util.find_spec("Xlib") is not None
    and importlib.util.find_spec("cv2") is not None
)
needs_luanti = pytest.mark.skipif(not IS_HERE, reason="needs the Debian packages minetest and xvfb, and python-xlib")
ABOUT = worldsim_envs.describe("luanti")


def test_states_have_words_in_two_languages():
    for name, words in attributes("endless").items():
        assert name in ABOUT["state"] and len(words["en"]) == len(set(words["en"])) == len(words["ko"])
    assert attributes("endless")["biome"]["en"][place_index("taiga_ocean")] == "taiga"
    assert place_index("a biome of some mod") == 0
    assert attributes("valley")["place"]["en"][place_index("tower")] == "tower"
    words = {
        "default:dirt_with_snow": "snow",
        "default:dirt_with_dry_grass": "grass",
        "default:pine_needles": "leaves",
        "default:tree": "tree",
        "default:desert_sandstone": "sand",
        "default:water_source": "water",
        "none": "nothing",
        "default:wood": "planks",
        "stairs:something": "block",
    }
    assert {node: list(NODES)[node_index(node)] for node in words} == words
    assert [attributes("endless")["time"]["en"][time_index(t)] for t in (0.5, 0.77, 0.99, 0.1, 0.23, 0.25)] == [
        "day",
        "dusk",
        "night",
        "night",
        "dawn",
        "day",
    ]


def test_the_library_is_compiled_once(tmp_path, monkeypatch):
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("needs a C compiler")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library = lockstep.compile_library()
    stamp = library.stat().st_mtime_ns
    assert lockstep.compile_library() == library and library.stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("missing", "said"),
    [("Xvfb", "Debian package xvfb"), ("cc", "no C compiler"), ("minetest", "Debian package minetest")],
)
def test_what_is_missing_is_said(missing, said, monkeypatch, tmp_path):
    gone = {"cc", "gcc", "clang"} if missing == "cc" else {missing, "luanti"} if missing == "minetest" else {missing}
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name in gone else which(name) or f"/bin/{name}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if missing == "minetest":
        monkeypatch.setattr(client, "PROGRAM", str(tmp_path / "none"))
    if missing != "minetest" and importlib.util.find_spec("Xlib") is None:
        pytest.skip("needs python-xlib")
    with pytest.raises(FileNotFoundError, match=said):
        if missing == "minetest":
            client.Client(size=(90, 160), dt=0.1, map_name="endless", map_seed=1, viewing_range=20)
        else:
            lockstep.Lockstep(["true"], size=(90, 160), dt=0.1)


def processes(word):
    """Processes that have a word in their command."""
    found = subprocess.run(["ps", "-eo", "pid,stat,args"], capture_output=True, text=True).stdout.splitlines()
    return {line.split()[0] for line in found if word in line and " Z" not in line and "ps -eo" not in line}


@pytest.fixture(scope="module")
def game():
    game = gym.make("worldsim_envs/luanti-v0").unwrapped
    yield game
    game.close()


def play(game, seed, num_steps=25):
    """Walk, turn and dig: states and pictures."""
    obs, info = game.reset(seed=seed)
    frames, states = [obs], [info["state"]]
    for t in range(num_steps):
        action = game.action_space.sample()
        action["choices"][:], action["buttons"][:], action["axes"][:] = 0, 0, 0
        action["buttons"][0] = t < 15
        action["axes"][0] = 6.0 if 5 <= t < 10 else 0.0
        obs, _, _, _, info = game.step(action)
        frames.append(obs)
        states.append(info["state"])
    return np.stack(frames), np.stack(states)


@needs_luanti
def test_the_same_seed_and_actions_give_the_same_way(game):
    (frames, states), (again, second) = (play(game, 7) for _ in range(2))  # the second in a game that starts anew
    columns = [ABOUT["state"].index(name) for name in ("x", "y", "z", "yaw", "pitch")]
    np.testing.assert_allclose(states[:, columns], second[:, columns], atol=5e-3)
    differ = (np.abs(frames.astype(int) - again) > 16).any(-1).mean()
    assert differ < 0.1 and frames.std() > 10
    moved = np.linalg.norm(states[15, :3] - states[0, :3])
    turned = (states[0, columns[3]] - states[-1, columns[3]]) % 360
    assert moved > 1.0 and turned == pytest.approx(30.0, abs=0.5)


@needs_luanti
def test_digging_takes_a_block_away_and_is_told(game):
    _, info = game.reset(seed=21)
    names, dug, reward_sum = ABOUT["state"], 0.0, 0.0
    action = {"choices": np.zeros(1, np.int64), "buttons": np.zeros(8, np.int8), "axes": np.zeros(2, np.float32)}
    for t in range(40):
        action["axes"] = np.array([0.0, 15.0 if t < 4 else 0.0], np.float32)
        action["buttons"] = np.eye(8, dtype=np.int8)[6] * np.int8(t > 4)
        _, reward, _, _, info = game.step(action)
        dug += info["state"][names.index("dug")]
        reward_sum += float(reward)
    assert dug >= 1 and reward_sum >= 1
    assert info["state"][names.index("pitch")] > 40


def test_the_player_of_the_valley_turns_as_people_do_and_walks_back_what_it_walked():
    seen = client.Seen(0, 0, 0, 0, 8, 20, 1, 0.5, -1, "none")
    player, at, way = Player(3, "valley"), np.zeros(3), []
    for _ in range(600):  # on a plain without an end: a tenth of a block a frame
        row = player.act(seen._replace(x=at[0], z=at[1], pitch=8 + at[2]))
        heading = np.radians(sum(turn for turn, _ in way) + row[9])
        at[:2] += row[1] * 0.1 * np.array([np.sin(heading), np.cos(heading)])
        at[2] += row[10]
        way.append((row[9], row[1]))
    turns = np.abs([turn for turn, _ in way])
    assert turns.max() < 8 and (turns <= SLOW).mean() > 0.95
    assert turns.sum() > 500 and np.linalg.norm(at[:2]) < 15, "far turned, not far away"


@needs_luanti
def test_the_valley_has_each_of_its_places_where_it_says():
    game = gym.make("worldsim_envs/luanti-valley-v0").unwrapped
    about = worldsim_envs.describe("luanti-valley")
    names, found = about["state"], set()
    try:
        for seed in range(6):
            obs, info = game.reset(seed=seed)
            state = dict(zip(names, info["state"]))
            assert max(abs(state["x"]), abs(state["z"])) < 48 and obs.std() > 5
            found.add((state["x"] > 0, state["z"] > 0, about["attributes"]["place"]["en"][int(state["place"])]))
    finally:
        game.close()
    parts = {
        (False, False): {"meadow", "house"},
        (True, False): {"desert", "tower"},
        (False, True): {"forest", "stones"},
        (True, True): {"snow", "cave"},
    }
    assert len(found) > 2 and all(place in {"lake", *parts[x, z]} for x, z, place in found), found


@needs_luanti
def test_actions_that_are_none_are_refused(game):
    game.reset(seed=7)
    with pytest.raises(ValueError, match="expected an action in"):
        game.step({"choices": np.array([9]), "buttons": np.zeros(8, np.int8), "axes": np.zeros(2, np.float32)})


@needs_luanti
def test_a_game_that_dies_says_so_and_the_next_reset_starts_it_again(game):
    game.reset(seed=8)
    game._client.game._processes[-1].kill()
    with pytest.raises(RuntimeError, match="ended with exit code"):
        for _ in range(3):
            game.step(game.scripted_action())
    obs, _ = game.reset(seed=8)
    assert obs.std() > 5


@needs_luanti
def test_nothing_is_left_of_a_parent_that_was_killed(tmp_path):
    code = (
        "import gymnasium, worldsim_envs\n"
        "game = gymnasium.make('worldsim_envs/luanti-v0').unwrapped\n"
        "game.reset(seed=1)\nprint(game._client._folder.name, flush=True)\nimport time; time.sleep(100)"
    )
    shared = set(os.listdir("/dev/shm"))  # it never writes there; other games may come and go meanwhile
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    folder = parent.stdout.readline().strip()
    assert processes(folder)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 5
    while processes(folder) and time.monotonic() < until:
        time.sleep(0.1)
    assert not processes(folder)
    assert not [name for name in set(os.listdir("/dev/shm")) - shared if "ViZDoom" not in name]
    shutil.rmtree(folder, ignore_errors=True)


@needs_luanti
def test_it_can_be_recorded():
    game = Game("luanti")
    try:
        meta = game.meta({"policy": "noisy"})
        assert FootageMeta.from_json(meta.to_json()) == meta
        assert meta.size == (64, 112) and meta.attributes["held"]["ko"] and meta.action_spec.size == 11
        assert game.scripted is not None and game.step(game.scripted()).state is not None
    finally:
        game.close()
