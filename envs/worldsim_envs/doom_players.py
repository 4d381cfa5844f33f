"""Scripted players for the Doom scenarios. They see the engine's list of objects and walls, not the picture."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

TURN = 5.625  # degrees a tic of look-left and look-right: 1/64 of a circle, which the engine turns without rounding


class Scene(NamedTuple):
    """What a player sees: place in map units, angle in degrees, tics an action lasts, things and walls of the map."""

    x: float
    y: float
    angle: float
    num_tics: int
    objects: list[Any]
    sectors: list[Any]


def turn_to(scene: Scene, x: float, y: float) -> float:
    """The angle to turn by to face a point, degrees in -180..180, positive to the left."""
    wanted = math.degrees(math.atan2(y - scene.y, x - scene.x))
    return (wanted - scene.angle + 180) % 360 - 180


class Dodger:
    """Take Cover: stand where the fireballs in flight do not go. The player faces east and moves north or south."""

    def __init__(self, seed: int):
        del seed

    def play(self, scene: Scene) -> str:
        """Step aside from fireballs, and else keep to the middle of the wall."""
        ahead = np.arange(1, 41)[:, None]  # game tics, of 1/35 s
        balls = [o for o in scene.objects if "Ball" in o.name]
        ball = np.array([(o.position_x, o.position_y, o.velocity_x, o.velocity_y) for o in balls]).reshape(-1, 4)
        x, y, dx, dy = ball.T
        best, least = "noop", math.inf
        for label, side in (("noop", 0.0), ("left", 1.0), ("right", -1.0)):
            mine = np.clip(scene.y + side * 5.0 * np.minimum(ahead, 16), -90, 770)
            near = np.hypot(x + dx * ahead - scene.x, y + dy * ahead - mine)
            cost = (np.clip(75 - near, 0, None) / ahead).sum() + 0.0005 * abs(float(mine[-1, 0]) - 340)
            if cost < least:
                best, least = label, cost
        return best


class Gunner:
    """Defend the Center and Deadly Corridor: turn to the nearest living enemy and fire; else go on to the vest."""

    _enemies = ("ChaingunGuy", "Demon", "DoomImp", "MarineChainsawVzd", "ShotgunGuy", "Zombieman")  # alive

    def __init__(self, seed: int):
        del seed

    def play(self, scene: Scene) -> str:
        """Aim, fire, or walk."""
        enemies = [o for o in scene.objects if o.name in self._enemies]
        goal = next((o for o in scene.objects if o.name == "GreenArmor"), None)
        near = [o for o in enemies if goal is None or math.hypot(o.position_x - scene.x, o.position_y - scene.y) < 330]
        if not near:
            return "noop" if goal is None else self._walk(scene, goal)
        target = min(near, key=lambda o: self._urgency(scene, o))
        turn = turn_to(scene, target.position_x, target.position_y)
        distance = math.hypot(target.position_x - scene.x, target.position_y - scene.y)
        width = max(math.degrees(math.atan2(20, distance)), 3.5)
        side = "turn-left" if turn > 0 else "turn-right"
        if abs(turn) < width:
            return "fire"
        return f"{side}+fire" if abs(turn) < 12 else side

    @staticmethod
    def _urgency(scene: Scene, enemy: Any) -> float:
        distance = math.hypot(enemy.position_x - scene.x, enemy.position_y - scene.y)
        return distance + 1.5 * abs(turn_to(scene, enemy.position_x, enemy.position_y))

    @staticmethod
    def _walk(scene: Scene, goal: Any) -> str:
        turn = turn_to(scene, goal.position_x, goal.position_y)
        if abs(turn) > 10:
            return "turn-left" if turn > 0 else "turn-right"
        return "forward"


_CELL = 8.0  # map units
_CLEARANCE = 20.0  # map units; the player's half width is 16


@lru_cache(maxsize=4)
def draw_map(walls: tuple[tuple[float, float, float, float], ...]) -> tuple[np.ndarray, np.ndarray]:
    """Find the cells `[rows columns]` farther from every wall than the player is wide, and the map's lowest (x, y)."""
    lines = np.array(walls, float)
    ends = lines.reshape(-1, 2)
    low = ends.min(0)
    columns, rows = ((ends.max(0) - low) // _CELL).astype(int) + 1
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1) * _CELL + low + _CELL / 2
    start, along = lines[:, :2], lines[:, 2:] - lines[:, :2]
    offset = grid[:, :, None] - start  # [rows columns walls 2]
    along_wall = np.clip((offset * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-6), 0, 1)
    return np.linalg.norm(offset - along_wall[..., None] * along, axis=-1).min(-1) > _CLEARANCE, low


class Walker:
    """My Way Home: walk to places drawn at random, now and then to the vest, along shortest ways through the rooms."""

    def __init__(self, seed: int, vest_fraction: float = 0.25):
        self._vest_fraction = vest_fraction
        self._random = random.Random(seed)
        self._free: np.ndarray | None = None
        self._steps_to: np.ndarray | None = None
        self._patience = 0

    def play(self, scene: Scene) -> str:
        """Turn and go towards the next cell on the way."""
        turn = self.turn_ahead(scene)
        side = "turn-left" if turn > 0 else "turn-right"
        if abs(turn) > 40:
            return side
        return f"forward+{side}" if abs(turn) > 8 else "forward"

    def turn_ahead(self, scene: Scene) -> float:
        """The angle to turn by to face the way, degrees in -180..180, positive to the left."""
        if self._free is None:
            walls = {(w.x1, w.y1, w.x2, w.y2) for s in scene.sectors for w in s.lines if w.is_blocking}
            self._free, self._low = draw_map(tuple(sorted(walls)))
            self._cells = np.argwhere(self._free)
        here = self._cell_of(scene.x, scene.y)
        self._patience -= 1
        if self._steps_to is None or self._steps_to[here] <= 2 or self._patience < 0:
            self._choose(scene, here)
        return turn_to(scene, *self._ahead(here))

    def _cell_of(self, x: float, y: float) -> tuple[int, int]:
        """The free cell nearest to a point."""
        wanted = np.array([(y - self._low[1]) / _CELL, (x - self._low[0]) / _CELL]) - 0.5
        row, column = self._cells[int(abs(self._cells - wanted).max(1).argmin())]
        return int(row), int(column)

    def _choose(self, scene: Scene, here: tuple[int, int]) -> None:
        """Draw a place that can be reached and count the steps to it from everywhere."""
        goal = next((o for o in scene.objects if o.name == "GreenArmor"), None)
        reach = self._count_steps(here)
        cells = np.argwhere(np.isfinite(reach) & (reach > 4))
        place = here
        if len(cells):
            row, column = cells[self._random.randrange(len(cells))]
            place = int(row), int(column)
        if goal is not None and self._random.random() < self._vest_fraction:
            place = self._cell_of(goal.position_x, goal.position_y)
        self._steps_to = self._count_steps(place)
        self._patience = 150

    def _count_steps(self, place: tuple[int, int]) -> np.ndarray:
        """Steps to `place` from every free cell, by breadth-first search; inf where there is no way."""
        assert self._free is not None
        rows, columns = self._free.shape
        steps = np.full((rows, columns), np.inf)
        steps[place] = 0
        queue = deque([place])
        while queue:
            row, column = queue.popleft()
            for cell in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
                inside = 0 <= cell[0] < rows and 0 <= cell[1] < columns
                if inside and self._free[cell] and np.isinf(steps[cell]):
                    steps[cell] = steps[row, column] + 1
                    queue.append(cell)
        return steps

    def _ahead(self, here: tuple[int, int]) -> tuple[float, float]:
        """The middle of the cell four steps further on the way, which smooths the corners."""
        assert self._steps_to is not None
        row, column = here
        for _ in range(4):
            top, left = max(row - 1, 0), max(column - 1, 0)
            around = self._steps_to[top : row + 2, left : column + 2]
            i, j = np.unravel_index(int(around.argmin()), around.shape)
            row, column = top + int(i), left + int(j)
        return self._low[0] + (column + 0.5) * _CELL, self._low[1] + (row + 0.5) * _CELL


_WALK = (8, 24)  # steps between two places
_VISITS = (2, 4)  # times that a place is looked away from
_TURNS = (90, 180, 360, 360)  # degrees; noise spoils more of the long ones
_REST = (2, 6)  # steps of standing before the player looks away
_AWAY = (0, 24)  # steps that it stays away
_STILL = 0.25  # map units a step; a player who slides less has less than one unit to go


class Looker:
    """Look Away: look around, turn by 90, 180 or 360 degrees, stay away, turn back to the first angle; then walk on."""

    def __init__(self, seed: int):
        self._random = random.Random(seed)
        self._walker = Walker(seed, vest_fraction=0.0)
        self._plan = self._live()
        self._angle: float | None = None  # degrees, counted on past 360

    def play(self, scene: Scene) -> str:
        """Do the next thing of the plan, whatever others have done to the pose since the last."""
        if self._angle is None:
            self._scene, self._angle = scene, scene.angle
        self._moved = math.hypot(scene.x - self._scene.x, scene.y - self._scene.y)
        self._angle += (scene.angle - self._angle + 180) % 360 - 180
        self._scene = scene
        return next(self._plan)

    def _live(self) -> Iterator[str]:
        while True:
            for _ in range(self._random.randint(*_VISITS)):
                yield from self._look_around()
                yield from self._look_away()
            yield from self._walk()

    def _look_around(self) -> Iterator[str]:
        """Glance to both sides while the walk runs out, then stand."""
        assert self._angle is not None
        first = self._angle
        for _ in range(2):
            yield from self._face(first + 22.5 * self._random.randint(-2, 2), steps=self._random.randint(1, 3))
        while self._moved > _STILL:
            yield "noop"
        yield from self._face(first, steps=self._random.randint(*_REST))

    def _look_away(self) -> Iterator[str]:
        """A full circle rests half-way, goes on to the same side and ends where it began."""
        assert self._angle is not None
        first, side = self._angle, self._random.choice((1, -1))
        turn = self._random.choice(_TURNS)
        yield from self._face(first + side * min(turn, 180), steps=self._random.randint(*_AWAY))
        yield from self._face(first + side * (360 if turn == 360 else 0), steps=1)

    def _face(self, angle: float, steps: int) -> Iterator[str]:
        """Turn to an angle and keep it for some steps."""
        while True:
            assert self._angle is not None
            off = angle - self._angle
            if abs(off) > TURN * self._scene.num_tics / 2:
                yield "look-left" if off > 0 else "look-right"
            elif steps > 0:
                steps -= 1
                yield "noop"
            else:
                return

    def _walk(self) -> Iterator[str]:
        for _ in range(self._random.randint(*_WALK)):
            turn = self._walker.turn_ahead(self._scene)
            if abs(turn) > TURN * self._scene.num_tics / 2:
                yield "look-left" if turn > 0 else "look-right"
            else:
                yield "forward"


PLAYERS = {
    "doom-takecover": Dodger,
    "doom-defend-center": Gunner,
    "doom-corridor": Gunner,
    "doom-mywayhome": Walker,
    "doom-lookaway": Looker,
}
