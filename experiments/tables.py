"""Render experiments/results/*.json and the cards of the shipped worlds into README.md and docs/results.md.

    python experiments/tables.py            # writes the tables between their markers
    python experiments/tables.py --check    # changes nothing; fails where a page is out of date

A table stands between `<!-- table: NAME -->` and `<!-- end -->`. What has no results file yet is left out.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rows import HEADLINE, PM, ROWS, Value, number

from worldsim.evaluate.metric import Row as MetricRow
from worldsim.evaluate.metrics import headlines
from worldsim.world import read_card, trained_for

ROOT = Path(__file__).parents[1]


def headline_table(root: Path) -> list[str]:
    """The few numbers that README shows, each with its file; what is not measured yet is left out."""
    lines = ["| what | measured | from |", "|---|---|---|"]
    for row in HEADLINE:
        path = root / "experiments" / "results" / f"{row.file}.json"
        value = row.pick(json.loads(path.read_text(encoding="utf-8")))
        if value is None:
            continue
        shown = value.show(row.digits) if isinstance(value, Value) else value
        lines.append(f"| {row.what} | {shown} | [{row.file}](experiments/results/{row.file}.json) |")
    return lines


def results_table(root: Path) -> list[str]:
    """Every measured row: number, target, and the file that has it."""
    lines = ["| what | measured | asked for | aim | from |", "|---|---|---|---|---|"]
    for row in ROWS:
        path = root / "experiments" / "results" / f"{row.file}.json"
        value = row.pick(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
        if value is not None:
            shown = value if isinstance(value, str) else value.show(row.digits)
            file = f"[{row.file}](experiments/results/{row.file}.json)"
            lines.append(f"| {row.what} | {shown} | {row.at_least} | {row.aim} | {file} |")
    return lines


def worlds_table(root: Path) -> list[str]:
    """The shipped worlds, from their cards."""
    lines = ["| world | game | picture | parameters | trained | licence of the weights |", "|---|---|---|---|---|---|"]
    for path in sorted((root / "checkpoints").glob("*/card.json")):
        card = read_card(path.parent)
        cells = (
            f"[{card.name}](checkpoints/{path.parent.name})",
            card.title,
            "; ".join(card.screens),
            f"{card.weights.num_params / 1e6:.2f} M",
            trained_for(card.training),
            card.licence["weights"],
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def evaluation_table(root: Path) -> list[str]:
    """The headline numbers of the shipped worlds, each with what chance and what perfection score."""
    files = sorted((root / "experiments" / "results").glob("world_*.json"))
    results = {path.stem.removeprefix("world_"): json.loads(path.read_text(encoding="utf-8")) for path in files}
    cells: dict[str, dict[str, str]] = {}
    order = {row.title: row.metric.headline for found in results.values() for row in headlines(found)}
    for name, found in results.items():
        for row in headlines(found):
            cells.setdefault(row.title, {})[name] = _between(row)
    links = [f"[{name}](experiments/results/world_{name}.json)" for name in results]
    lines = [f"| what (by chance .. at best) | {' | '.join(links)} |", "|---" * (1 + len(links)) + "|"]
    for title in sorted(cells, key=lambda title: order[title] or 0):
        lines.append(f"| {title} | {' | '.join(cells[title].get(name, 'not measured') for name in results)} |")
    return lines


def _between(row: MetricRow) -> str:
    """A number with its spread and its references; constants are written as they are."""
    metric, ends = row.metric, []
    for end, value in ((metric.chance, row.chance), (metric.perfect, row.perfect)):
        ends.append("" if value is None else f"{value:.{metric.digits}f}" if isinstance(end, str) else f"{value:g}")
    shown = Value(row.value or 0.0, row.sd).show(metric.digits)
    return f"{shown} ({' .. '.join(ends).strip()})" if any(ends) else shown


def phyworld_table(root: Path) -> list[str]:
    """PhyWorld's scenes: velocity error in and out of the distribution, beside the parser's floor."""
    path = root / "experiments" / "results" / "phyworld.json"
    lines = ["| scene | in distribution | out of it | parser's floor, in, out | a still film, in, out | trained |"]
    lines.append("|---|---|---|---|---|---|")
    for scene, found in (json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}).items():
        errors = [number(split, "velocity_error")(found) for split in ("in", "out")]
        cells = [value.show(3) if isinstance(value, Value) else "not measured" for value in errors]
        for end in ("floor", "copy_last"):
            cells.append(", ".join(f"{found[split][f'velocity_error_{end}']:.3f}" for split in ("in", "out")))
        lines.append(f"| {scene} | {' | '.join(cells)} | `{found['preset']}`, {found['minutes']:.0f} min |")
    return lines


def agents_table(root: Path) -> list[str]:
    """Agents that learned in the dream, in the real game beside those who did not."""
    lines = [
        "| game | agent | the recording's policy | random keys | what the dream promised | from |",
        "|---" * 6 + "|",
    ]
    for path in sorted((root / "experiments" / "results").glob("agent_*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        cells = [_mean(found.get(name)) for name in ("main", found["recording_policy"], "random")]
        dream = found["main"]["dream"]
        promised = f"{dream['mean']:.1f} in {dream['mean_length']:.0f} steps"
        name = path.stem.removeprefix("agent_").replace("_", "-")
        lines.append(f"| {name} | {' | '.join(cells)} | {promised} | [{path.stem}](experiments/results/{path.name}) |")
    return lines


def dreams_table(root: Path) -> list[str]:
    """Agents of one world by how they dreamed, where several were trained: what each promised itself and got."""
    lines = [
        "| game | objective | steps a frame | temperature | cloning | minutes | promised | real |",
        "|---" * 8 + "|",
    ]
    for path in sorted((root / "experiments" / "results").glob("agent_*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        agents = [found[name] for name in found if isinstance(found[name], dict) and "training" in found[name]]
        for agent in agents if len(agents) > 1 else []:
            how = agent["training"]
            cut = "" if how["max_uncertainty"] is None else f", cut above {how['max_uncertainty']}"
            cells = [
                path.stem.removeprefix("agent_").replace("_", "-"),
                how["objective"] + cut,
                str(how["num_denoise_steps"] or "own"),
                f"{how['noise_scale']:g}",
                f"{how['clone_fraction']:g}",
                f"{how['minutes']:.0f}",
                f"{agent['dream']['mean']:.0f} in {agent['dream']['mean_length']:.0f} steps",
                _mean(agent),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _mean(found: dict[str, Any] | None) -> str:
    """A mean return with its standard error."""
    return f"{found['mean']:.2f} {PM} {found['standard_error']:.2f}" if found else "not measured"


TABLES: dict[str, Callable[[Path], list[str]]] = {
    "worlds": worlds_table,
    "results": results_table,
    "evaluation": evaluation_table,
    "phyworld": phyworld_table,
    "agents": agents_table,
    "dreams": dreams_table,
}


PAGES: dict[str, dict[str, Callable[[Path], list[str]]]] = {
    "README.md": {"headline": headline_table},
    "docs/results.md": TABLES,
}
"""The tables of each page."""


def render(
    text: str, root: Path, tables: dict[str, Callable[[Path], list[str]]] = TABLES, *, page: str = "README.md"
) -> str:
    """Put every table between its markers; their links lead from the page's folder.

    Raises:
        ValueError: a marker names no table, or a table has no place.
    """
    pattern = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
    found = {match[2] for match in pattern.finditer(text)}
    if found != set(tables):
        raise ValueError(f"expected one place for each of the tables {sorted(tables)} in {page}, got {sorted(found)}.")
    up = "../" * page.count("/")

    def fill(match: re.Match) -> str:
        lines = [line.replace("](", f"]({up}") for line in tables[match[2]](root)]
        return match[1] + ("\n".join(lines) + "\n" if len(lines) > 2 else "") + match[3]

    return pattern.sub(fill, text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether the pages are up to date")
    args = parser.parse_args()
    for page, tables in PAGES.items():
        text = (ROOT / page).read_text(encoding="utf-8")
        rendered = render(text, ROOT, tables, page=page)
        if rendered != text and args.check:
            sys.exit(f"{page} is not what experiments/results say; run: python experiments/tables.py")
        (ROOT / page).write_text(rendered, encoding="utf-8")


if __name__ == "__main__":
    main()
