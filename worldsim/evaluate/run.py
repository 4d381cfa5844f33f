"""Measure a world on recorded footage, several times, and give the spread of the numbers.

Every number is the mean over evaluation seeds (which choose windows, random actions and noise), with the standard
deviation over them beside it as `_sd`.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from worldsim.data.store import Footage
from worldsim.evaluate.metric import Numbers
from worldsim.evaluate.metrics import measurements
from worldsim.evaluate.metrics.speed import hardware
from worldsim.evaluate.options import DEFAULTS, EvalOptions
from worldsim.evaluate.reference import Reference, open_reference
from worldsim.evaluate.report.page import write_text
from worldsim.evaluate.trial import CONTEXT, Measurement, Trial, longest_horizon
from worldsim.simulator import Simulator


def evaluate(
    sim: Simulator,
    footage: Footage,
    options: EvalOptions = DEFAULTS,
    *,
    reference: Reference | None = None,
    keep_seeds: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Numbers:
    """Measure a world; perceptual distances where the metrics extra is installed.

    Args:
        sim: the world.
        footage: recorded frames of the same game, size and controls, at least two episodes.
        options: how much is measured.
        reference: of `open_reference`, where several worlds are measured on the same frames.
        keep_seeds: whether to add "per_seed": for each section the numbers of every seed, in the order of the seeds.
        on_progress: called with measurements done and all measurements.

    Returns:
        {"protocol": {...}, "fidelity": {...}, ...}, by section of `metrics.measurements`. The modules of
        `worldsim.evaluate.metrics` define each number.

    Raises:
        ValueError: footage of another game, size, pace or controls, or too little of it; a world that gives NaN; an
            unfit weights file; `options.other` of the same game.
    """
    start = time.perf_counter()
    if reference is None:
        reference = open_reference([sim], footage, options)
    horizon = longest_horizon(reference.held_out, 16 if options.quick else 64)
    included = included_measurements(reference, options)
    on_clips = tuple(m.per_clip for m in included if m.per_clip is not None)
    on_plays = tuple(m.per_play for m in included if m.per_play is not None)
    share = {"horizon": horizon, "on_clips": on_clips, "on_plays": on_plays}
    num_done, per_seed = 0, {}
    for seed in options.seeds:
        trial = Trial(sim=sim, reference=reference, options=options, seed=seed, **share)
        sections: dict[str, Numbers] = {}
        for measurement in included:
            sections.setdefault(measurement.section, {}).update(measurement.measure(trial))
            num_done += 1
            if on_progress is not None:
                on_progress(num_done, len(options.seeds) * len(included))
        for section, numbers in sections.items():
            per_seed.setdefault(section, []).append(numbers)
    protocol = reference.protocol | {
        "context": CONTEXT,
        "horizon": horizon,
        "num_windows": options.num_windows,
        "seeds": list(options.seeds),
        "seconds": round(time.perf_counter() - start, 1),
        **hardware(),
    }
    result = {"protocol": protocol, **{section: spread(runs) for section, runs in per_seed.items()}}
    return result | ({"per_seed": per_seed} if keep_seeds else {})


def included_measurements(reference: Reference, options: EvalOptions) -> list[Measurement]:
    """The measurements of an evaluation.

    Raises:
        ValueError: a section of `options.only` does not exist, or cannot be measured here.
    """
    check_sections(options.only)
    found = [m for m in measurements() if m.applies(reference, options)]
    if missing := set(options.only) - {m.section for m in found}:
        raise ValueError(
            f"expected sections that can be measured here, got {', '.join(sorted(missing))}: a quick evaluation leaves "
            "some out, and others need footage with the truth of its objects."
        )
    return [m for m in found if not options.only or m.section in options.only]


def check_sections(only: Sequence[str]) -> None:
    """Refuse sections that there are not.

    Raises:
        ValueError: names those that there are.
    """
    sections = sorted({m.section for m in measurements()} - {"speed"})  # which every evaluation has
    if unknown := sorted(set(only) - set(sections)):
        raise ValueError(f"expected sections among {', '.join(sections)}, got {', '.join(unknown)}.")


def spread(runs: Sequence[Numbers]) -> Numbers:
    """The mean over runs of every number, with its standard deviation as `_sd`; counts, lists and reasons as they come.

    A number that is None in some run is averaged over the others, and `num_runs_<number>` counts these; lists are
    averaged by entry and get no `_sd`.
    """
    result: Numbers = {}
    for key in dict.fromkeys(key for run in runs for key in run):
        values = [run[key] for run in runs if run.get(key) is not None]
        if not values:
            result[key] = None
        elif isinstance(values[0], list):
            result[key] = _mean_by_entry(values)
        elif isinstance(values[0], dict):
            result[key] = {k: np.mean([v[k] for v in values], 0).tolist() for k in values[0]}
        elif isinstance(values[0], str):
            result[key] = values[0]
        else:
            result[key] = float(np.mean(values))
            if not key.startswith("num_"):
                result[f"{key}_sd"] = float(np.std(values))
                if len(values) < len(runs):
                    result[f"num_runs_{key}"] = len(values)
    return result


def _mean_by_entry(lists: Sequence[list[float | None]]) -> list[float | None]:
    """The mean of several lists, entry by entry, over those that have the entry."""
    length = max(len(values) for values in lists)
    entries = [[x for values in lists for x in values[i : i + 1] if x is not None] for i in range(length)]
    return [float(np.mean(entry)) if entry else None for entry in entries]


def write_json(result: Numbers, path: Path | str) -> Path:
    """Write numbers as JSON, whole or not at all; NaN and infinity are refused, since no reader agrees on them.

    Raises:
        ValueError: a number is not finite; the message names it.
    """
    if bad := _not_finite(result, ""):
        raise ValueError(f"expected finite numbers, these are not: {', '.join(bad[:5])}.")
    return write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", path)


def _not_finite(value: object, name: str) -> list[str]:
    if isinstance(value, dict):
        return [bad for key, part in value.items() for bad in _not_finite(part, f"{name}.{key}".lstrip("."))]
    if isinstance(value, list):
        return [bad for i, part in enumerate(value) for bad in _not_finite(part, f"{name}[{i}]")]
    return [name] if isinstance(value, float) and not math.isfinite(value) else []
