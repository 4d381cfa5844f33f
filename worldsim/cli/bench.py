"""`worldsim bench`: how fast a world runs here."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from tyro.conf import Positional

from worldsim.cli import console


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Measure how fast a world runs here, decoding to pixels included.

    Example: worldsim bench jump
    """

    world: Positional[str]
    """A path, the name of a world, or a prompt that is matched against the worlds here."""
    num_denoise_steps: int | None = None
    """Denoising steps a frame; the world's own by default."""
    batch_size: int = 32
    """Worlds that step together in the second measurement."""
    repeats: int = 5
    """Repeats of each measurement; numbers are medians, with the standard deviation beside them."""
    seconds: float = 2.0
    """Seconds of each repeat."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Measure, and print the numbers."""
        from worldsim.evaluate import bench
        from worldsim.simulator import load

        sim = load(self.world, num_denoise_steps=self.num_denoise_steps)
        with closing(console.Counter("repeats")) as on_progress:
            result = bench(
                sim,
                batch_size=self.batch_size,
                num_repeats=self.repeats,
                seconds_per_repeat=self.seconds,
                on_progress=on_progress,
            )
        result = {"world": sim.card.name, "preset": sim.card.preset, **result}
        console.report(self.json, result, console.tree(result))
