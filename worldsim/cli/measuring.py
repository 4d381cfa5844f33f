"""What the commands share that measure worlds on footage: their options, the footage, how fast a world is."""

from __future__ import annotations

import shlex
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from worldsim.cli import console

if TYPE_CHECKING:
    from worldsim.data.store import Footage
    from worldsim.evaluate import EvalOptions
    from worldsim.evaluate.reference import Reference
    from worldsim.simulator import Simulator

GAME_FRAMES, GAME_SEED = 8000, 1_000_003  # of fresh footage: a seed that nobody trains on
NUM_SHOWN = 32  # windows that pictures are chosen from: the first batch of those measured


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Options of a command that measures worlds on footage."""

    data: Path | None = None
    """Footage of the game; either this or --game. Only episodes that no measured world was trained on are used."""
    game: str | None = None
    """A game to record fresh footage of, with a seed that nobody trains on."""
    windows: int | None = None
    """Windows a seed and metric: 64, or 24 with --quick; 2048 for Frechet distances that compare with others'."""
    seeds: int = 3
    """Evaluation seeds; every number is their mean, with the standard deviation beside it."""
    quick: bool = False
    """A minute's worth: 16 frames instead of 64, objects, foreground, action following, outcome, and the speed of one
    world."""
    only: tuple[str, ...] = ()
    """Sections of the numbers to measure, such as presence sharpness control; all by default."""
    drift_seconds: float = 600.0
    """Length of the long dreams, in the world's own time."""
    play_seconds: float = 60.0
    """Length of a play of the game from its start, and of the dream beside it."""
    horizon: int = 0
    """Frames to follow the Frechet distance out to, 1024 say; not followed by default."""
    lpips: Path | None = None
    """An ONNX file to measure LPIPS with; docs/lpips-fvd.md says how to make it."""
    fvd: Path | None = None
    """An ONNX file to measure FVD with; made likewise."""
    num_denoise_steps: int | None = None
    """Denoising steps a frame; the world's own by default."""
    json: bool = False
    """Print one JSON object."""

    @property
    def num_windows(self) -> int:
        """The windows of each seed and metric."""
        return (24 if self.quick else 64) if self.windows is None else self.windows

    @property
    def options(self) -> EvalOptions:
        """The `EvalOptions` of these flags."""
        from worldsim.evaluate import EvalOptions

        return EvalOptions(
            num_windows=self.num_windows,
            seeds=tuple(range(self.seeds)),
            quick=self.quick,
            only=self.only,
            drift_seconds=self.drift_seconds,
            play_seconds=self.play_seconds,
            windowed_horizon=self.horizon,
            lpips=self.lpips,
            fvd=self.fvd,
        )

    def command(self) -> str:
        """Return the command line that measures the same again, defaults spelled out."""
        words = ["worldsim", type(self).__name__.lower()]
        for field in fields(self):
            value, flag = getattr(self, field.name), f"--{field.name.replace('_', '-')}"
            if str(field.type).startswith("Positional"):
                words.append(str(value))
            elif value is True:
                words.append(flag)
            elif isinstance(value, tuple):
                words += [flag, *value] if value else []
            elif value is not None and value is not False:
                words += [flag, str(value)]
        return shlex.join(words)

    def check_source(self, out: Path) -> None:
        """Refuse what cannot be measured on, or written to, before anything is loaded."""
        from worldsim.claim import check_folder
        from worldsim.evaluate.run import check_sections

        if (self.data is None) == (self.game is None):
            got = "neither" if self.data is None else "both"
            raise ValueError(f"expected either --data FOLDER or --game GAME, got {got}.")
        check_folder(out)
        check_sections(self.only)

    def footage(self, out: Path, size: tuple[int, int]) -> Footage:
        """Open the footage, or record some with a seed that nobody trains on."""
        from worldsim.data.store import Footage
        from worldsim.recording.record import record

        if self.data is not None:
            return Footage.open(self.data)
        how = {"num_frames": GAME_FRAMES, "seed": GAME_SEED, "size": size}
        with closing(console.Counter("frames")) as on_progress:
            return record(str(self.game), out / "footage", on_progress=on_progress, **how)

    def with_plays(self, reference: Reference, out: Path) -> Reference:
        """Play the game under each policy, where something is measured on that: one that was named, or one of ours.

        Other games' footage names code that whoever made it chose, so that one is played only where the user names it.
        A game that cannot be played here is left out, and said.
        """
        from worldsim.evaluate.plays import record_plays
        from worldsim.evaluate.run import included_measurements
        from worldsim.recording.source import is_short_name

        is_needed = any(m.per_play is not None for m in included_measurements(reference, self.options))
        if not is_needed or (self.game is None and not is_short_name(reference.meta.game)):
            return reference
        try:
            with closing(console.Counter("frames of plays")) as on_progress:
                plays = record_plays(reference.meta, out / "plays", self.options, on_progress=on_progress)
            return reference.with_plays(plays)
        except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
            console.note(f"the game is not played for the evaluation: {console.printable(str(error))}")
            return reference

    def speed(self, sim: Simulator) -> dict[str, object]:
        """Time a world, shorter than `worldsim bench` does; a quick look compiles nothing more."""
        from worldsim.evaluate import bench

        if self.quick:
            return bench(sim, num_repeats=3, seconds_per_repeat=0.3, batch_size=1)
        return bench(sim, num_repeats=3, seconds_per_repeat=1.0)


def identity(sim: Simulator) -> dict[str, object]:
    """Return which weights were measured, and how they were sampled."""
    return {
        "world": sim.card.name,
        "weights_sha256": sim.card.weights.sha256,
        "num_denoise_steps": sim.sampler.num_denoise_steps,
        "noise_scale": sim.sampler.noise_scale,
    }
