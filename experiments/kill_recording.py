"""Does a kill -9 at any moment of a recording lose anything but the unfinished episode?

One folder is recorded over and over: each time the recording process, or it and its workers, are killed at a random
moment, every episode that the index lists is read, and the next recording goes on in the same folder. At the end an
unkilled recording of the same seed says what each episode should have been.

    python experiments/kill_recording.py --kills 20

Two idle cores: about five minutes. Expected: no unreadable and no differing episode, no process left behind. This tests
killed processes, not power cuts.
"""

import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from worldsim.data.store import Footage
from worldsim.recording.record import record

OUT = Path(__file__).parent / "results" / "kill_recording.json"
CHILD = """
from worldsim.recording.record import record
record({game!r}, {out!r}, num_frames=10**9, num_workers={workers}, seed={seed}, max_episode_len={max_len})
"""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What to try."""

    game: str = "jump"
    """Which game to record."""
    kills: int = 20
    """How many times the recording is killed."""
    seed: int = 0
    """Seed of the recording and of the moments."""
    max_wait_s: float = 2.5
    """The longest time from the first new episode part on disk to the kill."""
    max_episode_len: int = 100
    """Short episodes, so that many kills fall on the end of one."""


def run_and_kill(config: Config, out: Path, workers: int, wait_s: float, whole_group: bool) -> tuple[int, float]:
    """Record until a worker plays, wait, kill; give back the processes that stay and how long the others took."""
    script = CHILD.format(
        game=config.game, out=str(out), workers=workers, seed=config.seed, max_len=config.max_episode_len
    )
    before = set((out / "episodes").glob("*"))
    process = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    while not set((out / "episodes").glob("*.part")) - before:
        if process.poll() is not None:
            raise RuntimeError(f"the recording ended by itself with exit code {process.returncode}.")
        time.sleep(0.005)
    time.sleep(wait_s)
    if whole_group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    return wait_for_group(process.pid)


def wait_for_group(group: int, limit_s: float = 120.0) -> tuple[int, float]:
    """Wait until a process group is empty; give back how many of it are left at the end, and the seconds it took."""
    start = time.monotonic()
    while left := [p for p in Path("/proc").glob("[0-9]*") if _group(p) == group]:
        if time.monotonic() - start > limit_s:
            break
        time.sleep(0.05)
    return len(left), round(time.monotonic() - start, 2)


def _group(process: Path) -> int | None:
    try:
        state, _, group = (process / "stat").read_text().rsplit(")", 1)[1].split()[:3]
    except (OSError, ValueError):
        return None
    return None if state == "Z" else int(group)


def count_unreadable(footage: Footage) -> int:
    """How many listed episodes cannot be read."""
    bad = 0
    for i in range(len(footage)):
        try:
            footage[i]
        except ValueError:
            bad += 1
    return bad


def count_different(a: Footage, b: Footage) -> int:
    """How many episodes of `a` are not bit for bit those of `b`."""

    def same(i: int) -> bool:
        pairs = zip(a[i], b[i], strict=True)
        return all(x is y is None or x.tobytes() == y.tobytes() for x, y in pairs)  # bytes: state has NaN

    return sum(not same(i) for i in range(len(a)))


def main(config: Config) -> None:
    rng = random.Random(config.seed)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "killed"
        for i in range(config.kills):
            row = {
                "workers": 1 + i % 2,
                "wait_s": round(rng.uniform(0, config.max_wait_s), 3),
                "whole_group": i % 4 > 1,
            }
            left, took_s = run_and_kill(config, out, row["workers"], row["wait_s"], row["whole_group"])
            footage = Footage.open(out)
            index = (out / "episodes.jsonl").read_bytes()
            row |= {
                "processes_left": left,
                "gone_after_s": took_s,
                "listed": len(footage),
                "unreadable": count_unreadable(footage),
            }
            row |= {"unlisted_folders": len(list((out / "episodes").iterdir())) - len(footage)}
            row |= {"torn_line": not index.endswith(b"\n") and bool(index)}
            rows.append(row)
            print(row, file=sys.stderr)
        killed = Footage.open(out)
        frames, how = killed.num_frames, {"seed": config.seed, "max_episode_len": config.max_episode_len}
        whole = record(config.game, Path(folder) / "whole", num_frames=frames, num_workers=2, **how)
        different = count_different(killed, whole)
        same_index = killed.digest() == whole.digest()
    kills, seed = config.kills, config.seed
    result = {
        "command": f"python experiments/kill_recording.py --game {config.game} --kills {kills} --seed {seed}",
        "hardware": f"{os.cpu_count()} {platform.machine()} cores, no accelerator",
        "kills": kills,
        "episodes_listed": rows[-1]["listed"],
        "frames_listed": frames,
        "episodes_unreadable": sum(r["unreadable"] for r in rows),
        "episodes_that_differ_from_an_unkilled_recording": different,
        "digest_equals_an_unkilled_recording": same_index,
        "kills_with_an_unfinished_episode_on_disk": sum(r["unlisted_folders"] > 0 for r in rows),
        "processes_left_behind": sum(r["processes_left"] for r in rows),
        "last_process_gone_after_s": max(r["gone_after_s"] for r in rows),
        "rows": rows,
    }
    OUT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Config))
