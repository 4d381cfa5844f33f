"""What a number of an evaluation means: label, unit, which way is better, what chance scores and what is perfect.

A `Metric` stands beside the function that measures it. The report, the comparison, the tables of docs/results.md and
the model card read everything that they show about a number from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

Numbers = dict[str, Any]
"""JSON: the numbers of a section by key; what was not measured is None, with the reason as `<stem>_reason`."""


@dataclass(frozen=True)
class Metric:
    """One number of a section of the results, or a family of numbers; the values beside it explain it."""

    key: str
    """The key in the section's numbers; `*` stands for the name of an object or for a horizon."""
    better: Literal["higher", "lower"] | None = None
    label: str = ""
    """What people read, `{}` for what the `*` stands for. Metrics without a label stay out of the overviews."""
    chance: float | str | None = None
    """What a model that has learned nothing scores: a number, or the key of a number of the same section."""
    perfect: float | str | None = None
    """What a perfect model scores, likewise."""
    unit: str = ""
    digits: int = 2
    """Digits after the point."""
    headline: int | None = None
    """Position among the headline numbers: the table of docs/results.md has all, a model card the first ten."""

    def match(self, key: str) -> str | None:
        """What the first `*` stands for in a key, empty where there is none; None for the key of another metric."""
        found = re.fullmatch(re.escape(self.key).replace(r"\*", "(.*?)"), key)
        return None if found is None else "".join(found.groups()[:1])


@dataclass(frozen=True)
class Row:
    """A measured number with the metric that explains it."""

    metric: Metric
    label: str
    value: float | None
    sd: float | None
    chance: float | None
    perfect: float | None

    @property
    def title(self) -> str:
        """The label with its unit."""
        return f"{self.label}, {self.metric.unit}" if self.metric.unit else self.label

    def to_json(self) -> Numbers:
        """The row for a model card: plain values, rounded to the metric's digits."""
        digits = self.metric.digits
        ends = {"value": self.value, "chance": self.chance, "perfect": self.perfect}
        rounded = {name: None if x is None else round(float(x), digits) for name, x in ends.items()}
        return {"label": self.label, "unit": self.metric.unit, "better": self.metric.better, **rounded}


def families(better: Literal["higher", "lower"], *keys: str) -> Iterator[Metric]:
    """Metrics without a label, of which only the direction matters."""
    return (Metric(key, better) for key in keys)


def find_metric(metrics: Iterable[Metric], key: str) -> Metric | None:
    """The first metric that a key belongs to; entries of a list belong to the metric of the list."""
    return next((metric for metric in metrics if metric.match(key.split("[")[0]) is not None), None)


def labelled_rows(metrics: Iterable[Metric], numbers: Numbers) -> Iterator[Row]:
    """The rows of every labelled metric that the numbers of a section have."""
    metrics = tuple(metrics)
    for metric in metrics:
        for key in numbers if metric.label else ():
            star = metric.match(key)
            if star is None or key.endswith("_sd") or key.startswith("num_") or find_metric(metrics, key) is not metric:
                continue
            ends = [_resolve(end, numbers, star) for end in (metric.chance, metric.perfect)]
            yield Row(metric, metric.label.format(star), numbers[key], numbers.get(f"{key}_sd"), *ends)


def not_measured(reason: str, keys: Iterable[str], stem: str = "") -> Numbers:
    """None for each key, and the reason."""
    return {**dict.fromkeys(keys), f"{stem}_reason" if stem else "reason": reason}


def _resolve(end: float | str | None, numbers: Numbers, star: str) -> float | None:
    return numbers.get(end.replace("*", star)) if isinstance(end, str) else end
