"""What a page may say, checked: every message becomes one of four values or a `BadMessage` that says what was wrong.

The table of messages is docs/play-protocol.md. Nothing in here knows worlds, players or sockets.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

MAX_TEXT_BYTES = 4096
MAX_PROMPT_CHARS = 200
_MAX_KEYS, _MAX_STICKS, _MAX_NAME = 16, 8, 64
_MAX_COUNT = 2**32 - 1
_MAX_PIXELS = 10_000.0  # of mouse movement between two messages
FORMATS = ("webp", "jpeg")


class BadMessage(ValueError):
    """A message that breaks the rules; the text says which."""


class Input(NamedTuple):
    """What a person holds."""

    n: int = 0
    keys: tuple[str, ...] = ()  # oldest first
    motion: tuple[float, float] = (0.0, 0.0)  # pixels of the mouse since the last input
    sticks: Mapping[str, float] = {}  # axis name -> -1..1


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
        raise BadMessage(f"a message wants at most {MAX_TEXT_BYTES} bytes")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadMessage("a message wants to be JSON") from error
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        raise BadMessage("a message wants to be an object with a type")
    kind = data.pop("type")
    if kind not in _PARSERS:
        raise BadMessage(f"type wants one of {', '.join(_PARSERS)}, got {_short(kind)}")
    return _PARSERS[kind](data)


def _input(data: dict) -> Input:
    _only(data, "input", required=("n", "keys"), optional=("motion", "sticks"))
    keys, motion, sticks = data["keys"], data.get("motion", [0, 0]), data.get("sticks", {})
    if not isinstance(keys, list) or len(keys) > _MAX_KEYS or not all(_is_name(key) for key in keys):
        raise BadMessage(f"keys wants at most {_MAX_KEYS} names, got {_short(keys)}")
    if not isinstance(motion, list) or len(motion) != 2:
        raise BadMessage(f"motion wants two numbers, got {_short(motion)}")
    if not isinstance(sticks, dict) or len(sticks) > _MAX_STICKS or not all(_is_name(name) for name in sticks):
        raise BadMessage(f"sticks wants at most {_MAX_STICKS} names with numbers, got {_short(sticks)}")
    moved = _number(motion[0], "motion", _MAX_PIXELS), _number(motion[1], "motion", _MAX_PIXELS)
    pushed = {name: _number(value, "a stick", 1.0) for name, value in sticks.items()}
    return Input(_count(data["n"], "n"), tuple(dict.fromkeys(keys)), moved, pushed)


def _ack(data: dict) -> Ack:
    _only(data, "ack", required=("frame",))
    return Ack(_count(data["frame"], "frame"))


def _ping(data: dict) -> Ping:
    _only(data, "ping")
    return Ping()


def _do(data: dict) -> Command:
    what = data.pop("what", None)
    if not isinstance(what, str) or what not in _COMMANDS:
        raise BadMessage(f"what wants one of {', '.join(_COMMANDS)}, got {_short(what)}")
    required, optional = _COMMANDS[what]
    _only(data, what, required=tuple(required), optional=tuple(optional))
    return Command(what, {name: (required | optional)[name](value, name) for name, value in data.items()})


def _bool(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise BadMessage(f"{name} wants true or false, got {_short(value)}")
    return value


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_COUNT:
        raise BadMessage(f"{name} wants a whole number from 0 on, got {_short(value)}")
    return value


def _number(value: Any, name: str, limit: float) -> float:
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= limit
    if not fits or not math.isfinite(value):
        raise BadMessage(f"{name} wants a number in {-limit:g}..{limit:g}, got {_short(value)}")
    return float(value)


def _positive(limit: float) -> Callable[[Any, str], float]:
    def check(value: Any, name: str) -> float:
        number = _number(value, name, limit)
        if number < 0:
            raise BadMessage(f"{name} wants a number in 0..{limit:g}, got {number:g}")
        return number

    return check


def _prompt(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_PROMPT_CHARS:
        raise BadMessage(f"{name} wants a text of at most {MAX_PROMPT_CHARS} characters, got {_short(value)}")
    return value.strip()


def _policy(value: Any, name: str) -> str | None:
    if value is not None and not _is_name(value):
        raise BadMessage(f"{name} wants a name or null, got {_short(value)}")
    return value


def _format(value: Any, name: str) -> str:
    if value not in FORMATS:
        raise BadMessage(f"{name} wants one of {', '.join(FORMATS)}, got {_short(value)}")
    return value


_PARSERS: dict[str, Callable[[dict], Message]] = {"input": _input, "ack": _ack, "ping": _ping, "do": _do}
_COMMANDS: dict[str, tuple[dict[str, Callable[[Any, str], Any]], dict[str, Callable[[Any, str], Any]]]] = {
    "save": ({}, {}),
    "load": ({}, {"slot": _count}),
    "rewind": ({"seconds": _positive(3600.0)}, {}),
    "pause": ({"on": _bool}, {}),
    "step": ({}, {}),
    "start": ({"prompt": _prompt}, {}),
    "pilot": ({"policy": _policy}, {}),
    "real": ({"on": _bool}, {}),
    "sync": ({}, {}),
    "record": ({"on": _bool}, {}),
    "settings": ({}, {"num_denoise_steps": _count, "noise_scale": _positive(10.0), "format": _format}),
}


def _only(data: dict, name: str, required: tuple[str, ...] = (), optional: tuple[str, ...] = ()) -> None:
    missing = [field for field in required if field not in data]
    unknown = [field for field in data if field not in (*required, *optional)]
    if missing or unknown:
        what = f"lacks {missing[0]}" if missing else f"has no field {_short(unknown[0])}"
        raise BadMessage(f"{name} {what}")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_NAME


def _short(value: Any) -> str:
    return repr(value)[:40]
