"""One world of several games, each at the shape of its own screen.

    python experiments/arcade.py --runs runs                 # records, trains, measures
    python experiments/arcade.py --runs runs --resume        # goes on where it stopped
    python experiments/arcade.py --runs runs --minutes 180 --ship    # and writes checkpoints/arcade
    python experiments/arcade.py --runs runs --games jump pong doom-takecover    # none turns: no cameras

Luanti at 64x112, Pyxel's Jump at 64x64, Atari's Pong at 80x64 (height x width: its screen is 4 high and 3 wide), Doom:
Take Cover at 48x64. Luanti's camera turns, the others' stand still. Two cores, no accelerator: six minutes of
recording, `MINUTES` of training and a fifth as many of looking through cameras, five of measuring each game on its
held-out footage as `worldsim eval --quick` does, beside the last frame. `SIZES` are dreamed too, from noise grids of
those shapes: nothing was trained at them, so that only a picture tells what comes of it (docs/media/arcade.png).

Writes experiments/results/arcade.json. An hour is too little to play in what comes of it, so that it is shipped only
where it is asked for.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image

import worldsim
from worldsim.cli.console import Counter, StageBars
from worldsim.data.dataset import Windows
from worldsim.data.store import Footage
from worldsim.evaluate import EvalOptions, bench, evaluate, hardware, headline_rows
from worldsim.evaluate.reference import held_out_columns
from worldsim.initial import InitialContext
from worldsim.train import PRESETS, StageConfig, fit
from worldsim.video import strip, write_video
from worldsim.world import World, flatten, read_bundle, save_world

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "experiments" / "results" / "arcade.json"
MINUTES, CONTEXT, SHOWN = 60.0, 8, 48
SIZES = ((64, 64), (64, 112), (112, 64), (96, 96))


class Screen(NamedTuple):
    """A game, and how it is recorded."""

    game: str
    size: tuple[int, int]
    policy: str
    max_episode_len: int = 1000


SCREENS = (
    Screen("luanti", (64, 112), "noisy", 500),
    Screen("jump", (64, 64), "noisy"),
    Screen("pong", (80, 64), "noisy"),
    Screen("doom-takecover", (48, 64), "random"),
)
NUM_FRAMES = 24_000
TINY = PRESETS["tiny"]
PRESET = dataclasses.replace(
    TINY,
    dynamics=dataclasses.replace(TINY.dynamics, width=128, window=8, predicts_variance=True),
    frames=8,
    num_denoise_steps=1,
    float16=True,
    tokenizer_fraction=0.15,
    num_evaluations=8,
    pure_noise_fraction=0.75,
    bootstrap_fraction=0.125,
    bootstrap_start=2.0,
    dynamics_stage=StageConfig(batch_size=8, decay=0.95, ema=0.998),
)
LIMITS = [
    "the ball, the paddles and the player fade within about ten dreamed frames",
    "the score is not counted on",
    "sizes that no game was recorded at are a curiosity",
]


def record(runs: Path, screens: list[Screen]) -> list[Footage]:
    """Record each game at the shape of its screen."""
    footages = []
    for screen in screens:
        out = runs / f"arcade-{screen.game}"
        with closing(Counter("frames")) as on_progress:
            footages.append(
                worldsim.record(
                    screen.game,
                    out,
                    num_frames=NUM_FRAMES,
                    policy=screen.policy,
                    seed=0,
                    num_workers=1,
                    max_episode_len=screen.max_episode_len,
                    size=screen.size,
                    on_progress=on_progress,
                )
            )
    return footages


def dreams(sim: worldsim.Simulator, footage: Footage) -> tuple[np.ndarray, np.ndarray]:
    """Held-out clips and what the world makes of them from their first frames on: uint8 [b t h w c] each."""
    _, held, _ = held_out_columns(sim, footage)
    windows = Windows(held, CONTEXT + SHOWN, min_real=CONTEXT + SHOWN)
    batch = windows.batch(np.linspace(0, len(windows) - 1, 2).astype(int))
    state, _ = sim.reset(
        jax.random.key(0), initial=InitialContext.frames(batch.obs[:, :CONTEXT], batch.prev_action[:, :CONTEXT])
    )
    return batch.obs[:, CONTEXT:], np.asarray(sim.rollout(state, batch.prev_action[:, CONTEXT:])[1].obs)


def at_other_sizes(path: Path, game: str) -> np.ndarray:
    """What a game becomes at SIZES, begun at its own moments and dreamed on for a second: one picture."""
    shown = []
    for size in SIZES:
        sim = worldsim.load(path, game=game, size=size)
        state, obs = sim.reset(jax.random.key(0), batch_size=1)
        rows = np.tile(sim.action_spec.noop, (1, 15, 1)).astype(np.float32)
        frames = [np.asarray(obs[0]), *np.asarray(sim.rollout(state, rows)[1].obs[0, [4, 14]])]
        picture = np.concatenate(frames, 1)
        shown.append(np.pad(picture, [(0, 112 - size[0]), (0, 3 * 112 - picture.shape[1]), (0, 0)]))
    return np.concatenate(shown, 0)


def preview(films: list[np.ndarray], fps: float, out: Path) -> None:
    """A moving picture of all games side by side, real above and dreamed below."""
    height = max(film.shape[1] for film in films)
    padded = [np.pad(film, [(0, 0), (0, height - film.shape[1]), (0, 4), (0, 0)]) for film in films]
    write_video(out, np.concatenate(padded, 2).repeat(2, 1).repeat(2, 2), fps=fps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for footage and run")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of training")
    names = [screen.game for screen in SCREENS]
    parser.add_argument("--games", nargs="+", choices=names, default=names, help="all of them by default")
    parser.add_argument("--windows", type=int, default=32, help="evaluation windows a seed")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    parser.add_argument("--ship", action="store_true", help="write checkpoints/arcade")
    args = parser.parse_args()
    screens = [screen for screen in SCREENS if screen.game in args.games]
    footages, run = record(args.runs, screens), args.runs / "arcade"
    command = "python experiments/arcade.py --runs runs"
    command += f" --games {' '.join(args.games)}" * (args.games != names)
    command += f" --minutes {args.minutes:g}" * (args.minutes != MINUTES) + " --ship" * args.ship
    if not (run / "world").is_dir() or args.resume:
        with closing(StageBars()) as on_progress:
            fit(
                [footage.path for footage in footages],
                run,
                preset=PRESET,
                minutes=args.minutes,
                resume=args.resume,
                on_progress=on_progress,
            )
    path, pictures = run / "world", run / "pictures"
    pictures.mkdir(exist_ok=True)
    world: World = read_bundle(path)
    metrics: dict[str, Any] = {"command": command, **hardware(), "minutes": world.card.training["minutes"]}
    metrics["num_params"] = sum(x.size for x in flatten(world.params).values())
    films, strips = [], []
    for screen, footage in zip(screens, footages, strict=True):
        sim = worldsim.load(path, game=screen.game)
        with closing(Counter("measurements")) as on_progress:
            found = evaluate(sim, footage, EvalOptions(num_windows=args.windows, quick=True), on_progress=on_progress)
        kept = {name: found[name] for name in ("fidelity", "control", "outcome")}
        metrics[screen.game] = {"size": list(screen.size), **kept, "speed": bench(sim)}
        print(screen, json.dumps(metrics[screen.game]["fidelity"])[:300], file=sys.stderr)
        real, dream = dreams(sim, footage)
        films.append(np.concatenate([real[0], dream[0]], 1))
        strips.append(strip([real[:1, ::6], dream[:1, ::6]]))
    RESULTS.write_text(json.dumps(metrics, indent=1) + "\n")
    preview(films, 12.0, pictures / "preview.gif")
    width = max(x.shape[1] for x in strips)
    whole = np.concatenate([np.pad(x, [(0, 0), (0, width - x.shape[1]), (0, 0)]) for x in strips])
    Image.fromarray(whole).save(pictures / "strip.png")
    sizes = Image.fromarray(np.concatenate([at_other_sizes(path, s.game) for s in screens], 1))
    for out in (pictures / "sizes.png", ROOT / "docs" / "media" / "arcade.png"):
        sizes.save(out)
    if not args.ship:
        return
    first = [row | {"label": f"{s.game}: {row['label']}"} for s in screens for row in headline_rows(metrics[s.game], 2)]
    metrics["headline"] = first[:10]
    card = dataclasses.replace(
        world.card,
        name="arcade",
        limits=(*world.card.limits, *LIMITS),
        prompts=("arcade", *(prompt for prompt in world.card.prompts if prompt != "arcade")),
        training={**world.card.training, "command": command},
    )
    files = {name: (pictures / name).read_bytes() for name in ("preview.gif", "strip.png", "sizes.png")}
    save_world(
        dataclasses.replace(world, card=card, metrics=metrics), ROOT / "checkpoints" / "arcade", extra_files=files
    )


if __name__ == "__main__":
    main()
