"""Captions of windows of footage, drawn anew each time they are seen, as a pure function of a random generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from worldsim.data.captions import ALIASES, LANGUAGES, caption, check_attributes, is_nothing, read_captions, read_labels
from worldsim.data.dataset import Columns
from worldsim.data.store import Footage


class Captioned(NamedTuple):
    """What is said of a window, and what is so."""

    text: str
    labels: dict[str, int]  # attribute -> index of its value


class Captioner:
    """Say what windows show.

    Args:
        footage: whose attributes and own captions are used.
        columns: of `load_columns(footage, ids)`.
        ids: numbers of the episodes in `columns`.

    Raises:
        ValueError: attributes or captions that do not fit the footage.
    """

    def __init__(self, footage: Footage, columns: Columns, ids: Sequence[int]):
        meta = footage.meta
        check_attributes(meta.attributes, meta.state_names)
        self.attributes, self.state_names, self.state = meta.attributes, meta.state_names, columns.state
        self.titles = tuple(dict.fromkeys((meta.title, *meta.prompts)))
        begin = dict(zip(ids, columns.bounds[:-1].tolist()))
        own = read_captions(footage.path, [e.length for e in footage.episodes])
        self.own = [(begin[c.episode] + c.start, begin[c.episode] + c.stop, c.text) for c in own if c.episode in begin]
        self._spans = np.array([span[:2] for span in self.own], np.int64).reshape(-1, 2)

    def draw(self, rows: np.ndarray, rng: np.random.Generator) -> Captioned:
        """Caption one of some consecutive rows of the columns; a caption of one's own goes half of the time."""
        at = int(rng.integers(len(rows)))
        labels = self._labels(rows[: at + 1])
        covers = np.flatnonzero((self._spans[:, 0] <= rows[at]) & (rows[at] < self._spans[:, 1]))
        if len(covers) and (not labels or rng.random() < 0.5):
            return Captioned(self.own[rng.choice(covers)][2], labels)
        if not self.attributes:
            return Captioned("", labels)
        language = LANGUAGES[rng.integers(len(LANGUAGES))]
        is_long = bool(rng.random() < 0.5)
        text = caption(labels, self.attributes, self.titles, rng, language=language, is_long=is_long)
        return Captioned(text, labels)

    def _labels(self, rows: np.ndarray) -> dict[str, int]:
        """The attributes of the last of the rows; its event is the last that was not nothing."""
        if self.state is None:
            return {}
        labels = read_labels(self.state[rows[-1]], self.state_names, self.attributes)
        for name in labels:
            if ALIASES.get(name, name) == "event":
                seen = (read_labels(self.state[row], self.state_names, self.attributes)[name] for row in rows[::-1])
                labels[name] = next((x for x in seen if not is_nothing(self.attributes[name], x)), labels[name])
        return labels
