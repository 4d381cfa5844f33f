"""Ask all questions of one world on one footage, several times, and say how far the answers spread.

Measured on held-out episodes only: those that training set aside where the world was trained on this very footage, else
a half that the object detectors were not calibrated on. Every number is the mean over evaluation seeds (which choose
windows, random actions and noise), with the standard deviation over them beside it as `_sd`.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.data.dataset import Columns, load_columns, split_episodes
from worldsim.data.store import Footage
from worldsim.evaluate.dreams import CONTEXT, dream_clips, longest_horizon
from worldsim.evaluate.page import write_text
from worldsim.evaluate.questions import Data, Learned, clip_questions, learn_from, long_questions, short_questions
from worldsim.evaluate.speed import hardware
from worldsim.evaluate.weights import load_judges
from worldsim.evaluate.windowed import measure_windowed
from worldsim.simulator import Simulator

MAX_CALIBRATION_FRAMES = 12_000
MAX_FOREIGN_EPISODES = 32


def evaluate(
    sim: Simulator,
    footage: Footage,
    *,
    num_windows: int = 64,
    seeds: Sequence[int] = (0, 1, 2),
    quick: bool = False,
    with_objects: bool = True,
    batch_size: int = 32,
    drift_seconds: float = 600.0,
    windowed_horizon: int = 0,
    lpips: Path | None = None,
    fvd: Path | None = None,
    other: Footage | None = None,
    also: Sequence[Simulator] = (),
    learned: Learned | None = None,
    keep_seeds: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Ask a world every question; perceptual distances where the metrics extra is installed.

    Args:
        sim: the world.
        footage: recorded frames of the same game, size and controls, at least two episodes.
        num_windows: windows a seed and question; 2048 for numbers that compare with others' Frechet distances.
        seeds: evaluation seeds.
        quick: only fidelity over 16 frames instead of 64, objects, action following and outcome.
        with_objects: whether to look for objects, which costs as much as the rest on a slow machine.
        batch_size: windows that run together.
        drift_seconds: length of the long dreams, in the world's own time.
        windowed_horizon: frames to follow the Frechet distance out to, up to 1,024 say; not asked by default.
        lpips: an ONNX file of LPIPS; with it or `fvd` the question "weights" is asked too (docs/lpips-fvd.md).
        fvd: an ONNX file of FVD's features.
        other: footage of another game, which the world should be unsure of; corrupted frames of its own by default.
        also: other worlds that are to be measured on the same frames: none that one of them was trained on is used.
        learned: what `learn` gave for the same worlds and footage, to save its time.
        keep_seeds: whether to add "per_seed": for each question the answers of every seed, in the order of `seeds`.
        on_progress: called with questions done and all questions.

    Returns:
        {"protocol": {...}, "fidelity": {...}, ...}, by question: fidelity, objects, perceptual, control, outcome,
        uncertainty, physics, memory, drift, births. The modules of this package say what each number is.

    Raises:
        ValueError: footage of another game, size, pace or controls, or too little of it; a world that gives NaN; a
            weights file that does not do; `other` of the same game, or with `quick`.
    """
    if num_windows < 2 or batch_size < 1 or not seeds:
        raise ValueError(
            f"evaluation wants at least 2 windows and 1 seed, got num_windows={num_windows}, seeds={tuple(seeds)}, "
            f"batch_size={batch_size}."
        )
    if quick and other is not None:
        raise ValueError("footage of another game is asked about by the whole set of questions; leave quick out.")
    check_same_world(sim, footage)
    judges = load_judges(lpips, fvd, footage.meta.size)
    foreign = None if other is None else load_foreign(other, footage)
    start = time.perf_counter()
    calibration, held_out, protocol = held_out_columns(sim, footage, also)
    horizon = longest_horizon(held_out, 16 if quick else 64)
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if on_progress is not None:
            on_progress(done, 1 + (1 + len(questions)) * len(seeds))

    common = {"num_windows": num_windows, "batch_size": batch_size}
    if learned is None:
        learned = learn_from(footage.meta, calibration, held_out, quick=quick, with_objects=with_objects)
    questions = short_questions(sim, held_out, common)
    if not quick:
        data = Data(footage.meta, calibration, held_out, foreign)
        questions |= long_questions(sim, data, learned, drift_seconds, common)
    if windowed_horizon:
        questions["windowed"] = lambda seed: measure_windowed(
            sim, held_out, horizon=windowed_horizon, seed=seed, **common
        )
    tick()
    answers: dict[str, list[dict[str, Any]]] = {}
    for seed in seeds:
        clips = dream_clips(sim, held_out, horizon=horizon, seed=seed, **common)
        for question, numbers in clip_questions(clips, learned.targets, judges, perceptual=not quick).items():
            answers.setdefault(question, []).append(numbers)
        tick()
        for question, ask in questions.items():
            answers.setdefault(question, []).append(ask(seed))
            tick()
    protocol |= {
        "context": CONTEXT,
        "horizon": horizon,
        "num_windows": num_windows,
        "seeds": [int(s) for s in seeds],
        "seconds": round(time.perf_counter() - start, 1),
        **hardware(),
    }
    result = {"protocol": protocol, **{question: spread(runs) for question, runs in answers.items()}}
    return result | ({"per_seed": answers} if keep_seeds else {})


def learn(
    sim: Simulator, footage: Footage, also: Sequence[Simulator] = (), *, quick: bool = False, with_objects: bool = True
) -> Learned:
    """Learn from recorded frames what `evaluate` wants, once for several worlds that are measured on the same."""
    calibration, held_out, _ = held_out_columns(sim, footage, also)
    return learn_from(footage.meta, calibration, held_out, quick=quick, with_objects=with_objects)


def load_foreign(other: Footage, footage: Footage) -> Columns:
    """Load some episodes of another game.

    Raises:
        ValueError: it is the same game.
    """
    if other.meta.game == footage.meta.game:
        raise ValueError(f"footage of another game is wanted, {other.path} is of {other.meta.game!r} too.")
    return load_columns(other, range(min(len(other), MAX_FOREIGN_EPISODES)))


def check_same_world(sim: Simulator, footage: Footage) -> None:
    """Refuse footage that the world cannot be measured on; a world whose card names no game may be of any.

    Raises:
        ValueError: another game, frame size or pace, or other controls.
    """
    own = sim.card.get("game")
    if own is not None and own != footage.meta.game:
        raise ValueError(f"the world is of the game {own!r}, the footage of {footage.meta.game!r}.")
    if footage.meta.fps != sim.fps:
        raise ValueError(f"the world runs at {sim.fps:g} frames a second, the footage at {footage.meta.fps:g}.")
    if tuple(footage.meta.size) != tuple(sim.size):
        raise ValueError(
            f"the world wants frames of size {tuple(sim.size)}, the footage has {tuple(footage.meta.size)}."
        )
    if footage.meta.action_spec != sim.action_spec:
        raise ValueError(
            f"the world wants the controls {sim.action_spec.column_names} {sim.action_spec.to_json()}, "
            f"the footage has {footage.meta.action_spec.to_json()}."
        )


def held_out_columns(
    sim: Simulator, footage: Footage, also: Sequence[Simulator] = ()
) -> tuple[Columns, Columns, dict[str, Any]]:
    """Frames for the detectors, frames to measure on, and how they were told apart.

    Raises:
        ValueError: several worlds, and no episode that none of them was trained on.
    """
    trained_on = set().union(*(_training_episodes(world, footage) for world in (sim, *also)))
    if trained_on:
        held_out = [i for i in range(len(footage)) if i not in trained_on]
        if not held_out:
            raise ValueError(
                f"worlds that are measured together want an episode that none was trained on; {footage.path} has none "
                f"among its {len(footage)}. Record fresh footage with another seed."
            )
        rest = sorted(trained_on)
    else:
        rest, held_out = split_episodes(footage, eval_share=0.5)
    lengths = np.cumsum([footage.episodes[i].length for i in rest])
    enough = int(np.searchsorted(lengths, MAX_CALIBRATION_FRAMES)) + 1
    protocol = {
        "footage": footage.digest(),
        "game": footage.meta.game,
        "trained_on_this_footage": bool(trained_on),
        "held_out_episodes": len(held_out),
        "held_out_frames": sum(footage.episodes[i].length for i in held_out),
    }
    return load_columns(footage, rest[:enough]), load_columns(footage, held_out), protocol


def _training_episodes(sim: Simulator, footage: Footage) -> set[int]:
    """Numbers of the episodes that the world was trained on; none where it was trained on other footage.

    A recording that went on after the training keeps its first episodes.
    """
    source = sim.card["footage"]
    if source.get("digest") != footage.digest() and source.get("recorder") != dict(footage.meta.recorder):
        return set()
    held_out = set(sim.card["training"].get("held_out_episodes", ()))
    known = footage.episodes[: source.get("episodes", len(footage))]
    return {i for i, episode in enumerate(known) if episode.name not in held_out}


def spread(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean over runs of every number, with its standard deviation as `_sd`; counts, lists and reasons as they come.

    A number that is None in some run is averaged over the others, and `num_runs_<number>` counts these; lists are
    averaged by entry and get no `_sd`.
    """
    result: dict[str, Any] = {}
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


def write_json(result: dict[str, Any], path: Path | str) -> Path:
    """Write numbers as JSON, whole or not at all; NaN and infinity are refused, since no reader agrees on them.

    Raises:
        ValueError: a number is not finite; the message names it.
    """
    if bad := _not_finite(result, ""):
        raise ValueError(f"numbers want to be finite, these are not: {', '.join(bad[:5])}.")
    return write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", path)


def _not_finite(value: Any, name: str) -> list[str]:
    if isinstance(value, dict):
        return [bad for key, part in value.items() for bad in _not_finite(part, f"{name}.{key}".lstrip("."))]
    if isinstance(value, list):
        return [bad for i, part in enumerate(value) for bad in _not_finite(part, f"{name}[{i}]")]
    return [name] if isinstance(value, float) and not math.isfinite(value) else []
