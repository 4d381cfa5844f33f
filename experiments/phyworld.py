"""Did a world learn the law of motion, or its examples? PhyWorld's three scenes, in and out of the distribution.

    python experiments/phyworld.py --runs runs                     # records, trains and measures all three
    python experiments/phyworld.py --runs runs --scenes parabola --minutes 20
    python experiments/phyworld.py --runs runs --measure-only

A world a scene, trained on the inner split alone. Measured as in the paper: three frames are given, the rest of the 32
is dreamed, and the error is that of the velocity (`worldsim.evaluate.metrics.physics`), beside its floor. Writes
experiments/results/phyworld.json. Two cores, no accelerator: a minute of recording a scene, then `minutes`, then one.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

import worldsim
from worldsim.cli.console import Counter, StageBars
from worldsim.data.dataset import Columns, load_columns
from worldsim.data.store import Footage
from worldsim.evaluate import EvalOptions, hardware
from worldsim.evaluate.metrics.physics import CONDITION, measure_velocity
from worldsim.evaluate.reference import Reference
from worldsim.evaluate.run import spread
from worldsim.evaluate.trial import Trial, rollout
from worldsim.train import PRESETS
from worldsim.video import strip

# A frame of PhyWorld hangs on the two before it, so windows are short and more steps fit into the time: after 4
# minutes on one core 16 free-running frames had 19.5 dB with 2 windows of 8 frames a step, 18.3 with 2 of 16, and 17.4
# with 4 of 16. No key matters, and no episode begins from nothing.
RECIPE = {"frames": 8, "single_frame_fraction": 0.0, "action_dropout": 0.0, "pure_noise_fraction": 0.6}
BATCH_SIZE = {"tiny": 2, "small": 64}
SCENES, SPLITS = ("uniform", "collision", "parabola"), ("in", "out")
RESULTS = Path(__file__).parent / "results" / "phyworld.json"
NUM_FRAMES = {"train": 128_000, "in": 8192, "out": 8192}
SEED = {"train": 0, "in": 1_000_003, "out": 1_000_003}


def make_footage(scene: str, part: str, runs: Path) -> Footage:
    """Record a part of a scene's footage, if it is not there."""
    out = runs / f"phyworld-{scene}-{part}"
    game = f"phyworld-{scene}" + "-out" * (part == "out")
    if (out / "footage.json").is_file() and (footage := Footage.open(out)).num_frames >= NUM_FRAMES[part]:
        return footage
    with closing(Counter("frames")) as on_progress:
        return worldsim.record(
            game, out, num_frames=NUM_FRAMES[part], seed=SEED[part], num_workers=2, on_progress=on_progress
        )


def measure(sim: worldsim.Simulator, scene: str, runs: Path, num_windows: int) -> dict[str, Any]:
    """Velocity error on footage that was recorded apart, of either split."""
    result = {}
    for split in SPLITS:
        footage = make_footage(scene, split, runs)
        columns = load_columns(footage, range(len(footage)))
        reference = Reference(meta=footage.meta, calibration=columns, held_out=columns)
        options = EvalOptions(num_windows=num_windows)
        trials = [Trial(sim=sim, reference=reference, options=options, seed=s, horizon=0) for s in options.seeds]
        result[split] = spread([measure_velocity(trial) for trial in trials])
        show(sim, columns, runs / f"phyworld-{scene}-{split}.png")
    return result


def show(sim: worldsim.Simulator, columns: Columns, path: Path) -> None:
    """Paint recorded frames above dreamed ones, of four episodes."""
    rows = columns.bounds[:-1][:4, None] + np.arange(columns.longest)
    obs = columns.obs[rows]
    dream = np.asarray(rollout(sim, obs[:, :CONDITION], columns.prev_action[rows], jax.random.key(0)).obs)
    Image.fromarray(strip([obs[:, CONDITION:], dream], num_columns=10)).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", nargs="+", default=list(SCENES), choices=SCENES)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for footage and runs")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training a scene")
    parser.add_argument("--preset", default="tiny", choices=sorted(BATCH_SIZE))
    parser.add_argument("--windows", type=int, default=128, help="windows a seed")
    parser.add_argument("--resume", action="store_true", help="go on with runs that were stopped")
    parser.add_argument("--measure-only", action="store_true", help="measure the finished runs again")
    args = parser.parse_args()
    preset = PRESETS[args.preset]
    stage = dataclasses.replace(preset.dynamics_stage, ema=0.998, batch_size=BATCH_SIZE[args.preset])
    preset = dataclasses.replace(preset, dynamics_stage=stage, **RECIPE)
    for scene in args.scenes:
        footage, run = make_footage(scene, "train", args.runs), args.runs / f"world-phyworld-{scene}"
        if not args.measure_only:
            with closing(StageBars()) as on_progress:
                worldsim.fit(
                    [footage.path],
                    run,
                    preset=preset,
                    minutes=args.minutes,
                    name=f"phyworld-{scene}",
                    resume=args.resume,
                    on_progress=on_progress,
                )
        sim = worldsim.load(str(run / "world"))
        result = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
        result[scene] = {
            **measure(sim, scene, args.runs, args.windows),
            "preset": args.preset,
            "minutes": sim.card.training["minutes"],
            "command": f"python experiments/phyworld.py --minutes {args.minutes:g} --preset {args.preset}",
            "weights": sim.card.weights.sha256,
            **hardware(),
        }
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
