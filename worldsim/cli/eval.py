"""`worldsim eval`: measure a world against its game."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from tyro.conf import Positional

from worldsim.cli import console
from worldsim.cli.measuring import NUM_SHOWN, Measurement, identity


@dataclass(frozen=True, kw_only=True)
class Eval(Measurement):
    """Measure a world against recorded footage: fidelity, control, outcomes, objects and speed.

    Writes OUT/metrics.json, OUT/film_strip.png, one frame a second of eight fixed starts, and OUT/report.html with
    pictures, curves, every number and every setting.

    Example: worldsim eval jump --data footage/jump --out report

    Example: worldsim eval jump --game jump --out report --windows 128
    """

    world: Positional[str]
    """A path, the name of a world, or a prompt that is matched against the worlds here."""
    out: Path
    """Folder for metrics.json, report.html, film_strip.png and what is recorded: plays and, with --game, footage."""
    other: Path | None = None
    """Footage of another game, which the world should be unsure of; frames of its own game, corrupted, by default."""

    def run(self) -> None:
        """Measure, write the numbers, and print them."""
        from worldsim.data.store import Footage
        from worldsim.evaluate import evaluate, gather, render_report, write_json, write_text
        from worldsim.evaluate.reference import open_reference
        from worldsim.evaluate.report.film_strip import FILE, film_strip_png, gather_film_strip
        from worldsim.simulator import load

        self.check_source(self.out)
        sim = load(self.world, num_denoise_steps=self.num_denoise_steps)
        options = replace(self.options, other=None if self.other is None else Footage.open(self.other))
        footage = self.footage(self.out, sim.size)
        reference = open_reference([sim], footage, options)
        reference = self.with_plays(reference, self.out)
        with closing(console.Counter("metrics")) as on_progress:
            result = evaluate(sim, footage, options, reference=reference, keep_seeds=True, on_progress=on_progress)
        per_seed = result.pop("per_seed")
        result["protocol"] |= {"command": self.command(), **identity(sim)}
        result["speed"] = self.speed(sim)
        numbers, page = self.out / "metrics.json", self.out / "report.html"
        write_json(result, numbers)  # before the pictures: it took long
        horizon, num_windows = result["protocol"]["horizon"], min(options.num_windows, NUM_SHOWN)
        examples = gather({"dreamed": sim}, reference.held_out, horizon=horizon, num_windows=num_windows)
        film_strip = None if self.quick or self.only else gather_film_strip({"dream": sim}, reference.held_out)
        shown = {"examples": examples, "film_strip": film_strip}
        write_text(render_report(result, card=sim.card, per_seed=per_seed, **shown), page)
        written = f"\nwritten to {numbers}; pictures and curves in {page}"
        if film_strip is not None:
            (self.out / FILE).write_bytes(film_strip_png(film_strip))
            written += f"; twenty seconds in {self.out / FILE}"
        console.report(self.json, result, console.tree(result), written)
