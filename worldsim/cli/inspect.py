"""`worldsim inspect`: what is in a footage folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from worldsim.cli import console


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Summarize a footage folder, and draw a contact sheet of it.

    Example: worldsim inspect footage/jump --sheet sheet.png
    """

    path: Positional[Path]
    """The footage folder."""
    sheet: Path | None = None
    """Where to draw the contact sheet (.png); none is drawn by default."""
    drop_bad: bool = False
    """Delete the episodes that cannot be read, or do not fit the others, and say which."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Print the summary."""
        from worldsim.data.inspect import contact_sheet, drop_bad, summarize
        from worldsim.data.store import Footage
        from worldsim.train.preflight import estimates

        if self.sheet is not None and self.sheet.suffix.lower() != ".png":
            raise ValueError(f"expected a name that ends in .png for --sheet, got {str(self.sheet)!r}.")
        dropped = drop_bad(self.path) if self.drop_bad else {}
        footage = Footage.open(self.path)
        result = {**({"dropped": dropped} if self.drop_bad else {}), **summarize(footage)}
        result["training"] = estimates(footage)
        if self.sheet is not None:
            from PIL import Image

            sheet = contact_sheet(footage)
            self.sheet.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(sheet).save(self.sheet)
            result = {**result, "sheet": str(self.sheet)}
        console.report(self.json, result, console.tree(result))
