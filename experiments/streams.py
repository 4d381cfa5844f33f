"""Episodes from games that run side by side and begin anew by themselves, as vectorised games in JAX do.

Streams follow Gymnasium's next-step reset: the row after the end of an episode plays nothing, its picture is the first
of the next episode. So the last picture of an episode is never lost, and no step leads from one episode into another.
A row after the end that is marked as ended again is a stream that still waits for its next episode.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from worldsim.types import Episode


class StreamRows(NamedTuple):
    """Some steps of n streams, by arrival: `action[t]` led to `obs[t]`, and the rest is what came with it."""

    obs: Any  # uint8 [t n h w c]
    action: Any  # float32 [t n a]
    reward: Any  # float32 [t n]
    terminated: Any  # bool [t n]
    truncated: Any  # bool [t n]


class StreamCutter:
    """Cut streams into episodes, some rows at a time: `push` the rows in order, then take the `rest`.

    Args:
        num_streams: n; the first row of each stream is the first picture of an episode.
    """

    def __init__(self, num_streams: int):
        self.num_steps = 0
        """Steps played so far, all streams together."""
        self._open: list[list[StreamRows]] = [[] for _ in range(num_streams)]
        self._ended = np.ones(num_streams, bool)

    def push(self, rows: StreamRows) -> list[Episode]:
        """Take the next rows of all streams and give the episodes that end in them.

        Raises:
            ValueError: rows of another number of streams.
        """
        ended = np.asarray(rows.terminated | rows.truncated)
        if ended.ndim != 2 or ended.shape[1] != len(self._open):
            raise ValueError(f"rows want shape [t {len(self._open)}], got {ended.shape}.")
        before = np.concatenate([self._ended[None], ended])
        before, self._ended = before[:-1], before[-1]
        self.num_steps += int((~before).sum())
        episodes = []
        for stream, parts in enumerate(self._open):
            kept = np.flatnonzero(~(before & ended)[:, stream])
            for ids in np.split(kept, np.flatnonzero(before[kept, stream])):
                if len(ids):
                    parts.append(StreamRows(*(x[ids, stream] for x in rows)))
                    if ended[ids[-1], stream]:
                        episodes.append(_join(parts))
                        parts.clear()
        return episodes

    def rest(self) -> list[Episode]:
        """Give the episodes that are still going on, as truncated; those without a step are left out."""
        episodes = [_join(parts) for parts in self._open if sum(len(part.reward) for part in parts) > 1]
        for episode in episodes:
            episode.truncated[-1] = True
        self._open = [[] for _ in self._open]
        self._ended[:] = True
        return episodes


def _join(parts: list[StreamRows]) -> Episode:
    obs, *others = (np.concatenate(column) for column in zip(*parts))
    return Episode(obs, *(column[1:] for column in others))
