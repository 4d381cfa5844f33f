"""What the commands say: results on stdout, progress and errors on stderr.

With `--json` a command prints exactly one JSON object on stdout and nothing else there.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def say(text: str = "", *, flush: bool = False) -> None:
    """Print a line for people."""
    print(text, flush=flush)


def print_json(result: Mapping[str, Any]) -> None:
    """Print the one JSON object. NaN and infinity become null, arrays become lists."""
    print(json.dumps(_plain(result), indent=1, ensure_ascii=False, allow_nan=False))


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Lay out rows in columns of equal width."""
    cells = [[str(x) for x in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    return "\n".join("  ".join(x.ljust(n) for x, n in zip(row, widths)).rstrip() for row in cells)


def tree(result: Mapping[str, Any], indent: str = "") -> str:
    """Lay out nested numbers, each with its spread `<name>_sd` where there is one."""
    lines = []
    for name, value in result.items():
        if name == "curves":  # for plots; they stand in the file
            continue
        if isinstance(value, Mapping):
            lines += [f"{indent}{name}", tree(value, indent + "  ")]
        elif not name.endswith("_sd"):
            spread = result.get(f"{name}_sd")
            lines.append(f"{indent}{name:28} {number(value)}" + (f" ± {number(spread)}" if spread is not None else ""))
    return "\n".join(line for line in lines if line)


def number(value: Any) -> str:
    """Show a value with four digits that count."""
    if value is None:
        return "-"
    if isinstance(value, (list, tuple)):
        return " ".join(number(x) for x in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class Counter:
    """Draws a bar on stderr with rate and time left, from `on_progress(done, wanted)` calls."""

    def __init__(self, unit: str):
        self._unit, self._bar = unit, None

    def __call__(self, done: int, wanted: int) -> None:
        """Show how far it is."""
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


class StageBars:
    """Draws one bar a stage of training from `Progress` values: loss, frames a second, time left."""

    def __init__(self):
        self._bar: Any = None
        self._stage = ""

    def __call__(self, progress: Any) -> None:
        """Show where training is."""
        from tqdm import tqdm

        if progress.stage != self._stage:
            self.close()
            self._stage = progress.stage
            layout = "{desc:10}{percentage:3.0f}%|{bar}| step {n_fmt}/{total_fmt} {postfix}"
            self._bar = tqdm(file=sys.stderr, dynamic_ncols=True, desc=self._stage, bar_format=layout)
        self._bar.total = max(progress.total, progress.step, 1)
        self._bar.n = progress.step
        loss = f"loss {progress.loss:.4f}, " if math.isfinite(progress.loss) else ""
        text = f"{loss}{progress.frames_per_s:,.0f} frames/s, {clock(progress.seconds_left)} left"
        self._bar.set_postfix_str(f"{text} {progress.note}".rstrip(), refresh=True)

    def close(self) -> None:
        """End the bar of the present stage."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def clock(seconds: float) -> str:
    """Say a duration as m:ss or h:mm:ss."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
