"""`worldsim worlds`: which worlds there are."""

from __future__ import annotations

from dataclasses import dataclass

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
        rows = [
            (card.name, card.title, card.preset, "; ".join(card.screens), f"{card.weights.num_params:,}", str(path))
            for path, card in worlds.items()
        ]
        table = console.table(("world", "title", "preset", "frames", "parameters", "path"), rows)
        none = "no worlds here yet; make one: worldsim record jump --out footage/jump --frames 20000"
        result = {"worlds": [{**card.to_json(), "path": str(path)} for path, card in worlds.items()]}
        console.report(self.json, result, table if worlds else none)
