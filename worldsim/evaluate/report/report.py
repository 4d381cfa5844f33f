"""The report: one page that shows a world before it counts it.

Pictures come first, for most faults of a world model are visible: a strip of 20 seconds of eight fixed starts, recorded
and dreamed frames side by side, and the windows with the largest error. Then curves with bands; quality and speed in
one table, each number between what chance scores and what the best would; every number of every section with its spread
over seeds; and all settings, seeds, hashes and the command, so that anyone can have the same numbers.

It takes any result of `run.evaluate`: a section without metrics gets its table and its charts too. What was
not measured stays in sight, as a gap with its reason. The same result gives the same page.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Mapping, Sequence

from worldsim.evaluate.metric import Numbers
from worldsim.evaluate.metrics import measurements, rows
from worldsim.evaluate.report.charts import charts, entries, figure
from worldsim.evaluate.report.film_strip import FilmStrip, film_strip_section
from worldsim.evaluate.report.gallery import Example, picture_section, worst
from worldsim.evaluate.report.page import Html, element, join, page, table
from worldsim.world import Card

NOT_SECTIONS = ("protocol", "per_seed", "headline")


def render_report(
    result: Numbers,
    *,
    card: Card,
    examples: Sequence[Example] = (),
    film_strip: FilmStrip | None = None,
    per_seed: Mapping[str, Sequence[Numbers]] | None = None,
) -> str:
    """Make the report's page.

    Args:
        result: of `run.evaluate`; with "speed" of `speed.bench` where that was measured.
        card: the world's.
        film_strip: of `film_strip.gather_film_strip`.
        examples: of `gallery.gather`; their own number is shown, not that of the windows measured.
        per_seed: the "per_seed" of `run.evaluate`, for the bands of the curves.
    """
    sections = {name: value for name, value in result.items() if name not in NOT_SECTIONS}
    return page(
        f"{card.title}: how true is the dream?",
        element("h1", f"{card.title}: how true is the dream?"),
        element("p", _subtitle(card, result.get("protocol", {})), class_="quiet"),
        film_strip_section(film_strip),
        _pictures(examples, card.fps),
        curves(sections, per_seed or {}),
        element("h2", "Quality and speed"),
        headline_table(result),
        element("h2", "All numbers"),
        element(
            "p", "Means over seeds ± one standard deviation. A coloured row is a gap: not measured.", class_="quiet"
        ),
        *[section_table(name, numbers) for name, numbers in sections.items()],
        element("h2", "Settings, seeds, hashes, command"),
        settings({"evaluation": result.get("protocol", {}), "world": card.to_json()}),
    )


def _subtitle(card: Card, protocol: Numbers) -> str:
    trained = protocol.get("trained_on_this_footage")
    parts = [
        f"world {card.name}",
        f"game {protocol['game']}" if "game" in protocol else "",
        f"{protocol['held_out_episodes']} held-out episodes" if "held_out_episodes" in protocol else "",
        "" if trained is None else "of the footage that it was trained on" if trained else "of other footage",
        f"seeds {', '.join(map(str, protocol['seeds']))}" if "seeds" in protocol else "",
    ]
    return " · ".join(part for part in parts if part)


def _pictures(examples: Sequence[Example], fps: float) -> Html:
    if not examples:
        return element("p", "No pictures were gathered.", class_="quiet")
    note = f"The lowest PSNR of {len(examples)} windows."
    return picture_section("Recorded and dreamed", examples, worst(examples), "Where it failed worst", note, fps)


def curves(sections: Numbers, per_seed: Mapping[str, Sequence[Numbers]]) -> Html:
    """Draw every list of numbers of every section."""
    figures = []
    for section, numbers in sections.items():
        if not isinstance(numbers, dict):
            continue
        runs = per_seed.get(section, ())
        note = f"{section}; band: one standard deviation over {len(runs)} seeds." if len(runs) > 1 else f"{section}."
        for chart, lines in charts(numbers, runs).items():
            figures.append(figure(chart, lines, x_label=entries(chart, numbers), note=note))
    return join([element("h2", "Curves"), element("div", *figures, class_="grid")]) if figures else Html("")


def headline_table(result: Numbers) -> Html:
    """Quality beside speed, each number between its references; what a result does not have is left out."""
    lines = []
    for _, row in rows(result):
        cells = (row.title, number(row.chance), with_spread(row.value, row.sd), number(row.perfect))
        lines.append((cells, "gap" if row.value is None else None))
    return table(("", "by chance", "this world", "at best"), lines, numbers=(1, 2, 3))


def section_table(section: str, numbers: object) -> Html:
    """The table of a section, under the questions that its modules answer; the definitions can be unfolded."""
    modules = dict.fromkeys(m.measure.__module__ for m in measurements() if m.section == section)
    docs = [(inspect.getdoc(sys.modules[name]) or "").partition("\n\n") for name in modules]
    lines = list(_rows(numbers if isinstance(numbers, dict) else {section: numbers}))
    return join(
        [
            element("h3", section),
            *[element("p", " ".join(question.split())) for question, _, _ in docs],
            table(("number", "value", ""), lines),
            *[
                element("details", element("summary", "What these numbers are"), element("pre", definitions))
                for _, _, definitions in docs
            ],
        ]
    )


def settings(parts: Mapping[str, Numbers]) -> Html:
    """Everything that the numbers hang on, unfolded down to single values."""
    blocks = []
    for name, part in parts.items():
        rows = [((key, value), None) for key, value in flatten(part) if not key.startswith("metrics.")]
        blocks.append(
            element("details", element("summary", name), table(("setting", "value"), rows, numbers=()), open="")
        )
    return join(blocks)


def flatten(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Single values of nested settings, each under its path."""
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from flatten(part, f"{name}.{key}".lstrip("."))
    else:
        yield name, value if isinstance(value, str) else json.dumps(value, default=str)


def number(value: object) -> str:
    """A value with four digits that count."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def with_spread(value: object, sd: float | None) -> str:
    """A number ± its standard deviation, where it has one."""
    return number(value) + (f" ± {number(sd)}" if sd is not None else "")


def _rows(numbers: Numbers, lead: str = "") -> Iterator[tuple[tuple[str, str, str], str | None]]:
    """Rows of a section's table; numbers that are None take their reason along."""
    for name, value in numbers.items():
        label = f"{lead}{name}"
        if name == "curves" or (name.endswith("_sd") and name.removesuffix("_sd") in numbers):
            continue
        if isinstance(value, dict):
            yield from _rows(value, f"{label}.")
        elif value is None:
            yield (label, "–", f"not measured: {_reason(numbers, name)}"), "gap"
        elif isinstance(value, str):
            yield (label, "", value), None
        elif isinstance(value, (list, tuple)):
            yield (label, "", ", ".join(number(x) for x in value)), None
        else:
            yield (label, with_spread(value, numbers.get(f"{name}_sd")), ""), None


def _reason(numbers: Numbers, name: str) -> str:
    """The reason of the longest name that the number's begins with, so `reward_reason` speaks for `reward_ap`."""
    known = [key for key, value in numbers.items() if key.endswith("_reason") and isinstance(value, str)]
    stems = sorted((key for key in known if name.startswith(key.removesuffix("_reason"))), key=len)
    return numbers[stems[-1]] if stems else str(numbers.get("reason") or "no reason was given")
