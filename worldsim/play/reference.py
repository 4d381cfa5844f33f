"""The real game under the same keys as its dream: its present frame, and the last frames to dream on from."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from jaxtyping import Float

from worldsim.recording.game import Arrival
from worldsim.recording.real import RealGame


class ReferenceGame:
    """A real game that gets the same actions as a dream, which begins from `context_len` frames.

    Raises:
        RuntimeError: here and in all methods, where the game has died or hangs.
    """

    def __init__(self, game: RealGame, context_len: int, rng: np.random.Generator):
        self.game, self._rng = game, rng
        self._past: deque[tuple[Any, Any]] = deque(maxlen=context_len)  # frames, and the rows that led to them
        self.reset()

    def reset(self) -> None:
        """Begin an episode."""
        self.now: Arrival = self.game.reset(int(self._rng.integers(2**31 - 1)))
        self.total = 0.0
        self._past.clear()
        self._past.append((self.now.obs, None))

    def receive_step(self, row: Float[np.ndarray, " a"]) -> None:
        """Take the step that was sent."""
        self.now = self.game.receive_step()
        self.total += self.now.reward
        self._past.append((self.now.obs, row))

    @property
    def has_ended(self) -> bool:
        """Whether the episode is over."""
        return self.now.terminated or self.now.truncated

    def context(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Frames `[t h w c]` and rows `[t a]` to dream on from: as many as a dream begins from, or the last alone,
        since each other number would have to be compiled."""
        if len(self._past) < (self._past.maxlen or 1):
            return self.now.obs[None], None
        frames, rows = zip(*self._past)
        known = next(row for row in rows if row is not None)
        return np.stack(frames), np.stack([np.full_like(known, np.nan) if row is None else row for row in rows])
