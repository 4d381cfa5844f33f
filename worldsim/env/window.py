"""Frames in a window, at the world's own pace: `render_mode="human"`, by pygame as in Gymnasium's own environments."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import numpy as np
from jaxtyping import UInt8

SIDE = 480  # the least pixels of the window's longer side


def check_window() -> None:
    """Check that pygame is installed.

    Raises:
        ModuleNotFoundError: pygame is not installed.
    """
    if importlib.util.find_spec("pygame") is None:
        raise ModuleNotFoundError('expected pygame for render_mode="human"; pip install "worldsim-jax[human]".')


class Window:
    """A window that shows one world, or many side by side; it opens with the first frame."""

    def __init__(self, title: str, fps: float):
        self.title, self.fps = title, fps
        self._pygame: Any = None
        self._clock: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_pygame": None, "_clock": None}  # a copy opens its own

    def show(self, frames: UInt8[np.ndarray, "b h w c"]) -> None:
        """Show the frames, and wait until it is time for the next."""
        picture = tile(frames)
        factor = max(1, math.ceil(SIDE / max(picture.shape[:2])))
        size = (picture.shape[1] * factor, picture.shape[0] * factor)
        screen = self._screen(size)
        surface = self._pygame.surfarray.make_surface(picture.swapaxes(0, 1))
        screen.blit(self._pygame.transform.scale(surface, size), (0, 0))
        self._pygame.event.pump()
        self._pygame.display.flip()
        self._clock.tick(self.fps)

    def close(self) -> None:
        """Close the window, if it is open."""
        if self._pygame is not None:
            self._pygame.display.quit()
            self._pygame = None

    def _screen(self, size: tuple[int, int]) -> Any:
        if self._pygame is None:
            import pygame

            pygame.display.init()
            pygame.display.set_mode(size)
            pygame.display.set_caption(self.title)
            self._pygame, self._clock = pygame, pygame.time.Clock()
        return self._pygame.display.get_surface()


def tile(frames: UInt8[np.ndarray, "b h w c"]) -> UInt8[np.ndarray, "rows columns c"]:
    """Lay frames out in a grid that is about as wide as high, black where none is left."""
    count, h, w, c = frames.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    grid = np.zeros((rows * columns, h, w, c), np.uint8)
    grid[:count] = frames
    return grid.reshape(rows, columns, h, w, c).swapaxes(1, 2).reshape(rows * h, columns * w, c)
