"""A player that shows the world: wanders, looks around and comes back, digs, builds, climbs, swims.

A plan holds for a second or a few and is drawn anew; the mouse moves in smooth runs, since jitter shows little of what
it does, and rests much of the time. Some plans come in pairs that undo each other, so that footage shows what was
seen before, again. In the valley the player strolls and gazes: turns are as people turn, mostly under SLOW degrees a
frame, and most of what is walked is walked back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

FORWARD, BACK, LEFT, RIGHT, JUMP, SNEAK, DIG, PLACE, YAW, PITCH = range(1, 11)
SIZE = 11
PLANS = {
    "endless": {
        "walk": 0.34,
        "look_around": 0.14,
        "look_away": 0.14,
        "dig": 0.2,
        "build": 0.1,
        "pillar": 0.03,
        "strafe": 0.05,
    },
    "valley": {"stroll": 0.5, "gaze": 0.32, "walk": 0.1, "strafe": 0.04, "dig": 0.02, "build": 0.02},
}
SLOW = 6.0  # degrees a frame
BLOCKS = (3, 4, 5, 6, 7, 8)  # slots that hold something to place
STUCK = 0.05  # blocks a frame


class Player:
    """The scripted player of one episode."""

    def __init__(self, seed: int, map_name: str):
        self._plans = PLANS[map_name]
        self._rng = np.random.default_rng([seed, 5])
        self._seen: Any = None
        self._script = self._play()

    def act(self, seen: Any) -> np.ndarray:
        """The next action row [11]: slot, eight buttons, yaw right and pitch down in degrees."""
        self._moved = 1.0 if self._seen is None else float(np.hypot(seen.x - self._seen.x, seen.z - self._seen.z))
        self._seen = seen
        return np.clip(next(self._script), [0] + [0] * 8 + [-20] * 2, [8] + [1] * 8 + [20] * 2).astype(np.float32)

    def _play(self) -> Iterator[np.ndarray]:
        names, shares = list(self._plans), np.array(list(self._plans.values()))
        while True:
            yield from self._level()
            yield from getattr(self, f"_{self._rng.choice(names, p=shares / shares.sum())}")()

    def _row(self, *buttons: int, yaw: float = 0.0, pitch: float = 0.0, slot: int = 0) -> np.ndarray:
        row = np.zeros(SIZE)
        row[list(buttons)], row[YAW], row[PITCH], row[0] = 1, yaw, pitch, slot
        return row

    def _turn(self, yaw: float, pitch: float, frames: int, *buttons: int) -> Iterator[np.ndarray]:
        for _ in range(frames):
            yield self._row(*buttons, yaw=yaw / frames, pitch=pitch / frames)

    def _level(self) -> Iterator[np.ndarray]:
        """Turn a view that has gone far up or down back near the horizon."""
        if abs(self._seen.pitch - 8) > 25:
            yield from self._turn(0.0, 8 - self._seen.pitch + self._rng.uniform(-8, 8), 6)

    def _walk(self) -> Iterator[np.ndarray]:
        turn, left = 0.0, int(self._rng.integers(20, 75))
        buttons = [FORWARD] if self._rng.random() < 0.9 else [FORWARD, SNEAK]
        while left > 0:
            if self._rng.random() < 0.06:
                turn = self._rng.uniform(-5, 5) if self._rng.random() < 0.5 else 0.0
            is_stuck = self._moved < STUCK
            jump = [JUMP] if is_stuck or self._rng.random() < 0.03 else []
            yield self._row(*buttons, *jump, yaw=turn)
            left -= 1
            if is_stuck and self._rng.random() < 0.1:
                yield from self._turn(self._rng.choice([-1, 1]) * self._rng.uniform(50, 140), 0.0, 9)

    def _run(self, frames: int, spread: float) -> np.ndarray:
        """Speeds of a turn, in degrees a frame: they change smoothly, and begin and end at rest."""
        speed, speeds = 0.0, []
        for _ in range(frames):
            speed = 0.85 * speed + self._rng.normal() * spread
            speeds.append(speed)
        return np.clip(np.array(speeds) * _ease(frames), -SLOW, SLOW)

    def _about_face(self) -> Iterator[np.ndarray]:
        frames = int(self._rng.integers(32, 46))
        ease = _ease(frames)
        for yaw in self._rng.choice([-1, 1]) * 180 * ease / ease.sum():
            yield self._row(yaw=yaw)

    def _stroll(self) -> Iterator[np.ndarray]:
        """Walk a way, turn about, and walk it back."""
        turns, walked = self._run(int(self._rng.integers(25, 70)), 0.5), 0
        for yaw in turns:
            if self._moved < STUCK and walked > 3 and self._rng.random() < 0.3:
                break
            yield self._row(FORWARD, *([JUMP] if self._moved < STUCK else []), yaw=yaw)
            walked += 1
        yield from self._about_face()
        for yaw in -turns[:walked][::-1]:
            yield self._row(FORWARD, *([JUMP] if self._moved < STUCK else []), yaw=yaw)

    def _gaze(self) -> Iterator[np.ndarray]:
        """Look around, mostly along the horizon, and back the same way."""
        frames = int(self._rng.integers(15, 60))
        yaws, pitches = self._run(frames, 0.9), self._run(frames, 0.2)
        for yaw, pitch in zip(yaws, pitches):
            yield self._row(yaw=yaw, pitch=pitch)
        for _ in range(int(self._rng.integers(0, 10))):
            yield self._row()
        for yaw, pitch in zip(-yaws[::-1], -pitches[::-1]):
            yield self._row(yaw=yaw, pitch=pitch)

    def _strafe(self) -> Iterator[np.ndarray]:
        way = int(self._rng.choice([LEFT, RIGHT, BACK]))
        for _ in range(int(self._rng.integers(8, 25))):
            yield self._row(way, *([JUMP] if self._moved < STUCK else []))

    def _look_around(self) -> Iterator[np.ndarray]:
        for _ in range(int(self._rng.integers(1, 4))):
            frames = int(self._rng.integers(4, 16))
            yield from self._turn(self._rng.normal() * 60, self._rng.normal() * 12, frames)
            for _ in range(int(self._rng.integers(0, 8))):
                yield self._row()

    def _look_away(self) -> Iterator[np.ndarray]:
        angle, frames = self._rng.choice([-1, 1]) * self._rng.choice([45, 90, 90, 180]), int(self._rng.integers(6, 12))
        for _ in range(int(self._rng.integers(4, 10))):
            yield self._row()
        yield from self._turn(angle, 0.0, frames)
        for _ in range(int(self._rng.integers(0, 8))):
            yield self._row()
        back = -angle if self._rng.random() < 0.8 else np.sign(angle) * (360 - abs(angle))
        yield from self._turn(back, 0.0, max(frames, int(abs(back) / 18)))
        for _ in range(int(self._rng.integers(4, 10))):
            yield self._row()

    def _aim(self, pitch: float) -> Iterator[np.ndarray]:
        yield from self._turn(0.0, pitch - self._seen.pitch, 5)

    def _dig(self) -> Iterator[np.ndarray]:
        yield from self._aim(self._rng.uniform(15, 65))
        for _ in range(int(self._rng.integers(1, 5))):
            for _ in range(int(self._rng.integers(8, 18))):
                yield self._row(DIG)
            for _ in range(int(self._rng.integers(2, 6))):
                yield self._row()
            yield from self._turn(self._rng.normal() * 12, self._rng.normal() * 8, 4)

    def _build(self) -> Iterator[np.ndarray]:
        slot = int(self._rng.choice(BLOCKS))
        yield self._row(slot=slot)
        yield from self._aim(self._rng.uniform(20, 55))
        for _ in range(int(self._rng.integers(1, 5))):
            yield self._row(PLACE)
            for _ in range(int(self._rng.integers(4, 9))):
                yield self._row()
            yield from self._turn(self._rng.normal() * 15, self._rng.normal() * 5, 4)
        if self._rng.random() < 0.5:
            yield self._row(slot=int(self._rng.integers(1, 3)))

    def _pillar(self) -> Iterator[np.ndarray]:
        """Jump, and place a block below, a few times."""
        yield self._row(slot=int(self._rng.choice(BLOCKS[:2])))
        yield from self._aim(88.0)
        for _ in range(int(self._rng.integers(2, 5))):
            for frame in range(9):
                yield self._row(JUMP, *([PLACE] if frame in (4, 5) else []))


def _ease(frames: int) -> np.ndarray:
    """Shares of full speed of a turn that begins and ends at rest."""
    return np.minimum(1, np.minimum(np.arange(1, frames + 1), np.arange(frames, 0, -1)) / 5)
