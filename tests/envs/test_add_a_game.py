"""The games of docs/add-a-game.md are real ones: they keep the contract."""

import re
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from worldsim.env import check_world_env

DOCS = Path(__file__).parents[2] / "docs" / "add-a-game.md"

pytest.importorskip("cv2")


def example(name):
    for block in re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL):
        if f"class {name}" in block:
            names: dict = {"__name__": "add_a_game"}
            exec(compile(block, str(DOCS), "exec"), names)
            return names[name]
    raise AssertionError(f"{DOCS.name} has no example {name}")


def register(monkeypatch, name, entry_point):
    monkeypatch.setitem(gym.registry, name, gym.envs.registration.EnvSpec(name, entry_point=entry_point))


def test_the_page_s_family_keeps_the_contract(monkeypatch):
    catch = example("Catch")
    register(monkeypatch, "Catch-v0", lambda **kwargs: catch("catch", **kwargs))
    check_world_env(lambda: gym.make("Catch-v0", render_mode="rgb_array"))
    env = catch("catch", render_mode="rgb_array", size=(32, 32))
    for seed in range(5):
        obs, info = env.reset(seed=seed)
        over = False
        while not over:
            x, y = info["state"][:2] * 32
            rows, columns = np.nonzero((obs == (255, 255, 0)).all(-1))
            assert (columns.mean(), rows.mean()) == (x, y)
            obs, reward, over, _, info = env.step(env.scripted_action())
        assert reward == 1


def test_the_page_s_pyxel_game_keeps_the_contract(monkeypatch, seen):
    pytest.importorskip("pyxel")
    from worldsim_envs.pyxel_games import PyxelGame
    from worldsim_envs.pyxel_rules import RULES

    platformer = example("Platformer")
    monkeypatch.setitem(RULES, "platformer", platformer)
    monkeypatch.setitem(PyxelGame.games, "platformer", platformer.about)
    name = "worldsim_envs/platformer-v0"
    register(monkeypatch, name, lambda **kwargs: PyxelGame("platformer", **kwargs))
    check_world_env(lambda: seen("platformer"))
    env = PyxelGame("platformer")
    env.reset(seed=0)
    total, over = 0.0, False
    for _ in range(400):
        _, reward, over, _, info = env.step(env.scripted_action())
        total += reward
        if over:
            break
    assert total > 0.5 and over
