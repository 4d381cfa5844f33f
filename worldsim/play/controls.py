"""From what a person holds to an action row, and which keys do what beside the game.

A world's ActionSpec names its keys. A choice takes the option whose keys are all held: the longest combination wins,
among equals the one that was pressed last, and none is option 0, the no-op.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from worldsim.play.messages import Input
from worldsim.types import ActionSpec, Axis, Choice

DEGREES_PER_PIXEL = 0.15
MOUSE = ("mouse_x", "mouse_y")
_WORDS = {
    "up": "ArrowUp",
    "down": "ArrowDown",
    "left": "ArrowLeft",
    "right": "ArrowRight",
    "fire": "Space",
    "jump": "Space",
}
_SPARE = (*(f"Digit{i}" for i in range(1, 10)), *(f"Key{c}" for c in "ZXCVBQWERTASDFGYUIOPHJKLNM"))
SHORTCUTS = {
    "save": "KeyS",
    "load": "KeyL",
    "rewind": "Backspace",
    "pause": "KeyP",
    "step": "Period",
    "steps": "KeyK",
    "cooler": "Minus",
    "warmer": "Equal",
    "start": "KeyN",
    "nothing": "KeyO",
    "prompt": "Slash",
    "pilot": "KeyA",
    "real": "KeyG",
    "sync": "KeyY",
    "record": "KeyR",
    "panel": "KeyI",
    "help": "KeyH",
    "fullscreen": "KeyF",
}


class Hands:
    """What a person holds between two ticks: the last input wins, mouse movement adds up, and no tap is lost."""

    def __init__(self):
        self._held = Input()
        self._taps: tuple[str, ...] = ()  # pressed since the last tick

    def hold(self, now: Input) -> None:
        """Take an input."""
        pressed = tuple(key for key in now.keys if key not in self._held.keys)
        self._taps = (*(key for key in self._taps if key not in pressed), *pressed)
        motion = (self._held.motion[0] + now.motion[0], self._held.motion[1] + now.motion[1])
        self._held = now._replace(motion=motion)

    def take(self) -> Input:
        """What counts for this tick; a key that came and went counts once."""
        gone = tuple(key for key in self._taps if key not in self._held.keys)
        taken = self._held._replace(keys=(*gone, *self._held.keys))
        self._held, self._taps = self._held._replace(motion=(0.0, 0.0)), ()
        return taken


def row_of_input(spec: ActionSpec, held: Input) -> Float[np.ndarray, " a"]:
    """Turn what is held into an action row within the spec's bounds."""
    choices = [float(_option(choice, held.keys)) for choice in spec.choices]
    buttons = [float(any(key in held.keys for key in button.keys)) for button in spec.buttons]
    low, high = spec.bounds
    row = np.array(choices + buttons + [_axis(axis, held) for axis in spec.axes], np.float32)
    return np.clip(row, low, high)


def _option(choice: Choice, keys: Sequence[str]) -> int:
    def rank(option: int) -> tuple[int, int]:
        wanted = choice.keys[option]
        return len(wanted), max((keys.index(key) for key in wanted), default=-1)

    fitting = [i for i, wanted in enumerate(choice.keys) if all(key in keys for key in wanted) and (wanted or i == 0)]
    return max(fitting, key=rank, default=0)


def _axis(axis: Axis, held: Input) -> float:
    rest = min(max(0.0, axis.low), axis.high)
    if axis.name in held.sticks:
        push = held.sticks[axis.name]
        return rest + push * (axis.high - rest if push > 0 else rest - axis.low)
    if axis.keys and axis.keys[0] in MOUSE:
        return held.motion[MOUSE.index(axis.keys[0])] * DEGREES_PER_PIXEL
    ends = [end for key, end in zip(axis.keys, (axis.low, axis.high)) if key in held.keys]
    return ends[0] if len(ends) == 1 else rest


def with_keys(spec: ActionSpec) -> ActionSpec:
    """Give keys to the controls that name none: arrows and space by their labels, else spare keys."""
    used = {key for name in _all_keys(spec) for key in name}
    spare = iter([key for key in _SPARE if key not in used])
    choices = tuple(x if any(x.keys) else replace(x, keys=_option_keys(x.labels, spare)) for x in spec.choices)
    buttons = tuple(x if x.keys else replace(x, keys=_word_keys(x.name) or _next(spare, 1)) for x in spec.buttons)
    axes = tuple(x if x.keys else replace(x, keys=_next(spare, 2)) for x in spec.axes)
    return ActionSpec(choices=choices, buttons=buttons, axes=axes)


def _option_keys(labels: Sequence[str], spare: Any) -> tuple[tuple[str, ...], ...]:
    words = [_word_keys(label) for label in labels[1:]]
    if all(words) and len({frozenset(keys) for keys in words}) == len(words):
        return ((), *words)
    return ((), *(_next(spare, 1) for _ in labels[1:]))


def _word_keys(label: str) -> tuple[str, ...]:
    """The arrows and the space that a label such as UPRIGHTFIRE speaks of."""
    return tuple(dict.fromkeys(_WORDS[word] for word in re.findall("|".join(_WORDS), label.lower())))


def _next(spare: Any, count: int) -> tuple[str, ...]:
    keys = tuple(key for key in (next(spare, None) for _ in range(count)) if key)
    return keys if len(keys) == count else ()


def _all_keys(spec: ActionSpec) -> list[tuple[str, ...]]:
    return [keys for x in spec.choices for keys in x.keys] + [x.keys for x in (*spec.buttons, *spec.axes)]


def shortcuts(spec: ActionSpec) -> dict[str, dict[str, Any]]:
    """The key of each command: `{code, alt}`, with Alt where the game has the key for itself."""
    used = {key for keys in _all_keys(spec) for key in keys}
    return {name: {"code": code, "alt": code in used} for name, code in SHORTCUTS.items()}


def describe(spec: ActionSpec) -> list[Mapping[str, Any]]:
    """The controls as the page shows them."""
    choices = [
        {
            "name": x.name,
            "kind": "choice",
            "options": [{"label": label, "keys": keys} for label, keys in zip(x.labels, x.keys)],
        }
        for x in spec.choices
    ]
    buttons = [{"name": x.name, "kind": "button", "keys": x.keys} for x in spec.buttons]
    axes = [
        {"name": x.name, "kind": "axis", "keys": x.keys, "unit": x.unit, "low": x.low, "high": x.high}
        for x in spec.axes
    ]
    return [*choices, *buttons, *axes]


def has_mouse(spec: ActionSpec) -> bool:
    """Whether the world is looked around in with a mouse."""
    return any(key in MOUSE for axis in spec.axes for key in axis.keys)
