"""Speed of the presets on this machine: frames a second at batch 1 and 32, decode to pixels in host memory included,
and steps a second that an agent imagines, on latents.

    python experiments/speed.py --presets tiny small
    python experiments/speed.py --presets small --only-dreams --batch 512    # an accelerator's row
    python experiments/speed.py --presets base --only-steps --batch 1        # a step of training, and its memory

Speed does not depend on what was learned, so the worlds are untrained, for 64x64 frames and three actions, with the
preset's default sampler (4 denoising steps and one commit a frame). A dream of an agent is 8 recorded frames to burn
world and policy in and 16 imagined ones; only these count, all the time does. Writes experiments/results/speed.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from worldsim.agent.imagine import imagine
from worldsim.agent.policy import ActorCritic, PolicyConfig
from worldsim.controls import discrete
from worldsim.evaluate import bench, hardware
from worldsim.model.generate import Sampler, bind
from worldsim.model.modules import build_graphs, read_configs
from worldsim.model.tokenizer import Tokenizer
from worldsim.nn.params import merge, split
from worldsim.simulator import Simulator
from worldsim.train import PRESETS
from worldsim.train.games import fill_recipe
from worldsim.train.losses import TrainBatch, dynamics_loss
from worldsim.train.optimizer import init_state, is_kernel, make_step, muon
from worldsim.train.stages.dynamics import new_dynamics
from worldsim.types import Batch
from worldsim.world import Card, World

SIZE, SPEC = (64, 64), discrete(("noop", "up", "down"))
RESULTS = Path(__file__).parent / "results" / "speed.json"


def untrained(name: str) -> World:
    """Make a world of a preset's size."""
    configs = fill_recipe(PRESETS[name], SIZE, SPEC)
    tokenizer = Tokenizer(configs.tokenizer, rngs=nnx.Rngs(0))
    dynamics, outcome = new_dynamics(configs, 0)
    modules = {"tokenizer": tokenizer, "dynamics": dynamics, "outcome": outcome}
    config = {key: dataclasses.asdict(module.config) for key, module in modules.items()}
    card = Card(name=name, title=name, game="none", size=SIZE, fps=15.0, action_spec=SPEC, config=config)
    contexts = {"obs": np.zeros((1, 8, *SIZE, 3), np.uint8), "prev_action": np.zeros((1, 8, 1), np.float32)}
    return World(
        card=card, params={key: split(module)[1] for key, module in modules.items()}, initial_contexts=contexts
    )


def imagined(world: World, num_denoise_steps: int, batch: int, *, num_repeats: int = 5) -> dict[str, Any]:
    """Steps a second that a policy dreams in `batch` dreams side by side: median and deviation."""
    configs, horizon, context = read_configs(world.card.config), 16, 8
    graphs, dynamics = build_graphs(configs, world.params), configs.dynamics
    policy = PolicyConfig(
        num_latents=dynamics.num_latents, token_dim=dynamics.token_dim, choice_sizes=dynamics.choice_sizes
    )
    graph, actor = split(ActorCritic(policy, rngs=nnx.Rngs(0)))
    z = np.random.default_rng(0).normal(size=(batch, context, dynamics.num_latents, dynamics.token_dim))
    z, rows = z.astype(np.float32), np.zeros((batch, context, 1), np.float32)

    @jax.jit
    def dream(params, actor, key):
        path = imagine(
            bind(graphs, params), merge(graph, actor), z, rows, key, horizon, Sampler(num_denoise_steps, 1.0)
        )
        return path.reward.sum()

    times = []
    for i in range(num_repeats + 1):
        start = time.perf_counter()
        dream(world.params, actor, jax.random.key(i)).block_until_ready()
        times.append(time.perf_counter() - start)
    rates = batch * horizon / np.array(times[1:])
    return {
        f"imagined_steps_batch_{batch}": float(np.median(rates)),
        f"imagined_steps_batch_{batch}_sd": float(rates.std()),
        "num_denoise_steps": num_denoise_steps,
        **hardware(),
    }


def train_step(name: str, batch: int, *, num_repeats: int = 3) -> dict[str, Any]:
    """Seconds of a training step of the dynamics with the bootstrap loss, and the peak memory of the process.

    Windows of the preset's length, `batch` of them; the first step, which compiles, is not counted.
    """
    recipe = PRESETS[name]
    configs = fill_recipe(recipe, SIZE, SPEC)
    dynamics, frames = configs.dynamics, recipe.frames
    (graph, params), (outcome_graph, outcome) = (split(module) for module in new_dynamics(configs, 0))
    step = make_step(dynamics_loss((graph, outcome_graph), recipe), muon(), ema=0.999, decay=is_kernel)
    state = init_state({"dynamics": params, "outcome": outcome})
    z = np.random.default_rng(0).normal(size=(batch, frames, dynamics.num_latents, dynamics.token_dim))
    none = np.zeros((batch, frames), np.float32)
    windows = TrainBatch(Batch(z.astype(np.float32), none[..., None], none, none > 0, none == 0))
    times = []
    for i in range(num_repeats + 1):
        start = time.perf_counter()
        state, scalars = step(state, windows, jax.random.key(i), np.float32(0.001), bootstrap=True)
        float(scalars["loss"])
        times.append(time.perf_counter() - start)
    return {
        "windows": batch,
        "frames": frames,
        "step_s": float(np.median(times[1:])),
        "step_s_sd": float(np.std(times[1:])),
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        **hardware(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["tiny", "small"], choices=sorted(PRESETS))
    parser.add_argument("--only-dreams", action="store_true", help="only what an agent imagines")
    parser.add_argument("--only-steps", action="store_true", help="only what a training step takes")
    parser.add_argument("--batch", type=int, default=32, help="dreams, or with --only-steps windows, side by side")
    args = parser.parse_args()
    result = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in args.presets:
        if args.only_steps:
            result[name] = result.get(name, {}) | {"training": train_step(name, args.batch)}
            RESULTS.write_text(json.dumps(result, indent=1) + "\n")
            continue
        world = untrained(name)
        count = {part: sum(int(np.size(x)) for x in _leaves(tree)) for part, tree in world.params.items()}
        found = result.get(name, {})
        if not args.only_dreams:
            found |= bench(Simulator.from_world(world), num_repeats=7) | {"parameters": count}
        dreams = found.setdefault("imagination", {})
        for steps in (4, 2, 1):
            dreams[f"k{steps}"] = dreams.get(f"k{steps}", {}) | imagined(world, steps, args.batch)
        result[name] = found
        result["command"] = "python experiments/speed.py"
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")


def _leaves(tree):
    return [leaf for value in tree.values() for leaf in (_leaves(value) if isinstance(value, dict) else [value])]


if __name__ == "__main__":
    main()
