"""From episodes to batches: columns of all episodes end to end, windows on them, and the order in which they are seen.

This is where Gymnasium's alignment becomes the alignment by arrival: row t of `prev_action`, `reward` and
`terminated` belongs to the step that led into frame t. No step led into the first frame of an episode: its
action is unknown (NaN), its reward 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Int64

from worldsim.data.store import Footage
from worldsim.types import Batch


class Columns(NamedTuple):
    """Episodes end to end, in arrival alignment; episode e is rows `bounds[e]:bounds[e + 1]`."""

    obs: np.ndarray  # uint8 [n h w c]
    prev_action: np.ndarray  # float32 [n a], NaN at the first frame of each episode
    reward: np.ndarray  # float32 [n], 0 at the first frame
    terminated: np.ndarray  # bool [n]
    state: np.ndarray | None  # float32 [n s], the engine's ground truth where it gives any
    bounds: np.ndarray  # int64 [e+1]

    @property
    def longest(self) -> int:
        """Frames of the longest episode."""
        return int(np.diff(self.bounds).max(initial=0))


def split_episodes(footage: Footage, eval_fraction: float = 0.1, seed: int = 0) -> tuple[list[int], list[int]]:
    """Divide the episodes into training and evaluation, by whole episodes, aiming at a fraction of the frames.

    Returns:
        Two sorted lists of episode numbers without a common one, neither empty.

    Raises:
        ValueError: fewer than two episodes, or a fraction that is not between 0 and 1.
    """
    if len(footage) < 2:
        raise ValueError(f"expected at least 2 episodes in {footage.path}, got {len(footage)}; record more frames.")
    if not 0 < eval_fraction < 1:
        raise ValueError(f"expected a number between 0 and 1 for eval_fraction, got {eval_fraction}.")
    lengths = np.array([e.length for e in footage.episodes])
    target, held = eval_fraction * lengths.sum(), 0
    evaluation: list[int] = []
    for e in np.random.default_rng(seed).permutation(len(lengths)):
        if abs(held + lengths[e] - target) < abs(held - target) and len(evaluation) < len(lengths) - 1:
            evaluation.append(int(e))
            held += lengths[e]
    evaluation = sorted(evaluation) or [int(lengths.argmin())]
    return [e for e in range(len(lengths)) if e not in set(evaluation)], evaluation


def load_columns(footage: Footage, ids: Sequence[int]) -> Columns:
    """Read episodes into memory, end to end: h x w x 3 bytes a frame.

    Raises:
        ValueError: no episodes asked for, or one that cannot be read.
    """
    if not len(ids):
        raise ValueError(f"expected at least one episode of {footage.path} to load, got none.")
    lengths = [footage.episodes[i].length for i in ids]
    bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    n, meta = int(bounds[-1]), footage.meta
    obs = np.empty((n, *meta.size, 3), np.uint8)
    prev_action = np.full((n, meta.action_spec.size), np.nan, np.float32)
    reward, terminated = np.zeros(n, np.float32), np.zeros(n, bool)
    state = np.empty((n, len(meta.state_names)), np.float32) if meta.state_names else None

    def fill(i: int, start: int, stop: int) -> None:
        episode = footage[i]
        obs[start:stop] = episode.obs
        prev_action[start + 1 : stop] = episode.action
        reward[start + 1 : stop] = episode.reward
        terminated[start + 1 : stop] = episode.terminated
        if state is not None and episode.state is not None:
            state[start:stop] = episode.state

    with ThreadPoolExecutor() as pool:  # which mostly wait for the disk
        list(pool.map(fill, ids, bounds[:-1].tolist(), bounds[1:].tolist()))
    return Columns(obs, prev_action, reward, terminated, state, bounds)


class Windows:
    """All windows of `length` frames on the columns, one for each row that it can begin at; none crosses an episode.

    A window that begins near an episode's end goes on past it as padding: the last frame again, an unknown action,
    no reward, and False in the mask.

    Args:
        columns: of `load_columns`.
        length: frames a window.
        min_real: frames at least that are not padding.

    Raises:
        ValueError: no episode has `min_real` frames, or `min_real` is not within 1..length.
    """

    def __init__(self, columns: Columns, length: int, min_real: int = 2):
        if not 1 <= min_real <= length:
            raise ValueError(f"expected min_real within 1..{length}, the length, got {min_real}.")
        self.columns, self.length = columns, length
        starts = np.maximum(np.diff(columns.bounds) - min_real + 1, 0)  # windows that begin in each episode
        self._ends = np.cumsum(starts)
        if not len(self):
            raise ValueError(
                f"expected an episode of at least {min_real} frames for windows, got at most {columns.longest}."
            )

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def rows(self, ids: Sequence[object] | np.ndarray) -> tuple[Int64[np.ndarray, "b t"], Bool[np.ndarray, "b t"]]:
        """Rows of the columns that each window shows, padding as the episode's last row, and which are real."""
        ids = np.asarray(ids, np.int64)
        if ids.ndim != 1 or ((ids < 0) | (ids >= len(self))).any():
            raise ValueError(f"expected a list of numbers within 0..{len(self) - 1} for window ids, got {ids}.")
        episode = np.searchsorted(self._ends, ids, side="right")
        before = np.concatenate([[0], self._ends])[episode]
        bounds = self.columns.bounds
        rows = (bounds[episode] + ids - before)[:, None] + np.arange(self.length)
        last = bounds[episode + 1][:, None] - 1
        return np.minimum(rows, last), rows <= last

    def batch(self, ids: Sequence[object] | np.ndarray, obs: Array | np.ndarray | None = None) -> Batch:
        """Windows as a Batch of numpy arrays.

        Args:
            ids: numbers of windows `[b]`.
            obs: an array `[n ...]` to show in place of the pictures, such as their latents.
        """
        source = self.columns.obs if obs is None else obs
        if len(source) != self.columns.bounds[-1]:
            raise ValueError(f"expected obs of {self.columns.bounds[-1]} frames, got {len(source)}.")
        rows, mask = self.rows(ids)
        return Batch(
            obs=source[rows],
            prev_action=np.where(mask[..., None], self.columns.prev_action[rows], np.float32(np.nan)),
            reward=np.where(mask, self.columns.reward[rows], np.float32(0)),
            terminated=self.columns.terminated[rows] & mask,
            mask=mask,
        )


class ShuffledIndex:
    """The order in which items are seen, as a pure function of the step: the data position is the step number.

    Every item comes once in an epoch before any comes twice; a batch may lie across two epochs.
    """

    def __init__(self, num_items: int, batch_size: int, seed: int):
        if num_items < 1 or batch_size < 1:
            raise ValueError(f"expected at least one item and one a batch, got {num_items} and {batch_size}.")
        self.num_items, self.batch_size, self.seed = num_items, batch_size, seed
        self._orders: dict[int, np.ndarray] = {}  # of the latest epochs; a cache, not state

    def at(self, step: int) -> Int64[np.ndarray, " b"]:
        """Item numbers of the batch of this step."""
        positions = step * self.batch_size + np.arange(self.batch_size, dtype=np.int64)
        epochs, offsets = np.divmod(positions, self.num_items)
        items = np.empty(self.batch_size, np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            items[here] = self._order(int(epoch))[offsets[here]]
        return items

    def _order(self, epoch: int) -> np.ndarray:
        if epoch not in self._orders:
            self._orders = {e: o for e, o in self._orders.items() if abs(e - epoch) <= 1}
            self._orders[epoch] = np.random.default_rng([self.seed, epoch]).permutation(self.num_items)
        return self._orders[epoch]
