"""Clips to be looked at: recorded frames and what one world, or several, made of the same windows.

They are the very windows and noise of the first seed of an evaluation, as far as they go, so the worst of
them are the worst of what was measured, and not a choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from worldsim import metrics
from worldsim.data.dataset import Columns
from worldsim.evaluate.report.page import Html, element, film, join, picture
from worldsim.evaluate.trial import CONTEXT, dream_clips
from worldsim.simulator import Simulator
from worldsim.video import side_by_side, strip


class Example(NamedTuple):
    """One window: its number in the order of drawing, the frames after the context, and every world's version."""

    number: int
    real: UInt8[np.ndarray, "t h w c"]
    dreams: dict[str, UInt8[np.ndarray, "t h w c"]]
    psnr: dict[str, float]  # dB, mean over the frames


def gather(
    worlds: Mapping[str, Simulator],
    columns: Columns,
    *,
    horizon: int,
    num_windows: int = 32,
    seed: int = 0,
    batch_size: int = 32,
) -> list[Example]:
    """Dream windows with every world, from the same context and under the same actions and noise."""
    settings = {"horizon": horizon, "num_windows": num_windows, "seed": seed, "batch_size": batch_size}
    examples: list[Example] = []
    for clips in zip(*(dream_clips(sim, columns, **settings) for sim in worlds.values()), strict=True):
        real = clips[0].real[:, CONTEXT:]
        psnr = [metrics.psnr(real, clip.free).mean(1) for clip in clips]
        for i in range(len(real)):
            dreams = {name: clip.free[i] for name, clip in zip(worlds, clips)}
            means = {name: float(values[i]) for name, values in zip(worlds, psnr)}
            examples.append(Example(len(examples), real[i], dreams, means))
    return examples


def worst(examples: Sequence[Example], count: int = 3) -> list[Example]:
    """Those with the largest error: the lowest PSNR, mean over frames and worlds; ties in the order of drawing."""
    return sorted(examples, key=lambda example: float(np.mean(list(example.psnr.values()))))[:count]


def farthest_apart(examples: Sequence[Example], count: int = 3) -> list[Example]:
    """Those in which the worlds' PSNR differs most."""
    return sorted(examples, key=lambda example: -float(np.ptp(list(example.psnr.values()))))[:count]


def picture_section(
    heading: str, examples: Sequence[Example], selected: Sequence[Example], title: str, note: str, fps: float
) -> Html:
    """The first examples as films and strips, then strips of the selected ones."""
    return join(
        [
            element("h2", heading),
            films(examples[:3], fps=fps),
            strips(examples[:3]),
            element("h2", title),
            element("p", note, class_="quiet"),
            strips(selected),
        ]
    )


def films(examples: Sequence[Example], *, fps: float) -> Html:
    """Moving pictures, recorded frames left."""
    parts = []
    for example in examples:
        names = ", ".join(["recorded", *example.dreams])
        moving = film(
            side_by_side([example.real, *example.dreams.values()]), fps=fps, alt=f"from left to right: {names}"
        )
        parts.append(element("figure", moving, element("figcaption", f"{_caption(example)}: {names}"), class_="moving"))
    return element("div", *parts, class_="grid")


def strips(examples: Sequence[Example], *, num_columns: int = 8) -> Html:
    """Pictures in rows, time going right; with one world also the size of its error."""
    figures = []
    for example in examples:
        rows = {"recorded": example.real, **example.dreams}
        if len(example.dreams) == 1:
            [dream] = example.dreams.values()
            gap = np.abs(example.real.astype(np.int16) - dream.astype(np.int16))
            rows["difference"] = gap.astype(np.uint8)
        cells: list[Html] = []
        for name, row in rows.items():
            line = strip([row[None]], num_clips=1, num_columns=num_columns, zoom=1)
            cells += [element("span", name), picture(line, alt=f"{name}, window {example.number}")]
        caption = f"{_caption(example)}. Frames {_columns(len(example.real), num_columns)} after the context."
        figures.append(element("figure", element("div", *cells, class_="film"), element("figcaption", caption)))
    return join(figures)


def _columns(length: int, count: int) -> str:
    times = np.unique(np.linspace(0, length - 1, count).round().astype(int)) + 1
    return ", ".join(str(t) for t in times)


def _caption(example: Example) -> str:
    values = [
        f"{value:.1f} dB" if len(example.psnr) == 1 else f"{name} {value:.1f} dB"
        for name, value in example.psnr.items()
    ]
    return f"Window {example.number}: PSNR {', '.join(values)}"
