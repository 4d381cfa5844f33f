"""Commands that measure a world: how true it is to its game, and how fast."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from worldsim.cli import console

_GAME_FRAMES, _GAME_SEED = 8000, 1_000_003  # of fresh footage: a seed that nobody trains on


@dataclass(frozen=True, kw_only=True)
class Eval:
    """Measure a world against recorded footage: fidelity, control, outcomes, objects; writes OUT/metrics.json.

    Example: worldsim eval jump --data footage/jump --out report
    Example: worldsim eval jump --game jump --out report --windows 128
    """

    world: Positional[str]
    """A path, the name of a world, or a prompt that is matched against the worlds here."""
    out: Path
    """Folder for metrics.json and, with --game, the footage."""
    data: Path | None = None
    """Footage of the world's game; either this or --game. Of the footage that the world was trained on, only the
    held-out episodes are used."""
    game: str | None = None
    """A game to record fresh footage of, with a seed that nobody trains on."""
    windows: int = 64
    """Windows a seed and question; 2048 for Frechet distances that compare with those of others."""
    seeds: int = 3
    """Evaluation seeds; every number is their mean, with the standard deviation beside it."""
    quick: bool = False
    """Dream 16 frames instead of 64."""
    num_denoise_steps: int | None = None
    """Denoising steps a frame; the world's own where left out."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Measure, write the numbers, and print them."""
        from worldsim.data.store import Footage
        from worldsim.evaluate import evaluate, write_json
        from worldsim.evaluate.run import check_same_world
        from worldsim.simulator import load

        if (self.data is None) == (self.game is None):
            raise ValueError("eval wants either --data FOLDER or --game GAME.")
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f"--out wants a folder, {self.out} is a file.")
        sim = load(self.world, num_denoise_steps=self.num_denoise_steps)
        footage = self._record(sim.size) if self.data is None else Footage.open(self.data)
        check_same_world(sim, footage)
        with closing(console.Counter("questions")) as on_progress:
            result = evaluate(
                sim,
                footage,
                num_windows=self.windows,
                seeds=range(self.seeds),
                quick=self.quick,
                on_progress=on_progress,
            )
        write_json(result, self.out / "metrics.json")
        if self.json:
            return console.print_json(result)
        console.say(console.tree(result))
        console.say(f"\nwritten to {self.out / 'metrics.json'}")

    def _record(self, size: tuple[int, int]):
        from worldsim.data.record import record

        with closing(console.Counter("frames")) as on_progress:
            folder = self.out / "footage"
            return record(
                str(self.game), folder, num_frames=_GAME_FRAMES, seed=_GAME_SEED, size=size, on_progress=on_progress
            )


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Measure how fast a world runs here, decoding to pixels included.

    Example: worldsim bench jump
    """

    world: Positional[str]
    """A path, the name of a world, or a prompt that is matched against the worlds here."""
    num_denoise_steps: int | None = None
    """Denoising steps a frame; the world's own where left out."""
    batch_size: int = 32
    """Worlds that step together in the second measurement."""
    repeats: int = 5
    """Repeats of each measurement; numbers are medians, with the standard deviation beside them."""
    seconds: float = 2.0
    """How long a repeat lasts."""
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
        result = {"world": sim.card["name"], "preset": sim.card["preset"], **result}
        return console.print_json(result) if self.json else console.say(console.tree(result))
