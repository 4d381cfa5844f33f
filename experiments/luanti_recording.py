"""How fast Luanti is recorded, and how far two runs of the same seed and actions agree.

    python experiments/luanti_recording.py                 # on as many cores as the process may use

Frames a second are of the scripted player, with mapping of new land, at 320x180 averaged down to 64x112. Every seed is
then played again in a new process under the actions of the first, and its way and its pictures are compared frame by
frame. Writes experiments/results/luanti_recording.json.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from worldsim.evaluate import hardware

RESULTS = Path(__file__).parent / "results" / "luanti_recording.json"
DIFFERENT = 8  # grey levels


def play(seeds: range, num_steps: int, scripts: dict[int, list] | None = None) -> dict[int, dict[str, Any]]:
    """Play episodes in one process: frames, states, actions, and seconds for the reset and the steps."""
    game: Any = gym.make("worldsim_envs:worldsim_envs/luanti-v0").unwrapped
    games = {}
    try:
        for seed in seeds:
            began = time.perf_counter()
            obs, info = game.reset(seed=seed)
            ready, frames, states, actions = time.perf_counter(), [obs], [info["state"]], []
            for step in range(num_steps):
                actions.append(game.scripted_action() if scripts is None else scripts[seed][step])
                obs, _, terminated, _, info = game.step(actions[-1])
                frames.append(obs)
                states.append(info["state"])
                if terminated or (scripts is not None and step + 1 == len(scripts[seed])):
                    break
            games[seed] = {
                "reset_s": ready - began,
                "fps": len(actions) / (time.perf_counter() - ready),
                "actions": actions,
                "obs": np.stack(frames),
                "state": np.stack(states),
                "names": game.metadata["state"],
            }
    finally:
        game.close()
    return games


def compare(one: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
    """How far the ways are apart, in blocks and degrees, and the share of pixels that differ."""
    count = min(len(one["obs"]), len(other["obs"]))
    columns = [one["names"].index(name) for name in ("x", "y", "z", "yaw", "pitch")]
    apart = np.abs(one["state"][:count, columns] - other["state"][:count, columns])
    apart[:, 3] = np.minimum(apart[:, 3], 360 - apart[:, 3])
    pixels = (np.abs(one["obs"][:count].astype(int) - other["obs"][:count]) > DIFFERENT).any(-1).mean((1, 2))
    return {
        "blocks_apart": float(apart[:, :3].max()),
        "degrees_apart": float(apart[:, 3:].max()),
        "frames_to_a_hundredth_block": int(np.argmax(np.append(apart[:, :3].max(1) > 0.01, True))),
        "pixels_differ": float(pixels.mean()),
        "pixels_differ_worst": float(pixels.max()),
        "num_frames": count,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=200)
    args = parser.parse_args()
    seeds = range(1000, 1000 + args.seeds)
    first = play(seeds, args.steps)
    second = play(seeds, args.steps, {seed: game["actions"] for seed, game in first.items()})
    index = first[seeds[0]]["names"].index
    fps = [game["fps"] for game in first.values()]
    result = {
        "fps_median": float(np.median(fps)),
        "fps_worst": min(fps),
        "fps_best": max(fps),
        "start_s": first[seeds[0]]["reset_s"],
        "reset_s_median": float(np.median([game["reset_s"] for game in first.values()][1:])),
        "replays": {seed: compare(first[seed], second[seed]) for seed in seeds},
        "biomes": {seed: int(np.median(first[seed]["state"][:, index("biome")])) for seed in seeds},
        "seeds": list(seeds),
        "steps": args.steps,
        "command": "python experiments/luanti_recording.py",
        **hardware(),
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k.startswith(("fps", "reset", "start"))}))


if __name__ == "__main__":
    main()
