"""Atari 2600 games through the Arcade Learning Environment, whose wheel brings the ROMs.

The protocol is that of the Atari 100k benchmark where it matters: four native frames an action, no sticky actions,
and 1 to 30 random no-op frames at the start, drawn from the seed of `reset` (the emulator's own seed changes nothing
without sticky actions). What differs: actions that do the same are one action, FIRE is pressed for the player
where a game only waits for it to go on, colours and size are kept, and a lost life does not end the episode.

Sources: Bellemare et al. 2013, arXiv 1207.4708; Machado et al. 2018, arXiv 1709.06009; https://github.com/Farama-Foundation/Arcade-Learning-Environment.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .atari_ball_games import Breakout, Pong
from .atari_more_games import Boxing, Freeway
from .atari_rules import Rules
from .game import GameEnv, centre, import_optional

RULES: dict[str, type[Rules]] = {"pong": Pong, "breakout": Breakout, "freeway": Freeway, "boxing": Boxing}
MAX_NOOP_FRAMES = 30


class AtariGame(GameEnv):
    """A game of the Atari 2600. See `GameEnv` for the arguments.

    Args:
        sticky: probability that the console repeats the action before instead of taking the new one, a native frame.

    Raises:
        ValueError: sticky is not a probability.
    """

    games: ClassVar[dict[str, dict[str, Any]]] = {name: rules.about for name, rules in RULES.items()}

    def __init__(self, game: str, *, sticky: float = 0.0, **kwargs: Any):
        super().__init__(game, **kwargs)
        if not 0 <= sticky < 1:
            raise ValueError(f"expected a probability in 0..1 for sticky, got {sticky}.")
        ale_py = import_optional("ale_py", "ale-py")
        roms = import_optional("ale_py.roms", "ale-py")
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self._rules = RULES[game]()
        self._buttons = [getattr(ale_py.Action, name) for name in self._rules.ale_actions]
        self._noop, self._fire = ale_py.Action.NOOP, ale_py.Action.FIRE
        self._ale = ale_py.ALEInterface()
        self._ale.setFloat("repeat_action_probability", float(sticky))
        self._sticky, self._fresh = sticky > 0, None
        self._rom = roms.get_rom_path(self._rules.rom)

    def _start(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        if self._sticky or self._fresh is None:
            self._ale.setInt("random_seed", seed if self._sticky else 0)
            self._ale.loadROM(self._rom)  # a seed counts from here only
            self._fresh = self._ale.cloneSystemState()
        else:  # the same, 20 times faster; reset_game() would let traces of the last game stand
            self._ale.restoreSystemState(self._fresh)
        for _ in range(int(rng.integers(1, MAX_NOOP_FRAMES + 1))):
            self._ale.act(self._noop)
        self._rules = type(self._rules)()
        self._observe()
        self._before = self._seen

    def _advance(self, action: int) -> tuple[float, bool]:
        reward = 0.0
        for i in range(self.frame_skip):
            fire = i == 0 and self._rules.needs_fire(self._ram)
            reward += self._ale.act(self._fire if fire else self._buttons[action])
            if self._ale.game_over():
                break
        self._before = self._seen
        self._observe()
        self._rules.took(self.metadata["action"]["choices"][0]["labels"][action])
        return reward, bool(self._ale.game_over())

    def _observe(self) -> None:
        self._screen, self._ram = self._ale.getScreenRGB(), self._ale.getRAM()
        self._seen = self._rules.positions(self._screen, self._ram)

    def _frame(self) -> np.ndarray:
        return self._screen

    def _state(self) -> dict[str, float]:
        state = self._rules.extras(self._ram)
        for name, (x, y) in self._seen.items():
            state[f"{name}_x"], state[f"{name}_y"] = centre(x, y, self.metadata["native_size"])
        return state

    def _info(self) -> dict[str, Any]:
        return {**super()._info(), "lives": self._ale.lives()}

    def close(self) -> None:
        """Let go of the emulator's pictures; the object can be reset again."""
        self._playing = False

    def scripted_action(self) -> np.int64:
        """Play well, from where things are on the screen now and were one action ago."""
        label = self._rules.play(self._seen, self._before, self.np_random)
        return np.int64(self.metadata["action"]["choices"][0]["labels"].index(label))
