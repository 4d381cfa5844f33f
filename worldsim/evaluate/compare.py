"""Two worlds, or two checkpoints of one, on the same footage: does the difference stand above the noise?

Both are measured on the same windows, with the same random actions and the same noise, once a seed. For
every number the differences d = B - A of the seeds have a mean and a 95 % confidence interval by Student's t,

    mean(d) ± t(.975, n - 1) sd(d) / sqrt(n),    sd with n - 1 below,

and a difference is within the noise where the interval contains 0. Pairing takes out what both have in common: easy and
hard windows. Episodes that either world was trained on are left out for both.

What the interval does not cover: seeds draw windows from one footage, so it speaks of these recordings; and two
trainings of one recipe differ by more than two evaluations of one world. Among many numbers some leave the noise by
luck: one in twenty, which stands beside the count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

from worldsim.data.store import Footage
from worldsim.evaluate.metric import Numbers, find_metric
from worldsim.evaluate.metrics import CARD_ROWS, better_of, metrics_of
from worldsim.evaluate.options import EvalOptions
from worldsim.evaluate.reference import Reference, open_reference
from worldsim.evaluate.run import evaluate
from worldsim.simulator import Simulator

MIN_SEEDS = 5
DEFAULTS = EvalOptions(seeds=(0, 1, 2, 3, 4))
CONFIDENCE = 0.95
LUCK = 1 - CONFIDENCE


class Difference(NamedTuple):
    """B less A of one number, over `num_seeds` pairs, and the ends of its confidence interval."""

    a: float
    b: float
    difference: float
    low: float
    high: float
    num_seeds: int
    within_noise: bool


def compare_worlds(
    a: Simulator,
    b: Simulator,
    footage: Footage,
    options: EvalOptions = DEFAULTS,
    *,
    reference: Reference | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Numbers:
    """Measure two worlds on the same windows and report which numbers differ by more than the noise.

    `options` has at least 5 seeds; the rest is as in `run.evaluate`.

    Returns:
        "protocol"; "a" and "b", each of `run.evaluate` with its "per_seed"; "differences", by section and number; and
        "verdict", a sentence.

    Raises:
        ValueError: fewer than 5 seeds, footage that either world cannot be measured on, or no episode that both have
            never seen.
    """
    check_seeds(options.seeds)
    if reference is None:
        reference = open_reference((a, b), footage, options)
    answers = []
    for turn, sim in enumerate((a, b)):

        def tick(done: int, total: int, turn: int = turn) -> None:
            if on_progress is not None:
                on_progress(turn * total + done, 2 * total)

        answers.append(evaluate(sim, footage, options, reference=reference, keep_seeds=True, on_progress=tick))
    differences = {
        section: paired_differences(runs, answers[1]["per_seed"][section])
        for section, runs in answers[0]["per_seed"].items()
    }
    return {
        "protocol": answers[0]["protocol"],
        "a": answers[0],
        "b": answers[1],
        "differences": {s: {name: d._asdict() for name, d in rows.items()} for s, rows in differences.items()},
        "verdict": verdict(differences),
    }


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse what no interval can be had from.

    Raises:
        ValueError: fewer than 5 seeds, or one twice.
    """
    if len(set(seeds)) < MIN_SEEDS or len(set(seeds)) < len(seeds):
        raise ValueError(f"expected at least {MIN_SEEDS} different seeds for a comparison, got {tuple(seeds)}.")


def paired_differences(runs_a: Sequence[Numbers], runs_b: Sequence[Numbers]) -> dict[str, Difference]:
    """Compare every number that both worlds have for at least two common seeds; counts and curves are left out."""
    both = [(dict(_numbers(one)), dict(_numbers(other))) for one, other in zip(runs_a, runs_b, strict=True)]
    result = {}
    for name in dict.fromkeys(name for one, _ in both for name in one):
        pairs = np.array([(one[name], other[name]) for one, other in both if name in one and name in other])
        if len(pairs) > 1:
            result[name] = paired_difference(pairs[:, 0], pairs[:, 1])
    return result


def paired_difference(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> Difference:
    """The mean of B - A over pairs, and its 95 % confidence interval by Student's t.

    Example:
        >>> paired_difference(np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.5, 3.5])).within_noise
        False
    """
    gap = b - a
    n, middle = len(gap), float(gap.mean())
    half = float(stdtrit(n - 1, 1 - LUCK / 2) * gap.std(ddof=1) / math.sqrt(n))
    low, high = middle - half, middle + half
    return Difference(float(a.mean()), float(b.mean()), middle, low, high, n, low <= 0 <= high)


def verdict(differences: Mapping[str, Mapping[str, Difference]]) -> str:
    """How many numbers differ, and how many would by luck, in a sentence."""
    rows = [row for section in differences.values() for row in section.values()]
    alive = [row for row in rows if not is_same(row)]
    outside = sum(not row.within_noise for row in alive)
    if not alive:
        return f"No difference: all {len(rows)} numbers are the same for every seed."
    beyond = f"{outside} of {len(alive)} numbers that are not the same differ by more than the noise"
    if outside == 0:
        return f"Within the noise: none of the {len(alive)} numbers that are not the same differ by more."
    return f"{beyond}; about {LUCK * len(alive):.0f} would by luck."


def describe(section: str, name: str, row: Difference) -> str:
    """What a difference means, in words."""
    if is_same(row):
        return "the same"
    if row.within_noise:
        return "within the noise"
    word, better = "higher" if row.difference > 0 else "lower", better_of(section, name)
    return f"B is {word}" if better is None else f"B is {word}: {'better' if word == better else 'worse'}"


def rows_of(result: Numbers) -> Iterator[tuple[str, str, Difference]]:
    """Section, name and difference of every number of `compare`: those of a card, then those beyond the noise."""
    rows = [(s, name, Difference(**d)) for s, named in result["differences"].items() for name, d in named.items()]
    yield from sorted(rows, key=lambda row: (_rank(row[0], row[1]), row[2].within_noise, is_same(row[2])))


def _rank(section: str, name: str) -> int:
    """The place of a number among those of a card; the same for all others."""
    metric = find_metric(metrics_of(section), name)
    rank = None if metric is None or metric.headline is None else metric.headline
    return CARD_ROWS + 1 if rank is None else min(rank, CARD_ROWS + 1)


def is_same(row: Difference) -> bool:
    """Whether B has the number of A for every seed."""
    return row.difference == row.low == row.high == 0


def _numbers(run: Numbers, lead: str = "") -> Iterator[tuple[str, float]]:
    """Every single number of a section, entries of lists and of nested objects among them."""
    for name, value in run.items():
        if name == "curves" or name.startswith("num_") or isinstance(value, (bool, str)) or value is None:
            continue
        if isinstance(value, dict):
            yield from _numbers(value, f"{lead}{name}.")
        elif isinstance(value, list):
            yield from _numbers({f"{name}[{i}]": entry for i, entry in enumerate(value)}, lead)
        else:
            yield f"{lead}{name}", float(value)
