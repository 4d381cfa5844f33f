"""Videos side by side with a label over each, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from worldsim.pictures import enlarge

_BAR = 14  # pixels of height for the label
_GAP = 4
_INK, _PAPER = (235, 235, 235), (24, 24, 24)


def side_by_side(
    videos: Sequence[UInt8[np.ndarray, "t h w c"]], labels: Sequence[str], *, min_width: int = 192
) -> UInt8[np.ndarray, "t y x c"]:
    """Lay videos of one shape side by side, each under its label.

    Args:
        videos: uint8 RGB, all of one shape.
        labels: one short text a video.
        min_width: each video is enlarged by a whole factor, by nearest neighbour, to at least this many pixels.

    Raises:
        ValueError: no videos, videos of different shapes, or not one label each.
    """
    shapes = sorted({video.shape for video in videos})
    if len(shapes) != 1 or len(labels) != len(videos):
        raise ValueError(f"wants videos of one shape and a label each, got {shapes} and {len(labels)} labels.")
    zoom = max(1, -(-min_width // shapes[0][2]))
    panels = []
    for video, label in zip(videos, labels):
        large = enlarge(np.asarray(video), zoom)
        title = np.broadcast_to(_title(label, large.shape[2]), (len(large), _BAR, large.shape[2], 3))
        panels += [
            np.full((len(large), large.shape[1] + _BAR, _GAP, 3), _PAPER, np.uint8),
            np.concatenate([title, large], 1),
        ]
    return np.concatenate(panels[1:], axis=2)


def _title(text: str, width: int) -> UInt8[np.ndarray, "h w c"]:
    picture = Image.new("RGB", (width, _BAR), _PAPER)
    ImageDraw.Draw(picture).text((3, 1), text, fill=_INK)
    return np.asarray(picture)
