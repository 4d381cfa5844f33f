"""`worldsim worlds`: which worlds there are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from worldsim.cli import console


@dataclass(frozen=True, kw_only=True)
class Worlds:
    """List the valid world names. They are the worlds that came with the package and those trained here.

    Example: worldsim worlds
    """

    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Print the list."""
        from worldsim.world import list_worlds

        worlds = list_worlds()
        warnings = {path: _warning(path) for path in worlds}
        rows = [
            (card.name, card.title, card.preset, "; ".join(card.screens), f"{card.weights.num_params:,}", str(path))
            for path, card in worlds.items()
        ]
        table = console.table(("world", "title", "preset", "frames", "parameters", "path"), rows)
        none = "no worlds here yet; make one: worldsim record jump --out footage/jump --frames 20000"
        told = [{**card.to_json(), "path": str(path), "warning": warnings[path]} for path, card in worlds.items()]
        notes = [f"{card.name}: {warnings[path]}" for path, card in worlds.items() if warnings[path]]
        console.report(
            self.json, {"worlds": told}, table if worlds else none, *(["", "for agents:", *notes] if notes else [])
        )


def _warning(folder: Path) -> str:
    """Return where a world's dreams differ from its game; one whose numbers cannot be read says that."""
    from worldsim.world import free_play, read_metrics

    try:
        return "; ".join(free_play.warnings(read_metrics(folder)))
    except ValueError as error:
        return str(error)
