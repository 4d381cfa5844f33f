"""Pyxel Snake: eat apples, grow, and run into neither the walls nor yourself.

Physics, a frame (1/20 s): the head goes on by a cell, which is a pixel, and turns to the key that is held, never back.
An apple makes the snake a cell longer, and the next one lies anywhere. At the end the picture stays as it was.
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

from .game import centre, choice

_NATIVE = [50, 40]
_TOP = 6  # rows of the score
_MOVES = ((0, -1), (0, 1), (-1, 0), (1, 0))  # up, down, left, right: actions 1 to 4
_AREA = 200  # cells of open space beyond which more is no safer

Cell = tuple[int, int]


class Snake:
    """Rules of 07_snake.py. Reward: 1 an apple."""

    program: ClassVar[str] = "07_snake.py"
    pyxel_keys: ClassVar[tuple[tuple[str, ...], ...]] = ((), ("KEY_UP",), ("KEY_DOWN",), ("KEY_LEFT",), ("KEY_RIGHT",))
    start_keys: ClassVar[tuple[tuple[str, ...], ...]] = ()
    draws_end: ClassVar[bool] = False
    about: ClassVar[dict[str, Any]] = {
        "title": "Pyxel Snake",
        "prompts": ["snake", "pyxel snake", "apples", "eat apples"],
        "package": "pyxel",
        "licence": "MIT",
        "assets_licence": "MIT",
        "native_size": _NATIVE,
        "size": _NATIVE,
        "frame_skip": 1,
        "render_fps": 20,
        "action": choice(
            ("noop", ()),
            ("up", ("ArrowUp",)),
            ("down", ("ArrowDown",)),
            ("left", ("ArrowLeft",)),
            ("right", ("ArrowRight",)),
        ),
        "state": ["player_x", "player_y", "apple_x", "apple_y", "length", "score"],
        "objects": {"player": {"size": [1, 1]}, "apple": {"size": [1, 1]}},
    }

    def __init__(self, app: Any, names: dict[str, Any]):
        del names
        self._app = app

    def score(self) -> float:
        """Apples eaten."""
        return float(self._app.score)

    def is_over(self) -> bool:
        """Whether the snake ran into something."""
        return self._app.death

    def state(self) -> dict[str, float]:
        """Centres of the head, "player", and of the apple; the snake's cells; apples eaten."""
        app = self._app
        state = {"length": float(len(app.snake)), "score": float(app.score)}
        for name, (x, y) in (("player", app.snake[0]), ("apple", app.apple)):
            place = (-1, -1) if app.death else (x + 0.5, y + 0.5)
            state[f"{name}_x"], state[f"{name}_y"] = centre(*place, _NATIVE)
        return state

    def scripted_action(self, frame_skip: int) -> int:
        """Go the shortest open way to the apple, or, where there is none, to where most cells are open."""
        del frame_skip
        x, y = self._app.snake[0]
        steps = [(i + 1, (x + dx, y + dy)) for i, (dx, dy) in enumerate(_MOVES) if self._is_open((x + dx, y + dy))]
        if not steps:
            return 0
        return min(steps, key=lambda step: self._cost(step[1]))[0]

    def _is_open(self, cell: Cell) -> bool:
        x, y = cell
        return 0 <= x < _NATIVE[1] and _TOP <= y < _NATIVE[0] and cell not in self._app.snake

    def _cost(self, start: Cell) -> tuple[int, int]:
        """The steps to the apple from a cell, and how few cells are open from it: the less of both the better."""
        distance, front = {start: 0}, deque([start])
        while front:
            x, y = cell = front.popleft()
            if cell == self._app.apple:
                return distance[cell], 0
            for dx, dy in _MOVES:
                after = (x + dx, y + dy)
                if after not in distance and self._is_open(after):
                    distance[after] = distance[cell] + 1
                    front.append(after)
        return _NATIVE[0] * _NATIVE[1], -min(len(distance), _AREA)
