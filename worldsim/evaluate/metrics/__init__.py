"""What is measured, one question a file.

- `fidelity` (with `windowed`): how near do dreamed frames stay to the recorded ones?
- `objects`: are ball, paddle and player there, and where the game has them?
- `foreground`: does what stands out stand where the game has it?
- `perceptual`: how near to the eye? Where the metrics extra is installed.
- `weights`: LPIPS and FVD, where the user names their files.
- `control` (with `opposite`, `late`, `inverse`): does the world do what the actions say?
- `outcome` (with `returns`, `free_outcome`): does it predict when there is a reward, and when it is over?
- `uncertainty` (with `foreign`): are its dreams as uncertain as their errors require?
- `physics` (with `irreversible`): do things move and break as their law demands?
- `memory` (with `lookaway`, `looks`): is what was hidden still the same?
- `drift`: how long does a dream last?
- `free_play`: is a minute in the dream like one in the game?
- `presence`: is what matters still in the picture then?
- `sharpness`: is it as sharp as the game, after a second and after a minute?
- `realism`: can a dream of some seconds be told from the game?
- `spawns`: how often does an object appear or disappear without cause?
- `speed`: how fast does it run here? Measured by `speed.bench`, apart from the trials.

To add a number, add it to the function that measures it and a `Metric` to METRICS of the same file. To add a question,
write a file with a `Measurement`: it is found here.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from worldsim.evaluate.metric import Metric, Numbers, Row, find_metric, labelled_rows
from worldsim.evaluate.trial import Measurement

CARD_ROWS = 10
"""Headline numbers of a model card."""


@cache
def measurements() -> tuple[Measurement, ...]:
    """All measurements of the modules here, those with the most important headline numbers first."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    found = {id(x): x for module in modules for x in vars(module).values() if isinstance(x, Measurement)}
    ranks = {i: [metric.headline for metric in m.metrics if metric.headline is not None] for i, m in found.items()}
    return tuple(sorted(found.values(), key=lambda m: min(ranks[id(m)], default=100)))


def metrics_of(section: str) -> tuple[Metric, ...]:
    """The metrics of a section of the results."""
    return tuple(metric for m in measurements() if m.section == section for metric in m.metrics)


def better_of(section: str, key: str) -> str | None:
    """Which way a number is better, "higher" or "lower"; None where neither is, or for an unknown number."""
    metric = find_metric(metrics_of(section), key)
    return None if metric is None else metric.better


def rows(results: Numbers) -> Iterator[tuple[str, Row]]:
    """Section and row of every labelled metric in the results of an evaluation."""
    for section in dict.fromkeys(m.section for m in measurements()):
        if isinstance(numbers := results.get(section), dict):
            yield from ((section, row) for row in labelled_rows(metrics_of(section), numbers))


def headlines(results: Numbers) -> list[Row]:
    """The measured headline numbers, the most important first."""
    found = [row for _, row in rows(results) if row.metric.headline is not None and row.value is not None]
    return sorted(found, key=lambda row: row.metric.headline or 0)


def headline_rows(results: Numbers, limit: int = CARD_ROWS) -> list[Numbers]:
    """The rows of a model card: at most `limit` headline numbers as plain JSON.

    Returns:
        Objects of "label", "unit", "better" ("higher", "lower" or None), "value", "chance" and "perfect".
    """
    return [row.to_json() for row in headlines(results)[:limit]]
