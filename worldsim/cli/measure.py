"""Commands that measure a world: how true it is to its game, and how fast."""

from __future__ import annotations

import shlex
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from worldsim.cli import console

_GAME_FRAMES, _GAME_SEED = 8000, 1_000_003  # of fresh footage: a seed that nobody trains on
_SHOWN = 32  # windows that pictures are chosen from: the first batch of those measured


@dataclass(frozen=True, kw_only=True)
class Eval:
    """Measure a world against recorded footage: fidelity, control, outcomes, objects and speed.

    Writes OUT/metrics.json, and OUT/report.html with pictures, curves, every number and every setting.

    Example: worldsim eval jump --data footage/jump --out report
    Example: worldsim eval jump --game jump --out report --windows 128
    """

    world: Positional[str]
    """A path, the name of a world, or a prompt that is matched against the worlds here."""
    out: Path
    """Folder for metrics.json, report.html and, with --game, the footage."""
    data: Path | None = None
    """Footage of the world's game; either this or --game. Of the footage that the world was trained on, only the
    held-out episodes are used."""
    game: str | None = None
    """A game to record fresh footage of, with a seed that nobody trains on."""
    windows: int | None = None
    """Windows a seed and question: 64, or 24 with --quick; 2048 for Frechet distances that compare with others'."""
    seeds: int = 3
    """Evaluation seeds; every number is their mean, with the standard deviation beside it."""
    quick: bool = False
    """A minute's worth: 16 frames instead of 64, objects, action following, outcome, and the speed of one world."""
    drift_seconds: float = 600.0
    """Length of the long dreams, in the world's own time."""
    horizon: int = 0
    """Frames to follow the Frechet distance out to, 1024 say; not followed by default."""
    lpips: Path | None = None
    """An ONNX file to measure LPIPS with; docs/lpips-fvd.md says how to make it."""
    fvd: Path | None = None
    """An ONNX file to measure FVD with; the same."""
    other: Path | None = None
    """Footage of another game, which the world should be unsure of; frames of its own game, corrupted, by default."""
    num_denoise_steps: int | None = None
    """Denoising steps a frame; the world's own where left out."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Measure, write the numbers, and print them."""
        from worldsim.data.store import Footage
        from worldsim.evaluate import evaluate, gather, write_json, write_report
        from worldsim.evaluate.run import check_same_world, held_out_columns
        from worldsim.simulator import load

        _check_source("eval", self.data, self.game, self.out)
        sim = load(self.world, num_denoise_steps=self.num_denoise_steps)
        other = None if self.other is None else Footage.open(self.other)
        footage = _footage(self.data, self.game, self.out, sim.size)
        check_same_world(sim, footage)
        num_windows = _num_windows(self.windows, self.quick)
        with closing(console.Counter("questions")) as on_progress:
            result = evaluate(
                sim,
                footage,
                num_windows=num_windows,
                seeds=range(self.seeds),
                quick=self.quick,
                lpips=self.lpips,
                fvd=self.fvd,
                drift_seconds=self.drift_seconds,
                windowed_horizon=self.horizon,
                other=other,
                keep_seeds=True,
                on_progress=on_progress,
            )
        per_seed = result.pop("per_seed")
        result["protocol"] |= {"command": _command(self), **_identity(sim)}
        result["speed"] = _speed(sim, self.quick)
        held_out = held_out_columns(sim, footage)[1]
        examples = gather(
            {"dreamed": sim}, held_out, horizon=result["protocol"]["horizon"], num_windows=min(num_windows, _SHOWN)
        )
        write_json(result, self.out / "metrics.json")
        write_report(self.out / "report.html", result, card=sim.card, examples=examples, per_seed=per_seed)
        if self.json:
            return console.print_json(result)
        console.say(console.tree(result))
        console.say(f"\nwritten to {self.out / 'metrics.json'}; pictures and curves in {self.out / 'report.html'}")


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Measure two worlds on the same windows and say which differences stand above the noise.

    Example: worldsim compare runs/a runs/b --data footage/jump
    Example: worldsim compare jump runs/mine --game jump --out beside --seeds 8

    Writes OUT/compare.json and OUT/compare.html.
    """

    a: Positional[str]
    """A world: a path, a name or a prompt."""
    b: Positional[str]
    """Another world of the same frame size and controls, another checkpoint of it say."""
    data: Path | None = None
    """Footage of their game; either this or --game. Episodes that either world was trained on are left out."""
    game: str | None = None
    """A game to record fresh footage of, with a seed that nobody trains on."""
    out: Path = Path("compare")
    """Folder for compare.json, compare.html and, with --game, the footage."""
    seeds: int = 5
    """Evaluation seeds, at least 5: the differences are paired by seed."""
    windows: int | None = None
    """Windows a seed and question: 64, or 24 with --quick."""
    quick: bool = False
    """Only fidelity over 16 frames instead of 64, objects, action following, outcome, and the speed of one world."""
    drift_seconds: float = 600.0
    """Length of the long dreams, in the worlds' own time."""
    horizon: int = 0
    """Frames to follow the Frechet distance out to, 1024 say; not followed by default."""
    lpips: Path | None = None
    """An ONNX file to measure LPIPS with; docs/lpips-fvd.md says how to make it."""
    fvd: Path | None = None
    """An ONNX file to measure FVD with; the same."""
    num_denoise_steps: int | None = None
    """Denoising steps a frame, for both; each world's own where left out."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Measure both, write and print the differences."""
        from worldsim.evaluate import compare_worlds, gather, write_comparison, write_json
        from worldsim.evaluate.compare import check_seeds, is_same, rows_of
        from worldsim.evaluate.comparison import HEAD, cells
        from worldsim.evaluate.run import check_same_world, held_out_columns
        from worldsim.simulator import load

        check_seeds(range(self.seeds))
        _check_source("compare", self.data, self.game, self.out)
        a, b = (load(name, num_denoise_steps=self.num_denoise_steps) for name in (self.a, self.b))
        footage = _footage(self.data, self.game, self.out, a.size)
        for sim in (a, b):
            check_same_world(sim, footage)
        num_windows = _num_windows(self.windows, self.quick)
        with closing(console.Counter("questions")) as on_progress:
            result = compare_worlds(
                a,
                b,
                footage,
                seeds=range(self.seeds),
                num_windows=num_windows,
                quick=self.quick,
                drift_seconds=self.drift_seconds,
                windowed_horizon=self.horizon,
                lpips=self.lpips,
                fvd=self.fvd,
                on_progress=on_progress,
            )
        result["protocol"] |= {"command": _command(self)}
        for side, sim in (("a", a), ("b", b)):
            result[side]["protocol"] |= _identity(sim)
            result[side]["speed"] = _speed(sim, self.quick)
        held_out = held_out_columns(a, footage, (b,))[1]
        examples = gather(
            {"A": a, "B": b}, held_out, horizon=result["protocol"]["horizon"], num_windows=min(num_windows, _SHOWN)
        )
        write_json(result, self.out / "compare.json")
        write_comparison(self.out / "compare.html", result, cards=(a.card, b.card), examples=examples)
        if self.json:
            return console.print_json(result)
        console.say(console.table(HEAD, [cells(*row) for row in rows_of(result) if not is_same(row[2])]))
        console.say(f"\n{result['verdict']}\nwritten to {self.out / 'compare.json'} and {self.out / 'compare.html'}")


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


def _check_source(command: str, data: Path | None, game: str | None, out: Path) -> None:
    """Refuse what cannot be measured on, or written to, before anything is loaded."""
    if (data is None) == (game is None):
        raise ValueError(f"{command} wants either --data FOLDER or --game GAME.")
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out wants a folder, {out} is a file.")


def _footage(data: Path | None, game: str | None, out: Path, size: tuple[int, int]):
    """Open footage, or record some with a seed that nobody trains on."""
    from worldsim.data.record import record
    from worldsim.data.store import Footage

    if data is not None:
        return Footage.open(data)
    with closing(console.Counter("frames")) as on_progress:
        folder = out / "footage"
        return record(str(game), folder, num_frames=_GAME_FRAMES, seed=_GAME_SEED, size=size, on_progress=on_progress)


def _num_windows(asked: int | None, quick: bool) -> int:
    """The windows that were asked for, or the default."""
    if asked is None:
        return 24 if quick else 64
    return asked


def _speed(sim: Any, quick: bool) -> dict[str, Any]:
    """Time a world, shorter than `worldsim bench` does; a quick look compiles nothing more."""
    from worldsim.evaluate import bench

    if quick:
        return bench(sim, num_repeats=3, seconds_per_repeat=0.3, batch_size=1)
    return bench(sim, num_repeats=3, seconds_per_repeat=1.0)


def _identity(sim: Any) -> dict[str, Any]:
    """Which weights were measured, and how they were sampled."""
    weights = sim.card.get("weights", {}).get("sha256")
    return {
        "world": sim.card["name"],
        "weights_sha256": weights,
        "num_denoise_steps": sim.sampler.num_denoise_steps,
        "noise_scale": sim.sampler.noise_scale,
    }


def _command(command: Any) -> str:
    """The command line that asks for the same again, defaults spelled out."""
    words = ["worldsim", type(command).__name__.lower()]
    for field in fields(command):
        value, flag = getattr(command, field.name), f"--{field.name.replace('_', '-')}"
        if str(field.type).startswith("Positional"):
            words.append(str(value))
        elif value is True:
            words.append(flag)
        elif value is not None and value is not False:
            words += [flag, str(value)]
    return shlex.join(words)
