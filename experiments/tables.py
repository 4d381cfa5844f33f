"""Render experiments/results/*.json and the cards of the shipped worlds into the tables of README.md.

    python experiments/tables.py            # writes the tables between their markers
    python experiments/tables.py --check    # changes nothing; fails where README.md is out of date

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

from rows import PM, ROWS, Value, number

from worldsim.checkpoint import screens_of

ROOT = Path(__file__).parents[1]


def results_table(root: Path) -> list[str]:
    """Every measured row: number, what was asked, and the file that has it."""
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
        card = json.loads(path.read_text(encoding="utf-8"))
        training = card["training"]
        cells = (
            f"[{card['name']}](checkpoints/{path.parent.name})",
            card["title"],
            "; ".join(screens_of(card)),
            f"{card['weights']['num_params'] / 1e6:.2f} M",
            _trained(training),
            card["licence"]["weights"],
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


JUDGED: tuple[tuple[str, str, str, str, str, int], ...] = (
    # what, question, number, what knowing nothing scores, the best, digits
    ("PSNR of 64 dreamed frames, dB", "fidelity", "psnr_free_64", "psnr_copy_last_64", "psnr_tokenizer", 1),
    ("Frechet distance score, frames 1 to 64", "fidelity", "score_gfvd_64", "0", "1", 2),
    ("opposite keys part, the right way", "control", "opposite_direction", "0.5", "1", 2),
    ("frames from key to change", "control", "latency_frames", "", "1", 1),
    (
        "keys told from the dream by an inverse model",
        "control",
        "inverse_accuracy_dream",
        "inverse_accuracy_chance",
        "inverse_accuracy_real",
        2,
    ),
    ("reward, average precision", "outcome", "reward_ap", "reward_base_rate", "1", 2),
    ("returns of dream and game, correlation", "outcome", "return_pearson", "0", "1", 2),
    ("CRPS skill, 19 dreams", "uncertainty", "crps_skill", "0", "1", 2),
    ("share that 90 % intervals hold", "uncertainty", "coverage_90", "", "0.9", 2),
    ("said uncertainty against next frame's error, Spearman", "uncertainty", "spearman_uncertainty_1", "0", "1", 2),
    ("foreign frames told, AUROC", "uncertainty", "auroc_foreign", "0.5", "1", 2),
    ("seconds until a dream collapses, of 600", "drift", "collapse_seconds_policy", "0", "600", 0),
    ("objects born without cause per 1,000 frames", "births", "born_per_1000", "", "born_per_1000_real", 1),
    ("objects gone without cause per 1,000 frames", "births", "gone_per_1000", "", "gone_per_1000_real", 1),
)


def judged_table(root: Path) -> list[str]:
    """The shipped worlds by the judge's questions: each number, and in brackets what stands for nothing and for all."""
    files = sorted((root / "experiments" / "results").glob("world_*.json"))
    results = {path.stem.removeprefix("world_"): json.loads(path.read_text(encoding="utf-8")) for path in files}
    links = [f"[{name}](experiments/results/world_{name}.json)" for name in results]
    lines = [f"| what (knowing nothing .. at best) | {' | '.join(links)} |", "|---" * (1 + len(links)) + "|"]
    for what, question, name, zero, one, digits in JUDGED:
        cells = [_between(found.get(question) or {}, name, (zero, one), digits) for found in results.values()]
        if any(cells):
            lines.append(f"| {what} | {' | '.join(cell or 'not measured' for cell in cells)} |")
    return lines


def _between(numbers: dict[str, Any], name: str, references: tuple[str, str], digits: int) -> str:
    """A number with its spread, and its references."""
    value = number(name)(numbers)
    if not isinstance(value, Value):
        return ""
    ends = [f"{numbers[x]:.{digits}f}" if x in numbers and numbers[x] is not None else x for x in references]
    return f"{value.show(digits)} ({' .. '.join(ends).strip()})"


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
                f"{how['clone_share']:g}",
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
    "judged": judged_table,
    "phyworld": phyworld_table,
    "agents": agents_table,
    "dreams": dreams_table,
}


def _trained(training: dict) -> str:
    """How long a world was trained, and where; before that the one that it went on from."""
    before = f"{_trained(training['init'])}, then " if "init" in training else ""
    return f"{before}{training['minutes']:.0f} min on {training['hardware']}"


def render(text: str, root: Path) -> str:
    """Put every table between its markers.

    Raises:
        ValueError: a marker names no table, or a table has no place.
    """
    pattern = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
    found = {match[2] for match in pattern.finditer(text)}
    if found != set(TABLES):
        raise ValueError(f"README.md wants one place for each of the tables {sorted(TABLES)}, has {sorted(found)}.")

    def fill(match: re.Match) -> str:
        lines = TABLES[match[2]](root)
        return match[1] + ("\n".join(lines) + "\n" if len(lines) > 2 else "") + match[3]

    return pattern.sub(fill, text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether README.md is up to date")
    args = parser.parse_args()
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    wanted = render(text, ROOT)
    if wanted == text:
        return
    if args.check:
        sys.exit("README.md is not what experiments/results say; run: python experiments/tables.py")
    readme.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
