"""The clips that the forecast learns from: parts of frames in which something happens.

Most of most frames stays as it is, so a part is cut around a cell that changes. What happens seldom is looked for in
all of the footage: the ends of episodes, and what enters where nothing moved.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, PyTree
from scipy.ndimage import maximum_filter, uniform_filter

from worldsim.data.dataset import Columns
from worldsim.model.config import DynamicsConfig
from worldsim.model.picture import lay_out
from worldsim.model.surprise import MOVED, NEAR, SURPRISE

MARGIN = 2  # cells of a part, at least, at whose forecast what lies beyond it is missed
STILL = 0.08  # of the parts, at most, lie anywhere: what stays as it is has to be learned too


class Clips(NamedTuple):
    """Clips of parts of recorded frames, in cells: as many frames as the forecast reads, and those to be forecast."""

    cells: Float[PyTree, "b t y x c"]
    prev_action: Float[PyTree, "b t a"]
    corner: Int[PyTree, "b 2"]  # row and column of the first cell in the frame and its ring, even
    whole: Float[PyTree, "b t v u c"]  # the frames that the parts were cut out of


def find_ends(columns: Columns, length: int) -> Int[np.ndarray, "n t"]:
    """Return the rows of the last frames of each episode that was over at its end, where it has as many."""
    last = columns.bounds[1:] - 1
    long_enough = np.diff(columns.bounds) >= length
    return last[long_enough & columns.terminated[last]][:, None] + np.arange(1 - length, 1)


def find_entries(
    columns: Columns, latents: Float[np.ndarray, "n m c"], config: DynamicsConfig, num_given: int, length: int
) -> Int[np.ndarray, "w t"]:
    """Return the rows of clips in one of whose later frames something enters where nothing moved, within an episode."""
    found: list[np.ndarray] = []
    for first, stop in itertools.pairwise(columns.bounds):
        if stop - first < length:
            continue
        enters = entries(lay_out(np.asarray(latents[first:stop], np.float32), config)).any((-2, -1))
        at = np.flatnonzero(enters) + 2  # of the episode's frames
        begin = np.clip(at - num_given - np.arange(len(at)) % (length - num_given), 0, stop - first - length)
        found.append(first + begin)
    return np.concatenate([np.zeros(0, int), *found])[:, None] + np.arange(length)


def entries(cells: Float[np.ndarray, "*b t y x c"]) -> Bool[np.ndarray, "*b s y x"]:
    """Return in which cells, from the third frame on, something enters: they change where nothing near just has."""
    change = (np.diff(cells, axis=-4) ** 2).mean(-1)
    near = maximum_filter(change[..., :-1, :, :], 2 * NEAR + 1, axes=(-2, -1))
    return (change[..., 1:, :, :] > SURPRISE) & (near < MOVED)


def cut_parts(
    cells: Float[np.ndarray, "b t y x c"],
    prev_action: Float[np.ndarray, "b t a"],
    side: int,
    margin: tuple[int, int],
    num_given: int,
    rng: np.random.Generator,
) -> Clips:
    """Cut a part of `side` cells out of the frames of each clip, around a cell that changes in it.

    The cell lies `margin` rows and columns within, at least, where the part has as many: nothing is learned in the
    margin. By as much as that is wider than MARGIN the part is larger.

    The more a cell changes from the last frame that is given on, the likelier it is chosen: also where the last frame
    of all, in which nothing moves any more, is the only one to be forecast. Those in which something enters where
    nothing moved are as likely as all others together, and what is large no more than what is small.

    Corners are even, so frames get an empty row or column where theirs are odd: the last one is within reach as well.
    """
    cells = np.pad(cells, [(0, 0), (0, 0), *((0, n % 2) for n in cells.shape[2:4]), (0, 0)])
    b, _, rows, columns, _ = cells.shape
    height, width = (min(side + 2 * (n - MARGIN), num) for n, num in zip(margin, (rows, columns), strict=True))
    change = np.abs(np.diff(cells[:, num_given - 1 :], axis=1)).mean((1, -1)).reshape(b, -1)
    enters = entries(cells[:, num_given - 2 :]).any(1).astype(np.float32)
    enters /= np.maximum(uniform_filter(enters, 2 * NEAR + 1, axes=(1, 2), mode="constant"), 1e-6)
    enters = enters.reshape(b, -1)
    change = change + enters * change.sum(1, keepdims=True) / np.maximum(enters.sum(1, keepdims=True), 1e-6)
    chance = np.cumsum(change + STILL * change.mean(1, keepdims=True) + 1e-9, 1)
    chosen = (rng.random((b, 1)) * chance[:, -1:] > chance).sum(1)
    ends = np.maximum((height - margin[0], width - margin[1]), (margin[0] + 1, margin[1] + 1))
    at, most = np.stack([chosen // columns, chosen % columns], 1), (rows - height, columns - width)
    corner = np.clip(at - rng.integers(margin, ends, (b, 2)), 0, most) // 2 * 2
    corner = np.minimum(corner + 2 * (at - corner >= ends), most) // 2 * 2  # by rounding the cell came to lie too late
    parts = [x[:, top : top + height, left : left + width] for x, (top, left) in zip(cells, corner)]
    return Clips(np.stack(parts), prev_action, corner, cells)
