"""Scores of the real game, in a script as people write them."""

import subprocess
import sys

from tests.commands import environment

SCRIPT = """
import types
import gymnasium as gym, numpy as np, worldsim
from tests.contracts.odd_envs import Odd
from worldsim.recording.game import Game
from worldsim.recording.source import GameConfig
from worldsim.world import LearnedGame

class Mine(Odd):
    num_steps = 12

print("begins", flush=True)
gym.register("Mine-v0", entry_point=Mine)
meta = Game(GameConfig.of("Mine-v0")).meta({})
card = LearnedGame(title="Mine", game=meta.game, size=meta.size, fps=meta.fps, action_spec=meta.action_spec)
agent = types.SimpleNamespace(
    card=card,
    action_spec=card.action_spec,
    initial_state=lambda num_games: np.zeros((num_games, 1)),
    act=lambda key, state, obs, rows: (state, np.zeros_like(rows)),
)
print(worldsim.score_agent(agent, num_episodes=2, num_games=2).lengths)
"""


def test_a_script_without_a_main_guard_is_run_once_and_scores_its_own_game(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-W", "ignore", str(tmp_path / "script.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment())
    assert done.stdout == "begins\n[12, 12]\n", done.stderr
