"""Does a command end in good order whenever it is asked to, and go on afterwards?

A recording, a training, a dream, an evaluation and an agent's training, all of a world as small as can be, are sent
SIGINT or SIGTERM at random moments, one in each equal part of the time that they take, so that imports, reading,
compilation, steps, saving and the end itself are all hit. Every other signal goes to the whole process group, as a
terminal sends it. Each must end in time with status 130 (or 0 where it was done), say once that it stopped, print no
traceback and leave no process; and what can go on is then told to, and ends as what was never stopped did.

    python experiments/signals.py --shots 20

Two cores, an hour. Expected: nothing else. A signal that comes before the program's own code runs, in the half second
of Python's start, ends it at once as it would any Python program.
"""

import hashlib
import json
import os
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import tyro
from kill_recording import wait_for_group

from worldsim.cli.signals import GRACE_S, STOPPED
from worldsim.data.store import Footage
from worldsim.recording.record import record
from worldsim.train import fit

OUT = Path(__file__).parent / "results" / "signals.json"
SLACK_S = 3.0  # of a busy machine, beyond the grace of the program
LIMIT_S = 240.0  # for a command that is not stopped
CHILD = """
import faulthandler, signal, sys
faulthandler.register(signal.SIGUSR1, open(sys.argv[1], "w"))
open(sys.argv.pop(1) + ".ready", "w").close()
from worldsim.cli import main
sys.exit(main())
"""
PHASES = {  # what the main thread does, by what its stack has, first match wins
    "saving": r"save_training|save_world|save_agent|write_video|checkpoint_manager",
    "compiling": r"backend_compile|_cached_lowering|in lower\b|trace_to_jaxpr|pjit.py.*_infer_params",
    "importing": r"frozen importlib",
    "reading": r"data/store\.py|data/dataset\.py|check_data|read_columns",
    "evaluating": r"in _evaluate\b|evaluate/",
    "stepping": r"in run_stage|in run\b",
}


class Case(NamedTuple):
    """A command that is stopped."""

    fraction: float  # of the shots
    words: tuple[str, ...]
    resume: tuple[str, ...] | None = None  # further words that make it go on; None where nothing does


CASES = {
    "train": Case(0.5, ("train", "footage", "--out", "OUT", "--num-train-steps", "40"), ("--resume",)),
    "record": Case(
        0.15,
        ("record", "jump", "--out", "OUT", "--frames", "8000", "--size", "16", "24", "--max-episode-len", "60"),
        (),
    ),
    "agent": Case(
        0.15, ("agent", "train", "world", "--data", "footage", "--out", "OUT", "--num-updates", "20"), ("--resume",)
    ),
    "rollout": Case(0.1, ("rollout", "world", "--out", "OUT/dream.gif", "--frames", "2000")),
    "eval": Case(0.1, ("eval", "world", "--data", "footage", "--out", "OUT", "--quick", "--seeds", "1")),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """What to try."""

    shots: int = 20
    """How many of each signal."""
    seed: int = 0
    """Seed of the moments."""
    out: Path = OUT
    """Where to write the result."""


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    seconds: float
    out: str
    err: str
    phase: str
    took_s: float
    processes_left: int


def run(words: tuple[str, ...], home: Path, out: Path, programs: Path, shot: tuple[float, int, bool] | None) -> Ended:
    """Run a command, and stop it where there is a shot: (seconds after its start, signal, whether to its group)."""
    traces = out.with_suffix(".traces")
    words = tuple(word.replace("OUT", str(out)) for word in words)
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(programs)}
    env |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}
    with open(home / "stdout", "w+") as stdout, open(home / "stderr", "w+") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(traces), *words],
            stdout=stdout,
            stderr=stderr,
            cwd=home,
            env=env,
            start_new_session=True,
        )
        while not Path(f"{traces}.ready").exists():
            time.sleep(0.001)
        start = sent = time.monotonic()
        phase = ""
        if shot is not None:
            at, number, to_group = shot
            time.sleep(max(0.0, start + at - time.monotonic()))
            phase, sent = phase_of(process, traces), time.monotonic()
            if process.poll() is None:
                os.killpg(process.pid, number) if to_group else process.send_signal(number)
        try:
            status = process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
        ended = time.monotonic()
        texts = [(file.seek(0), file.read())[1] for file in (stdout, stderr)]
    Path(f"{traces}.ready").unlink()
    left, _ = wait_for_group(process.pid, limit_s=GRACE_S + SLACK_S)
    return Ended(status, ended - start, texts[0], texts[1], phase, ended - sent, left)


def phase_of(process: subprocess.Popen, traces: Path) -> str:
    """Return what the main thread of a process does, by its stack."""
    if process.poll() is not None:
        return "ended"
    process.send_signal(signal.SIGUSR1)
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline and "<module>" not in (text := traces.read_text()):
        time.sleep(0.002)
    stack = re.split(r"^(?:Current thread|Thread) .*$", text, flags=re.MULTILINE)[-1]
    if not re.search(r"cli/__init__\.py.* in main", stack):
        return "ending" if re.search(r"threading\.py.* in _shutdown|atexit", stack) else "before main"
    return next((name for name, pattern in PHASES.items() if re.search(pattern, stack)), "other")


def result_of(kind: str, out: Path) -> str | None:
    """Return a digest of what a command made: of a recording its frames, of a training its weights."""
    if kind == "record":
        return Footage.open(out).digest()
    files = sorted(out.glob("*/*.safetensors"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest() if files else None


def attempt(kind: str, home: Path, whole: dict[str, Any], at: float, number: int, i: int) -> dict[str, Any]:
    """Stop one command at a moment, let it go on, and say what came of it."""
    out, programs = home / "out", home / "programs"
    is_cold, to_group = bool(i // 2 % 2), bool(i % 2)
    _begin(kind, out, programs, None if is_cold else home / f"{kind}_programs")
    moment_s = at * whole["cold_s" if is_cold else "warm_s"]
    ended = run(CASES[kind].words, home, out, programs, (moment_s, number, to_group))
    row: dict[str, Any] = {
        "command": kind,
        "signal": signal.Signals(number).name,
        "moment_s": round(moment_s, 2),
        "phase": ended.phase,
        "to_group": to_group,
        "compiled_before": not is_cold,
        "status": ended.status,
        "took_s": round(ended.took_s, 2),
        "times_stopped": ended.err.count("worldsim: stopped"),
        "tracebacks": ended.err.count("Traceback"),
        "processes_left": ended.processes_left,
    }
    again = None
    if (further := CASES[kind].resume) is not None:
        has_run = any(out.glob("*run.json"))
        again = run((*CASES[kind].words, *(further if has_run else ())), home, out, programs, None)
        hint = ended.err.split("worldsim: stopped")[-1]
        row |= {
            "hint_fits": not further or ended.status != STOPPED or ("--resume" in hint) == has_run,
            "resume_status": again.status,
            "warnings_of_resumed": again.err.count("Warning"),
            "resumed_ends_the_same": again.status == 0 and result_of(kind, out) == whole["digest"],
        }
    row["ok"] = is_fine(row)
    if not row["ok"]:
        row["stderr"] = ended.err[-600:]
        row["stderr_of_resumed"] = again.err[-600:] if again is not None else ""
    return row


def is_fine(row: dict[str, Any]) -> bool:
    """Whether a stopped command ended as it should, and went on."""
    in_time = row["took_s"] < GRACE_S + SLACK_S and not row["processes_left"]
    goes_on = row.get("hint_fits", True) and row.get("resumed_ends_the_same", True) and not row.get("resume_status")
    if row["phase"] == "before main":  # Python's own
        return in_time and goes_on
    stopped = row["status"] == STOPPED and row["times_stopped"] == 1
    is_done = row["status"] == 0 and row["times_stopped"] == 0
    return in_time and goes_on and not row["tracebacks"] and (stopped or is_done)


def measure_whole(kind: str, home: Path) -> dict[str, Any]:
    """Run a command to its end, without compiled programs and with them; return its times and what it made."""
    times, digests, out = {}, set(), home / "out"
    for name, programs in (("cold_s", None), ("warm_s", home / f"{kind}_programs")):
        _begin(kind, out, home / "programs", programs)
        ended = run(CASES[kind].words, home, out, home / "programs", None)
        if ended.status:
            raise RuntimeError(f"expected {kind} to end by itself, got status {ended.status}: {ended.err[-500:]}")
        times[name] = round(ended.seconds, 1)
        digests.add(result_of(kind, out))
        if programs is None:
            shutil.rmtree(home / f"{kind}_programs", ignore_errors=True)
            shutil.copytree(home / "programs", home / f"{kind}_programs")
    if len(digests) > 1:
        raise RuntimeError(f"expected {kind} to make the same twice.")
    return {**times, "digest": digests.pop()}


def _begin(kind: str, out: Path, programs: Path, kept: Path | None) -> None:
    for folder in (out, programs):
        shutil.rmtree(folder, ignore_errors=True)
    if kept is not None:
        shutil.copytree(kept, programs)
    programs.mkdir(exist_ok=True)
    if kind == "rollout":
        out.mkdir()


def prepare(home: Path) -> None:
    """Make the footage and the world that the commands work on."""
    footage = record("jump", home / "footage", num_frames=400, size=(16, 24), max_episode_len=60)
    fit([footage.path], home / "run", num_train_steps=4)
    (home / "run" / "world").rename(home / "world")


def draw_shots(config: Config) -> list[tuple[str, float, signal.Signals, int]]:
    """Draw a moment of each equal part of each command's time, for each signal, in any order."""
    rng = random.Random(config.seed)
    shots = [
        (kind, (i + rng.random()) / count, number, i)
        for kind, case in CASES.items()
        for count in [max(1, round(case.fraction * config.shots))]
        for number in (signal.SIGINT, signal.SIGTERM)
        for i in range(count)
    ]
    rng.shuffle(shots)
    return shots


def main(config: Config) -> None:
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        prepare(home)
        wholes = {kind: measure_whole(kind, home) for kind in CASES}
        for kind, at, number, i in draw_shots(config):
            rows.append(attempt(kind, home, wholes[kind], at, number, i))
            print(rows[-1], file=sys.stderr, flush=True)
            write(config, wholes, rows)


def write(config: Config, wholes: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Write the result so far."""
    stopped = [row for row in rows if row["status"] == STOPPED]
    counted = ("command", "signal", "phase", "status")
    result = {
        "command": f"python experiments/signals.py --shots {config.shots} --seed {config.seed}",
        "hardware": f"{os.cpu_count()} {platform.machine()} cores, no accelerator",
        "signals": len(rows),
        "failures": sum(not row["ok"] for row in rows),
        "stopped": len(stopped),
        "max_seconds_to_end": max(row["took_s"] for row in rows),
        "median_seconds_to_end": sorted(row["took_s"] for row in rows)[len(rows) // 2],
        "resumed": sum("resume_status" in row for row in rows),
        "resumed_ends_the_same": sum(row.get("resumed_ends_the_same", False) for row in rows),
        "by": {name: dict(sorted(Counter(str(row[name]) for row in rows).items())) for name in counted},
        "whole_runs": {kind: {k: v for k, v in whole.items() if k != "digest"} for kind, whole in wholes.items()},
        "rows": rows,
    }
    config.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Config))
