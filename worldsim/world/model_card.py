"""The model card of a world: one page of Markdown for people, with the front matter that Hugging Face reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from worldsim.world import free_play
from worldsim.world.card import Card

MAX_ROWS = 10
LICENCES = {"MIT": "mit", "Apache-2.0": "apache-2.0", "CC0-1.0": "cc0-1.0", "CC-BY-4.0": "cc-by-4.0"}
"""Names of licences, and what Hugging Face calls them."""
_ARROWS = {"higher": " ↑", "lower": " ↓"}


def model_card(
    card: Card, metrics: Mapping[str, object], picture: str | None = None, film_strip: str | None = None
) -> str:
    """Return a world's model card: what it is, how to play it, ten numbers, where it comes from, limits and licence.

    `picture` and `film_strip` are files beside it: what it dreams, and one frame a second of eight starts.
    """
    h, w = card.size
    command = metrics.get("command")
    measured = f"Measured by `{_line(command)}`; all numbers" if isinstance(command, str) else "All numbers"
    rows = list(headline_rows(metrics))
    limits = [*card.limits, *free_play.warnings(metrics)]
    sections = [
        f"# {_line(card.title)}",
        f"![what the world dreams]({picture})" if picture else "",
        f"A learned world of `{_line(card.game)}`: {h}x{w} pixels at {card.fps:g} frames a second, "
        f"{card.weights.num_params:,} parameters. Every frame is generated from the frames and the keys before it.",
        f"    worldsim play {card.name}",
        f"![one frame a second of eight fixed starts, the game above the dream]({film_strip})" if film_strip else "",
        "\n".join(["| measured | this world | chance | perfect |", "|---|---|---|---|", *rows]) if rows else "",
        free_play.table(metrics),
        f"{measured} are in [metrics.json](metrics.json)." if metrics else "",
        "## Made from",
        f"- footage: {_footage(card)}\n- training: {trained_for(card.training)}{_history(card.training)}",
        "## Limits",
        "\n".join(f"- {_line(limit)}" for limit in limits) or "- none known",
        "## Licence",
        "; ".join(f"{_line(part)}: {_line(name)}" for part, name in card.licence.items()) or "unknown",
    ]
    return _front_matter(card, metrics) + "\n\n".join(section for section in sections if section) + "\n"


def headline_rows(metrics: Mapping[str, object]) -> Iterator[str]:
    """Yield at most `MAX_ROWS` rows of a table: those under "headline", or the first number of each question."""
    headline = metrics.get("headline")
    if not isinstance(headline, list):
        headline = [{"label": label, "value": value} for label, value in _first_numbers(metrics)]
    for row in [row for row in headline if isinstance(row, Mapping)][:MAX_ROWS]:
        unit = f", {row['unit']}" if row.get("unit") else ""
        label = f"{row.get('label', '')}{unit}{_ARROWS.get(str(row.get('better')), '')}"
        cells = (label, *(_number(row.get(key)) for key in ("value", "chance", "perfect")))
        yield f"| {' | '.join(_line(cell).replace('|', '/') for cell in cells)} |"


def trained_for(training: Mapping[str, object]) -> str:
    """Return how long a world was trained, and where; before that the one that it went on from."""
    if not isinstance(training.get("minutes"), int | float):
        return "unknown"
    before = f"{trained_for(init)}, then " if isinstance(init := training.get("init"), Mapping) else ""
    return f"{before}{training['minutes']:.0f} min on {training.get('hardware', 'an unknown machine')}"


def _front_matter(card: Card, metrics: Mapping[str, object]) -> str:
    measured = "metrics: [psnr, ssim]\n" if "fidelity" in metrics else ""
    return (
        f"---\nlicense: {LICENCES.get(card.licence.get('weights', ''), 'other')}\nlibrary_name: worldsim-jax\n"
        f"pipeline_tag: image-to-video\ntags: [world-model, diffusion, jax]\n{measured}---\n\n"
    )


def _first_numbers(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for question, found in metrics.items():
        numbers = found if isinstance(found, Mapping) else {"": found}
        single = ((name, x) for name, x in numbers.items() if type(x) in (int, float) and not name.startswith("num_"))
        yield from ((f"{question} {name}".strip(), x) for name, x in islice(single, 1))


def _number(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _footage(card: Card) -> str:
    source = card.footage
    command = source.recorder.get("command")
    recorded = f", recorded by `{_line(command)}`" if isinstance(command, str) else ""
    return f"{source.frames:,} frames in {source.episodes:,} episodes{recorded}"


def _history(training: Mapping[str, object]) -> str:
    return f": {_line(training['history'])}" if training.get("history") else ""


def _line(text: object) -> str:
    return " ".join(str(text).split())
