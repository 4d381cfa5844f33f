"""Speed of the presets on this machine: frames a second at batch 1 and 32, decode to pixels in host memory included.

    python experiments/speed.py --presets tiny small

Speed does not depend on what was learned, so the worlds are untrained, for 64x64 frames and three actions, with the
preset's default sampler (4 denoising steps and one commit a frame). Writes experiments/results/speed.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
from flax import nnx

from worldsim.checkpoint import World
from worldsim.evaluate import bench
from worldsim.nn.params import split
from worldsim.simulator import Simulator
from worldsim.tokenizer import Tokenizer, TokenizerConfig
from worldsim.train import PRESETS
from worldsim.train.stages import new_dynamics
from worldsim.types import discrete

SIZE, SPEC = (64, 64), discrete(("noop", "up", "down"))
RESULTS = Path(__file__).parent / "results" / "speed.json"


def untrained(name: str) -> World:
    """Make a world of a preset's size."""
    preset = PRESETS[name]
    tokenizer = Tokenizer(TokenizerConfig(size=SIZE, **preset.tokenizer), rngs=nnx.Rngs(0))
    dynamics, outcome = new_dynamics(tokenizer.config, SPEC, preset, 0)
    modules = {"tokenizer": tokenizer, "dynamics": dynamics, "outcome": outcome}
    config = {key: dataclasses.asdict(module.config) for key, module in modules.items()}
    card = {
        "action_spec": SPEC.to_json(), "size": list(SIZE), "fps": 15,
        "config": config | {"sampler": {"num_denoise_steps": 4, "noise_scale": 1.0}},
    }  # fmt: skip
    starts = {"obs": np.zeros((1, 8, *SIZE, 3), np.uint8), "prev_action": np.zeros((1, 8, 1), np.float32)}
    return World(card=card, params={key: split(module)[1] for key, module in modules.items()}, starts=starts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["tiny", "small"], choices=sorted(PRESETS))
    args = parser.parse_args()
    result = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in args.presets:
        world = untrained(name)
        count = {part: sum(int(np.size(x)) for x in _leaves(tree)) for part, tree in world.params.items()}
        result[name] = bench(Simulator.from_world(world), num_repeats=7) | {"parameters": count}
        result["command"] = "python experiments/speed.py"
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")


def _leaves(tree):
    return [leaf for value in tree.values() for leaf in (_leaves(value) if isinstance(value, dict) else [value])]


if __name__ == "__main__":
    main()
