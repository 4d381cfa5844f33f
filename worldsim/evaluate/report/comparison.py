"""The page and the table of a comparison: pictures, verdict, differences, curves, speed and settings of two worlds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worldsim.evaluate.compare import Difference, describe, is_same, rows_of
from worldsim.evaluate.metric import Numbers
from worldsim.evaluate.metrics import rows
from worldsim.evaluate.report.charts import Line, charts, entries, figure
from worldsim.evaluate.report.film_strip import FilmStrip, film_strip_section
from worldsim.evaluate.report.gallery import Example, farthest_apart, picture_section
from worldsim.evaluate.report.page import Html, element, join, page, table
from worldsim.evaluate.report.report import number, settings, with_spread
from worldsim.world import Card

HEAD = ("number", "A", "B", "B - A [95 %]", "seeds", "")


def cells(section: str, name: str, row: Difference) -> tuple[str, ...]:
    """A line of the table, for the terminal and the page alike."""
    interval = f"{row.difference:+.3g} [{row.low:+.3g}, {row.high:+.3g}]"
    return f"{section}.{name}", number(row.a), number(row.b), interval, str(row.num_seeds), describe(section, name, row)


def render_comparison(
    result: Numbers, *, cards: Sequence[Card], examples: Sequence[Example] = (), film_strip: FilmStrip | None = None
) -> str:
    """Make the page of `compare.compare_worlds`; cards of A and B, examples and film strip with both."""
    names = [card.name for card in cards]
    title = f"{names[0]} (A) beside {names[1]} (B)"
    fps = cards[0].fps
    body = [(cells(*row), None) for row in rows_of(result) if not is_same(row[2])]
    same = [f"{section}.{name}" for section, name, row in rows_of(result) if is_same(row)]
    return page(
        title,
        element("h1", title),
        element("p", element("strong", result["verdict"])),
        film_strip_section(film_strip),
        _pictures(examples, fps),
        element("h2", "Differences"),
        table(HEAD, body, numbers=(1, 2, 3, 4)),
        element("p", f"The same for every seed: {', '.join(same)}.", class_="quiet") if same else Html(""),
        element("h2", "Quality and speed"),
        _headlines(result),
        _curves(result),
        element("h2", "Settings, seeds, hashes, command"),
        settings({"evaluation": result["protocol"], "A": cards[0].to_json(), "B": cards[1].to_json()}),
    )


def _pictures(examples: Sequence[Example], fps: float) -> Html:
    if not examples:
        return Html("")
    note, apart = f"The widest gap in PSNR among {len(examples)} windows.", farthest_apart(examples)
    return picture_section("Recorded, A and B", examples, apart, "Where they differ most", note, fps)


def _headlines(result: Numbers) -> Html:
    """The labelled numbers that both worlds have."""
    of_b = {(section, row.label): row for section, row in rows(result["b"])}
    pairs = [(row, of_b[section, row.label]) for section, row in rows(result["a"]) if (section, row.label) in of_b]
    lines = [
        ((one.title, with_spread(one.value, one.sd), with_spread(other.value, other.sd)), None) for one, other in pairs
    ]
    return table(("", "A", "B"), lines, numbers=(1, 2))


def _curves(result: Numbers) -> Html:
    """Charts with the lines of both; one that is the same in both is drawn once."""
    figures = []
    for section, runs in result["a"]["per_seed"].items():
        first = charts(result["a"][section], runs)
        second = charts(result["b"].get(section, {}), result["b"]["per_seed"].get(section, ()))
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
                    x_label=entries(chart, result["a"][section]),
                    note=f"{section}; band: one standard deviation.",
                )
            )
    return join([element("h2", "Curves"), element("div", *figures, class_="grid")]) if figures else Html("")
