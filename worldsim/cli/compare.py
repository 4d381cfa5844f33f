"""`worldsim compare`: measure two worlds, and tell their differences from the noise."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from worldsim.cli import console
from worldsim.cli.measuring import NUM_SHOWN, Measurement, identity


@dataclass(frozen=True, kw_only=True)
class Compare(Measurement):
    """Compare two worlds on the same windows, and tell their differences from the noise.

    Writes OUT/compare.json and OUT/compare.html.

    Example: worldsim compare runs/a runs/b --data footage/jump

    Example: worldsim compare jump runs/mine --game jump --out beside --seeds 8
    """

    a: Positional[str]
    """A world: a path, a name or a prompt."""
    b: Positional[str]
    """Another world of the same frame size and controls, another checkpoint of it say."""
    out: Path = Path("compare")
    """Folder for compare.json, compare.html and what is recorded: plays of the game and, with --game, footage."""
    seeds: int = 5
    """Evaluation seeds, at least 5: the differences are paired by seed."""

    def run(self) -> None:
        """Measure both, write and print the differences."""
        from worldsim.evaluate import compare_worlds, gather, render_comparison, write_json, write_text
        from worldsim.evaluate.compare import check_seeds, is_same, rows_of
        from worldsim.evaluate.reference import open_reference
        from worldsim.evaluate.report.comparison import HEAD, cells
        from worldsim.evaluate.report.film_strip import gather_film_strip
        from worldsim.simulator import load
        from worldsim.world.card import check_same_game

        options = self.options
        check_seeds(options.seeds)
        self.check_source(self.out)
        a, b = (load(name, num_denoise_steps=self.num_denoise_steps) for name in (self.a, self.b))
        check_same_game(a.card, b.card, self.b)
        footage = self.footage(self.out, a.size)
        reference = open_reference([a, b], footage, options)
        reference = self.with_plays(reference, self.out)
        with closing(console.Counter("metrics")) as on_progress:
            result = compare_worlds(a, b, footage, options, reference=reference, on_progress=on_progress)
        result["protocol"] |= {"command": self.command()}
        for side, sim in (("a", a), ("b", b)):
            result[side]["protocol"] |= identity(sim)
            result[side]["speed"] = self.speed(sim)
        numbers, page = self.out / "compare.json", self.out / "compare.html"
        write_json(result, numbers)  # before the pictures: it took long
        horizon, num_windows = result["protocol"]["horizon"], min(options.num_windows, NUM_SHOWN)
        examples = gather({"A": a, "B": b}, reference.held_out, horizon=horizon, num_windows=num_windows)
        film_strip = None if self.quick or self.only else gather_film_strip({"A": a, "B": b}, reference.held_out)
        shown = {"examples": examples, "film_strip": film_strip}
        write_text(render_comparison(result, cards=(a.card, b.card), **shown), page)
        rows = [cells(*row) for row in rows_of(result) if not is_same(row[2])]
        written = f"\n{result['verdict']}\nwritten to {numbers} and {page}"
        console.report(self.json, result, console.table(HEAD, rows), written)
