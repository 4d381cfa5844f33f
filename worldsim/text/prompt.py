"""Words as numbers, on the host: no vocabulary, no download, and any language that writes words.

A word is the set of its character n-grams, each hashed to one of some buckets (fastText, Bojanowski et al. 2017,
arXiv 1607.04606). So a Korean word means much the same with another particle, an English one in the plural, and a word
that was never seen is read by its parts.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import numpy as np

from worldsim.schema import Range, check
from worldsim.text.sentence import encode_sentences

RESEMBLES = 0.5  # cosine: "jungle" and "rainforest" have .61, "spaceship" and "rainforest" .25
MAX_ATTRIBUTES = 256
MAX_OFFERED = 12  # words of each attribute that an error lists


class Prompt(NamedTuple):
    """Prompts as numbers: words, and exact attributes. All zeros is no prompt."""

    words: Any  # int32 [b p g], the buckets of each word's n-grams; 0 = none
    labels: Any  # int32 [b a], the value of each attribute, from 1 on; 0 = unknown
    sentence: Any = ()  # float32 [b s], the whole text, for a world that reads sentences


@dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """The prompts of a world: the sizes of its text encoder, and the words and attributes it was trained on."""

    attributes: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = ()
    """Name of each attribute, and what each of its values is called, in one or more languages."""
    known: tuple[str, ...] = ()
    """Words that the world was trained on and that say something."""
    num_words: Annotated[int, Range(1, 1024)] = 32
    """Longest prompt."""
    num_grams: Annotated[int, Range(1, 256)] = 12
    """Most n-grams of a word."""
    num_buckets: Annotated[int, Range(2, 2**20)] = 2048
    """Buckets that n-grams share."""
    gram_width: Annotated[int, Range(1, 4096)] = 64
    """Channels of an n-gram."""
    num_layers: Annotated[int, Range(0, 32)] = 1
    """Transformer layers over the words."""
    always: str = ""
    """A text that stands before every prompt, and where there is none: which game it is, for one of several."""
    sentence: bool = False
    """Whether the whole text is read too, by a frozen encoder (`worldsim.text.sentence`)."""

    def __post_init__(self):
        check(self)
        if len(self.attributes) > MAX_ATTRIBUTES:
            raise ValueError(f"expected at most {MAX_ATTRIBUTES} attributes, got {len(self.attributes)}.")
        if not all(words for _, values in self.attributes for words in values):
            raise ValueError("attributes must have a word or more for each value, got none for one.")

    def nothing(self, batch: int) -> Prompt:
        """Return no prompt, but for what stands before every prompt."""
        if not self.always:
            return self._zeros(batch)
        return self.read([self.always] * batch, [self.find_labels(self.always)] * batch)

    def _zeros(self, batch: int) -> Prompt:
        shape = (batch, self.num_words, self.num_grams)
        labels = np.zeros((batch, len(self.attributes)), np.int32)
        return Prompt(np.zeros(shape, np.int32), labels, encode_sentences([""] * batch) if self.sentence else ())

    def read(self, texts: Sequence[str], labels: Sequence[Mapping[str, int]]) -> Prompt:
        """Read texts and exact labels; words beyond the longest prompt are cut, names that are unknown left out."""
        prompt = self._zeros(len(texts))
        if self.sentence:
            prompt = prompt._replace(sentence=encode_sentences(texts))
        for row, (text, known) in enumerate(zip(texts, labels, strict=True)):
            for i, word in enumerate(split_words(text)[: self.num_words]):
                prompt.words[row, i] = _grams(word, self.num_grams, self.num_buckets)
            for i, (name, _) in enumerate(self.attributes):
                prompt.labels[row, i] = 1 + known.get(name, -1)
        return prompt

    def read_texts(self, texts: Sequence[str]) -> Prompt:
        """Read texts from users, and find the labels that their words name.

        Raises:
            ValueError: a text is too long, or the world was trained on none of its words; the message lists them.
        """
        for text in texts:
            words = split_words(text)
            longest = self.num_words - len(split_words(self.always))
            if len(words) > longest:
                raise ValueError(f"expected at most {longest} words in a prompt, got {len(words)}; shorten it.")
            if not any(_is_known(word, self._known) for word in words) and not self._resembles(text):
                raise ValueError(
                    f"expected words that this world was trained on, got {text[:80]!r}. It reads {self.offer()}."
                )
        whole = [f"{self.always}, {text}" if self.always else text for text in texts]
        return self.read(whole, [self.find_labels(text) for text in whole])

    def find_labels(self, text: str) -> dict[str, int]:
        """Find the values of attributes that a text names; a word that several attributes share names none of them."""
        words = split_words(text)
        owners: dict[str, set[str]] = {}
        found: dict[str, tuple[int, str]] = {}
        for name, values in self.attributes:
            for value, labels in enumerate(values):
                for label in labels:
                    if _says(words, split_words(label)):
                        owners.setdefault(label, set()).add(name)
                        if len(label) > len(found.get(name, (0, ""))[1]):
                            found[name] = (value, label)
        return {name: value for name, (value, label) in found.items() if len(owners[label]) == 1}

    def _resembles(self, text: str) -> bool:
        """Whether a text means something like a label, for a world that reads sentences."""
        if not self.sentence or not split_words(text):
            return False
        labels = sorted({label for _, values in self.attributes for labels in values for label in labels})
        return bool(labels) and float((encode_sentences(labels) @ encode_sentences([text])[0]).max()) > RESEMBLES

    def offer(self) -> str:
        """Return the words that a prompt can name."""
        kinds = []
        for name, values in self.attributes:
            labels = [" / ".join(words) for words in values[:MAX_OFFERED]]
            kinds.append(f"{name.replace('_', ' ')}: {', '.join(labels)}{', ...' * (len(values) > MAX_OFFERED)}")
        return "; ".join(kinds) or ", ".join(self.known[: 2 * MAX_OFFERED])

    @property
    def _known(self) -> frozenset[str]:
        return frozenset(self.known)


def split_words(text: str) -> list[str]:
    """Split a text into words, without case and punctuation."""
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold())


@lru_cache(2**14)
def _grams(word: str, num_grams: int, num_buckets: int) -> np.ndarray:
    """The buckets of a word and of its n-grams: 2 and 3 letters where a letter is a syllable, 3 and 4 elsewhere."""
    marked = f"<{word}>"
    lengths = (3, 4) if word.isascii() else (2, 3)
    parts = [marked] + [marked[i : i + n] for n in lengths for i in range(len(marked) - n + 1)]
    row = np.zeros(num_grams, np.int32)
    buckets = [1 + zlib.crc32(part.encode()) % (num_buckets - 1) for part in dict.fromkeys(parts)]
    row[: len(buckets[:num_grams])] = buckets[:num_grams]
    return row


def _is_known(word: str, known: frozenset[str]) -> bool:
    """Whether a word, or one that it begins with, is known: Korean glues particles to its words, English an s."""
    shortest = 4 if word.isascii() else 1
    return word in known or any(word[:n] in known for n in range(shortest, len(word)))


def _says(words: list[str], label: list[str]) -> bool:
    """Whether the words of a label come one after another, the last one perhaps with a particle."""
    n = len(label)
    for i in range(len(words) - n + 1) if n else ():
        last = words[i + n - 1]
        glued = not label[-1].isascii() and last.startswith(label[-1])
        if words[i : i + n - 1] == label[:-1] and (last == label[-1] or glued):
            return True
    return False
