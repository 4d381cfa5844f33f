"""What the commands print: results on stdout, progress and errors on stderr.

With `--json` a command prints exactly one JSON object on stdout and nothing else there. Texts from outside, such as the
title of a world, are printed with what would steer the terminal escaped.
"""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldsim.cli import signals
from worldsim.schema import to_json

if TYPE_CHECKING:
    from worldsim.train.loop import Progress


def report(as_json: bool, result: Mapping[str, object], *lines: str) -> None:
    """Print the one JSON object of a command, or its lines for people."""
    if as_json:
        print_json(result)
    else:
        print(*(printable(line, keep="\n") for line in lines), sep="\n")


def note(*lines: str) -> None:
    """Print lines for people beside the result of a command."""
    print(*lines, sep="\n", file=sys.stderr)


def print_json(result: Mapping[str, object]) -> None:
    """Print the one JSON object. NaN and infinity become null, arrays become lists."""
    print(printable(json.dumps(to_json(result), indent=1, ensure_ascii=False, allow_nan=False), keep="\n"))


def printable(text: str, keep: str = "") -> str:
    """Write control characters and what else cannot be seen as JSON does, \\u001b say; `keep` are left as they are."""
    return "".join(c if c.isprintable() or c in keep else json.dumps(c)[1:-1] for c in text)


def command(*words: object) -> str:
    """Format a command that works as it is printed: names with spaces and the like are quoted."""
    return shlex.join(("worldsim", *map(str, words)))


def how_to_resume(run: Path) -> str:
    """Return how a run goes on that was stopped; `run` is the file of its settings, without which there is none."""
    return "the same command with --resume goes on from the last saved step" if run.is_file() else ""


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format rows in columns of equal width."""
    cells = [[printable(str(x)) for x in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    return "\n".join("  ".join(x.ljust(n) for x, n in zip(row, widths)).rstrip() for row in cells)


def tree(result: Mapping[str, object], indent: str = "") -> str:
    """Format nested numbers, each with its standard deviation `<name>_sd` where there is one."""
    lines = []
    for name, value in result.items():
        if name == "curves":  # for plots; they stand in the file
            continue
        if isinstance(value, Mapping):
            lines += [f"{indent}{printable(name)}", tree(value, indent + "  ")]
        elif not name.endswith("_sd"):
            spread = result.get(f"{name}_sd")
            lines.append(
                f"{indent}{printable(name):28} {number(value)}" + (f" ± {number(spread)}" if spread is not None else "")
            )
    return "\n".join(line for line in lines if line)


def number(value: object) -> str:
    """Format a value with four significant digits."""
    if value is None:
        return "-"
    if isinstance(value, (list, tuple)):
        return " ".join(number(x) for x in value)
    return f"{value:.4g}" if isinstance(value, float) else printable(str(value))


class Counter:
    """Draws a bar on stderr with rate and time left, from `on_progress(done, wanted)` calls."""

    def __init__(self, unit: str = ""):
        self._unit = unit
        self._bar: Any = None

    def __call__(self, done: int, wanted: int) -> None:
        """Show how much is done."""
        signals.check()
        from tqdm import tqdm

        if self._bar is None:
            self._bar = tqdm(unit=f" {self._unit}", initial=done, file=sys.stderr, dynamic_ncols=True, smoothing=0.1)
        self._bar.total = wanted
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class StageBars(Counter):
    """Draws one bar a stage of training from `Progress` values: loss, frames a second, time left."""

    def __call__(self, progress: Progress) -> None:
        """Show the progress of the present stage."""
        signals.check()
        from tqdm import tqdm

        if self._bar is None or progress.stage != self._unit:
            self.close()
            self._unit = progress.stage
            layout = "{desc:10}{percentage:3.0f}%|{bar}| step {n_fmt}/{total_fmt} {postfix}"
            self._bar = tqdm(file=sys.stderr, dynamic_ncols=True, desc=self._unit, bar_format=layout)
        self._bar.total = max(progress.total, progress.step, 1)
        self._bar.n = progress.step
        loss = f"loss {progress.loss:.4f}, " if math.isfinite(progress.loss) else ""
        left = tqdm.format_interval(progress.seconds_left) if math.isfinite(progress.seconds_left) else "?"
        told = "".join(f"{x} {progress.scalars[x]:.3g}, " for x in ("return", "entropy") if x in progress.scalars)
        text = f"{loss}{told}{progress.frames_per_s:,.0f} frames/s, {left} left"
        self._bar.set_postfix_str(printable(f"{text} {progress.note}").rstrip(), refresh=True)
