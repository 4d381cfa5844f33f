"""Pyxel Shooter: shoot the enemies that zigzag down the screen and touch none.

Physics, a frame (1/30 s): the ship moves 2 pixels, a bullet 4 up, an enemy 1.5 down and 1.5 to one side, which
it changes every second. SPACE fires once a press. An enemy comes every six frames.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .game import centre, choice

_NATIVE = [160, 120]
_UP, _DOWN, _LEFT, _RIGHT, _SPACE = "ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Space"
_MOVES = np.array([(0, 0), (-2, 0), (2, 0), (0, -2), (0, 2)])  # pixels a frame of options 0..4
_LOOK_AHEAD = np.arange(1, 15)[:, None]  # frames


class Shooter:
    """Rules of 09_shooter.py. Reward: score / 10, so an enemy is 1. The episode ends when an enemy touches the ship."""

    program: ClassVar[str] = "09_shooter.py"
    pyxel_keys: ClassVar[tuple[tuple[str, ...], ...]] = (
        (),
        ("KEY_LEFT",),
        ("KEY_RIGHT",),
        ("KEY_UP",),
        ("KEY_DOWN",),
        ("KEY_SPACE",),
        ("KEY_LEFT", "KEY_SPACE"),
        ("KEY_RIGHT", "KEY_SPACE"),
    )
    start_keys: ClassVar[tuple[tuple[str, ...], ...]] = (("KEY_RETURN",), ())
    about: ClassVar[dict[str, Any]] = {
        "title": "Pyxel Shooter",
        "prompts": ["shooter", "pyxel shooter", "space ship", "shoot em up", "space"],
        "package": "pyxel",
        "licence": "MIT",
        "assets_licence": "MIT",
        "native_size": _NATIVE,
        "size": [64, 48],
        "frame_skip": 2,
        "render_fps": 15,
        "action": choice(
            ("noop", ()),
            ("left", (_LEFT,)),
            ("right", (_RIGHT,)),
            ("up", (_UP,)),
            ("down", (_DOWN,)),
            ("fire", (_SPACE,)),
            ("left+fire", (_LEFT, _SPACE)),
            ("right+fire", (_RIGHT, _SPACE)),
        ),
        "state": ["player_x", "player_y", "enemy_x", "enemy_y", "num_enemies", "num_bullets", "score"],
        "objects": {"player": {"size": [8, 8]}, "enemy": {"size": [8, 8]}},
    }

    def __init__(self, app: Any, names: dict[str, Any]):
        self._app, self._names = app, names
        self._fired = False

    def score(self) -> float:
        """Enemies shot."""
        return self._app.score / 10

    def is_over(self) -> bool:
        """Whether an enemy touched the ship."""
        return self._app.scene == self._names["SCENE_GAMEOVER"]

    def state(self) -> dict[str, float]:
        """Centres of the ship and of the enemy nearest to it."""
        player, enemies = self._app.player, self._names["enemies"]
        nearest = min(enemies, key=lambda e: (e.x - player.x) ** 2 + (e.y - player.y) ** 2, default=None)
        state = {
            "num_enemies": float(len(enemies)),
            "num_bullets": float(len(self._names["bullets"])),
            "score": float(self._app.score),
        }
        for name, thing in (("player", None if self.is_over() else player), ("enemy", nearest)):
            x, y = (-1, -1) if thing is None else (thing.x + 4, thing.y + 4)
            state[f"{name}_x"], state[f"{name}_y"] = centre(x, y, _NATIVE)
        return state

    def scripted_action(self, frame_skip: int) -> int:
        """Keep away from where enemies will be, stay low, get below an enemy and shoot it."""
        player = self._app.player
        places = np.array([(e.x, e.y, 1.5 * e.direction) for e in self._names["enemies"]]).reshape(-1, 3)
        x, y, dx = places.T  # [enemies]
        meets_x = x + dx * np.clip((player.y - y) / 5.5, 0, None)  # where a bullet would meet each enemy
        cost = np.zeros(len(_MOVES))
        for i, (move_x, move_y) in enumerate(_MOVES):
            held = np.minimum(_LOOK_AHEAD, 4)
            ship_x = np.clip(player.x + move_x * held, 0, 112)
            ship_y = np.clip(player.y + move_y * held, 0, 152)
            gap = np.maximum(
                abs(x + dx * _LOOK_AHEAD - ship_x), abs(y + 1.5 * _LOOK_AHEAD - ship_y)
            )  # [frames enemies]
            cost[i] = (np.clip(13 - gap, 0, None) ** 2 / _LOOK_AHEAD).sum()
            cost[i] += 0.02 * abs(ship_y[3, 0] - 135) + 0.01 * abs(ship_x[3, 0] - 56)
            aim = abs(meets_x - ship_x[3, 0])
            cost[i] += 0.02 * (aim.min() if len(aim) else 0.0) + 0.01 * bool(i)
        move = int(np.argmin(cost))
        in_line = bool(((abs(meets_x - player.x) < 6) & (y < player.y)).any())
        self._fired = in_line and not self._fired and move < 3
        return move + 5 if self._fired else move
