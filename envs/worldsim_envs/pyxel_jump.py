"""Pyxel Jump: hop from floor to falling floor as they scroll by, and eat fruit.

Physics, a frame (1/30 s): the player walks 2 pixels, floors come 4 and fruit 2 pixels to the left; a floor throws the
player up at 12 pixels a frame and falls away itself; gravity adds 1 up to 8.

The scripted player looks ahead: it plays a few dozen plans of the form "hold one key for n frames, then another"
on a copy of these rules and follows the first move of the best one.
"""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import numpy as np

from .game import centre, choice

_NATIVE = [120, 160]
_SKY = 80  # rows: a jump from the highest floor rises 84 above the game's own screen
_LOOK_AHEAD = 56  # frames: a jump lasts about 30
_PLANS = np.array([(a, n, b) for a, n, b in itertools.product((0, -1, 1), (4, 8, 12, 18, 26), (0, -1, 1)) if a != b])
_PLANS = np.concatenate([_PLANS, [(0, 99, 0), (-1, 99, -1), (1, 99, 1)]])


class Jump:
    """Rules of 02_jump_game.py. Reward: score / 100, so a floor is 0.1 and a fruit 1, 2 or 3."""

    program: ClassVar[str] = "02_jump_game.py"
    pyxel_keys: ClassVar[tuple[tuple[str, ...], ...]] = ((), ("KEY_LEFT",), ("KEY_RIGHT",))
    start_keys: ClassVar[tuple[tuple[str, ...], ...]] = ()
    rows_above: ClassVar[int] = 0
    about: ClassVar[dict[str, Any]] = {
        "title": "Pyxel Jump",
        "prompts": ["jump", "pyxel jump", "platform", "floating floors", "fruit"],
        "package": "pyxel",
        "licence": "MIT",
        "assets_licence": "MIT",
        "native_size": _NATIVE,
        "size": [48, 64],
        "frame_skip": 1,
        "render_fps": 30,
        "action": choice(("noop", ()), ("left", ("ArrowLeft",)), ("right", ("ArrowRight",))),
        "state": ["player_x", "player_y", "player_dy", "score"]
        + [f"{o}{i}_{axis}" for o in ("floor", "fruit") for i in range(4) for axis in "xy"],
        "objects": {
            "player": {"size": [16, 16]},
            **{f"floor{i}": {"size": [8, 40]} for i in range(4)},
            **{f"fruit{i}": {"size": [16, 16]} for i in range(4)},
        },
    }

    def __init__(self, app: Any, names: dict[str, Any]):
        del names
        self._app = app
        self._plan: list[int] = []

    def score(self) -> float:
        """The game's score in units of 100."""
        return self._app.score / 100

    def is_over(self) -> bool:
        """Whether the player fell out of the picture."""
        return not self._app.is_alive

    def state(self) -> dict[str, float]:
        """Centres of player, floors and fruit; `player_dy` in pixels a frame, down is positive."""
        app = self._app
        boxes = {"player": (app.player_x + 8, app.player_y + 8)}
        boxes |= {f"floor{i}": (x + 20, y + 4) for i, (x, y, _) in enumerate(app.floor)}
        boxes |= {
            f"fruit{i}": (x + 8, y + 8) if there else (-1, -_SKY - 1) for i, (x, y, _, there) in enumerate(app.fruit)
        }
        state = {"player_dy": float(app.player_dy), "score": float(app.score)}
        for name, (x, y) in boxes.items():
            state[f"{name}_x"], state[f"{name}_y"] = centre(x, y + self.rows_above, self.about["native_size"])
        return state

    def scripted_action(self, frame_skip: int) -> int:
        """The first move of the best plan; plans are made anew every four frames."""
        if not self._plan:
            direction = int(_PLANS[int(np.argmax(self._play_out())), 0])
            self._plan = [{-1: 1, 0: 0, 1: 2}[direction]] * 4
        action = self._plan[0]
        del self._plan[:frame_skip]
        return action

    def _play_out(self) -> np.ndarray:
        """The worth of every plan, float `[plans]`: score gained, staying alive, and ending near the middle."""
        app = self._app
        num = len(_PLANS)
        x, y, dy = (np.full(num, float(v)) for v in (app.player_x, app.player_y, app.player_dy))
        floors = np.array([f[:2] for f in app.floor], float)
        floor_there = np.tile([bool(f[2]) for f in app.floor], (num, 1))
        fruits = np.array([f[:2] for f in app.fruit], float)
        fruit_there = np.tile([bool(f[3]) for f in app.fruit], (num, 1))
        fruit_worth = np.array([1.0 + f[2] for f in app.fruit])
        worth, alive = np.zeros(num), np.ones(num, bool)
        for t in range(_LOOK_AHEAD):
            x = np.clip(x + 2 * np.where(t < _PLANS[:, 1], _PLANS[:, 0], _PLANS[:, 2]), 0, 144)
            y = y + dy
            dy = np.minimum(dy + 1, 8)
            alive &= y <= 120
            dx, below = floors[:, 0] - x[:, None], floors[:, 1] - y[:, None]
            hit = floor_there & (dx <= 16) & (dx >= -40) & (below <= 16) & (below >= -8) & (dy > 0)[:, None]
            dy = np.where(hit.any(1), -12, dy)
            floor_there &= ~hit
            eaten = fruit_there & (abs(fruits[:, 0] - x[:, None]) < 12) & (abs(fruits[:, 1] - y[:, None]) < 12)
            dy = np.where(eaten.any(1), np.minimum(dy, -8), dy)
            fruit_there &= ~eaten
            worth += alive * (0.1 + 0.1 * hit.sum(1) + eaten @ fruit_worth * (1 - 0.5 * t / _LOOK_AHEAD))
            floors[:, 0] -= 4
            fruits[:, 0] -= 2
            floor_there &= floors[:, 0] >= -40
            fruit_there &= fruits[:, 0] >= -40
        return worth + alive * (4.0 - 0.01 * abs(x - 80))


class TallJump(Jump):
    """Jump in a picture that shows the rows above the game's own screen too, so that its player is in every frame.

    The screen of 120 rows hides the player in four frames of ten, above its top edge.
    """

    rows_above: ClassVar[int] = _SKY
    about: ClassVar[dict[str, Any]] = {
        **Jump.about,
        "title": "Pyxel Jump, with the sky",
        "prompts": ["tall jump", "jump with the sky"],
        "native_size": [_SKY + _NATIVE[0], _NATIVE[1]],
        "size": [80, 64],
    }
