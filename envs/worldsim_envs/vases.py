"""Vases: what breaks stays broken. A toy to ask whether a world takes events back.

Six vases stand on two shelves. A key breaks one for good: a heap of shards lies where it stood. A curtain sweeps across
and hides them for a while, so that a world must remember which were broken. `o_broken` is 1 from the break on; the
centre of a vase is NaN while the curtain covers any of it.

`objects[o]["irreversible"]` tells an evaluation what to look for: the state column `o_<column>`, and the mean colour of
the object's box before and after the change.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .game import NAN, GameEnv, centre, choice, drawn_here

SIZE = 64
WALL, SHELF, CURTAIN = (214, 204, 186), (110, 80, 56), (70, 60, 110)
HEIGHT, WIDTH = 14, 8
CORNERS = [(top, left) for top in (12, 42) for left in (8, 28, 48)]  # of each vase
CURTAIN_WIDTH, CURTAIN_SPEED = 16, 2  # pixels, pixels a frame
_BREAK_CHANCE = 0.03


def _sprites() -> dict[bool, np.ndarray]:
    """The box of a vase, whole and broken."""
    whole = np.full((HEIGHT, WIDTH, 3), (40, 110, 200), np.uint8)
    whole[:3, :2] = whole[:3, -2:] = WALL
    whole[5:7] = (230, 240, 250)
    broken = np.full((HEIGHT, WIDTH, 3), WALL, np.uint8)
    for row, columns in ((10, (2, 5)), (11, (1, 2, 5, 6)), (12, (1, 2, 3, 4, 6)), (13, (0, 1, 3, 4, 5, 6, 7))):
        broken[row, columns] = (150, 90, 70)
    return {False: whole, True: broken}


SPRITES = _sprites()


def draw(broken: np.ndarray, curtain: int) -> np.ndarray:
    """Draw the room with the vases `[6]` broken or not, the curtain's left edge at a column that may lie outside."""
    picture = np.full((SIZE, SIZE, 3), WALL, np.uint8)
    for (top, left), is_broken in zip(CORNERS, broken):
        picture[top + HEIGHT : top + HEIGHT + 3] = SHELF
        picture[top : top + HEIGHT, left : left + WIDTH] = SPRITES[bool(is_broken)]
    picture[:, max(curtain, 0) : max(curtain + CURTAIN_WIDTH, 0)] = CURTAIN
    return picture


class Vases(GameEnv):
    """Break vases. See `GameEnv` for the arguments."""

    games: ClassVar[dict[str, dict[str, Any]]] = {
        "vases": {
            "title": "Vases",
            "prompts": ["vases", "breaking things"],
            **drawn_here(SIZE, fps=10),
            "action": choice(("noop", ()), *((f"break {i}", (f"Digit{i}",)) for i in range(1, len(CORNERS) + 1))),
            "state": [f"vase{i}_{name}" for i in range(len(CORNERS)) for name in ("x", "y", "broken")],
            "objects": {
                f"vase{i}": {
                    "size": [HEIGHT, WIDTH],
                    "kind": "vase",
                    "irreversible": {
                        "column": "broken",
                        "before": SPRITES[False].mean((0, 1)).round().tolist(),
                        "after": SPRITES[True].mean((0, 1)).round().tolist(),
                    },
                }
                for i in range(len(CORNERS))
            },
        }
    }

    def _start(self, seed: int) -> None:
        self._broken = np.zeros(len(CORNERS), bool)
        self._curtain = CURTAIN_SPEED * int(np.random.default_rng(seed).integers(-CURTAIN_WIDTH // 2, SIZE // 2))

    def _advance(self, action: int) -> tuple[float, bool]:
        if action:
            self._broken[action - 1] = True
        for _ in range(self.frame_skip):
            self._curtain += CURTAIN_SPEED
            if self._curtain >= SIZE:
                self._curtain = -CURTAIN_WIDTH
        return 0.0, False

    def _frame(self) -> np.ndarray:
        return draw(self._broken, self._curtain)

    def _state(self) -> dict[str, float]:
        state = {}
        for i, (top, left) in enumerate(CORNERS):
            covered = self._curtain < left + WIDTH and left < self._curtain + CURTAIN_WIDTH
            x, y = centre(left + (WIDTH - 1) / 2, top + (HEIGHT - 1) / 2, (SIZE, SIZE))
            state |= {f"vase{i}_x": NAN if covered else x, f"vase{i}_y": NAN if covered else y}
            state[f"vase{i}_broken"] = float(self._broken[i])
        return state

    def scripted_action(self) -> np.int64:
        """Break a vase that stands, now and then."""
        standing = np.flatnonzero(~self._broken)
        if not len(standing) or self.np_random.random() >= _BREAK_CHANCE:
            return np.int64(0)
        return np.int64(1 + self.np_random.choice(standing))
