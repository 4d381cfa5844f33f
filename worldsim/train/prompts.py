"""What a world learns to read: the words of its footage, and a caption of every window that it is trained on.

Captions are drawn anew at every step, as a pure function of the step. Some windows have none, so that the world also
goes on without a prompt, which guidance needs; and of what is known exactly, each window shows a random part, so that a
prompt need not say everything.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from worldsim.checkpoint.card import STOP_WORDS
from worldsim.data.captioner import Captioner
from worldsim.data.captions import CAPTIONS_FILE, check_attributes, read_captions
from worldsim.data.dataset import Columns, Windows
from worldsim.data.store import Footage
from worldsim.nn.sentence import encode_sentences
from worldsim.nn.words import Prompt, PromptConfig, split_words
from worldsim.train.presets import Preset

GAME = "game"  # the attribute that says which of several games it is
MAX_KNOWN = 4096  # words of a world; the most frequent ones


def with_prompts(preset: Preset, footage: Footage) -> Preset:
    """Give the preset that reads the captions of footage, where there are any.

    A preset whose dynamics say already what they read, as those of a world to go on from, stays as it is.
    """
    if preset.prompt is None or "prompt" in preset.dynamics:
        return preset
    config = prompt_config(footage, **preset.prompt)
    return preset if config is None else dataclasses.replace(preset, dynamics={**preset.dynamics, "prompt": config})


def prompt_config(footage: Footage, **shape: Any) -> PromptConfig | None:
    """Collect the attributes and the words of footage; None where nobody says anything of it.

    Raises:
        ValueError: attributes or captions that do not fit the footage, or sentences to read and none, or no encoder.
    """
    meta = footage.meta
    check_attributes(meta.attributes, meta.state_names)
    own = read_captions(footage.path, [e.length for e in footage.episodes])
    if not meta.attributes and not own:
        if shape.get("sentence"):
            raise ValueError(f"reading sentences wants footage with captions, {footage.path} has none.")
        return None
    if shape.get("sentence"):
        encode_sentences([meta.title])  # fails now rather than after the tokenizer was trained
    attributes = tuple((name, tuple(zip(*words.values(), strict=True))) for name, words in meta.attributes.items())
    texts = [meta.title, *meta.prompts, *(c.text for c in own)]
    texts += [label for words in meta.attributes.values() for labels in words.values() for label in labels]
    count = Counter(word for text in texts for word in split_words(text) if word not in STOP_WORDS)
    known = tuple(sorted(word for word, _ in count.most_common(MAX_KNOWN)))
    return PromptConfig(attributes=attributes, known=known, **shape)


def captions_digest(footage: Footage) -> dict[str, str]:
    """Hash the captions that somebody wrote, where there are any: training depends on them."""
    path = footage.path / CAPTIONS_FILE
    return {"captions": hashlib.sha256(path.read_bytes()).hexdigest()} if path.is_file() else {}


def games_prompt_config(footages: Sequence[Footage], **shape: Any) -> PromptConfig:
    """Collect what is said of several games: which game it is comes first, by its title and its other names.

    Attributes of one name are one, and their values those of all games.
    """
    parts = [prompt_config(footage, **shape) for footage in footages]
    names = tuple(tuple(dict.fromkeys((f.meta.title, *f.meta.prompts))) for f in footages)
    values: dict[str, dict[str, tuple[str, ...]]] = {}
    for part in parts:
        for name, labels in part.attributes if part else ():
            values[name] = {words[0]: words for words in labels} | values.get(name, {})
    known = {word for part in parts if part for word in part.known}
    known |= {word for phrases in names for phrase in phrases for word in split_words(phrase)} - STOP_WORDS
    attributes = ((GAME, names), *((name, tuple(labels.values())) for name, labels in values.items()))
    return PromptConfig(attributes=attributes, known=tuple(sorted(known)), **shape)


class WindowPrompts:
    """The prompts of windows, as a pure function of the step.

    `game`: of several games, the number of the one that this is footage of.
    """

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


def _values(config: PromptConfig, footage: Footage) -> dict[str, dict[int, int]]:
    """Map the labels of footage to the world's, which may be of other footage, by their English words."""
    places = {name: {words[0]: i for i, words in enumerate(values)} for name, values in config.attributes}
    return {
        name: {i: places[name][word] for i, word in enumerate(words["en"]) if word in places[name]}
        for name, words in footage.meta.attributes.items()
        if name in places
    }
