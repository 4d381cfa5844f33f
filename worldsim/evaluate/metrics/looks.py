"""What an object looks like at its true place: the mean colour of its box, and which of some known colours is nearest.

Enough for things that look one of a few ways (a card by its colour, a vase whole or in shards), and readable: no
network, no threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int64, UInt8

from worldsim.data.meta import FootageMeta
from worldsim.evaluate.fitted.targets import ObjectInfo, size_in_pixels


def nearest_look(
    frames: UInt8[np.ndarray, "*n h w c"],
    places: Float[np.ndarray, "*n 2"],
    size: tuple[float, float],
    colours: Float[np.ndarray, "k c"],
) -> Int64[np.ndarray, "*n"]:
    """The colour that each object of `size` pixels is nearest to; -1 where it is not on the screen.

    Places are x, y as fractions of the frame, NaN where the object is not; colours are means of its box.
    """
    height, width = frames.shape[-3:-1]
    known = np.asarray(np.isfinite(places).all(-1))
    x, y = np.where(known[..., None], places, 0).reshape(-1, 2).T
    rows = _pixels(y * height, size[0], height)
    columns = _pixels(x * width, size[1], width)
    flat = frames.reshape(-1, *frames.shape[-3:])
    boxes = flat[np.arange(len(flat))[:, None, None], rows[:, :, None], columns[:, None]]
    mean = boxes.mean((1, 2))
    distance = np.square(mean[:, None] - colours[None]).sum(-1)
    return np.where(known, distance.argmin(-1).reshape(known.shape), -1)


def state_columns(meta: FootageMeta, name: str, endings: Sequence[str]) -> list[int]:
    """Find the columns `<name>_<ending>` of the ground truth.

    Raises:
        ValueError: the footage has no such column.
    """
    wanted = [f"{name}_{ending}" for ending in endings]
    if missing := [column for column in wanted if column not in meta.state_names]:
        raise ValueError(
            f"expected ground truth {', '.join(missing)} in the footage, which describes the look of {name}; "
            f"got {', '.join(meta.state_names[:8]) or 'none'}."
        )
    return [meta.state_names.index(column) for column in wanted]


def box_size(meta: FootageMeta, name: str, info: ObjectInfo) -> tuple[float, float]:
    """Height and width of an object's box in pixels.

    Raises:
        ValueError: the footage has no size.
    """
    size = size_in_pixels(info, meta)
    if size is None:
        raise ValueError(
            f'expected the "size" of {name} in the footage\'s objects and the native size of the picture '
            f"(recorder['native_size']), got {sorted(info)} and {sorted(meta.recorder)}."
        )
    return size


def _pixels(middle: Float[np.ndarray, " n"], extent: float, limit: int) -> Int64[np.ndarray, "n p"]:
    """Numbers of the pixels of a box along one axis, those outside the frame moved to its edge."""
    count = max(int(extent), 1)
    first = np.round(middle - (count - 1) / 2).astype(np.int64)
    return np.clip(first[:, None] + np.arange(count), 0, limit - 1)
