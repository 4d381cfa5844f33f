"""JSON into frozen dataclasses and back: the declared type of a field decides what its JSON may be.

Files that come from strangers are read by these two functions, so that a wrong kind is named before anything uses it.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

T = TypeVar("T")
_WORDS = {str: "text", int: "a whole number", float: "a number"}


def from_json(kind: type[T], data: object, name: str = "") -> T:
    """Make a dataclass of the fields in `data`, each of its declared type.

    Raises:
        ValueError: a field is missing, unknown or of another kind; the message names it.
    """
    if not isinstance(data, dict):
        raise _unexpected("an object", name, data)
    hints = _hints(kind)
    if missing := [field for field in hints if field not in data]:
        raise ValueError(f"{name + ' ' if name else ''}lacks {', '.join(missing)}.")
    if unknown := sorted(str(key) for key in data.keys() - hints.keys()):
        raise ValueError(f"{name + ' ' if name else ''}has unknown fields {', '.join(unknown)[:200]}.")
    return kind(**{key: _read(hint, data[key], f"{name}.{key}".lstrip(".")) for key, hint in hints.items()})


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
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _read(kind: Any, value: Any, name: str) -> Any:
    origin, args = get_origin(kind) or kind, get_args(kind)
    if origin is types.UnionType:
        return None if value is None else _read(args[0], value, name)
    if origin is tuple:
        is_fixed = args[-1] is not ...
        if not isinstance(value, list) or (is_fixed and len(value) != len(args)):
            raise _unexpected(f"a list of {len(args)} entries" if is_fixed else "a list", name, value)
        return tuple(_read(args[0], part, f"{name}[{i}]") for i, part in enumerate(value))
    if origin is Mapping:
        if not isinstance(value, dict):
            raise _unexpected("an object", name, value)
        return {key: _read(args[1], part, f"{name}.{key[:80]}") for key, part in value.items()}
    if hasattr(kind, "from_json"):
        return kind.from_json(value)
    if dataclasses.is_dataclass(kind):
        return from_json(origin, value, name)
    if kind is Any:
        return value
    fits = isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)
    if not fits or (isinstance(value, int) and not -(2**63) <= value < 2**63):
        raise _unexpected(_WORDS[kind], name, value)
    return kind(value)


def _unexpected(wanted: str, name: str, value: Any) -> ValueError:
    return ValueError(f"expected {wanted}{f' for {name}' if name else ''}, got {str(value)[:100]!r}.")
