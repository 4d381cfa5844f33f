"""Curves as SVG: lines over frames, each with a band where there are several seeds.

Which lines belong on one chart is read off their names: of a numbers's "curves" those that share the first word
(`psnr_free`, `psnr_copy_last`), of its lists those that go on from the name of a shorter one (`gfvd_window`,
`gfvd_window_floor`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from worldsim.evaluate.metric import Numbers
from worldsim.evaluate.report.page import Html, element, join

WIDTH, HEIGHT = 360, 210  # about a phone's width, so that letters keep their size there
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 8, 32
COLOURS = 6


class Line(NamedTuple):
    """One curve: a value an entry, NaN where there is none, and half the height of its band."""

    values: np.ndarray
    half: np.ndarray | None


def charts(numbers: Numbers, runs: Sequence[Numbers] = ()) -> dict[str, dict[str, Line]]:
    """Collect the lines of every chart of a section.

    Args:
        numbers: those of a section.
        runs: the same for every seed; the band is their standard deviation.
    """
    sources = _sources(numbers)
    spreads = [_sources(run) for run in runs]
    result: dict[str, dict[str, Line]] = {}
    for (chart, name), values in sources.items():
        own = [run[chart, name] for run in spreads if len(run.get((chart, name), ())) == len(values)]
        half = np.std(own, axis=0) if len(own) > 1 else None
        result.setdefault(chart, {})[name] = Line(values, half)
    return result


def entries(chart: str, numbers: Numbers) -> str:
    """What the entries of a chart's lines are; curves with "seconds" beside them are parts of a long dream."""
    if "window" in chart:
        return "16 frames each"
    seconds = (numbers.get("curves") or {}).get("seconds")
    return f"{len(seconds)} parts of {numbers['num_seconds']:g} s" if seconds else "frame"


def figure(title: str, lines: Mapping[str, Line], *, x_label: str, note: str = "") -> Html:
    """A chart with its key below."""
    keys = [element("span", name, class_=f"key s{i % COLOURS}") for i, name in enumerate(lines)]
    caption = element("figcaption", element("strong", title), *([f" {note}"] if note else []), element("br"), *keys)
    return element("figure", draw(title, lines, x_label=x_label), caption)


def draw(title: str, lines: Mapping[str, Line], *, x_label: str) -> Html:
    """The picture of a chart; entries count from 1."""
    longest = max(len(line.values) for line in lines.values())
    reach = np.concatenate([edge for line in lines.values() for edge in _edges(line)])
    reach = reach[np.isfinite(reach)]
    marks = ticks(float(reach.min()), float(reach.max())) if reach.size else [0.0, 1.0]
    low, high = marks[0], marks[-1]

    def x(entry: int | np.integer) -> float:
        return LEFT + (entry - 1) / max(longest - 1, 1) * (WIDTH - LEFT - RIGHT)

    def y(value: float | np.number) -> float:
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    axis = [
        part
        for mark in marks
        for part in (
            element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=_pixel(y(mark)), y2=_pixel(y(mark))),
            element("text", f"{mark:g}", x=LEFT - 6, y=_pixel(y(mark) + 4), text_anchor="end"),
        )
    ]
    for entry in sorted({1, (longest + 1) // 2, longest}):
        anchor = "start" if entry == 1 else "end" if entry == longest else "middle"
        axis.append(element("text", entry, x=_pixel(x(entry)), y=HEIGHT - BOTTOM + 14, text_anchor=anchor))
    axis.append(element("text", x_label, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 4, text_anchor="middle"))
    marks_of = [_trace(line, x, y, f"s{i % COLOURS}") for i, line in enumerate(lines.values())]
    return element("svg", element("title", title), *axis, *marks_of, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img")


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round values (1, 2 or 5 times a power of ten apart) that enclose a range."""
    if high - low < 1e-9 * max(abs(low), abs(high), 1e-9):
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    rough = (high - low) / (count - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _trace(line: Line, x: Any, y: Any, colour: str) -> Html:
    """A line, its band behind it; they break where there is no value."""
    parts: list[Html] = []
    known = np.flatnonzero(np.isfinite(line.values))
    for piece in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1) if len(known) else []:
        if line.half is not None and len(piece) > 1:
            low, high = _edges(line)
            around = [(i, high[i]) for i in piece] + [(i, low[i]) for i in piece[::-1]]
            parts.append(element("polygon", points=_points(around, x, y), class_=colour))
        ends = list(piece) if len(piece) > 1 else [piece[0], piece[0]]
        parts.append(
            element(
                "polyline",
                points=_points([(i, line.values[i]) for i in ends], x, y),
                class_=colour,
                stroke_linecap="round",
            )
        )
    return join(parts)


def _edges(line: Line) -> tuple[np.ndarray, np.ndarray]:
    half = 0 if line.half is None else np.nan_to_num(line.half)
    return line.values - half, line.values + half


def _points(pairs: Sequence[tuple[Any, Any]], x: Any, y: Any) -> str:
    return " ".join(f"{_pixel(x(entry + 1))},{_pixel(y(value))}" for entry, value in pairs)


def _pixel(value: Any) -> str:
    return f"{value:.1f}"


def _sources(numbers: Numbers) -> dict[tuple[str, str], np.ndarray]:
    """Every list of numbers by chart and name."""
    curves = numbers.get("curves")
    found = {(name.split("_")[0], name): values for name, values in (curves or {}).items() if name != "seconds"}
    lists = sorted(name for name, value in numbers.items() if name != "curves" and isinstance(value, list))
    for name in lists:
        base = next((other for other in lists if name == other or name.startswith(f"{other}_")), name)
        found[base, name] = numbers[name]
    return {key: line for key, values in found.items() if (line := _numeric(values)) is not None}


def _numeric(values: object) -> np.ndarray | None:
    """A list as numbers, NaN for None; None where it is no list of numbers, or too short for a line."""
    if not isinstance(values, list) or len(values) < 2 or any(isinstance(v, bool) for v in values):
        return None
    if not all(v is None or isinstance(v, (int, float)) for v in values):
        return None
    return np.array([math.nan if v is None else v for v in values], float)
