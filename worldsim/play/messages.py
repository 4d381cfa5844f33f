"""What a page may send, checked: every message becomes one of four values or a `BadMessage` that says what was wrong.

The table of messages is docs/play-protocol.md. Nothing in here knows worlds, players or sockets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from worldsim.controls import Input
from worldsim.schema import parse_json

MAX_TEXT_BYTES = 4096
MAX_PROMPT_CHARS = 200
_MAX_KEYS, _MAX_AXES, _MAX_NAME = 16, 8, 64
_MAX_COUNT = 2**32 - 1
_MAX_PIXELS = 10_000.0  # of mouse movement between two messages
FORMATS = ("webp", "jpeg")


class BadMessage(ValueError):
    """A message that breaks the rules; the text says which."""


class Ack(NamedTuple):
    """A frame has arrived."""

    frame: int


class Ping(NamedTuple):
    """Still here."""


class Command(NamedTuple):
    """Something that is done once."""

    what: str
    args: Mapping[str, Any] = {}


Message = Input | Ack | Ping | Command


def parse(text: str) -> Message:
    """Turn a text message into a value.

    Raises:
        BadMessage: it is too long, no JSON object, of an unknown type, or a field is missing, unknown or out of range.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
        raise BadMessage(f"expected at most {MAX_TEXT_BYTES} bytes a message")
    try:
        data = parse_json(text)
    except ValueError as error:
        raise BadMessage("expected JSON for a message") from error
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        raise BadMessage("expected an object with a type for a message")
    kind = data.pop("type")
    if kind == "do":
        what = data.pop("what", None)
        if not isinstance(what, str) or what not in _COMMANDS:
            raise BadMessage(_expected(f"one of {', '.join(_COMMANDS)}", "what", what))
        return Command(what, _checked(what, data, *_COMMANDS[what]))
    if kind not in _MESSAGES:
        raise BadMessage(_expected(f"one of {', '.join(_MESSAGES)}, do", "type", kind))
    return _MESSAGES[kind][0](**_checked(kind, data, *_MESSAGES[kind][1:]))


def _checked(message: str, data: dict[str, Any], required: _Fields, optional: _Fields) -> dict[str, Any]:
    """The fields of a message, each by its check."""
    fields = required | optional
    missing = [name for name in required if name not in data]
    unknown = [name for name in data if name not in fields]
    if missing or unknown:
        what = f"lacks {missing[0]}" if missing else f"has no field {repr(unknown[0])[:40]}"
        raise BadMessage(f"{message} {what}")
    return {name: fields[name](value, name) for name, value in data.items()}


def _bool(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise BadMessage(_expected("true or false", name, value))
    return value


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_COUNT:
        raise BadMessage(_expected("a whole number from 0 on", name, value))
    return value


def _number(value: Any, name: str, low: float, high: float) -> float:
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
    if not fits or not math.isfinite(value):
        raise BadMessage(_expected(f"a number in {low:g}..{high:g}", name, value))
    return float(value)


def _keys(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > _MAX_KEYS or not all(map(_is_name, value)):
        raise BadMessage(_expected(f"at most {_MAX_KEYS} names", name, value))
    return tuple(dict.fromkeys(value))


def _motion(value: Any, name: str) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise BadMessage(_expected("two numbers", name, value))
    x, y = (_number(way, name, -_MAX_PIXELS, _MAX_PIXELS) for way in value)
    return x, y


def _axes(value: Any, name: str) -> dict[str, float]:
    if not isinstance(value, dict) or len(value) > _MAX_AXES or not all(map(_is_name, value)):
        raise BadMessage(_expected(f"at most {_MAX_AXES} names with numbers", name, value))
    return {axis: _number(push, "an axis", -1.0, 1.0) for axis, push in value.items()}


def _prompt(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_PROMPT_CHARS:
        raise BadMessage(_expected(f"a text of at most {MAX_PROMPT_CHARS} characters", name, value))
    return value.strip()


def _policy(value: Any, name: str) -> str | None:
    if value is not None and not _is_name(value):
        raise BadMessage(_expected("the name of a policy or null", name, value))
    return value


def _format(value: Any, name: str) -> str:
    if value not in FORMATS:
        raise BadMessage(_expected(f"one of {', '.join(FORMATS)}", name, value))
    return value


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_NAME


def _expected(what: str, name: str, value: Any) -> str:
    return f"expected {what} for {name}, got {repr(value)[:40]}"


_Fields = dict[str, Callable[[Any, str], Any]]
_MESSAGES: dict[str, tuple[Callable[..., Message], _Fields, _Fields]] = {
    "input": (Input, {"n": _count, "keys": _keys}, {"motion": _motion, "axes": _axes}),
    "ack": (Ack, {"frame": _count}, {}),
    "ping": (Ping, {}, {}),
}
_SETTINGS = {"num_denoise_steps": _count, "noise_scale": partial(_number, low=0.0, high=10.0), "format": _format}
_COMMANDS: dict[str, tuple[_Fields, _Fields]] = {
    "save": ({}, {}),
    "load": ({}, {"slot": _count}),
    "rewind": ({"seconds": partial(_number, low=0.0, high=3600.0)}, {}),
    "pause": ({"on": _bool}, {}),
    "step": ({}, {}),
    "start": ({"prompt": _prompt}, {}),
    "policy": ({"name": _policy}, {}),
    "real": ({"on": _bool}, {}),
    "sync": ({}, {}),
    "record": ({"on": _bool}, {}),
    "settings": ({}, _SETTINGS),
}
