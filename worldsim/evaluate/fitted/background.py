"""Background: what stays at its place in recorded frames, and which pixels stand out from it. Without labels.

In a game whose camera stands, the background is the median of every pixel over recorded frames, and foreground is what
differs from it by more than STANDS_OUT grey levels in some channel. Where the camera moves nothing stays at its place,
and foreground is local contrast: what differs by as much from the mean of the BLOCK x BLOCK pixels around it. The
camera moves where more than MAX_MOVING of the recorded pixels differ from their median. Measured: .01 in Pong, .05 in
Shooter, .13 in Take Cover, .15 in Jump, whose clouds, floors and grass scroll before a sky that stands; .41 in My Way
Home and .86 in a world of blocks, through which one walks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import maximum_filter, uniform_filter

STANDS_OUT = 24  # grey levels
MAX_MOVING = 0.25  # fraction of the pixels
BLOCK = 9  # pixels
NUM_FRAMES = 512


class Background(NamedTuple):
    """How foreground is told from background in a game."""

    median: Float[np.ndarray, "h w c"]
    moving: float
    """Fraction of recorded pixels that differ from the median."""

    @property
    def by_contrast(self) -> bool:
        """Whether foreground is local contrast, since too much moves."""
        return self.moving > MAX_MOVING

    def foreground(self, obs: UInt8[np.ndarray, "n h w c"]) -> Bool[np.ndarray, "n h w"]:
        """Which pixels of frames stand out."""
        if not self.by_contrast:
            return _stands_out(obs, self.median)
        around = uniform_filter(obs.astype(np.float32), BLOCK, mode="nearest", axes=(1, 2))
        return _stands_out(obs, around)


def fit_background(obs: UInt8[np.ndarray, "n h w c"]) -> Background:
    """Learn the background from up to NUM_FRAMES recorded frames, evenly spaced."""
    frames = obs[np.unique(np.linspace(0, len(obs) - 1, NUM_FRAMES).astype(int))]
    median = np.median(frames, 0).astype(np.float32)
    return Background(median, float(_stands_out(frames, median).mean()))


def near(mask: Bool[np.ndarray, "n h w"], reach: int) -> Bool[np.ndarray, "n h w"]:
    """Which pixels are within `reach` pixels, in x and in y, of one of the mask."""
    return maximum_filter(mask, size=(1, 2 * reach + 1, 2 * reach + 1), mode="constant", cval=False)


def _stands_out(obs, background):
    return (np.abs(obs - background) > STANDS_OUT).any(-1)
