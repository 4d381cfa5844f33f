"""The kinds of control that games have: choices, buttons and axes.

Everything that differs between kinds of control is said in its class here: its values, its Gymnasium space, the keys
that move it, and by its `scale` how models and metrics see its column. A new kind is a new class, an entry of `KINDS`
and a field of `spec.ActionSpec`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import ClassVar, Literal, NamedTuple

import gymnasium as gym
import numpy as np

DEGREES_PER_PIXEL = 0.15
MOUSE = ("mouse_x", "mouse_y")
MAX_OPTIONS, MAX_CONTROLS = 4096, 512
_WORDS = {
    "up": "ArrowUp",
    "down": "ArrowDown",
    "left": "ArrowLeft",
    "right": "ArrowRight",
    "fire": "Space",
    "jump": "Space",
}


class Input(NamedTuple):
    """What a person holds."""

    n: int = 0
    keys: tuple[str, ...] = ()  # oldest first, as KeyboardEvent.code values
    motion: tuple[float, float] = (0.0, 0.0)  # pixels of the mouse since the last input
    axes: Mapping[str, float] = {}  # axis name -> -1..1, of analog controls


class Binding(NamedTuple):
    """What keys do."""

    label: str
    keys: tuple[str, ...]  # all of them are held


class Control(ABC):
    """One column of an action row."""

    field: ClassVar[str]
    """The field of ActionSpec that lists controls of this kind."""
    scale: ClassVar[Literal["nominal", "binary", "continuous"]]
    """Whole numbers 0, 1, ... that name `options`; 0 and 1 for off and on; or any number of a range."""
    leaves: ClassVar[tuple[type[gym.Space], ...]]
    """The Gymnasium spaces that hold such controls."""
    name: str
    low: float
    rest: float
    high: float
    options: tuple[str, ...] = ()
    """Names of its values, where they are whole numbers."""

    @property
    @abstractmethod
    def bindings(self) -> tuple[Binding, ...]:
        """What its keys do."""

    @property
    def all_keys(self) -> tuple[str, ...]:
        """Every key that moves it."""
        return tuple(key for binding in self.bindings for key in binding.keys)

    @property
    def has_mouse(self) -> bool:
        """Whether the mouse moves it."""
        return not set(MOUSE).isdisjoint(self.all_keys)

    @abstractmethod
    def value(self, held: Input) -> float:
        """Its column when a person holds this; the caller clips it to low..high."""

    @abstractmethod
    def with_keys(self, spare: Iterator[str]) -> Control:
        """Return the same control with keys: those that its labels name, else spare ones."""

    @classmethod
    @abstractmethod
    def space(cls, controls: Sequence[Control]) -> gym.Space:
        """The Gymnasium space of several controls of this kind."""

    @classmethod
    @abstractmethod
    def of_space(cls, leaf: gym.Space, names: Sequence[str]) -> Sequence[Control]:
        """The controls of one of `leaves`, the inverse of `space`."""


@dataclass(frozen=True, kw_only=True)
class Choice(Control):
    """One choice among named options, as in Gymnasium's Discrete. Option 0 is the no-op.

    It takes the option whose keys are all held: the longest combination wins, among equals the one pressed last.
    """

    field = "choices"
    scale = "nominal"
    leaves = (gym.spaces.Discrete, gym.spaces.MultiDiscrete)
    low = rest = 0.0

    name: str = "action"
    labels: tuple[str, ...]
    keys: tuple[tuple[str, ...], ...]
    """The keyboard keys that a person holds for each option, as KeyboardEvent.code values: ("ArrowLeft",)."""

    def __post_init__(self):
        if not 2 <= len(self.labels) <= MAX_OPTIONS:
            raise ValueError(f"expected 2..{MAX_OPTIONS} options for a choice, got {len(self.labels)}.")
        if len(self.keys) != len(self.labels):
            raise ValueError(
                f"expected one tuple of keys for each of {len(self.labels)} options of a choice, got {len(self.keys)}."
            )

    @property
    def high(self) -> float:
        """The last option."""
        return len(self.labels) - 1.0

    @property
    def options(self) -> tuple[str, ...]:
        """The labels."""
        return self.labels

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """The keys of each option."""
        return tuple(Binding(*pair) for pair in zip(self.labels, self.keys))

    def value(self, held: Input) -> float:
        """The option whose keys are held."""

        def rank(option: int) -> tuple[int, int]:
            keys = self.keys[option]
            return len(keys), max((held.keys.index(key) for key in keys), default=-1)

        fitting = [i for i, keys in enumerate(self.keys) if all(key in held.keys for key in keys) and (keys or i == 0)]
        return float(max(fitting, key=rank, default=0))

    def with_keys(self, spare: Iterator[str]) -> Choice:
        """Arrows and space where they tell every option, else a spare key for each."""
        words = [_word_keys(label) for label in self.labels[1:]]
        is_told = all(words) and len({frozenset(keys) for keys in words}) == len(words)
        return replace(self, keys=((), *(words if is_told else (_take(spare, 1) for _ in words))))

    @classmethod
    def space(cls, controls: Sequence[Control]) -> gym.Space:
        """MultiDiscrete."""
        return gym.spaces.MultiDiscrete([len(x.options) for x in controls])

    @classmethod
    def of_space(cls, leaf: gym.Space, names: Sequence[str]) -> list[Choice]:
        """One of each number of a Discrete or MultiDiscrete."""
        counts = np.ravel(leaf.n if isinstance(leaf, gym.spaces.Discrete) else leaf.nvec)  # type: ignore[attr-defined]
        options = [tuple(str(i) for i in range(n)) for n in counts]
        return [Choice(name=n, labels=o, keys=((),) * len(o)) for n, o in zip(names, options, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Button(Control):
    """One key that is down or up, as in Gymnasium's MultiBinary."""

    field = "buttons"
    scale = "binary"
    leaves = (gym.spaces.MultiBinary,)
    low = rest = 0.0
    high = 1.0

    name: str
    keys: tuple[str, ...] = ()

    @property
    def options(self) -> tuple[str, ...]:
        """Up and down."""
        return f"no {self.name}", self.name

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """Each key presses it."""
        return tuple(Binding(self.name, (key,)) for key in self.keys)

    def value(self, held: Input) -> float:
        """1 where one of its keys is held."""
        return float(any(key in held.keys for key in self.keys))

    def with_keys(self, spare: Iterator[str]) -> Button:
        """The key that its name says, or a spare one."""
        return replace(self, keys=_word_keys(self.name) or _take(spare, 1))

    @classmethod
    def space(cls, controls: Sequence[Control]) -> gym.Space:
        """MultiBinary."""
        return gym.spaces.MultiBinary(len(controls))

    @classmethod
    def of_space(cls, leaf: gym.Space, names: Sequence[str]) -> list[Button]:
        """One for each bit."""
        return [Button(name=name) for name in names]


@dataclass(frozen=True, kw_only=True)
class Axis(Control):
    """One continuous control, as in Gymnasium's Box: a mouse axis, a joystick, a pedal."""

    field = "axes"
    scale = "continuous"
    leaves = (gym.spaces.Box,)

    name: str
    unit: str = ""
    low: float = -1.0
    high: float = 1.0
    keys: tuple[str, ...] = ()
    """Keys that push the axis to its low and high end, or ("mouse_x",) / ("mouse_y",)."""

    def __post_init__(self):
        if not self.low < self.high or not np.isfinite([self.low, self.high]).all():
            raise ValueError(f"expected finite low < high for axis {self.name}, got {self.low} and {self.high}.")

    @property
    def rest(self) -> float:
        """The value nearest to 0."""
        return min(max(0.0, self.low), self.high)

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """The two ends, or the mouse."""
        ends = (" −", " +") if len(self.keys) > 1 else ("",)
        return tuple(Binding(f"{self.name}{end}", (key,)) for end, key in zip(ends, self.keys))

    def value(self, held: Input) -> float:
        """How far it is pushed: by a joystick, else the mouse, else its keys."""
        if self.name in held.axes:
            push = held.axes[self.name]
            return self.rest + push * (self.high - self.rest if push > 0 else self.rest - self.low)
        if self.keys and self.keys[0] in MOUSE:
            return held.motion[MOUSE.index(self.keys[0])] * DEGREES_PER_PIXEL
        ends = [end for key, end in zip(self.keys, (self.low, self.high)) if key in held.keys]
        return ends[0] if len(ends) == 1 else self.rest

    def with_keys(self, spare: Iterator[str]) -> Axis:
        """Two spare keys."""
        return replace(self, keys=_take(spare, 2))

    @classmethod
    def space(cls, controls: Sequence[Control]) -> gym.Space:
        """Box."""
        low, high = (np.array([getattr(x, side) for x in controls], np.float32) for side in ("low", "high"))
        return gym.spaces.Box(low, high, dtype=np.float32)

    @classmethod
    def of_space(cls, leaf: gym.Space, names: Sequence[str]) -> list[Axis]:
        """One for each number."""
        low, high = np.ravel(leaf.low), np.ravel(leaf.high)  # type: ignore[attr-defined]
        return [Axis(name=n, low=float(a), high=float(b)) for n, a, b in zip(names, low, high, strict=True)]


KINDS: tuple[type[Control], ...] = (Choice, Button, Axis)
"""In the order of columns: nominal, binary, continuous."""


def _word_keys(label: str) -> tuple[str, ...]:
    """The arrows and the space that a label such as UPRIGHTFIRE names."""
    return tuple(dict.fromkeys(_WORDS[word] for word in re.findall("|".join(_WORDS), label.lower())))


def _take(spare: Iterator[str], count: int) -> tuple[str, ...]:
    keys = tuple(islice(spare, count))
    return keys if len(keys) == count else ()
