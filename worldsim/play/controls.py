"""From what a person holds to an action row, and the keys of the commands."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from worldsim.controls import ActionSpec, Input

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


_MAX_TAPS = 32


class InputState:
    """What a person holds between two ticks: the last input wins, mouse movement adds up, no tap is lost.

    Of a page that nobody reads the last taps alone are kept.
    """

    def __init__(self):
        self._held = Input()
        self._taps: tuple[str, ...] = ()  # pressed since the last tick

    def update(self, now: Input) -> None:
        """Take an input."""
        pressed = tuple(key for key in now.keys if key not in self._held.keys)
        self._taps = (*(key for key in self._taps if key not in pressed), *pressed)[-_MAX_TAPS:]
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
    return np.clip(np.array([control.value(held) for control in spec.controls], np.float32), *spec.bounds)


def with_keys(spec: ActionSpec) -> ActionSpec:
    """Give keys to the controls that name none: arrows and space by their labels, else spare keys."""
    used = _used_keys(spec)
    spare = iter([key for key in _SPARE if key not in used])
    return ActionSpec.of(x if x.all_keys else x.with_keys(spare) for x in spec.controls)


def _used_keys(spec: ActionSpec) -> set[str]:
    return {key for control in spec.controls for key in control.all_keys}


def shortcuts(spec: ActionSpec) -> dict[str, dict[str, Any]]:
    """The key of each command: `{code, alt}`, with Alt where the game has the key for itself."""
    used = _used_keys(spec)
    return {name: {"code": code, "alt": code in used} for name, code in SHORTCUTS.items()}


def describe(spec: ActionSpec) -> list[dict[str, Any]]:
    """The controls as the page shows them: what their keys do, and which a joystick may push."""
    return [
        {
            "name": x.name,
            "is_analog": x.scale == "continuous" and not x.has_mouse,
            "bindings": [binding._asdict() for binding in x.bindings],
        }
        for x in spec.controls
    ]


def has_mouse(spec: ActionSpec) -> bool:
    """Whether the mouse moves an axis of the world."""
    return any(x.has_mouse for x in spec.controls)
