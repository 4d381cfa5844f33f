"""Prompts in training: the vocabulary of the footage, and a caption of every training window.

Captions are drawn anew at every step, as a pure function of the step. Some windows have none, so that the world also
runs without a prompt, which guidance needs; and of the exact attributes each window shows a random part, so that a
prompt need not name all of them.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32

from worldsim.data.captions import CAPTIONS_FILE, Captioner, check_attributes, is_nothing, read_captions
from worldsim.data.dataset import Columns, Windows
from worldsim.data.store import Footage
from worldsim.stop_words import STOP_WORDS
from worldsim.text.prompt import Prompt, PromptConfig, split_words
from worldsim.text.sentence import encode_sentences

GAME = "game"  # the attribute that says which of several games it is
MAX_KNOWN = 4096  # words of a world; the most frequent ones


def read_prompts(footages: Sequence[Footage], sizes: PromptConfig | None) -> PromptConfig | None:
    """Return what a world reads: the words and attributes of its footage, and of several games which one it is.

    `sizes` gives the sizes of the text encoder; None reads nothing but, of several games, their names.
    """
    if len(footages) > 1:
        return _join_prompts(footages, sizes or PromptConfig())
    return None if sizes is None else prompt_config(footages[0], sizes)


def prompt_config(footage: Footage, sizes: PromptConfig) -> PromptConfig | None:
    """Collect the attributes and the words of footage; None where it has neither attributes nor captions.

    Raises:
        ValueError: attributes or captions that do not fit the footage, or sentences to read and none, or no encoder.
    """
    meta = footage.meta
    check_attributes(meta.attributes, meta.state_names)
    captions = read_captions(footage.path, [e.length for e in footage.episodes])
    if not meta.attributes and not captions:
        if sizes.sentence:
            raise ValueError(f"expected footage with captions to read sentences, {footage.path} has none.")
        return None
    if sizes.sentence:
        encode_sentences([meta.title])  # fails now rather than after the tokenizer was trained
    attributes = tuple((name, tuple(zip(*words.values(), strict=True))) for name, words in meta.attributes.items())
    texts = [meta.title, *meta.prompts, *(c.text for c in captions)]
    texts += [label for words in meta.attributes.values() for labels in words.values() for label in labels]
    count = Counter(word for text in texts for word in split_words(text) if word not in STOP_WORDS)
    known = tuple(sorted(word for word, _ in count.most_common(MAX_KNOWN)))
    return dataclasses.replace(sizes, attributes=attributes, known=known)


def captions_digest(footage: Footage) -> dict[str, str]:
    """Hash the captions file, where there is one: training depends on it."""
    path = footage.path / CAPTIONS_FILE
    return {"captions": hashlib.sha256(path.read_bytes()).hexdigest()} if path.is_file() else {}


def _join_prompts(footages: Sequence[Footage], sizes: PromptConfig) -> PromptConfig:
    """Collect the prompts of several games: the first attribute is the game, by its title and its other names.

    Attributes of one name are one, and their values those of all games.
    """
    parts = [prompt_config(footage, sizes) for footage in footages]
    names = tuple(tuple(dict.fromkeys((f.meta.title, *f.meta.prompts))) for f in footages)
    values: dict[str, dict[str, tuple[str, ...]]] = {}
    for part in parts:
        for name, labels in part.attributes if part else ():
            values[name] = {words[0]: words for words in labels} | values.get(name, {})
    known = {word for part in parts if part for word in part.known}
    known |= {word for phrases in names for phrase in phrases for word in split_words(phrase)} - STOP_WORDS
    attributes = ((GAME, names), *((name, tuple(labels.values())) for name, labels in values.items()))
    return dataclasses.replace(sizes, attributes=attributes, known=tuple(sorted(known)))


class WindowPrompts:
    """The prompts of windows, as a pure function of the step; `game` is the number of one of several games."""

    def __init__(
        self,
        config: PromptConfig,
        footage: Footage,
        columns: Columns,
        ids: Sequence[int],
        *,
        dropout: float,
        seed: int,
        game: int | None = None,
    ):
        self.config, self.dropout, self.seed, self.game = config, dropout, seed, game
        self.captioner = Captioner(footage, columns, ids)
        self._values = _values(config, footage)

    def at(self, step: int, windows: Windows, ids: np.ndarray) -> Prompt:
        """Caption the windows of this step."""
        rng = np.random.default_rng([self.seed, step, 1])
        texts, labels = [], []
        for rows, mask in zip(*windows.rows(ids), strict=True):
            text, known = self.captioner.draw(rows[mask], rng)
            keep = 0.0 if rng.random() < self.dropout else rng.random()
            if self.game is not None:
                text = text or self.captioner.titles[rng.integers(len(self.captioner.titles))]
            texts.append(text if keep else "")
            shown = {name: self._values[name].get(label, -1) for name, label in known.items() if name in self._values}
            if self.game is not None:
                shown[GAME] = self.game
            labels.append({name: value for name, value in shown.items() if value >= 0 and rng.random() < keep})
        return self.config.read(texts, labels)


def frame_labels(
    config: PromptConfig | None, footage: Footage, columns: Columns, rows: np.ndarray, game: int | None = None
) -> Int32[np.ndarray, "n a"]:
    """Return what frames show: the value of each attribute of the world from 1 on, as `Prompt.labels`; 0 = nothing."""
    names = [name for name, _ in config.attributes] if config else []
    labels = np.zeros((len(rows), len(names)), np.int32)
    if config is None or columns.state is None:
        return labels
    for name, values in _values(config, footage).items():
        words, at = footage.meta.attributes[name], names.index(name)
        shown = columns.state[rows, footage.meta.state_names.index(name)]
        for label, value in values.items():
            if not is_nothing(words, label):
                labels[np.round(shown) == label, at] = 1 + value
    if game is not None:
        labels[:, 0] = 1 + game  # `GAME` is the first
    return labels


def _values(config: PromptConfig, footage: Footage) -> dict[str, dict[int, int]]:
    """Map the labels of footage to the world's, which may be of other footage, by their English words."""
    places = {name: {words[0]: i for i, words in enumerate(values)} for name, values in config.attributes}
    return {
        name: {i: places[name][word] for i, word in enumerate(words["en"]) if word in places[name]}
        for name, words in footage.meta.attributes.items()
        if name in places
    }
