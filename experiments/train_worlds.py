"""Train, measure and ship a world: one of PLANS, to `checkpoints`.

    python experiments/train_worlds.py pong --runs runs          # records, trains, measures, writes checkpoints/pong
    python experiments/train_worlds.py pong --runs runs --resume # goes on where it stopped
    python experiments/train_worlds.py pong --runs runs --measure-only # measures the shipped world again
    python experiments/train_worlds.py pong --runs more --init pong # goes on from a world, the shipped one say
    python experiments/train_worlds.py minecraft --runs runs --init minecraft --only-prompts --minutes 14
    python experiments/train_worlds.py jump --from-run demo/run --footage demo/footage   # ships another run's world

Two cores, no accelerator: a minute or two of recording, `minutes` of training, about 15 of measuring. `minecraft` is
recorded for 20 minutes (../docs/luanti.md). Where there is an accelerator worlds are larger, and `minecraft` is learned
in 18 minutes, the others in 8. Writes experiments/results/world_<name>.json (every number with its spread over three
evaluation seeds) and the bundle with its numbers and a preview real | dream.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

import worldsim
from worldsim.cli.console import Counter, StageBars
from worldsim.cli.measuring import GAME_FRAMES, GAME_SEED
from worldsim.data.dataset import Windows
from worldsim.data.store import Footage
from worldsim.evaluate import EvalOptions, bench, evaluate, headline_rows, record_plays
from worldsim.evaluate.reference import held_out_columns
from worldsim.evaluate.report.film_strip import FILE as FILM_STRIP
from worldsim.evaluate.report.film_strip import film_strip_png, gather_film_strip
from worldsim.initial import InitialContext
from worldsim.train import PRESETS, Init, Recipe, StageConfig
from worldsim.train.recipes import get_recipe
from worldsim.video import label_columns, side_by_side, strip, write_video
from worldsim.world import World, load_world, save_world

ROOT = Path(__file__).parents[1]
CONTEXT, PREVIEW_FRAMES = 8, 90
WINDOWED = 256  # frames to follow the Frechet distance out to
PLAY_SECONDS = {"luanti-valley": 15.0}  # of a game that is slow to record
LIMITS = {
    "jump": [
        "the player is lost within two seconds or so, mostly where it leaves the picture, and does not come back",
        "the score is not counted on",
    ],
    "minecraft": [
        "land melts as one walks on: shapes and colours of a place stay, its blocks do not, "
        "and little new comes in sight",
        "words that no kept moment shows begin with a painted picture without blocks",
        "dusk and dawn have nearly the same light, in the game and here",
    ],
    "snake": ["long dreams may be over too early, and now and then there is no apple"],
    "pong": ["now and then a point counts twice, or the ball is served where it was not lost"],
}


class Plan(NamedTuple):
    """The footage and the training of a shipped world."""

    num_frames: int
    max_episode_len: int
    minutes: float
    preset: str | Recipe
    game: str  # that is recorded
    num_workers: int = 2
    policy: str = "noisy"
    size: tuple[int, int] | None = None  # height and width; the game's own by default


FIRST_FRAMES = StageConfig(batch_size=32, learning_rate=0.01, decay=0.98, ema=0.998)  # of first frames that go on
LONGER_PIXELS = dataclasses.replace(PRESETS["pixels"], forecast_frames=8)
PLANS = {
    "jump": Plan(48_000, 1000, 20.0, "game", "jump"),
    "pong": Plan(60_000, 3000, 30.0, "game", "pong"),
    "snake": Plan(60_000, 1000, 60.0, LONGER_PIXELS, "snake", policy="lapsing"),
    "minecraft": Plan(100_000, 500, 55.0, "minecraft", "luanti-valley", size=(48, 80)),
}
ACCELERATED = {
    "jump": PLANS["jump"]._replace(minutes=8.0, preset="game-h100"),
    "minecraft": PLANS["minecraft"]._replace(minutes=18.0, preset="minecraft-h100"),
    "pong": PLANS["pong"]._replace(minutes=8.0, preset="game-h100"),
}


def plan_of(name: str) -> Plan:
    """Return how a world is made on this machine: with an accelerator there may be another way."""
    return PLANS[name] if jax.default_backend() == "cpu" else ACCELERATED.get(name, PLANS[name])


def make_footage(name: str, out: Path, num_frames: int, seed: int = 0) -> Footage:
    """Record the game with a policy that plays and errs."""
    plan = plan_of(name)
    if (out / "footage.json").is_file():
        footage = Footage.open(out)
        if footage.num_frames >= num_frames:
            return footage
    with closing(Counter("frames")) as on_progress:
        return worldsim.record(
            plan.game,
            out,
            num_frames=num_frames,
            policy=plan.policy,
            size=plan.size,
            seed=seed,
            num_workers=plan.num_workers,
            max_episode_len=plan.max_episode_len,
            on_progress=on_progress,
        )


def train(
    name: str,
    footage: Footage,
    run: Path,
    *,
    minutes: float,
    resume: bool,
    init: str | None,
    only_prompts: bool = False,
) -> World:
    """Train by the plan; a run that is finished is only read."""
    if resume and (run / "world").is_dir():
        return load_world(run / "world")
    preset = plan_of(name).preset
    if only_prompts:
        preset = dataclasses.replace(get_recipe(preset), first_frame_stage=FIRST_FRAMES)
    origin = Init(init, ("first_frame/prompt_encoder",)) if init and only_prompts else init
    with closing(StageBars()) as on_progress:
        return worldsim.fit(
            [footage.path],
            run,
            preset=preset,
            name=name,
            minutes=minutes,
            resume=resume,
            init=origin,
            on_progress=on_progress,
        )


def measure(
    sim: worldsim.Simulator, footage: Footage, run: Path, num_windows: int, quick: bool, only: tuple[str, ...] = ()
) -> dict:
    """All numbers, those of a quick evaluation or of some sections; and how fast the world runs."""
    horizon, seconds = 0 if quick else WINDOWED, PLAY_SECONDS.get(footage.meta.game, 60.0)
    options = EvalOptions(
        num_windows=num_windows, windowed_horizon=horizon, quick=quick, only=only, play_seconds=seconds
    )
    if not quick:
        with closing(Counter("frames of plays")) as on_progress:
            plays = record_plays(footage.meta, run / "plays", options, on_progress=on_progress)
        options = dataclasses.replace(options, plays=plays)
    with closing(Counter("measurements")) as on_progress:
        result = evaluate(sim, footage, options, on_progress=on_progress)
    return result | ({} if only else {"speed": bench(sim)})


def pictures(sim: worldsim.Simulator, footage: Footage, out: Path) -> dict[str, bytes]:
    """Dream held-out clips: a moving preview, a strip to be looked at, and one frame a second of eight fixed starts."""
    _, held, _ = held_out_columns(sim, footage)
    length = CONTEXT + PREVIEW_FRAMES
    windows = Windows(held, length, min_real=length)
    batch = windows.batch(np.linspace(0, len(windows) - 1, 3).astype(int))
    state, _ = sim.reset(
        jax.random.key(0), initial=InitialContext.frames(batch.obs[:, :CONTEXT], batch.prev_action[:, :CONTEXT])
    )
    dreamt = np.asarray(sim.rollout(state, batch.prev_action[:, CONTEXT:])[1].obs)
    real = batch.obs[:, CONTEXT:]
    zoom = 4 if sim.size[1] <= 64 else 2
    video = label_columns(side_by_side([real[0], dreamt[0]]), ["real", "dream"], zoom=zoom)
    out.mkdir(parents=True, exist_ok=True)
    write_video(out / "preview.gif", video, fps=sim.fps, min_width=video.shape[2])
    from PIL import Image

    Image.fromarray(strip([real[:, :32], dreamt[:, :32]])).save(out / "strip.png")
    (out / FILM_STRIP).write_bytes(film_strip_png(gather_film_strip({"dream": sim}, held)))
    return {name: (out / name).read_bytes() for name in ("preview.gif", "strip.png", FILM_STRIP)}


def ship(
    name: str,
    world: World,
    footage: Footage,
    run: Path,
    num_windows: int,
    quick: bool,
    command: str,
    history: str,
    only: tuple[str, ...] = (),
) -> None:
    """Measure a world and write its numbers, its pictures and its bundle.

    With `only`, sections take the place of those that the bundle has, and its other numbers stay.
    """
    sim = worldsim.Simulator.from_world(world)
    measured = measure(sim, footage, run, num_windows, quick, only)
    if only:
        before = {key: x for key, x in world.metrics.items() if key != "headline"}
        how = {**measured["protocol"], "command": f"{command} --measure-only --only {' '.join(only)}"}
        metrics = {**before, **{section: {**measured[section], "protocol": how} for section in only}}
        command = world.card.training["command"]
    else:
        metrics = {"command": command, **measured}
    results = ROOT / "experiments" / "results" / f"world_{name}.json"
    results.write_text(json.dumps(metrics | {"training": world.card.training}, indent=1) + "\n")
    write_bundle(name, sim, footage, run, metrics, command, history)


def write_bundle(
    name: str, sim: worldsim.Simulator, footage: Footage, run: Path, metrics: dict, command: str, history: str
) -> None:
    """Write a measured world to `checkpoints`, with its numbers, its limits and its pictures."""
    card, metrics = sim.card, metrics | {"headline": headline_rows(metrics)}
    history = history or card.training.get("history", "")
    card = dataclasses.replace(
        card,
        name=name,
        limits=tuple(dict.fromkeys([*card.limits, *LIMITS[name]])),
        training={**card.training, "command": command, "history": history},
    )
    save_world(
        dataclasses.replace(sim.world, card=card, metrics=metrics),
        ROOT / "checkpoints" / name,
        extra_files=pictures(sim, footage, run / "pictures"),
    )


def trained(run: Path) -> Path:
    """Where the world of a finished run lies.

    Raises:
        FileNotFoundError: the run is not finished.
    """
    if not (run / "world").is_dir():
        raise FileNotFoundError(f"{run} holds no trained world; train it first.")
    return run / "world"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(PLANS))
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for footage and run")
    parser.add_argument("--minutes", type=float, default=None, help="of training; the recipe's by default")
    parser.add_argument("--windows", type=int, default=64, help="evaluation windows a seed")
    parser.add_argument("--quick", action="store_true", help="measure as `worldsim eval --quick` does")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    parser.add_argument("--init", help="a world to go on from; the footage is recorded anew, bit for bit the same")
    parser.add_argument("--only-prompts", action="store_true", help="of that world, only what words mean is learned on")
    parser.add_argument(
        "--measure-only",
        action="store_true",
        help="train nothing: measure the finished run in --runs, "
        "or the shipped world where there is none; the footage is recorded anew, bit for bit the same",
    )
    parser.add_argument(
        "--only", nargs="*", default=(), help="with --measure-only: sections to measure, on fresh footage"
    )
    parser.add_argument("--from-run", type=Path, help="ship the world of this run instead, with --footage beside it")
    parser.add_argument("--footage", type=Path, help="what the world of --from-run was trained on")
    parser.add_argument("--history", default="", help="what was done otherwise than the recipe says, for the card")
    args = parser.parse_args()
    if args.only and not args.measure_only:
        parser.error("--only says what --measure-only measures; give both")
    command, history = f"python experiments/train_worlds.py {args.name}", args.history
    command += f" --windows {args.windows}" * (args.windows != parser.get_default("windows"))
    command += " --quick" * args.quick
    command += f" --minutes {args.minutes:g}" if args.minutes else ""
    command += f" --init {args.init}" if args.init else ""
    command += " --only-prompts" * args.only_prompts
    if args.from_run is not None:
        world, footage = load_world(args.from_run / "world"), Footage.open(args.footage)
        command = f"make demo; {command} --from-run demo/run --footage demo/footage"
        return ship(
            args.name, world, footage, args.from_run, args.windows, args.quick, command, "the demo's ten-minute world"
        )
    run = args.runs / f"world-{args.name}"
    if args.only:
        footage = make_footage(args.name, args.runs / f"fresh-{args.name}", GAME_FRAMES, GAME_SEED)
    else:
        footage = make_footage(args.name, args.runs / f"footage-{args.name}", plan_of(args.name).num_frames)
    if args.measure_only:
        is_new = (run / "world").is_dir() and not args.only  # sections take their place in a bundle that is measured
        world = load_world(trained(run) if is_new else ROOT / "checkpoints" / args.name)
    else:
        minutes = args.minutes or plan_of(args.name).minutes
        world = train(
            args.name, footage, run, minutes=minutes, resume=args.resume, init=args.init, only_prompts=args.only_prompts
        )
    ship(args.name, world, footage, run, args.windows, args.quick, command, history, tuple(args.only))
    print(f"checkpoints/{args.name} written", file=sys.stderr)


if __name__ == "__main__":
    main()
