"""Train, measure and ship a world: `checkpoints/jump`, `checkpoints/pong`, `checkpoints/minecraft`.

    python experiments/train_worlds.py pong --runs runs          # records, trains, measures, writes checkpoints/pong
    python experiments/train_worlds.py pong --runs runs --resume # goes on where it stopped
    python experiments/train_worlds.py pong --runs runs --measure-only # measures the shipped world again
    python experiments/train_worlds.py pong --runs more --init pong # goes on from a world, the shipped one say
    python experiments/train_worlds.py minecraft --runs runs --init minecraft --only-words --minutes 14
    python experiments/train_worlds.py jump --from-run demo/run --footage demo/footage   # ships another run's world

Two cores, no accelerator: a minute or two of recording, `minutes` of training, about 15 of measuring. `minecraft` is
recorded for 20 minutes (../docs/luanti.md). Where there is an accelerator worlds are larger, and `minecraft` is learned
in 18 minutes, the others in 8. Writes experiments/results/world_<name>.json (every number with its spread over three
evaluation seeds) and the bundle with the numbers in its card and a preview real | dream.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

import worldsim
from worldsim.checkpoint import World, load_world, save_world
from worldsim.cli.console import Counter, StageBars
from worldsim.data.dataset import Windows
from worldsim.data.store import Footage
from worldsim.evaluate import bench, evaluate
from worldsim.evaluate.run import held_out_columns
from worldsim.pictures import strip
from worldsim.train import PRESETS, Preset
from worldsim.train.presets import StageConfig
from worldsim.video import beside, label_columns, write_video

ROOT = Path(__file__).parents[1]
CONTEXT, PREVIEW_FRAMES = 8, 90
WINDOWED = 256  # frames to follow the Frechet distance out to
LIMITS = {
    "jump": [
        "the player is lost within two seconds or so, mostly where it leaves the picture, and does not come back",
        "the score is not counted on",
    ],
    "minecraft": [
        "what was never in sight is a blur and stays one; what was is smeared after a few seconds of walking",
        "from words alone it paints lands as with a brush, without blocks: begin at a recorded moment for a sharp one",
        "dusk and dawn have nearly the same light, in the game and here",
    ],
    "pong": ["now and then a point counts twice, or the ball is served where it was not lost"],
}


class Recipe(NamedTuple):
    """How a shipped world is made."""

    num_frames: int
    max_episode_len: int
    minutes: float
    preset: Preset
    game: str  # that is recorded
    num_workers: int = 2
    again: float = 0.0  # minutes in which the world then goes on from itself; of `minutes` none


TINY = PRESETS["tiny"]
PRESET = dataclasses.replace(
    TINY, dynamics_stage=dataclasses.replace(TINY.dynamics_stage, ema=0.998), num_evaluations=20, tokenizer_share=0.12
)
BLOCKS = dataclasses.replace(
    PRESET,
    dynamics={**TINY.dynamics, "weighs": True, "window": 7},
    frames=8,
    aligned=True,
    tokenizer_share=0.055,
    flow_share=0.18,
    opening_share=0.5,
    opening={"width": 192, "num_layers": 4, "local_width": 32, "num_local": 2},
    dynamics_stage=dataclasses.replace(PRESET.dynamics_stage, batch_size=8),
    single_share=0.0,
    pure_share=0.75,
    bootstrap_share=0.125,
    num_evaluations=12,
    num_denoise_steps=1,
    half=True,
)
WIDE = dataclasses.replace(  # for an accelerator
    BLOCKS,
    frames=16,
    flow_frames=8,
    dreams=3,
    bootstrap_from=0.0,
    num_evaluations=8,
    dynamics={
        **BLOCKS.dynamics,
        "width": 128,
        "num_layers": 4,
        "local_width": 48,
        "num_local": 2,
        "flow_width": 64,
        "window": 14,
        "least_change": 0.1,
    },
    tokenizer_share=0.05,
    flow_share=0.15,
    opening_share=0.4,
    opening={"width": 224, "num_layers": 4, "local_width": 48, "num_local": 2},
    flow_stage=StageConfig(batch_size=32, learning_rate=0.004, decay=0.9, ema=0.998),
    dynamics_stage=StageConfig(batch_size=32, learning_rate=0.015, decay=0.9, ema=0.998),
    opening_stage=StageConfig(batch_size=128, learning_rate=0.015, decay=0.95, ema=0.999),
)
SHARP = dataclasses.replace(  # likewise
    PRESET,
    frames=24,
    half=True,
    tokenizer_share=0.2,
    num_evaluations=8,
    dynamics={**TINY.dynamics, "width": 128, "num_layers": 4, "local_width": 48, "num_local": 2, "window": 16},
    tokenizer_stage=StageConfig(batch_size=128),
    dynamics_stage=StageConfig(batch_size=32, learning_rate=0.015, decay=0.9, ema=0.998),
)
FIRST_FRAMES = StageConfig(batch_size=32, learning_rate=0.01, decay=0.98, ema=0.998)  # of an opening that goes on
RECIPES = {
    "jump": Recipe(48_000, 1000, 20.0, PRESET, "jump"),
    "pong": Recipe(60_000, 3000, 30.0, PRESET, "pong"),
    "minecraft": Recipe(100_000, 500, 50.0, BLOCKS, "luanti", num_workers=1, again=25.0),
}
ACCELERATED = {
    "jump": RECIPES["jump"]._replace(minutes=8.0, preset=SHARP),
    "minecraft": RECIPES["minecraft"]._replace(minutes=18.0, preset=WIDE, again=0.0),
    "pong": RECIPES["pong"]._replace(minutes=8.0, preset=SHARP),
}


def recipe_of(name: str) -> Recipe:
    """Find how a world is made on this machine: with an accelerator there may be another way."""
    return RECIPES[name] if jax.default_backend() == "cpu" else ACCELERATED.get(name, RECIPES[name])


def make_footage(name: str, out: Path) -> Footage:
    """Record the game with a policy that plays and errs."""
    recipe = recipe_of(name)
    if (out / "footage.json").is_file():
        footage = Footage.open(out)
        if footage.num_frames >= recipe.num_frames:
            return footage
    with closing(Counter("frames")) as on_progress:
        return worldsim.record(
            recipe.game,
            out,
            num_frames=recipe.num_frames,
            policy="noisy",
            seed=0,
            num_workers=recipe.num_workers,
            max_episode_len=recipe.max_episode_len,
            on_progress=on_progress,
        )


def train(
    name: str, footage: Footage, run: Path, *, minutes: float, resume: bool, init: str | None, only_words: bool = False
) -> World:
    """Train by the recipe, which may go on from what it has learned: a camera then shows the world its own dreams."""
    recipe, again = recipe_of(name), run / "again"
    preset = dataclasses.replace(recipe.preset, opening_stage=FIRST_FRAMES) if only_words else recipe.preset
    with closing(StageBars()) as on_progress:
        fit = partial(worldsim.fit, footage.path, preset=preset, name=name, on_progress=on_progress)
        is_done = resume and (run / "world").is_dir()
        world = (
            load_world(run / "world")
            if is_done
            else fit(run, minutes=minutes, resume=resume, init=init, only_words=only_words)
        )
        if not recipe.again or init:
            return world
        return fit(again, minutes=recipe.again, resume=(again / "run.json").is_file(), init=world)


def measure(sim: worldsim.Simulator, footage: Footage, num_windows: int, quick: bool) -> dict:
    """Ask every question, or the first few, and how fast it runs."""
    horizon = 0 if quick else WINDOWED
    with closing(Counter("questions")) as on_progress:
        result = evaluate(
            sim, footage, num_windows=num_windows, windowed_horizon=horizon, quick=quick, on_progress=on_progress
        )
    return result | {"speed": bench(sim)}


def pictures(sim: worldsim.Simulator, footage: Footage, out: Path) -> dict[str, bytes]:
    """Dream held-out clips: a moving preview, and a strip to be looked at."""
    _, held, _ = held_out_columns(sim, footage)
    length = CONTEXT + PREVIEW_FRAMES
    windows = Windows(held, length, min_real=length)
    batch = windows.batch(np.linspace(0, len(windows) - 1, 3).astype(int))
    state, _ = sim.reset(
        jax.random.key(0), prompt=batch.obs[:, :CONTEXT], prompt_actions=batch.prev_action[:, :CONTEXT]
    )
    dreamt = np.asarray(sim.rollout(state, batch.prev_action[:, CONTEXT:])[1].obs)
    real = batch.obs[:, CONTEXT:]
    zoom = 4 if sim.size[1] <= 64 else 2
    video = label_columns(beside([real[0], dreamt[0]]), ["real", "dream"], zoom=zoom)
    out.mkdir(parents=True, exist_ok=True)
    write_video(out / "preview.gif", video, fps=sim.fps, min_width=video.shape[2])
    from PIL import Image

    Image.fromarray(strip([real[:, :32], dreamt[:, :32]])).save(out / "strip.png")
    return {name: (out / name).read_bytes() for name in ("preview.gif", "strip.png")}


def ship(
    name: str, world: World, footage: Footage, run: Path, num_windows: int, quick: bool, command: str, history: str
) -> None:
    """Measure a world and write its numbers, its pictures and its bundle."""
    sim = worldsim.Simulator.from_world(world)
    metrics = {"command": command, **measure(sim, footage, num_windows, quick)}
    results = ROOT / "experiments" / "results" / f"world_{name}.json"
    results.write_text(json.dumps(metrics | {"training": world.card["training"]}, indent=1) + "\n")
    write_bundle(name, sim, footage, run, metrics, command, history)


def write_bundle(
    name: str, sim: worldsim.Simulator, footage: Footage, run: Path, metrics: dict, command: str, history: str
) -> None:
    """Write a measured world to `checkpoints`, with its numbers, its limits and its pictures."""
    world = sim.world
    card = world.card | {
        "name": name,
        "metrics": metrics,
        "limits": list(dict.fromkeys([*world.card["limits"], *LIMITS[name]])),
    }
    history = history or card["training"].get("history", "")
    card["training"] = card["training"] | {"command": command, "history": history}
    save_world(
        dataclasses.replace(world, card=card),
        ROOT / "checkpoints" / name,
        extra_files=pictures(sim, footage, run / "pictures"),
    )


def trained(run: Path) -> Path:
    """Where the world of a finished run lies: of the run's second part, where there was one.

    Raises:
        FileNotFoundError: the run is not finished.
    """
    for place in (run / "again" / "world", run / "world"):
        if place.is_dir():
            return place
    raise FileNotFoundError(f"{run} holds no trained world; train it first.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for footage and run")
    parser.add_argument("--minutes", type=float, default=None, help="of training; the recipe's by default")
    parser.add_argument("--windows", type=int, default=64, help="evaluation windows a seed")
    parser.add_argument("--quick", action="store_true", help="measure as `worldsim eval --quick` does")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    parser.add_argument("--init", help="a world to go on from; the footage is recorded anew, bit for bit the same")
    parser.add_argument("--only-words", action="store_true", help="of that world, only what words mean is learned on")
    parser.add_argument(
        "--measure-only",
        action="store_true",
        help="train nothing: measure the finished run in --runs, "
        "or the shipped world where there is none; the footage is recorded anew, bit for bit the same",
    )
    parser.add_argument("--from-run", type=Path, help="ship the world of this run instead, with --footage beside it")
    parser.add_argument("--footage", type=Path, help="what the world of --from-run was trained on")
    parser.add_argument("--history", default="", help="what was done otherwise than the recipe says, for the card")
    args = parser.parse_args()
    command, history = f"python experiments/train_worlds.py {args.name}", args.history
    command += f" --windows {args.windows}" * (args.windows != parser.get_default("windows"))
    command += " --quick" * args.quick
    command += f" --minutes {args.minutes:g}" if args.minutes else ""
    command += f" --init {args.init}" if args.init else ""
    command += " --only-words" * args.only_words
    if args.from_run is not None:
        world, footage = load_world(args.from_run / "world"), Footage.open(args.footage)
        command = f"make demo; {command} --from-run demo/run --footage demo/footage"
        return ship(
            args.name, world, footage, args.from_run, args.windows, args.quick, command, "the demo's ten-minute world"
        )
    run = args.runs / f"world-{args.name}"
    footage = make_footage(args.name, args.runs / f"footage-{args.name}")
    if args.measure_only:
        world = load_world(trained(run) if (run / "world").is_dir() else ROOT / "checkpoints" / args.name)
    else:
        minutes = args.minutes or recipe_of(args.name).minutes
        world = train(
            args.name, footage, run, minutes=minutes, resume=args.resume, init=args.init, only_words=args.only_words
        )
    ship(args.name, world, footage, run, args.windows, args.quick, command, history)
    print(f"checkpoints/{args.name} written", file=sys.stderr)


if __name__ == "__main__":
    main()
