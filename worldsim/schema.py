"""JSON into frozen dataclasses and back: the declared type of a field decides what its JSON may be.

Files that come from strangers are read by these functions, so that a wrong kind is named before anything uses it. A
number declares its range beside its type, `width: Annotated[int, Range(1, 8192)] = 96`, and `check` holds a dataclass
that was made in Python to the same.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

T = TypeVar("T")
MAX_DEPTH = 32
"""Levels of nesting of a JSON text from outside."""
_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


class Range(NamedTuple):
    """The least and the largest value that a number may have."""

    low: float
    high: float


def parse_json(text: bytes | str) -> Any:
    """Return the value of a JSON text from outside.

    Raises:
        ValueError: it is no JSON, is nested too deep, or has a whole number beyond 64 bits.
    """
    try:
        level = [data := json.loads(text)]
    except RecursionError:
        raise ValueError(f"expected JSON of at most {MAX_DEPTH} levels, got more.") from None
    for _ in range(MAX_DEPTH):
        if any(type(x) is int and not -(2**63) <= x < 2**63 for x in level):
            raise ValueError("expected whole numbers of at most 64 bits, got a longer one.")
        level = [part for x in level if isinstance(x, dict | list) for part in (x.values() if type(x) is dict else x)]
    if level:
        raise ValueError(f"expected JSON of at most {MAX_DEPTH} levels, got more.")
    return data


def from_json(kind: type[T], data: object, name: str = "", *, complete: bool = True) -> T:
    """Make a dataclass of the fields in `data`, each of its declared type and range.

    Args:
        kind: the dataclass.
        data: of `parse_json`.
        name: what messages call it.
        complete: every field must be there but those that are None by default: a part that was added since is not
            there. False, as for objects within, takes defaults for all that are not.

    Raises:
        ValueError: a field is missing, unknown, of another kind or out of range; the message names it.
    """
    if not isinstance(data, dict):
        raise _unexpected("an object", name, data)
    hints = _hints(kind)
    if missing := [field for field in _required(kind, complete) if field not in data]:
        raise ValueError(f"{name + ' ' if name else ''}lacks {', '.join(missing)}.")
    if unknown := sorted(str(key) for key in data.keys() - hints.keys()):
        raise ValueError(f"{name + ' ' if name else ''}has unknown fields {', '.join(unknown)[:200]}.")
    return kind(**{key: _read(hints[key], part, f"{name}.{key}".lstrip(".")) for key, part in data.items()})


def check(value: object) -> None:
    """Refuse a dataclass with a field that is not of its declared type and range.

    Raises:
        ValueError: names the first such field.
    """
    for field, hint in _hints(type(value)).items():
        _read(hint, getattr(value, field), field)


def to_json(value: object) -> Any:
    """Make plain dicts, lists, strings and numbers of a value; NaN and infinity, which JSON lacks, become None."""
    if dataclasses.is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [to_json(part) for part in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


@lru_cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


@lru_cache
def _required(kind: type, complete: bool) -> list[str]:
    none = dataclasses.MISSING
    fields = dataclasses.fields(kind)
    if complete:
        return [x.name for x in fields if x.default is not None]
    return [x.name for x in fields if x.default is none and x.default_factory is none]


def _read(kind: Any, value: Any, name: str) -> Any:
    origin, args = get_origin(kind) or kind, get_args(kind)
    if origin in (types.UnionType, Union):
        return None if value is None else _read(args[0], value, name)
    if origin is Annotated:
        number, (low, high) = _read(args[0], value, name), args[1]
        if not low <= number <= high:
            raise _unexpected(f"{_WORDS[args[0]]} in {low:.10g}..{high:.10g}", name, value)
        return number
    if origin in (tuple, Sequence):
        is_fixed = origin is tuple and args[-1] is not ...
        if not isinstance(value, (list, tuple)) or (is_fixed and len(value) != len(args)):
            raise _unexpected(f"a list of {len(args)} entries" if is_fixed else "a list", name, value)
        kinds = args if is_fixed else args[:1] * len(value)
        parts = [_read(one, part, f"{name}[{i}]") for i, (one, part) in enumerate(zip(kinds, value))]
        return parts if origin is Sequence else tuple(parts)
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise _unexpected("an object", name, value)
        return {key: _read(args[1], part, f"{name}.{str(key)[:80]}") for key, part in value.items()}
    if dataclasses.is_dataclass(origin):
        return value if isinstance(value, kind) else from_json(kind, value, name, complete=False)
    return value if kind is Any else _read_plain(kind, value, name)


def _read_plain(kind: Any, value: Any, name: str) -> Any:
    """A text, a number or a truth value."""
    value = value.item() if isinstance(value, np.generic) else value
    fits = isinstance(value, (int, float) if kind is float else kind) and isinstance(value, bool) == (kind is bool)
    if not fits or (isinstance(value, int) and not -(2**63) <= value < 2**63):
        raise _unexpected(_WORDS[kind], name, value)
    return kind(value)


def _unexpected(wanted: str, name: str, value: Any) -> ValueError:
    return ValueError(f"expected {wanted}{f' for {name}' if name else ''}, got {str(value)[:100]!r}.")
