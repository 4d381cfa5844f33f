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
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
PM = "\N{PLUS-MINUS SIGN}"


class Value(NamedTuple):
    """A number and its spread."""

    mean: float
    sd: float | None = None

    def show(self, digits: int) -> str:
        """Write it with this many digits after the point."""
        spread = "" if self.sd is None else f" {PM} {self.sd:.{digits}f}"
        return f"{self.mean:.{digits}f}{spread}"


Pick = Callable[[dict[str, Any]], Value | str | None]


class Row(NamedTuple):
    """One line of the table of results."""

    what: str
    file: str
    pick: Pick
    at_least: str
    aim: str
    digits: int = 3


def number(*path: str) -> Pick:
    """Pick the number at a path of keys, with the `_sd` beside it."""

    def pick(results: dict[str, Any]) -> Value | None:
        for key in path[:-1]:
            results = results.get(key) or {}
        value = results.get(path[-1])
        return None if value is None else Value(value, results.get(f"{path[-1]}_sd"))

    return pick


def above_copy_last(results: dict[str, Any]) -> Value | None:
    """PSNR over 16 dreamed frames less that of repeating the last context frame; the spread is the dream's."""
    fidelity = results.get("fidelity") or results.get("own_world") or {}
    if fidelity.get("psnr_free_16") is None:
        return None
    return Value(fidelity["psnr_free_16"] - fidelity["psnr_copy_last_16"], fidelity.get("psnr_free_16_sd"))


def paddle_error(results: dict[str, Any]) -> Value | None:
    """Mean distance of both paddles from their true places."""
    objects = results.get("objects") or {}
    pairs = [(objects.get(f"{p}_error_free_32"), objects.get(f"{p}_error_free_32_sd")) for p in ("player", "enemy")]
    if any(value is None for pair in pairs for value in pair):
        return None
    return Value(*(sum(column) / len(pairs) for column in zip(*pairs)))


def recordings_killed(results: dict[str, Any]) -> str:
    """What 20 kills did to recordings."""
    return f"{results['kills']} kills: {results['episodes_unreadable']} finished episodes lost"


def checkpoints_killed(results: dict[str, Any]) -> str:
    """What 20 kills did to checkpoints."""
    return f"{results['kills']} kills: {results['lost_finished_steps']} finished steps lost"


ROWS = (
    Row("`make demo`, own world: action following", "demo", number("own_world", "action_following"), ".75", ".95"),
    Row("`make demo`, own world: PSNR of 16 dreamed frames above copy-last, dB", "demo", above_copy_last, "2", "4", 2),
    Row("`jump`: tokenizer PSNR, dB", "world_jump", number("fidelity", "psnr_tokenizer"), "36", "40", 2),
    Row("`jump`: action following", "world_jump", number("control", "action_following"), ".95", ".99"),
    Row("`jump`: PSNR of 16 dreamed frames above copy-last, dB", "world_jump", above_copy_last, "", "", 2),
    Row("`jump`: player where the game has it, 32 dreamed frames", "world_jump",
        number("objects", "player_recall_free_32"), ".9", ".98"),
    Row("`pong`: tokenizer PSNR, dB", "world_pong", number("fidelity", "psnr_tokenizer"), "38", "42", 2),
    Row("`pong`: ball recall of reconstructions", "world_pong", number("objects", "ball_recall"), ".99", "1"),
    Row("`pong`: ball recall, 32 dreamed frames", "world_pong", number("objects", "ball_recall_free_32"), ".9", ".99"),
    Row("`pong`: paddle error, 32 dreamed frames, px at 64", "world_pong", paddle_error, "1.0", ".5", 2),
    Row("`pong`: action following", "world_pong", number("control", "action_following"), ".95", ".99"),
    Row("`pong`: PSNR of 16 dreamed frames above copy-last, dB", "world_pong", above_copy_last, "3", "6", 2),
    Row("`tiny`, batch 1, frames/s", "speed", number("tiny", "fps_batch_1"), "60", "150", 0),
    Row("`small`, batch 1, frames/s", "speed", number("small", "fps_batch_1"), "20", "56", 0),
    Row("`small`, batch 32, frames/s", "speed", number("small", "fps_batch_32"), "30", "90", 0),
    Row("kill -9 during recording", "kill_recording", recordings_killed, "0 lost", "0 lost"),
    Row("kill -9 during a checkpoint", "kill_checkpoint", checkpoints_killed, "0 lost", "0 lost"),
)  # fmt: skip


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
        training, (height, width) = card["training"], card["size"]
        cells = (
            f"[{card['name']}](checkpoints/{path.parent.name})",
            card["title"],
            f"{height}x{width}, {card['fps']:g} fps",
            f"{card['weights']['num_params'] / 1e6:.2f} M",
            f"{_minutes(training):.0f} min on {training['hardware']}",
            card["licence"]["weights"],
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


TABLES: dict[str, Callable[[Path], list[str]]] = {"worlds": worlds_table, "results": results_table}


def _minutes(training: dict) -> float:
    """All the training of a world, of those that it went on from too."""
    return training["minutes"] + (_minutes(training["init"]) if "init" in training else 0.0)


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
