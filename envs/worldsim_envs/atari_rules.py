"""What every Atari game defines: its actions, where the objects are, and a scripted player.

The console's RAM holds about where an object is, the picture exactly: positions are the centres of the pixels
of the object's colour in a small window around the place the RAM names, in native pixels of the 210 x 160 picture.
RAM addresses: Anand et al. 2019 (arXiv 1906.08226); their offsets were checked here against the pixels.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .game import NAN

Places = dict[str, tuple[float, float]]
NOWHERE = (NAN, NAN)
ATARI = {
    "package": "ale-py",
    "licence": "GPL-2.0 (emulator)",
    "assets_licence": "proprietary ROM, shipped inside the ale-py wheel; the game's owners hold the copyright",
    "native_size": [210, 160],
    "size": [64, 64],
    "frame_skip": 4,
    "render_fps": 15,
}
NOOP = ("noop", ())
UP, DOWN = ("up", ("ArrowUp",)), ("down", ("ArrowDown",))
LEFT, RIGHT = ("left", ("ArrowLeft",)), ("right", ("ArrowRight",))


def find(
    screen: np.ndarray,
    colour: tuple[int, int, int],
    rows: tuple[int, int],
    columns: tuple[int, int],
    max_width: int = 160,
) -> tuple[float, float]:
    """Find the centre (x, y) of the pixels of `colour` in a window of a picture `[h w 3]`.

    NaN where there are none, or where they are wider than `max_width` (a car that leaves on one side and comes in
    on the other).
    """
    top, left = max(rows[0], 0), max(columns[0], 0)
    window = screen[top : max(rows[1], 0), left : max(columns[1], 0)]
    ys, xs = np.nonzero((window == colour).all(-1))
    if not len(ys) or xs.max() - xs.min() >= max_width:
        return NOWHERE
    return float(left + (xs.min() + xs.max()) / 2), float(top + (ys.min() + ys.max()) / 2)


def bounce(position: float, low: float, high: float) -> float:
    """Fold a straight path back into low..high, as a ball between two walls."""
    span = high - low
    offset = (position - low) % (2 * span)
    return low + (offset if offset <= span else 2 * span - offset)


class Rules:
    """A game. The emulator holds its state; an instance remembers, for one episode, what the scripted player needs."""

    about: ClassVar[dict[str, Any]]
    rom: ClassVar[str]
    ale_actions: ClassVar[tuple[str, ...]]

    @staticmethod
    def needs_fire(ram: np.ndarray) -> bool:
        """Whether the game stands still until somebody presses FIRE."""
        return False

    @staticmethod
    def positions(screen: np.ndarray, ram: np.ndarray) -> Places:
        """The centre (x, y) of each object in native pixels, NaN where it is not drawn."""
        raise NotImplementedError

    @staticmethod
    def extras(ram: np.ndarray) -> dict[str, float]:
        """Ground truth beside the positions."""
        return {}

    def took(self, label: str) -> None:
        """Take note of an action that was taken, by whomever."""

    def play(self, now: Places, before: Places, rng: np.random.Generator) -> str:
        """The label of what a good player would do now."""
        raise NotImplementedError
