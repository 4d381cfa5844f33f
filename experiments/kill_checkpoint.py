"""Does a kill -9 at any moment leave a run that goes on from its last good step?

A child process saves a 60 MB training state again and again, every array filled from its step number, and announces a
step before and after it hands it to the background writer. It is killed at random moments; the state is then opened,
compared array by array with what that step must hold, and the child goes on from there.

    python experiments/kill_checkpoint.py --kills 20

Two cores, about two minutes. Expected: every kill restored, no mismatching array, and never a step lost beyond the
one or two that were still being written. This tests killed processes, not power cuts.
"""

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from worldsim.train.checkpoint import open_training, restore_training, save_training

OUT = Path(__file__).parent / "results" / "kill_checkpoint.json"


@dataclass(frozen=True, kw_only=True)
class Config:
    """What to try."""

    kills: int = 20
    """How many times the child is killed."""
    seed: int = 0
    """Seed of the moments."""
    max_wait_s: float = 1.5
    """Longest time from the first save of a child to its end; a save takes 0.1 to 0.5 s."""
    child: str = ""
    """Used by the program itself: the folder to save into."""


def state(step: int) -> dict:
    """Make 60 MB of arrays that tell which step they belong to."""
    rng = np.random.default_rng(step)
    arrays = {f"layer_{i}": np.roll(np.arange(750_000, dtype=np.float32), step + i) for i in range(20)}
    return {"params": arrays, "key": rng.integers(0, 2**32, 2, dtype=np.uint32), "step": step}


def child(path: str) -> None:
    """Save steps until killed; say when a save begins and when the one before it is on disk."""
    manager = open_training(path)
    found = restore_training(manager, state(0))
    step = found[0] if found else 0
    while True:
        step += 1
        tree = state(step)
        print(f"begin {step}", flush=True)
        save_training(manager, step, tree, {"step": step})
        if step % 2:
            manager.wait_until_finished()
            print(f"done {step}", flush=True)


def attempt(path: Path, wait_s: float) -> dict:
    """Start a child, kill it, and say what is left."""
    process = subprocess.Popen([sys.executable, __file__, "--child", str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    time.sleep(wait_s)
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.readlines()
    process.stdout.close()
    process.wait()
    said = [(word, int(step)) for word, step in (line.split() for line in lines if line.endswith("\n"))]
    done = max((step for word, step in said if word == "done"), default=0)
    leftovers = len(list(path.glob("*tmp*")))
    began = time.perf_counter()
    manager = open_training(path)
    found = restore_training(manager, state(0))
    seconds = time.perf_counter() - began
    manager.close()
    step, tree, _ = found if found else (0, {}, {})
    wanted = state(step)
    wrong = sum(not np.array_equal(tree["params"][k], wanted["params"][k]) for k in wanted["params"]) if found else 0
    wrong += bool(found) and not np.array_equal(tree["key"], wanted["key"])
    return {
        "wait_s": round(wait_s, 3),
        "said_done": done,
        "began": max(step for _, step in said),
        "restored": step,
        "lost_finished_steps": max(0, done - step),
        "mismatching_arrays": int(wrong),
        "interrupted_saves": leftovers,
        "restore_s": round(seconds, 3),
    }


def main(config: Config) -> None:
    """Kill the child again and again and write down what was left."""
    rng = np.random.default_rng(config.seed)
    with tempfile.TemporaryDirectory() as folder:
        rows = [attempt(Path(folder) / "state", float(rng.uniform(0, config.max_wait_s))) for _ in range(config.kills)]
    result = {
        "command": f"python experiments/kill_checkpoint.py --kills {config.kills} --seed {config.seed}",
        "hardware": f"{os.cpu_count()} {platform.machine()} cores, no accelerator",
        "kills": len(rows),
        "restored": sum(row["restored"] > 0 or row["said_done"] == 0 for row in rows),
        "kills_during_a_save": sum(row["interrupted_saves"] > 0 for row in rows),
        "lost_finished_steps": sum(row["lost_finished_steps"] for row in rows),
        "mismatching_arrays": sum(row["mismatching_arrays"] for row in rows),
        "max_restore_s": max(row["restore_s"] for row in rows),
        "rows": rows,
    }
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "rows"}))


if __name__ == "__main__":
    arguments = tyro.cli(Config)
    child(arguments.child) if arguments.child else main(arguments)
