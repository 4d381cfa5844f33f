"""Frames laid side by side, to be looked at: most faults of a world model are visible."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8


def strip(
    rows: Sequence[UInt8[np.ndarray, "b t h w c"]], *, num_clips: int = 3, num_columns: int = 8, zoom: int = 2
) -> UInt8[np.ndarray, "y x c"]:
    """Lay clips out: time goes right, and under each clip's real frames come its other versions.

    Args:
        rows: versions of the same clips, real frames first, all of one shape.
        num_clips: how many of the b clips to show.
        num_columns: how many of the t frames to show, evenly spaced, first and last among them.
        zoom: whole factor of enlargement, by nearest neighbour.
    """
    shapes = {r.shape for r in rows}
    if len(shapes) != 1:
        raise ValueError(f"a strip wants rows of one shape, got {sorted(shapes)}.")
    times = np.unique(np.linspace(0, rows[0].shape[1] - 1, num_columns).round().astype(int))
    lines = []
    for clip in range(min(num_clips, len(rows[0]))):
        lines += [np.concatenate(list(row[clip, times]), axis=1) for row in rows]
        lines.append(np.full((2, *lines[-1].shape[1:]), 255, np.uint8))
    return enlarge(np.concatenate(lines[:-1]), zoom)


def enlarge(picture: UInt8[np.ndarray, "*lead h w c"], zoom: int) -> UInt8[np.ndarray, "*lead y x c"]:
    """Enlarge by a whole factor, by nearest neighbour, so that pixels stay crisp."""
    return picture.repeat(zoom, axis=-3).repeat(zoom, axis=-2)
