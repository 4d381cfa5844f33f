"""A real game to play step by step from here, for agents to be scored in and for play beside its dream."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from worldsim.data.meta import FootageMeta
from worldsim.recording.episode import play_episode
from worldsim.recording.game import Arrival, Game
from worldsim.recording.process import GameProcess
from worldsim.recording.source import SETTINGS, GameConfig
from worldsim.world import LearnedGame, check_same_game

_START_S, _RESET_S, _STEP_S, _CLOSE_S, _EPISODE_S = 120.0, 120.0, 5.0, 2.0, 600.0


class RealGame(GameProcess):
    """A running game in a process of its own. `reset`, then `send` an action row and `receive_step` what came of it.

    Args:
        card: of the world that was learned from the game.

    Raises:
        ValueError: no such game, or one whose size, controls or pace are not those of the world.
        ModuleNotFoundError: its package is not installed; the message says which extra has it.
        RuntimeError: the game died or hangs; so do all methods.
    """

    def __init__(self, card: LearnedGame):
        recorder = card.footage.recorder
        settings = {name: recorder[name] for name in SETTINGS if recorder.get(name)}
        super().__init__(GameConfig.of(card.game, size=card.size, **settings))
        try:
            self.meta: FootageMeta = self.receive(_START_S)
            check_same_game(card, self.meta, f"the real {card.game}", ("size", "fps", "action_spec"))
        except BaseException:
            self.close()
            raise

    def reset(self, seed: int) -> Arrival:
        """Begin an episode."""
        self.call(Game.reset, seed)
        return self.receive(_RESET_S)

    def send_step(self, row: Float[np.ndarray, " a"]) -> None:
        """Hold an action for one frame; `receive_step` gives what came of it."""
        self.call(Game.step, row)

    def receive_step(self) -> Arrival:
        """Wait for the step that was sent."""
        return self.receive(_STEP_S)

    def send_episode(self, policy: str, seed: int, max_steps: int) -> None:
        """Let a recording policy play an episode; `receive_episode` gives its return and length."""
        self.call(play_episode, policy, seed, max_steps)

    def receive_episode(self) -> tuple[float, int]:
        """Wait for the episode that was sent."""
        return self.receive(_EPISODE_S)

    def close(self, timeout_s: float = _CLOSE_S) -> None:
        """End the game, by force where it hangs."""
        super().close(timeout_s)
