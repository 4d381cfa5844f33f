"""Freeway and Boxing."""

from __future__ import annotations

import numpy as np

from .atari_rules import ATARI, DOWN, NOOP, UP, Places, Rules, find
from .game import choice

_CAR_COLOURS = (
    (167, 26, 26),
    (180, 231, 117),
    (105, 105, 15),
    (228, 111, 111),
    (24, 26, 167),
    (162, 98, 33),
    (84, 92, 214),
    (184, 50, 50),
    (135, 183, 84),
    (210, 210, 64),
)  # from the upper lane to the lower one
_LOOK_AHEAD = 24  # actions of the scripted chicken


class Freeway(Rules):
    """The player is the left one of the two chickens; the other never moves."""

    rom = "freeway"
    ale_actions = ("NOOP", "UP", "DOWN")
    about = {
        "title": "Freeway",
        "prompts": ["freeway", "chicken", "cross the road", "traffic"],
        **ATARI,
        "action": choice(NOOP, UP, DOWN),
        "state": ["player_x", "player_y", "score"] + [f"car{i}_{axis}" for i in range(10) for axis in "xy"],
        "objects": {
            "player": {"size": [8, 7], "colour": [252, 252, 84]},
            **{
                f"car{i}": {"size": [10, 8], "colour": list(colour), "rows": [24 + 16 * i, 40 + 16 * i]}
                for i, colour in enumerate(_CAR_COLOURS)
            },
        },
    }

    @staticmethod
    def positions(screen: np.ndarray, ram: np.ndarray) -> Places:
        """The chicken is as high as RAM 14 says; each lane has one car with a colour of its own."""
        top = 193 - int(ram[14])
        places = {"player": find(screen, (252, 252, 84), (top, top + 8), (44, 51))}
        for i, colour in enumerate(_CAR_COLOURS):
            places[f"car{i}"] = find(screen, colour, (24 + 16 * i, 40 + 16 * i), (8, 160), max_width=8)
        return places

    @staticmethod
    def extras(ram: np.ndarray) -> dict[str, float]:
        """Roads crossed, a two-digit decimal in RAM 103."""
        return {"score": float(10 * (int(ram[103]) >> 4) + (int(ram[103]) & 15))}

    def play(self, now: Places, before: Places, rng: np.random.Generator) -> str:
        """Of all ways through the traffic of the next steps, begin one that leads the farthest up."""
        x, y = now["player"]
        cars = np.array([now[f"car{i}"][0] for i in range(10)])
        speeds = cars - [before[f"car{i}"][0] for i in range(10)]
        lanes = 32.0 + 16 * np.arange(10)
        if np.isnan(y):
            return "up"
        heights = y + 4.0 * np.arange(-_LOOK_AHEAD, _LOOK_AHEAD + 1)
        reached = np.zeros((3, len(heights)), bool)  # by first move: up, noop, down
        reached[range(3), range(_LOOK_AHEAD - 1, _LOOK_AHEAD + 2)] = True
        near = abs(heights[:, None] - lanes) < 10
        for step in range(1, _LOOK_AHEAD + 1):
            if step > 1:
                grown = reached.copy()
                grown[:, 1:] |= reached[:, :-1]
                grown[:, :-1] |= reached[:, 1:]
                reached = grown
            places = (cars + speeds * step - 8) % 152 + 8
            hit = near & (abs(places - x) < 8 + abs(speeds) / 2)  # a comparison with NaN is False
            reached &= ~hit.any(1) & (heights < 192)
        farthest = np.where(reached.any(1), -reached.argmax(1), -len(heights))
        return ("up", "noop", "down")[int(farthest.argmax())]


def _boxing_action(name: str) -> tuple[str, tuple[str, ...]]:
    keys = [("UP", "ArrowUp"), ("DOWN", "ArrowDown"), ("LEFT", "ArrowLeft"), ("RIGHT", "ArrowRight"), ("FIRE", "Space")]
    held = [(word, key) for word, key in keys if word in name]
    return "+".join(word.lower() for word, _ in held) or "noop", tuple(key for _, key in held)


class Boxing(Rules):
    """The player is the white boxer, the enemy the black one; a hit is worth one point."""

    rom = "boxing"
    ale_actions = (
        *("NOOP", "FIRE", "UP", "RIGHT", "LEFT", "DOWN", "UPRIGHT", "UPLEFT", "DOWNRIGHT", "DOWNLEFT"),
        *("UPFIRE", "RIGHTFIRE", "LEFTFIRE", "DOWNFIRE"),
        *("UPRIGHTFIRE", "UPLEFTFIRE", "DOWNRIGHTFIRE", "DOWNLEFTFIRE"),
    )
    about = {
        "title": "Boxing",
        "prompts": ["boxing", "boxer", "fight"],
        **ATARI,
        "action": choice(*(_boxing_action(name) for name in ale_actions)),
        "state": ["player_x", "player_y", "enemy_x", "enemy_y", "player_score", "enemy_score"],
        "objects": {
            "player": {"size": [46, 14], "colour": [214, 214, 214], "rows": [36, 177]},
            "enemy": {"size": [46, 14], "colour": [0, 0, 0], "rows": [36, 177]},
        },
    }

    @staticmethod
    def positions(screen: np.ndarray, ram: np.ndarray) -> Places:
        """Middle of all pixels of a boxer, the stretched arm included."""
        ring = (36, 177), (30, 130)
        return {"player": find(screen, (214, 214, 214), *ring), "enemy": find(screen, (0, 0, 0), *ring)}

    @staticmethod
    def extras(ram: np.ndarray) -> dict[str, float]:
        """Hits so far, two decimal digits each in RAM 18 and 19."""
        mine, theirs = int(ram[18]), int(ram[19])
        return {"player_score": 10.0 * (mine >> 4) + (mine & 15), "enemy_score": 10.0 * (theirs >> 4) + (theirs & 15)}

    def play(self, now: Places, before: Places, rng: np.random.Generator) -> str:
        """Come within reach and punch; distances found by trying (12 to 28 columns, 0 to 20 rows)."""
        (x, y), (x0, y0) = now["player"], now["enemy"]
        dx, dy = x0 - x, y0 - y
        words = []
        offset = 6.0 if dy > 0 else -6.0
        if abs(dy - offset) > 3:
            words.append("down" if dy > offset else "up")
        if abs(abs(dx) - 13) > 4:
            closer = abs(dx) > 13
            words.append("right" if (dx > 0) == closer else "left")
        if abs(dx) < 26 and rng.random() < 0.5:
            words.append("fire")
        return "+".join(words) or "noop"
