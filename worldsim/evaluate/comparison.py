"""The page and the table of a comparison: pictures, verdict, differences, curves, speed and settings of two worlds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.evaluate.charts import Line, charts, entries, figure
from worldsim.evaluate.compare import Difference, is_same, rows_of, say
from worldsim.evaluate.gallery import Example, farthest_apart, films, strips
from worldsim.evaluate.page import Html, element, join, page, table, write_text
from worldsim.evaluate.report import HEADLINES, number, settings, with_spread

HEAD = ("number", "A", "B", "B - A [95 %]", "seeds", "")


def cells(question: str, name: str, row: Difference) -> tuple[str, ...]:
    """A line of the table, for the terminal and the page alike."""
    interval = f"{row.difference:+.3g} [{row.low:+.3g}, {row.high:+.3g}]"
    return f"{question}.{name}", number(row.a), number(row.b), interval, str(row.num_seeds), say(name, row)


def render(result: Mapping[str, Any], *, cards: Sequence[Mapping[str, Any]], examples: Sequence[Example] = ()) -> str:
    """Make the page of `compare.compare_worlds`; cards of A and B, examples of `gallery.gather` with both."""
    names = [str(card.get("title") or card.get("name") or "a world") for card in cards]
    title = f"{names[0]} (A) beside {names[1]} (B)"
    fps = float(cards[0].get("fps") or 15)
    body = [(cells(*row), None) for row in rows_of(result) if not is_same(row[2])]
    same = [f"{q}.{name}" for q, name, row in rows_of(result) if is_same(row)]
    return page(
        title,
        element("h1", title),
        element("p", element("strong", result["verdict"])),
        _pictures(examples, fps),
        element("h2", "Differences"),
        table(HEAD, body, numbers=(1, 2, 3, 4)),
        element("p", f"The same for every seed: {', '.join(same)}.", class_="quiet") if same else Html(""),
        element("h2", "Quality and speed"),
        _headlines(result),
        _curves(result),
        element("h2", "Settings, seeds, hashes, command"),
        settings({"evaluation": result["protocol"], "A": cards[0], "B": cards[1]}),
    )


def write_comparison(path: Path | str, result: Mapping[str, Any], **options: Any) -> Path:
    """Write the page of `render`, whole or not at all."""
    return write_text(render(result, **options), path)


def _pictures(examples: Sequence[Example], fps: float) -> Html:
    if not examples:
        return Html("")
    apart = farthest_apart(examples)
    return join(
        [
            element("h2", "Recorded, A and B"),
            films(examples[:3], fps=fps),
            strips(examples[:3]),
            element("h2", "Where they differ most"),
            element("p", f"The widest gap in PSNR among {len(examples)} windows.", class_="quiet"),
            strips(apart),
        ]
    )


def _headlines(result: Mapping[str, Any]) -> Html:
    rows = [
        ((label, *(with_spread(result[side][question], name) for side in "ab")), None)
        for label, question, name, *_ in HEADLINES
        if all(name in result[side].get(question, {}) for side in "ab")
    ]
    return table(("", "A", "B"), rows, numbers=(1, 2))


def _curves(result: Mapping[str, Any]) -> Html:
    """Charts with the lines of both; one that is the same in both is drawn once."""
    figures = []
    for question, runs in result["a"]["per_seed"].items():
        first = charts(result["a"][question], runs)
        second = charts(result["b"].get(question, {}), result["b"]["per_seed"].get(question, ()))
        for chart, lines in first.items():
            both: dict[str, Line] = {}
            for name, line in lines.items():
                other = second.get(chart, {}).get(name)
                if other is None or np.array_equal(line.values, other.values, equal_nan=True):
                    both[name] = line
                else:
                    both |= {f"A: {name}": line, f"B: {name}": other}
            figures.append(
                figure(
                    chart,
                    both,
                    x_label=entries(chart, result["a"][question]),
                    note=f"{question}; band: one standard deviation.",
                )
            )
    return join([element("h2", "Curves"), element("div", *figures, class_="grid")]) if figures else Html("")
