"""Pages that stand alone: HTML from nested calls, in which text cannot become markup.

`element("td", title)` escapes the title, since only `Html` goes in as it is. So a world's card, which anyone may have
written, can say what it likes. A page loads nothing: its style is inside, its pictures are data URIs, and its content
policy forbids the rest.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from unicodedata import category

import numpy as np
from jaxtyping import UInt8

from worldsim.places import as_path

_VOID = {"meta", "img", "br", "hr"}
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = (
    "\n"
    + Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    + "".join(
        f".key.s{i}::before, svg polygon.s{i} {{ background: var(--s{i}); fill: var(--s{i}); }} "
        f"svg polyline.s{i} {{ stroke: var(--s{i}); }}\n"
        for i in range(6)
    )
)


class Html(str):
    """Markup that `element` made: everything in it that came from outside is escaped."""


def text(value: object) -> Html:
    """Escape text; characters that no page may have become a question mark."""
    hidden = ("Cc", "Cf", "Cn", "Cs")  # control and direction characters, and what has no meaning
    return Html(escape("".join("?" if category(c) in hidden and c not in "\n\t" else c for c in str(value))))


def element(tag: str, *content: object, **attributes: object) -> Html:
    """Make an element.

    Args:
        tag: its name.
        content: `Html` goes in as it is, everything else as escaped text.
        attributes: `class_` for class and `font_size` for font-size; None leaves an attribute out.

    Example:
        >>> element("p", "1 < 2", class_="quiet")
        '<p class="quiet">1 &lt; 2</p>'
    """
    names = {name: name.rstrip("_").replace("_", "-") for name in attributes}
    head = "".join(f' {names[name]}="{join([value])}"' for name, value in attributes.items() if value is not None)
    if tag in _VOID:
        return Html(f"<{tag}{head}>")
    return Html(f"<{tag}{head}>{join(content)}</{tag}>")


def join(parts: Iterable[object]) -> Html:
    """Put parts one after the other, escaping what is not `Html`."""
    return Html("".join(part if isinstance(part, Html) else text(part) for part in parts))


def table(
    head: Sequence[object], rows: Iterable[tuple[Sequence[object], str | None]], *, numbers: Sequence[int] = (1,)
) -> Html:
    """Lay out rows, each with its class or None; the columns in `numbers` are aligned as numbers."""
    lines = [
        element(
            "tr", *[element("td", x, class_="number" if i in numbers else None) for i, x in enumerate(row)], class_=kind
        )
        for row, kind in rows
    ]
    top = element("thead", element("tr", *[element("th", x, scope="col") for x in head]))
    return element("div", element("table", top, element("tbody", *lines)), class_="scroll")


def picture(frame: UInt8[np.ndarray, "y x c"], *, alt: str, class_: str | None = None) -> Html:
    """A picture as PNG inside the page, pixel for pixel; the page enlarges it crisply."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(frame).save(file, "png", optimize=True)
    return _image(file.getvalue(), frame.shape, alt, class_)


def film(frames: UInt8[np.ndarray, "t y x c"], *, fps: float, alt: str, class_: str | None = None) -> Html:
    """A moving picture as animated PNG inside the page: like `picture`, without a colour lost."""
    from PIL import Image

    first, *rest = [Image.fromarray(frame) for frame in frames]
    file = io.BytesIO()
    first.save(file, "png", save_all=True, append_images=rest, duration=1000 / fps, loop=0)
    return _image(file.getvalue(), frames.shape[1:], alt, class_)


def page(title: str, *content: Html) -> str:
    """A whole document."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(_STYLE)),
    )
    return "<!DOCTYPE html>\n" + element("html", head, "\n", element("body", *content), lang="en") + "\n"


def write_text(document: str, path: Path | str) -> Path:
    """Write a document, whole or not at all; its folder is made where there is none."""
    path = as_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = path.with_name(f".{path.name}.{os.getpid()}")
    temp.write_text(document, encoding="utf-8")
    os.replace(temp, path)
    return path


def _image(raw: bytes, shape: tuple[int, ...], alt: str, class_: str | None) -> Html:
    source = Html(f"data:image/png;base64,{base64.b64encode(raw).decode('ascii')}")
    return element("img", src=source, width=shape[1], height=shape[0], alt=alt, class_=class_)
