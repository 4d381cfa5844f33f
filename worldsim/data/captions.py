"""Captions: what a frame shows, in words, made from the ground truth of the game (recaptioning), or written by hand.

Footage names some of its state columns as attributes, with a word for each value. A caption names some of them in one
of several wordings, long or short, in English or Korean, so that a model that reads captions learns the words and not
the sentence. People's own captions lie beside the footage, in `captions.jsonl`.

Source of the idea: DALL-E 3 (Betker et al. 2023, "Improving image generation with better captions").
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from worldsim.data.dataset import Columns
from worldsim.data.store import Footage
from worldsim.schema import parse_json
from worldsim.world.files import read_file

LANGUAGES = ("en", "ko")
CAPTIONS_FILE, MAX_CAPTIONS_BYTES = "captions.jsonl", 2**26
NOTHING_WORDS = frozenset(["", "none", "nothing", "없음", "아무것도 없음", "unknown", "air", "공기"])
"""Labels that say that there is nothing to say."""
TITLES = {
    "en": ("{x}", "{x} game", "a scene of {x}", "this is {x}"),
    "ko": ("{x}", "{x} 게임", "{x}의 한 장면", "{x} 화면"),
}
WORDINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "biome": {
        "en": ("{x}", "in the {x}", "{x} biome", "a {x} landscape"),
        "ko": ("{x}", "{x} 지형", "{x}에서", "여기는 {x}[이다/다]"),
    },
    "time": {
        "en": ("{x}", "at {x}", "it is {x}", "time of day: {x}"),
        "ko": ("{x}", "{x}에", "때는 {x}", "시간은 {x}[이다/다]"),
    },
    "weather": {
        "en": ("{x}", "{x} sky", "weather: {x}", "the weather is {x}"),
        "ko": ("{x}", "날씨 {x}", "날씨는 {x}", "하늘은 {x}"),
    },
    "looking_at": {
        "en": ("{x} in front", "{x} ahead", "looking at {x}", "facing {x}"),
        "ko": ("앞에 {x}", "앞에 {x}[이/가] 있다", "{x}[을/를] 본다", "눈앞의 {x}"),
    },
    "held": {
        "en": ("holding {x}", "{x} in hand", "with {x} in hand", "the player holds {x}"),
        "ko": ("손에 {x}", "{x}[을/를] 들고 있다", "{x}[을/를] 든 채", "손에 든 {x}"),
    },
    "event": {
        "en": ("just {x}", "just now: {x}", "has just {x}", "{x} a moment ago"),
        "ko": ("방금 {x}", "조금 전 {x}", "지금 막 {x}", "방금 있었던 일: {x}"),
    },
}
OTHER = {"en": ("{x}", "{name} {x}", "{name}: {x}", "{x} {name}"), "ko": ("{x}", "{name} {x}", "{name}: {x}")}
ALIASES = {"time_of_day": "time", "time_label": "time", "look_node": "looking_at", "look": "looking_at"}
Attributes = Mapping[str, Mapping[str, Sequence[str]]]


class OwnCaption(NamedTuple):
    """A line of `captions.jsonl`: what frames `start:stop` of an episode show."""

    episode: int
    start: int
    stop: int
    text: str


def check_attributes(attributes: Attributes, state_names: Sequence[str]) -> None:
    """Check that attributes are state columns with as many words in every language.

    Raises:
        ValueError: naming the attribute that is not.
    """
    for name, words in attributes.items():
        if name not in state_names:
            raise ValueError(f"expected a state column for attribute {name!r}, got {list(state_names)}.")
        if "en" not in words or set(words) - set(LANGUAGES):
            raise ValueError(f"expected words in en and perhaps ko for attribute {name!r}, got {sorted(words)}.")
        if len({len(labels) for labels in words.values()}) > 1 or not words["en"]:
            raise ValueError(f"expected one word a value in each language for attribute {name!r}, got {dict(words)}.")


def read_labels(state: np.ndarray, state_names: Sequence[str], attributes: Attributes) -> dict[str, int]:
    """The attributes of a state row; those that are unknown there are left out."""
    labels = {}
    for name, words in attributes.items():
        value = float(state[list(state_names).index(name)])
        if np.isfinite(value) and 0 <= round(value) < len(words["en"]):
            labels[name] = round(value)
    return labels


def is_nothing(words: Mapping[str, Sequence[str]], label: int) -> bool:
    """Whether a label means that there is nothing to say, such as "none"."""
    return words["en"][label].lower() in NOTHING_WORDS


def caption(
    labels: Mapping[str, int],
    attributes: Attributes,
    titles: Sequence[str],
    rng: np.random.Generator,
    *,
    language: str = "en",
    is_long: bool = True,
    keep: float = 0.75,
) -> str:
    """Say what labels mean.

    Args:
        labels: attribute -> index of its value, as from `read_labels`.
        attributes: the words for each value; an attribute without words in `language` is said in English.
        titles: names of the game, of which one is said.
        rng: chooses title, wordings and order, and what is left out.
        language: "en" or "ko".
        is_long: a sentence for everything, or few words for one or two things.
        keep: probability with which a thing is said at all.

    Example:
        >>> caption({"biome": 1, "time": 0}, attributes, ["Luanti"], rng, is_long=False)
        'Luanti, desert at dusk'
    """
    if language not in LANGUAGES:
        raise ValueError(f"expected one of {', '.join(LANGUAGES)} for language, got {language!r}.")
    names = [name for name, label in labels.items() if not is_nothing(attributes[name], label)]
    names = [str(name) for name in rng.permutation(names) if rng.random() < keep]
    if not is_long:
        names = sorted(names[: int(rng.integers(1, 3))], key=list(labels).index)
    phrases = [_phrase(name, labels[name], attributes[name], language, rng) for name in names]
    if titles and (not phrases or rng.random() < 0.7):
        title = _pick(titles, rng)
        phrases.insert(0, _pick(TITLES[language] if is_long else ("{x}",), rng).format(x=title))
    if is_long:
        return " ".join(phrase[:1].upper() + phrase[1:] + "." for phrase in phrases)
    return ", ".join(phrases)


def read_captions(folder: Path | str, lengths: Sequence[int]) -> list[OwnCaption]:
    """Read the captions that somebody wrote for footage; none where there is no such file.

    Args:
        folder: of the footage.
        lengths: frames of each of its episodes.

    Raises:
        ValueError: a line that is no caption of these episodes; the message names it.
    """
    path = Path(folder) / CAPTIONS_FILE
    if not os.path.lexists(path):
        return []
    captions = []
    for number, line in enumerate(read_file(path, MAX_CAPTIONS_BYTES).splitlines(), 1):
        try:
            if line.strip():
                captions.append(_own_caption(parse_json(line), lengths))
        except ValueError as error:
            raise ValueError(f"{path} line {number}: {error}") from error
    return captions


class Captioned(NamedTuple):
    """The caption of a window, and its true attributes."""

    text: str
    labels: dict[str, int]  # attribute -> index of its value


class Captioner:
    """Captions windows by what they show.

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
        """Caption one of some consecutive rows of the columns; a person's own caption half of the time."""
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


def _own_caption(line: object, lengths: Sequence[int]) -> OwnCaption:
    wanted = '{"episode": 0, "start": 0, "stop": 64, "text": "..."}'
    if not isinstance(line, dict) or set(line) - set(OwnCaption._fields) or not {"episode", "text"} <= set(line):
        raise ValueError(f"expected {wanted} for a caption, got {str(line)[:120]}.")
    numbers = [line["episode"], line.get("start", 0), line.get("stop", 1)]
    if not all(type(x) is int for x in numbers) or not 0 <= line["episode"] < len(lengths):
        raise ValueError(f"expected whole numbers and an episode in 0..{len(lengths) - 1} for a caption, got {line}.")
    length = lengths[line["episode"]]
    start, stop = line.get("start", 0), line.get("stop", length)
    if not 0 <= start < stop <= length:
        raise ValueError(
            f"expected 0 <= start < stop <= {length} for a caption of episode {line['episode']}, got {line}."
        )
    if not isinstance(line["text"], str) or not line["text"].strip():
        raise ValueError(f"expected some text for a caption, got {line['text']!r}.")
    return OwnCaption(line["episode"], start, stop, line["text"].strip())


def _phrase(name: str, label: int, words: Mapping[str, Sequence[str]], language: str, rng: np.random.Generator) -> str:
    language = language if language in words else "en"
    wordings = WORDINGS.get(ALIASES.get(name, name), OTHER)[language]
    wording, word = _pick(wordings, rng), words[language][label]
    return _with_particles(wording, word).format(x=word, name=name.replace("_", " "))


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _with_particles(wording: str, word: str) -> str:
    """Resolve each [after a consonant/after a vowel] for the word before it, as Korean grammar asks."""
    last = ord(word[-1]) - 0xAC00  # Hangul syllables in order: 28 a vowel, the first of them without a last consonant
    closed = 0 <= last < 11172 and last % 28 > 0
    return re.sub(r"\[(.*?)/(.*?)\]", lambda match: match[1 if closed else 2], wording)
