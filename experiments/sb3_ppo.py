"""Stable-Baselines3's PPO in a dream: nothing of ours but the environment.

    pip install "worldsim-jax[sb3]"
    python experiments/sb3_ppo.py                                # the shipped pong, latents, three seeds
    python experiments/sb3_ppo.py --world jump --obs-type pixels

All worlds of a seed are one batched model, adapted by `worldsim.env.sb3`. Returns are those of the dream; what they
are worth in the game is not asked here. A shared core of two, no accelerator: four minutes a seed. Writes
experiments/results/sb3_ppo.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import stable_baselines3
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecMonitor, VecTransposeImage

from worldsim.env.sb3 import WorldVecEnv
from worldsim.evaluate import hardware

RESULTS = Path(__file__).parent / "results" / "sb3_ppo.json"


class Returns(BaseCallback):
    """Keep the return of every episode, in order."""

    def __init__(self):
        super().__init__()
        self.returns: list[float] = []

    def _on_step(self) -> bool:
        self.returns += [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
        return True


def make_envs(world: Any, num_envs: int, obs_type: str, horizon: int) -> VecEnv:
    """Build the worlds with the last two observations side by side, so that what moves can be told."""
    envs = gym.make_vec(
        "worldsim:worldsim/World-v0",
        num_envs=num_envs,
        world=world,
        obs_type=obs_type,
        horizon=horizon,
        autoreset_mode="SameStep",
    )
    stacked = VecFrameStack(VecMonitor(WorldVecEnv(envs)), 2, channels_order="last")
    return stacked if obs_type == "latent" else VecTransposeImage(stacked)


def train(world: Any, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Train one agent; say what it earned at first and in the end."""
    envs = make_envs(world, args.num_envs, args.obs_type, args.horizon)
    policy = "MlpPolicy" if args.obs_type == "latent" else "CnnPolicy"
    agent = PPO(
        policy,
        envs,
        n_steps=args.num_steps,
        batch_size=args.num_envs * args.num_steps // 8,
        n_epochs=4,
        ent_coef=0.01,
        seed=seed,
        device="cpu",
    )
    returns = Returns()
    start, busy = time.perf_counter(), time.process_time()
    agent.learn(args.steps, callback=returns)
    wall, busy = time.perf_counter() - start, time.process_time() - busy
    envs.close()
    tail = max(1, len(returns.returns) // 5)
    first, last = np.mean(returns.returns[:tail]), np.mean(returns.returns[-tail:])
    return {
        "seed": seed,
        "episodes": len(returns.returns),
        "return_first_fifth": float(first),
        "return_last_fifth": float(last),
        "steps": agent.num_timesteps,
        "steps_per_second": agent.num_timesteps / wall,
        "steps_per_cpu_second": agent.num_timesteps / busy,
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", default="pong")
    parser.add_argument("--obs-type", choices=("latent", "pixels"), default="latent")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=32_768, help="of all worlds together")
    parser.add_argument("--num-envs", type=int, default=32)
    parser.add_argument("--num-steps", type=int, default=64, help="between two updates, in each world")
    parser.add_argument("--horizon", type=int, default=200)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    runs = []
    for seed in args.seeds:
        runs.append(train(args.world, seed, args))
        print(json.dumps(runs[-1]), file=sys.stderr)
    mean = {
        name: float(np.mean([run[name] for run in runs]))
        for name in ("return_first_fifth", "return_last_fifth", "steps_per_second", "steps_per_cpu_second")
    }
    spread = {f"{name}_sd": float(np.std([run[name] for run in runs])) for name in mean}
    settings = {k: v for k, v in vars(args).items() if k != "out"}
    versions = {"stable_baselines3": stable_baselines3.__version__, "torch": torch.__version__}
    command = " ".join(["python experiments/sb3_ppo.py", *(sys.argv[1:] if argv is None else argv)])
    result = {"command": command, **hardware(), **versions, **settings, **mean, **spread, "runs": runs}
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
