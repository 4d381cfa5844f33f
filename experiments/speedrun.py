"""Ten-minute worlds, one idea a run: what makes the dream hold what matters?

    python experiments/speedrun.py baseline --game pong --runs runs/speedrun            # ten minutes of two cores
    python experiments/speedrun.py rollouts --game jump --runs runs/speedrun --seed 1   # a second training seed
    python experiments/speedrun.py baseline --game pong --steps 1600                    # on a machine that is shared
    python experiments/speedrun.py --table                                              # what was learned so far

Footage, evaluation seeds and budget are fixed; a variant changes the recipe. A run is trained, measured on footage of
another seed by the judges of `worldsim.evaluate`, and appended to experiments/results/speedrun.json: variant, commit,
score and its parts. The score is the mean of PARTS, each between what a world that has learned nothing gets (0) and the
game itself (1). A gain counts beyond two deviations of the same variant's seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import worldsim
from worldsim.cli.console import Counter, StageBars, table
from worldsim.data.store import Footage
from worldsim.evaluate import EvalOptions, evaluate, hardware, record_plays
from worldsim.model.dynamics import ForecastConfig
from worldsim.model.tokenizer import TokenizerConfig
from worldsim.train import PRESETS, Recipe

RESULTS = Path(__file__).parent / "results" / "speedrun.json"
NUM_FRAMES, HELD_FRAMES, PLAY_SECONDS = 20_000, 4_000, 20.0
TRAIN_SEED, HELD_SEED = 100, 101
SECTIONS = ("presence", "foreground", "control", "sharpness")


class Game(NamedTuple):
    """A game, how long its episodes may last, and who plays it in the footage that is learned from."""

    name: str
    max_episode_len: int
    policy: str = "noisy"
    size: tuple[int, int] | None = None  # of its frames; its own by default


GAMES = {
    "pong": Game("pong", 3000),
    "pong-half": Game("pong", 3000, size=(105, 80)),
    "jump": Game("jump", 1000),
    "jump-tall": Game("jump-tall", 1000),
    "snake": Game("snake", 1000, "lapsing"),
    "takecover": Game("doom-takecover", 1000),
    "valley": Game("luanti-valley", 500, size=(48, 80)),
}


class Part(NamedTuple):
    """A number of the evaluation and what counts as nothing learned and as the game itself."""

    section: str
    key: str
    zero: float | str = 0.0
    one: float | str = 1.0


PARTS = (
    Part("presence", f"worst_{PLAY_SECONDS:g}s"),
    Part("foreground", "score_32"),
    Part("control", "action_following", 0.5),
    Part("control", "late_10s"),
    Part("sharpness", "nearness_10s"),
)


def _pixels(recipe: Recipe, patch: int = 2, local_width: int = 16, channels: int = 12, **changes: Any) -> Recipe:
    tokenizer = TokenizerConfig(
        width=3 * patch**2, num_layers=(0, 0), patch=patch, latent_channels=channels, pack=16 // patch
    )
    recipe = replace(recipe, tokenizer=tokenizer)
    return _dynamics(recipe, local_width=local_width, **changes)


def _forecast(recipe: Recipe, **changes: Any) -> Recipe:
    return replace(recipe, forecast=ForecastConfig(), **changes)


def _camera(**changes: Any) -> Recipe:
    return replace(PRESETS["minecraft"], first_frame=None, **changes)


def _overview(recipe: Recipe) -> Recipe:
    assert recipe.forecast is not None
    return replace(recipe, forecast=replace(recipe.forecast, overview_width=32))


def _dynamics(recipe: Recipe, **changes: Any) -> Recipe:
    return replace(recipe, dynamics=replace(recipe.dynamics, **changes))


VARIANTS: dict[str, Callable[[Recipe], Recipe]] = {
    "baseline": lambda r: r,
    "rollouts": lambda r: replace(r, refresh_count=12),
    "rollouts-half": lambda r: replace(r, refresh_count=12, self_generated_fraction=0.5),
    "own-0": lambda r: replace(r, self_generated_fraction=0.0),
    "own-half": lambda r: replace(r, self_generated_fraction=0.5),
    "memory": lambda r: _dynamics(r, has_memory=True),
    "window-24": lambda r: replace(_dynamics(r, window=24), frames=28),
    "wide": lambda r: _dynamics(r, width=128),
    "local-64": lambda r: _dynamics(r, local_width=64),
    "local-2": lambda r: _dynamics(r, num_local=2),
    "layers-4": lambda r: _dynamics(r, num_layers=4),
    "batch-8": lambda r: replace(r, dynamics_stage=replace(r.dynamics_stage, batch_size=8)),
    "batch-2": lambda r: replace(r, dynamics_stage=replace(r.dynamics_stage, batch_size=2)),
    "rate-up": lambda r: replace(r, dynamics_stage=replace(r.dynamics_stage, learning_rate=0.03)),
    "no-dropout": lambda r: replace(r, action_dropout=0.0),
    "pure-noise": lambda r: replace(r, pure_noise_fraction=0.6),
    "context-noise": lambda r: _dynamics(r, context_tau=13),
    "variance": lambda r: _dynamics(r, predicts_variance=True),
    "one-step": lambda r: replace(r, num_denoise_steps=1),
    "pixels": _pixels,
    "pixels-24": lambda r: _pixels(r, local_width=24),
    "pixels-deep": lambda r: _pixels(r, num_local=2),
    "forecast": lambda r: _forecast(r),
    "forecast-single": lambda r: _forecast(r, forecast_goes_on=1.0),
    "forecast-whole": lambda r: _forecast(r, forecast_side=1000),
    "forecast-most": lambda r: _forecast(r, forecast_fraction=0.65),
    "forecast-eight": lambda r: _forecast(r, forecast_frames=8),
    "forecast-pixels": lambda r: _forecast(_pixels(r)),
    "preset-pixels": lambda r: PRESETS["pixels"],
    "preset-pixels-overview": lambda r: _overview(PRESETS["pixels"]),
    "preset-pixels-margin": lambda r: replace(PRESETS["pixels"], forecast_margin=(6, 2)),
    "preset-pixels-fast": lambda r: replace(PRESETS["pixels"], forecast_margin=(6, 2), forecast_fraction=0.65),
    "preset-pixels-eight": lambda r: replace(PRESETS["pixels"], forecast_frames=8),
    "tokenizer-more": lambda r: replace(r, tokenizer_fraction=0.3),
    "camera": lambda r: _camera(num_denoise_steps=1),
    "camera-two": lambda r: _camera(num_denoise_steps=2),
    "camera-refreshed": lambda r: _camera(num_denoise_steps=2, refresh_count=2),
}
"""Each an idea: what it changes of the recipe `tiny`."""


def name_of(game: Game) -> str:
    """What its files are called by: a game at each size has its own."""
    return "-".join([game.name, *map(str, game.size or ())])


def footage_of(game: Game, runs: Path, seed: int, num_frames: int, policy: str = "noisy") -> Footage:
    """Record the fixed footage, where it is not there yet."""
    with closing(Counter("frames")) as on_progress:
        return worldsim.record(
            game.name,
            runs / f"footage-{name_of(game)}-{policy}-{seed}",
            num_frames=num_frames,
            size=game.size,
            policy=policy,
            seed=seed,
            num_workers=2,
            max_episode_len=game.max_episode_len,
            on_progress=on_progress,
        )


def measure(sim: worldsim.Simulator, held: Footage, runs: Path, game: Game) -> dict[str, Any]:
    """The judges' numbers of a world."""
    options = EvalOptions(num_windows=16, seeds=(0, 1), num_plays=4, only=SECTIONS, play_seconds=PLAY_SECONDS)
    with closing(Counter("frames of plays")) as on_progress:
        options = replace(
            options, plays=record_plays(held.meta, runs / f"plays-{name_of(game)}", options, on_progress=on_progress)
        )
    with closing(Counter("measurements")) as on_progress:
        return evaluate(sim, held, options, on_progress=on_progress)


def parts_of(numbers: Mapping[str, Any]) -> dict[str, float | None]:
    """Each part of the score, within 0 to 1; None where it was not measured."""
    found: dict[str, float | None] = {}
    for section, key, zero, one in PARTS:
        here = numbers.get(section, {})
        ends = [here.get(x) if isinstance(x, str) else x for x in (key, zero, one)]
        if any(x is None for x in ends) or ends[2] <= ends[1]:
            found[f"{section}.{key}"] = None
        else:
            value, low, high = ends
            found[f"{section}.{key}"] = min(max((value - low) / (high - low), 0.0), 1.0)
    return found


def run(name: str, game: Game, args: argparse.Namespace) -> dict[str, Any]:
    """Train and measure one variant."""
    train = footage_of(game, args.runs, TRAIN_SEED, NUM_FRAMES, game.policy)
    held = footage_of(game, args.runs, HELD_SEED, HELD_FRAMES)
    out = args.runs / f"{name_of(game)}-{name}-{args.seed}-{int(time.time())}"
    budget = {"num_train_steps": args.steps} if args.steps else {"minutes": args.minutes}
    began, recipe = time.monotonic(), VARIANTS[name](PRESETS["tiny"])
    with closing(StageBars()) as bars:
        world = worldsim.fit([train.path], out, preset=recipe, seed=args.seed, name="run", on_progress=bars, **budget)
    trained_s, began = time.monotonic() - began, time.monotonic()
    numbers = measure(worldsim.Simulator.from_world(world), held, args.runs, game)
    parts = parts_of(numbers)
    known = [x for x in parts.values() if x is not None]
    return {
        "variant": name,
        "game": game.name,
        "size": "x".join(map(str, train.meta.size)),
        "seed": args.seed,
        "score": round(mean(known), 4) if known else None,
        "parts": {key: None if x is None else round(x, 4) for key, x in parts.items()},
        "num_denoise_steps": world.card.sampler.num_denoise_steps,
        "num_params": world.card.weights.num_params,
        "budget": budget,
        "train_s": round(trained_s),
        "measure_s": round(time.monotonic() - began),
        "load": round(os.getloadavg()[0], 1),
        "commit": _commit(),
        "command": f"python experiments/speedrun.py {name} --game {args.game} --seed {args.seed} {_flag(args)}",
        **hardware(),
    }


def _flag(args: argparse.Namespace) -> str:
    return f"--steps {args.steps}" if args.steps else f"--minutes {args.minutes:g}"


def _commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def load_runs() -> list[dict[str, Any]]:
    """All runs so far."""
    return json.loads(RESULTS.read_text())["runs"] if RESULTS.is_file() else []


def show(runs: list[dict[str, Any]]) -> str:
    """The runs of each game and size, the best first."""
    keys = [f"{p.section}.{p.key}" for p in PARTS]
    head = ("game", "size", "variant", "seed", "score", *keys, "budget", "train s")
    rows = [
        (
            *(r[key] for key in ("game", "size", "variant", "seed", "score")),
            *(r["parts"].get(key) for key in keys),
            " ".join(f"{value:g} {unit.removeprefix('num_train_')}" for unit, value in r["budget"].items()),
            r["train_s"],
        )
        for r in sorted(runs, key=lambda r: (r["game"], r["size"], -(r["score"] or 0)))
    ]
    return table(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", help=f"of {', '.join(VARIANTS)}")
    parser.add_argument("--game", choices=sorted(GAMES), default="pong")
    parser.add_argument("--runs", type=Path, default=Path("runs/speedrun"), help="folder for footage and runs")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training")
    parser.add_argument("--steps", type=int, default=None, help="of training instead, on a machine that is shared")
    parser.add_argument("--seed", type=int, default=0, help="of training")
    parser.add_argument("--table", action="store_true", help="print the runs so far, and train nothing")
    args = parser.parse_args()
    if unknown := set(args.variants) - set(VARIANTS):
        parser.error(f"expected variants of {', '.join(VARIANTS)}, got {', '.join(sorted(unknown))}")
    for name in () if args.table else args.variants or ("baseline",):
        result = run(name, GAMES[args.game], args)
        RESULTS.write_text(json.dumps({"runs": [*load_runs(), result]}, indent=1) + "\n")
    print(show(load_runs()))


if __name__ == "__main__":
    main()
