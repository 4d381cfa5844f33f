"""The film strip: one frame a second of eight fixed starts, the game's row above the dream's.

The starts are eight held-out contexts, spread evenly over those that are followed by 20 recorded seconds: the same for
every world of a footage, none left out or chosen by its looks. The dream goes on under the actions that were recorded
there. Where episodes are shorter, the game's row is dark after their end, and the dream goes on under the actions of
the episodes that follow, until it calls itself over: then its row is dark too. Second 0 is the last frame of the
context, which is recorded in both rows.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw

from worldsim.data.dataset import Columns
from worldsim.evaluate.ages import draw_rows, dream_at, lies_past_end
from worldsim.evaluate.report.page import Html, element, join, picture
from worldsim.evaluate.trial import CONTEXT
from worldsim.simulator import Simulator

SECONDS, NUM_STARTS = 20, 8
FILE = "film_strip.png"
MAX_BYTES = 300 * 1024
WIDTHS, COLOURS = (64, 48, 32), (256, 64, 32)  # of a cell in pixels, and of a file: tried until it is small enough
GAP, TOP, LEFT = 2, 14, 56  # pixels: between cells, and for the seconds and the names
DARK, BRIGHT = (24, 24, 24), (235, 235, 235)


class FilmStrip(NamedTuple):
    """Frames of some starts, one row for the game and one for each world, one column a second."""

    names: tuple[str, ...]
    frames: UInt8[np.ndarray, "starts rows seconds h w c"]


def gather_film_strip(
    worlds: Mapping[str, Simulator], columns: Columns, *, seconds: int = SECONDS, num_starts: int = NUM_STARTS
) -> FilmStrip:
    """Dream the fixed starts with every world.

    Raises:
        ValueError: fewer contexts than starts, or a world that gives NaN.
    """
    fps = next(iter(worlds.values())).fps
    at = [max(round(second * fps) - 1, 0) for second in range(1, seconds + 1)]
    rows = draw_rows(columns.bounds, CONTEXT + at[-1] + 1, num_starts)
    shown = np.concatenate([rows[:, CONTEXT - 1 : CONTEXT], rows[:, np.add(at, CONTEXT)]], 1)
    over = np.concatenate(
        [np.zeros((len(rows), 1), bool), lies_past_end(columns.bounds, rows)[:, np.add(at, CONTEXT)]], 1
    )
    game = _darkened(columns.obs[shown], over)
    films = [game]
    for sim in worlds.values():
        dreams = dream_at(sim, columns, rows, at, 1, jax.random.key(0))
        dream = _darkened(np.concatenate(dreams.clips, 1), np.array(at)[None] >= dreams.end[:, None])
        films.append(np.concatenate([game[:, :1], dream], 1))
    return FilmStrip(("game", *worlds), np.stack(films, 1))


def _darkened(frames: UInt8[np.ndarray, "n t h w c"], over: Bool[np.ndarray, "n t"]) -> UInt8[np.ndarray, "n t h w c"]:
    return np.where(over[..., None, None, None], np.uint8(DARK[0]), frames)


def draw_film_strip(strip: FilmStrip, width: int = WIDTHS[0]) -> UInt8[np.ndarray, "y x 3"]:
    """Lay the frames out, seconds above the columns and names left of the rows.

    Args:
        strip: of `gather_film_strip`.
        width: of a cell in pixels; smaller frames are enlarged by a whole factor up to about this width.
    """
    starts, names, seconds, h, w, _ = strip.frames.shape
    zoom = max(1, round(width / w)) if w <= width else width / w
    size = (round(w * zoom), max(1, round(h * zoom)))
    kind = Image.Resampling.NEAREST if zoom >= 1 else Image.Resampling.BOX
    step_x, step_y = size[0] + GAP, size[1] + GAP
    block = names * step_y + 2 * GAP
    picture = Image.new("RGB", (LEFT + seconds * step_x, TOP + starts * block), DARK)
    draw = ImageDraw.Draw(picture)
    for second in range(seconds):
        draw.text((LEFT + second * step_x + size[0] / 2, TOP / 2), f"{second} s", fill=BRIGHT, anchor="mm")
    for start in range(starts):
        for row, name in enumerate(strip.names):
            y = TOP + start * block + row * step_y
            draw.text((2, y + size[1] / 2), f"{start + 1} {name}"[:9], fill=BRIGHT, anchor="lm")
            for second in range(seconds):
                cell = Image.fromarray(strip.frames[start, row, second]).resize(size, kind)
                picture.paste(cell, (LEFT + second * step_x, y))
    return np.asarray(picture)


def film_strip_png(strip: FilmStrip, max_bytes: int = MAX_BYTES) -> bytes:
    """The picture as PNG: smaller and with fewer colours until it has at most `max_bytes`, or cannot be smaller."""
    raw = b""
    for width in WIDTHS:
        picture = Image.fromarray(draw_film_strip(strip, width))
        for colours in COLOURS:
            file = io.BytesIO()
            picture.quantize(colours, dither=Image.Dither.NONE).save(file, "png", optimize=True)
            raw = file.getvalue()
            if len(raw) <= max_bytes:
                return raw
    return raw


def film_strip_section(strip: FilmStrip | None) -> Html:
    """The strip as a part of a page; nothing where there is none."""
    if strip is None:
        return Html("")
    starts, _, columns = strip.frames.shape[:3]
    alt = f"{', '.join(strip.names)}: one frame a second of {starts} starts"
    caption = (
        f"One frame a second for {columns - 1} s of {starts} fixed starts, none left out. Second 0 is recorded; a "
        "row of game or dream is dark where it is over."
    )
    film = element("figure", picture(draw_film_strip(strip), alt=alt), element("figcaption", caption))
    return join([element("h2", "Twenty seconds"), film])
