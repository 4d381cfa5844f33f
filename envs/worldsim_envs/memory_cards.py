"""Memory cards: a board seen once and asked for later. A toy to ask how far back a world remembers.

Sixteen cards lie on a 4 x 4 board. They lie face up for the first frames of an episode and face down from then on; a
key turns one card up for as long as it is held, and the keys lie as the cards do (1234, QWER, ASDF, ZXCV). The colour
of each card is drawn from eight, independently, so a guess is right in one of eight cases.

`o_up` is 1 while a card lies face up, `o_face` is the number of its colour. `objects[o]["faces"]` tells an evaluation
what to look for: the columns `o_<shown>` and `o_<face>`, the colours by number, and the colour of a hidden card.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .game import GameEnv, centre, choice, drawn_here

SIDE = 4
CELL, CARD = 16, 12  # pixels
SIZE = SIDE * CELL
TABLE, BACK = (24, 44, 34), (96, 96, 104)
COLOURS = (
    (230, 40, 40),
    (40, 190, 60),
    (50, 80, 235),
    (240, 220, 50),
    (220, 60, 220),
    (50, 210, 220),
    (245, 140, 30),
    (245, 245, 245),
)
OPENING = 4  # frames that the board lies open
KEYS = [*(f"Digit{i}" for i in range(1, 5)), *(f"Key{letter}" for letter in "QWERASDFZXCV")]
_WAIT = (2, 64)  # frames between two questions of the scripted player
_HOLD = 2


def draw(faces: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Draw the board: colour numbers `[16]`, and which cards lie face up `[16]`."""
    picture = np.full((SIZE, SIZE, 3), TABLE, np.uint8)
    margin = (CELL - CARD) // 2
    for i, (face, is_up) in enumerate(zip(faces, up)):
        top, left = (CELL * k + margin for k in divmod(i, SIDE))
        picture[top : top + CARD, left : left + CARD] = COLOURS[face] if is_up else BACK
    return picture


class MemoryCards(GameEnv):
    """Remember a board. See `GameEnv` for the arguments."""

    games: ClassVar[dict[str, dict[str, Any]]] = {
        "memory-cards": {
            "title": "Memory cards",
            "prompts": ["memory cards", "memory"],
            **drawn_here(SIZE, fps=10),
            "action": choice(("noop", ()), *((f"turn {i}", (key,)) for i, key in enumerate(KEYS, 1))),
            "state": [f"card{i}_{name}" for i in range(SIDE**2) for name in ("x", "y", "up", "face")],
            "objects": {
                f"card{i}": {
                    "size": [CARD, CARD],
                    "kind": "card",
                    "faces": {
                        "shown": "up",
                        "face": "face",
                        "colours": [list(colour) for colour in COLOURS],
                        "hidden": list(BACK),
                    },
                }
                for i in range(SIDE**2)
            },
        }
    }

    def _start(self, seed: int) -> None:
        self._faces = np.random.default_rng(seed).integers(len(COLOURS), size=SIDE**2)
        self._num_frames = 0
        self._up = np.ones(SIDE**2, bool)
        self._asked, self._next = 0, OPENING

    def _advance(self, action: int) -> tuple[float, bool]:
        self._num_frames += self.frame_skip
        self._up = np.full(SIDE**2, self._num_frames < OPENING)
        if action:
            self._up[action - 1] = True
        return 0.0, False

    def _frame(self) -> np.ndarray:
        return draw(self._faces, self._up)

    def _state(self) -> dict[str, float]:
        state = {}
        for i in range(SIDE**2):
            row, column = divmod(i, SIDE)
            x, y = centre(column * CELL + (CELL - 1) / 2, row * CELL + (CELL - 1) / 2, (SIZE, SIZE))
            state |= {f"card{i}_x": x, f"card{i}_y": y, f"card{i}_up": float(self._up[i])}
            state[f"card{i}_face"] = float(self._faces[i])
        return state

    def scripted_action(self) -> np.int64:
        """Wait, now short and now long, then look at a card."""
        if self._num_frames >= self._next + _HOLD:
            wait = np.exp(self.np_random.uniform(*np.log(_WAIT)))
            self._asked, self._next = int(self.np_random.integers(1, SIDE**2 + 1)), self._num_frames + int(wait)
        return np.int64(self._asked if self._num_frames >= self._next else 0)
