"""The report: one page that shows a world before it counts it.

Pictures come first, for most faults of a world model are visible: recorded and dreamed frames side by side, and the
windows with the largest error. Then curves with bands; quality and speed in one table, each number between what knowing
nothing scores and what the best would; every number of every question with its spread over seeds; and all settings,
seeds, hashes and the command, so that anyone can have the same numbers.

It takes any result of `run.evaluate`: a question that it has never heard of gets its table and its charts too. What was
not measured stays in sight, as a gap with its reason. The same result gives the same page.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from worldsim.evaluate.charts import charts, entries, figure
from worldsim.evaluate.gallery import Example, films, strips, worst
from worldsim.evaluate.page import Html, element, join, page, table, write_text

NOT_QUESTIONS = ("protocol", "per_seed")
HEADLINES: tuple[tuple[str, str, str, str | float | None, str | float | None], ...] = (
    ("PSNR, 16 dreamed frames, dB", "fidelity", "psnr_free_16", "psnr_copy_last_16", "psnr_tokenizer"),
    ("PSNR, 64 dreamed frames, dB", "fidelity", "psnr_free_64", "psnr_copy_last_64", "psnr_tokenizer"),
    ("SSIM, 16 dreamed frames", "fidelity", "ssim_free_16", "ssim_copy_last_16", "ssim_tokenizer"),
    ("Frechet distance score, frames 1 to 16", "fidelity", "score_gfvd_16", 0.0, 1.0),
    ("Frechet distance score, frames 1 to 64", "fidelity", "score_gfvd_64", 0.0, 1.0),
    ("LPIPS, 16 dreamed frames", "weights", "lpips_16", "lpips_16_copy_last", 0.0),
    ("FVD, 16 dreamed frames", "weights", "fvd_16", "fvd_16_copy_last", 0.0),
    ("action following", "control", "action_following", 0.5, 1.0),
    ("left and right part", "control", "opposite_parting", 0.0, 1.0),
    (
        "inverse dynamics on dreams",
        "control",
        "inverse_accuracy_dream",
        "inverse_accuracy_chance",
        "inverse_accuracy_real",
    ),
    ("reward, average precision", "outcome", "reward_ap", "reward_base_rate", 1.0),
    ("termination, average precision", "outcome", "termination_ap", "termination_base_rate", 1.0),
    ("termination, Brier skill", "outcome", "termination_brier_skill", 0.0, 1.0),
    ("returns of dream and game, correlation", "outcome", "return_pearson", 0.0, 1.0),
    ("CRPS skill over copy-last", "uncertainty", "crps_skill", 0.0, 1.0),
    ("90 % intervals that cover", "uncertainty", "coverage_90", 0.0, 0.9),
    ("velocity error, units a second", "physics", "velocity_error", "velocity_error_copy_last", "velocity_error_floor"),
    ("memory of hidden faces", "memory", "memory_score", 0.0, 1.0),
    ("memory of a view, dB", "memory", "lookaway_psnr_dream", "lookaway_psnr_unrelated", "lookaway_psnr_replay"),
    ("seconds to collapse, random keys", "drift", "collapse_seconds_policy", 0.0, "num_seconds"),
    ("ball recall, tokenizer", "objects", "ball_recall", 0.0, "ball_recall_real"),
    ("player recall, tokenizer", "objects", "player_recall", 0.0, "player_recall_real"),
    ("frames a second, one world", "speed", "fps_batch_1", None, None),
    ("frames a second, 32 worlds", "speed", "fps_batch_32", None, None),
    ("latency of a step, median, ms", "speed", "latency_p50_ms", None, None),
    ("latency of a step, 95 of 100, ms", "speed", "latency_p95_ms", None, None),
    ("compute-seconds a minute of video", "speed", "compute_seconds_per_video_minute", None, 60.0),
)
"""Label, question, number, and what knowing nothing and the best score: a number beside it, or a value."""


def render(
    result: Mapping[str, Any],
    *,
    card: Mapping[str, Any],
    examples: Sequence[Example] = (),
    per_seed: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> str:
    """Make the report's page.

    Args:
        result: of `run.evaluate`; with "speed" of `speed.bench` where that was measured.
        card: the world's.
        examples: of `gallery.gather`; their own number is shown, not that of the windows measured.
        per_seed: the "per_seed" of `run.evaluate`, for the bands of the curves.
    """
    title = card.get("title") or card.get("name") or "a world"
    questions = {name: value for name, value in result.items() if name not in NOT_QUESTIONS}
    fps = float(card.get("fps") or 15)
    return page(
        f"{title}: how true is the dream?",
        element("h1", f"{title}: how true is the dream?"),
        element("p", _subtitle(card, result.get("protocol", {})), class_="quiet"),
        _pictures(examples, fps),
        curves(questions, per_seed or {}),
        element("h2", "Quality and speed"),
        headlines(result),
        element("h2", "All numbers"),
        element(
            "p", "Means over seeds ± one standard deviation. A coloured row is a gap: not measured.", class_="quiet"
        ),
        *[section(name, numbers) for name, numbers in questions.items()],
        element("h2", "Settings, seeds, hashes, command"),
        settings({"evaluation": result.get("protocol", {}), "world": card}),
    )


def write_report(path: Path | str, result: Mapping[str, Any], **options: Any) -> Path:
    """Write the page of `render`, whole or not at all."""
    return write_text(render(result, **options), path)


def _subtitle(card: Mapping[str, Any], protocol: Mapping[str, Any]) -> str:
    trained = protocol.get("trained_on_this_footage")
    parts = [
        f"world {card['name']}" if "name" in card else "",
        f"game {protocol['game']}" if "game" in protocol else "",
        f"{protocol['held_out_episodes']} held-out episodes" if "held_out_episodes" in protocol else "",
        "" if trained is None else "of the footage that it learned from" if trained else "of footage that it never saw",
        f"seeds {', '.join(map(str, protocol['seeds']))}" if "seeds" in protocol else "",
    ]
    return " · ".join(part for part in parts if part)


def _pictures(examples: Sequence[Example], fps: float) -> Html:
    if not examples:
        return element("p", "No pictures were gathered.", class_="quiet")
    return join(
        [
            element("h2", "Recorded and dreamed"),
            films(examples[:3], fps=fps),
            strips(examples[:3]),
            element("h2", "Where it failed worst"),
            element("p", f"The lowest PSNR of {len(examples)} windows.", class_="quiet"),
            strips(worst(examples)),
        ]
    )


def curves(
    questions: Mapping[str, Any], per_seed: Mapping[str, Sequence[Mapping[str, Any]]], heading: str = "Curves"
) -> Html:
    """Draw every list of numbers of every question."""
    figures = []
    for question, numbers in questions.items():
        if not isinstance(numbers, Mapping):
            continue
        runs = per_seed.get(question, ())
        note = f"{question}; band: one standard deviation over {len(runs)} seeds." if len(runs) > 1 else f"{question}."
        for chart, lines in charts(numbers, runs).items():
            figures.append(figure(chart, lines, x_label=entries(chart, numbers), note=note))
    return join([element("h2", heading), element("div", *figures, class_="grid")]) if figures else Html("")


def headlines(result: Mapping[str, Any]) -> Html:
    """Quality beside speed, each number between its references; what a result does not have is left out."""
    rows = []
    for label, question, name, zero, one in HEADLINES:
        numbers = result.get(question, {})
        if name not in numbers:
            continue
        low, high = (numbers.get(x) if isinstance(x, str) else x for x in (zero, one))
        cells = (label, number(low), with_spread(numbers, name), number(high))
        rows.append((cells, "gap" if numbers[name] is None else None))
    return table(("", "knowing nothing", "this world", "at best"), rows, numbers=(1, 2, 3))


def section(question: str, numbers: Any) -> Html:
    """A question's table, under what it asks; the definitions of its numbers can be unfolded."""
    doc = inspect.getdoc(sys.modules.get(f"worldsim.evaluate.{question}")) or ""
    asks, _, definitions = doc.partition("\n\n")
    rows = list(_rows(numbers if isinstance(numbers, Mapping) else {question: numbers}))
    return join(
        [
            element("h3", question),
            element("p", " ".join(asks.split())) if asks else "",
            table(("number", "value", ""), rows),
            element("details", element("summary", "What these numbers are"), element("pre", definitions))
            if definitions
            else "",
        ]
    )


def settings(parts: Mapping[str, Mapping[str, Any]]) -> Html:
    """Everything that the numbers hang on, unfolded down to single values."""
    blocks = []
    for name, part in parts.items():
        rows = [((key, value), None) for key, value in flatten(part) if not key.startswith("metrics.")]
        blocks.append(
            element("details", element("summary", name), table(("setting", "value"), rows, numbers=()), open="")
        )
    return join(blocks)


def flatten(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Single values of nested settings, each under its path."""
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from flatten(part, f"{name}.{key}".lstrip("."))
    else:
        yield name, value if isinstance(value, str) else json.dumps(value, default=str)


def number(value: Any) -> str:
    """A value with four digits that count."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def with_spread(numbers: Mapping[str, Any], name: str) -> str:
    """A number ± its standard deviation, where it has one."""
    spread = numbers.get(f"{name}_sd")
    return number(numbers[name]) + (f" ± {number(spread)}" if spread is not None else "")


def _rows(numbers: Mapping[str, Any], lead: str = "") -> Iterator[tuple[tuple[str, str, str], str | None]]:
    """Rows of a question's table; numbers that are None take their reason along."""
    for name, value in numbers.items():
        label = f"{lead}{name}"
        if name == "curves" or (name.endswith("_sd") and name.removesuffix("_sd") in numbers):
            continue
        if isinstance(value, Mapping):
            yield from _rows(value, f"{label}.")
        elif value is None:
            yield (label, "–", f"not measured: {_reason(numbers, name)}"), "gap"
        elif isinstance(value, str):
            yield (label, "", value), None
        elif isinstance(value, (list, tuple)):
            yield (label, "", ", ".join(number(x) for x in value)), None
        else:
            yield (label, with_spread(numbers, name), ""), None


def _reason(numbers: Mapping[str, Any], name: str) -> str:
    """The reason of the longest name that the number's begins with, so `reward_reason` speaks for `reward_ap`."""
    known = [key for key, value in numbers.items() if key.endswith("_reason") and isinstance(value, str)]
    stems = sorted((key for key in known if name.startswith(key.removesuffix("_reason"))), key=len)
    return numbers[stems[-1]] if stems else str(numbers.get("reason") or "no reason was given")
