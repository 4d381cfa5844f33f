"""Is a world better that was trained on whole screens than one that was trained on their square middle?

    python experiments/native.py --runs runs

Video models used to be trained on square crops; Sora's report (OpenAI 2024, "Video generation models as world
simulators") shows subjects cut in half by such a one. Here the same is asked of a world, in numbers: Doom: Take Cover,
whose fireballs come from the sides, at 48x64 and cut to 48x48; the same preset, seed and minutes for each, of weights
that are of no one size; both then dream whole screens of held-out footage. PSNR of the tokenizer, of the next frame and
of 16 free frames, over the whole, over the middle that both have seen, and over the sides that one has not, beside the
last frame; means and deviations over three evaluation seeds.

Writes experiments/results/native.json and docs/media/native.png: real, trained on whole screens, on squares.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image

import worldsim
from worldsim.cli.console import StageBars
from worldsim.data.store import Footage, FootageWriter
from worldsim.evaluate import hardware
from worldsim.evaluate.reference import held_out_columns
from worldsim.evaluate.trial import CONTEXT, dream_clips
from worldsim.metrics import psnr
from worldsim.train import PRESETS, fit
from worldsim.video import strip

ROOT = Path(__file__).parents[1]
GAME, SIZE, NUM_FRAMES, MINUTES, SEEDS, HORIZON = "doom-takecover", (48, 64), 24_000, 4.5, (0, 1, 2), 16
TINY = PRESETS["tiny"]
PRESET = dataclasses.replace(
    TINY, tokenizer=dataclasses.replace(TINY.tokenizer, size_agnostic=True), num_denoise_steps=2
)
MIDDLE = slice((SIZE[1] - SIZE[0]) // 2, (SIZE[1] + SIZE[0]) // 2)  # columns


def crop(footage: Footage, out: Path) -> Footage:
    """Write the square middle of every frame as footage of its own."""
    if (out / "footage.json").is_file():
        return Footage.open(out)
    meta = dataclasses.replace(footage.meta, size=(SIZE[0], SIZE[0]))
    with FootageWriter(out, meta) as writer:
        for i in range(len(footage)):
            episode = footage[i]
            writer.add(episode._replace(obs=np.ascontiguousarray(episode.obs[:, :, MIDDLE])))
    return Footage.open(out)


def train(footage: Footage, run: Path, minutes: float) -> Path:
    """Train a world, or find the one that was trained."""
    if not (run / "world").is_dir():
        with closing(StageBars()) as on_progress:
            fit([footage.path], run, preset=PRESET, minutes=minutes, on_progress=on_progress, resume=run.is_dir())
    return run / "world"


def places(real: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """PSNR in dB over the whole, the middle and the sides of frames `[b t h w c]`."""
    sides = np.ones(SIZE[1], bool)
    sides[MIDDLE] = False
    parts = {"whole": np.ones(SIZE[1], bool), "middle": ~sides, "sides": sides}
    return {name: float(psnr(real[..., part, :], other[..., part, :]).mean()) for name, part in parts.items()}


def measure(sim: worldsim.Simulator, footage: Footage, seed: int, num_windows: int) -> dict[str, dict[str, float]]:
    """Ask one world, over windows of one seed."""
    _, held, _ = held_out_columns(sim, footage)
    clips = list(dream_clips(sim, held, horizon=HORIZON, num_windows=num_windows, seed=seed))
    real, free, painted, forced = (
        np.concatenate([getattr(clip, name) for clip in clips])
        for name in ("real", "free", "reconstruction", "teacher_forced")
    )
    future, last = real[:, CONTEXT:], real[:, CONTEXT - 1 : CONTEXT]
    return {
        "tokenizer": places(future, painted[:, CONTEXT:]),
        "next": places(future, forced[:, CONTEXT:]),
        "free": places(future, free),
        "copy_last": places(future, np.repeat(last, HORIZON, 1)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for footage and runs")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of training, of each world")
    parser.add_argument("--windows", type=int, default=64, help="evaluation windows a seed")
    args = parser.parse_args()
    whole = worldsim.record(
        GAME,
        args.runs / f"arcade-{GAME}",
        num_frames=NUM_FRAMES,
        policy="random",
        seed=0,
        num_workers=1,
        max_episode_len=1000,
        size=SIZE,
    )
    square = crop(whole, args.runs / f"square-{GAME}")
    paths = {
        name: train(f, args.runs / f"native-{name}", args.minutes) for name, f in (("whole", whole), ("square", square))
    }
    result = {"command": "python experiments/native.py --runs runs", "minutes": args.minutes, "seeds": list(SEEDS)}
    result |= {"num_windows": args.windows, **hardware()}
    films = []
    for name, path in paths.items():
        sim = worldsim.load(path, size=SIZE)
        found = [measure(sim, whole, seed, args.windows) for seed in SEEDS]
        result[name] = {
            what: {
                part: {"psnr": float(np.mean(x)), "sd": float(np.std(x, ddof=1))}
                for part in found[0][what]
                if (x := [f[what][part] for f in found])
            }
            for what in found[0]
        }
        print(name, json.dumps(result[name]), flush=True)
        _, held, _ = held_out_columns(sim, whole)
        clip = next(dream_clips(sim, held, horizon=HORIZON, num_windows=3, seed=0))
        films = films or [clip.real[:, CONTEXT:]]
        films.append(clip.free)
    (ROOT / "experiments" / "results" / "native.json").write_text(json.dumps(result, indent=1) + "\n")
    Image.fromarray(strip(films)).save(ROOT / "docs" / "media" / "native.png")


if __name__ == "__main__":
    main()
