"""From what a person holds to an action row, and the keys of the commands.

A world's ActionSpec names its keys. A choice takes the option whose keys are all held: the longest combination wins,
among equals the one that was pressed last, and none is option 0, the no-op.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import islice
from typing import Any

import numpy as np
from jaxtyping import Float

from worldsim.play.messages import Input
from worldsim.types import ActionSpec, Axis, Button, Choice, Control

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
    "policy": "KeyA",
    "real": "KeyG",
    "sync": "KeyY",
    "record": "KeyR",
    "panel": "KeyI",
    "help": "KeyH",
    "fullscreen": "KeyF",
}


class InputState:
    """What a person holds between two ticks: the last input wins, mouse movement adds up, and no tap is lost."""

    def __init__(self):
        self._held = Input()
        self._taps: tuple[str, ...] = ()  # pressed since the last tick

    def update(self, now: Input) -> None:
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
    return np.clip(np.array([_value(control, held) for control in spec.controls], np.float32), *spec.bounds)


def _value(control: Control, held: Input) -> float:
    if isinstance(control, Choice):
        return float(_option(control, held.keys))
    if isinstance(control, Button):
        return float(any(key in held.keys for key in control.keys))
    return _push(control, held)


def _option(choice: Choice, held: Sequence[str]) -> int:
    def rank(option: int) -> tuple[int, int]:
        keys = choice.keys[option]
        return len(keys), max((held.index(key) for key in keys), default=-1)

    fitting = [i for i, keys in enumerate(choice.keys) if all(key in held for key in keys) and (keys or i == 0)]
    return max(fitting, key=rank, default=0)


def _push(axis: Axis, held: Input) -> float:
    if axis.name in held.axes:
        push = held.axes[axis.name]
        return axis.rest + push * (axis.high - axis.rest if push > 0 else axis.rest - axis.low)
    if axis.keys and axis.keys[0] in MOUSE:
        return held.motion[MOUSE.index(axis.keys[0])] * DEGREES_PER_PIXEL
    ends = [end for key, end in zip(axis.keys, (axis.low, axis.high)) if key in held.keys]
    return ends[0] if len(ends) == 1 else axis.rest


def with_keys(spec: ActionSpec) -> ActionSpec:
    """Give keys to the controls that name none: arrows and space by their labels, else spare keys."""
    used = _used_keys(spec)
    spare = iter([key for key in _SPARE if key not in used])
    return ActionSpec.of(x if _keys(x) else replace(x, keys=_new_keys(x, spare)) for x in spec.controls)


def _new_keys(control: Control, spare: Iterator[str]) -> tuple:
    if isinstance(control, Button):
        return _word_keys(control.name) or _take(spare, 1)
    if isinstance(control, Axis):
        return _take(spare, 2)
    words = [_word_keys(label) for label in control.labels[1:]]
    if all(words) and len({frozenset(keys) for keys in words}) == len(words):
        return ((), *words)
    return ((), *(_take(spare, 1) for _ in words))


def _word_keys(label: str) -> tuple[str, ...]:
    """The arrows and the space that a label such as UPRIGHTFIRE names."""
    return tuple(dict.fromkeys(_WORDS[word] for word in re.findall("|".join(_WORDS), label.lower())))


def _take(spare: Iterator[str], count: int) -> tuple[str, ...]:
    keys = tuple(islice(spare, count))
    return keys if len(keys) == count else ()


def _keys(control: Control) -> tuple[str, ...]:
    """All keys of a control."""
    return tuple(key for keys in control.keys for key in keys) if isinstance(control, Choice) else control.keys


def _used_keys(spec: ActionSpec) -> set[str]:
    return {key for control in spec.controls for key in _keys(control)}


def shortcuts(spec: ActionSpec) -> dict[str, dict[str, Any]]:
    """The key of each command: `{code, alt}`, with Alt where the game has the key for itself."""
    used = _used_keys(spec)
    return {name: {"code": code, "alt": code in used} for name, code in SHORTCUTS.items()}


def describe(spec: ActionSpec) -> list[dict[str, Any]]:
    """The controls as the page shows them."""
    controls = [{"kind": type(control).__name__.lower(), **asdict(control)} for control in spec.controls]
    for control in controls:
        if control["kind"] == "choice":
            pairs = zip(control.pop("labels"), control.pop("keys"))
            control["options"] = [{"label": label, "keys": keys} for label, keys in pairs]
    return controls


def has_mouse(spec: ActionSpec) -> bool:
    """Whether the mouse moves an axis of the world."""
    return not _used_keys(spec).isdisjoint(MOUSE)
