"""Pong and Breakout: a ball, paddles, and players that meet the ball where it will arrive."""

from __future__ import annotations

import itertools
from typing import ClassVar

import numpy as np

from .atari_rules import ATARI, DOWN, LEFT, NOOP, NOWHERE, RIGHT, UP, Places, Rules, bounce, find
from .game import choice

_PONG_REACH = (0, 9, 20, 22, 23)  # pixels the paddle has gone 0 .. 4 actions after a move began: it lags and coasts
_PONG_MEETS_AT = 140.0  # column


class Pong(Rules):
    """The player is the green paddle on the right."""

    rom = "pong"
    ale_actions = ("NOOP", "RIGHT", "LEFT")
    colours: ClassVar[dict[str, tuple[int, int, int]]] = {
        "ball": (236, 236, 236),
        "player": (92, 186, 92),
        "enemy": (213, 130, 74),
    }
    about = {
        "title": "Pong",
        "prompts": ["pong", "table tennis", "ping pong"],
        **ATARI,
        "action": choice(NOOP, UP, DOWN),
        "state": ["ball_x", "ball_y", "player_x", "player_y", "enemy_x", "enemy_y", "player_score", "enemy_score"],
        "objects": {
            "ball": {"size": [4, 2], "colour": [236, 236, 236], "rows": [34, 194]},
            "player": {"size": [16, 4], "colour": [92, 186, 92], "rows": [34, 194]},
            "enemy": {"size": [16, 4], "colour": [213, 130, 74], "rows": [34, 194]},
        },
    }

    @staticmethod
    def positions(screen: np.ndarray, ram: np.ndarray) -> Places:
        """Paddles keep their columns; the ball is looked for around RAM 49 and 54."""
        x, y = int(ram[49]) - 49, int(ram[54]) - 14
        places = {"player": find(screen, Pong.colours["player"], (34, 194), (140, 144))}
        places["enemy"] = find(screen, Pong.colours["enemy"], (34, 194), (16, 20))
        places["ball"] = find(screen, Pong.colours["ball"], (max(34, y - 4), min(194, y + 8)), (x - 2, x + 4))
        return places

    @staticmethod
    def extras(ram: np.ndarray) -> dict[str, float]:
        """The score."""
        return {"player_score": float(ram[14]), "enemy_score": float(ram[13])}

    def __init__(self):
        self._last_moves = [0, 0, 0]  # newest first; +1 is down
        self._aim = 0.0

    def took(self, label: str) -> None:
        """Remember the last three moves, of which the paddle still has to make a part."""
        self._last_moves = [{"noop": 0, "down": 1, "up": -1}[label], *self._last_moves[:2]]

    def play(self, now: Places, before: Places, rng: np.random.Generator) -> str:
        """Meet the ball with an end of the paddle, which sends it away steeply."""
        (x, y), (x0, y0), (_, mine) = now["ball"], before["ball"], now["player"]
        dx, dy = x - x0, y - y0
        target, num_steps = 114.0, 9
        if dx > 0:
            path = (_PONG_MEETS_AT - x) / dx
            num_steps = int(np.clip(np.ceil(path), 1, 9))
            target = bounce(y + dy * path, 36, 191) + self._aim
        else:
            self._aim = rng.choice((-1.0, 1.0)) * rng.uniform(3, 6)
        move = 0 if np.isnan(mine) else self._best_move(mine, target, num_steps)
        return ("noop", "down", "up")[move]

    def _best_move(self, mine: float, target: float, num_steps: int) -> int:
        """Of all three moves to come, find those that put the paddle nearest to the target when the ball is there."""
        coming = np.array(list(itertools.product((0, 1, -1), repeat=3)))
        now = np.arange(4)
        past = sum(
            move * (_PONG_REACH[min(age + 1 + num_steps, 4)] - _PONG_REACH[age + 1])
            for age, move in enumerate(self._last_moves)
        )
        ages = np.clip(num_steps - now[:3], 0, 4)
        places = np.clip(mine + past + coming @ np.array(_PONG_REACH)[ages], 20, 208)
        cost = abs(places - target) + 0.1 * abs(coming).sum(1)
        return int(coming[int(np.argmin(cost)), 0])


class Breakout(Rules):
    """Ball, paddle and the upper bricks have the same colour."""

    rom = "breakout"
    ale_actions = ("NOOP", "LEFT", "RIGHT")
    about = {
        "title": "Breakout",
        "prompts": ["breakout", "bricks", "brick breaker", "arkanoid"],
        **ATARI,
        "action": choice(NOOP, LEFT, RIGHT),
        "state": ["ball_x", "ball_y", "player_x", "player_y", "lives"],
        "objects": {
            "ball": {"size": [4, 2], "colour": [200, 72, 72], "rows": [93, 189]},
            "player": {"size": [4, 16], "colour": [200, 72, 72], "rows": [189, 193]},
        },
    }

    @staticmethod
    def needs_fire(ram: np.ndarray) -> bool:
        """No ball is in play: FIRE serves one."""
        return int(ram[101]) == 0

    @staticmethod
    def positions(screen: np.ndarray, ram: np.ndarray) -> Places:
        """The RAM places ball (99, 101) and paddle (72) exactly; the picture says what is drawn."""
        red = (200, 72, 72)
        x, y, paddle = int(ram[99]) - 49, int(ram[101]) + 9, int(ram[72]) - 47
        ball = find(screen, red, (y, y + 4), (x, x + 2)) if ram[101] else NOWHERE
        return {"ball": ball, "player": find(screen, red, (189, 193), (max(8, paddle), min(152, paddle + 16)))}

    @staticmethod
    def extras(ram: np.ndarray) -> dict[str, float]:
        """Balls left."""
        return {"lives": float(ram[57])}

    def play(self, now: Places, before: Places, rng: np.random.Generator) -> str:
        """Be where the ball comes down, off-centre by chance so that its path varies."""
        (x, y), (x0, y0), (mine, _) = now["ball"], before["ball"], now["player"]
        dx, dy = x - x0, y - y0
        target = x
        if dy > 0:
            target = bounce(x + dx * (189 - y) / dy, 8, 151) + rng.uniform(-4, 4)
        gap = target - mine
        if np.isnan(gap) or abs(gap) < 4:
            return "noop"
        return "right" if gap > 0 else "left"
