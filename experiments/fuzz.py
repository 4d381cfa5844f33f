"""Does any damaged or forged bundle or footage crash, hang, take memory, or reach the terminal?

Bundles and footages are mutated by a seed: values of their JSON are replaced by hostile ones, bytes are flipped, cut
and repeated, files become pipes, devices, folders, links or sparse files of 8 GiB, and half of the time the card's
hashes are made to fit again. Each is then listed, read whole and made ready to run, or inspected and read whole. It may
be refused by a ValueError or be taken, within 20 s and 2 GiB. Anything else is a fault.

    python experiments/fuzz.py --count 500000

Two cores: about 15 cases a second. Expected: no faults; exit status 1 where there is one. `.ci/nightly` runs it with
another seed each night.
"""

import contextlib
import hashlib
import io
import json
import multiprocessing
import os
import platform
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb
from typing import Any

import numpy as np
import tyro
from mutations import mutate

from worldsim import places
from worldsim.cli.inspect import Inspect
from worldsim.cli.worlds import Worlds
from worldsim.controls import discrete
from worldsim.data.captions import check_attributes, read_captions
from worldsim.data.store import Footage, FootageMeta, FootageWriter
from worldsim.model.modules import count_params
from worldsim.simulator import Simulator
from worldsim.types import Episode
from worldsim.world import load_world

ROOT = Path(__file__).parents[1]
OUT = ROOT / "experiments" / "results" / "fuzz.json"
MAX_SECONDS, MAX_BYTES = 20, 2**31


class TimeUpError(BaseException):
    """A case took too long."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What to try."""

    count: int = 2000
    """Mutated bundles, and as many footages."""
    seed: int = 0
    """Seed of the mutations."""
    out: Path = OUT
    """Where to write the result."""


def rehash(folder: Path) -> None:
    """Make the hashes of a card those of its files, as somebody would who means harm."""
    path = folder / "card.json"
    if not path.is_file() or path.stat().st_size > 2**20:
        return
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError):
        card = json.loads(path.read_bytes())
        for name in ("weights", "initial_contexts"):
            file = folder / f"{name}.safetensors"
            if file.is_file() and file.stat().st_size < 2**26:
                card[name]["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
        path.unlink()
        path.write_text(json.dumps(card))


def try_bundle(folder: Path, rng: random.Random) -> str:
    """List a bundle, read it, make it ready to run; return what was printed."""
    if rng.random() < 0.5:
        rehash(folder)
    places.SHIPPED = (folder.parent,)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for as_json in (False, True):
            Worlds(json=as_json).run()
        with contextlib.suppress(ValueError):
            Simulator.from_world(load_world(folder, count_params=count_params))
    return printed.getvalue()


def try_footage(folder: Path, rng: random.Random) -> str:
    """Inspect a footage and read it whole; return what was printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(ValueError):
        footage = Footage.open(folder)
        for as_json in (False, True):
            with contextlib.suppress(ValueError):
                Inspect(path=folder, sheet=folder / "sheet.png" if as_json else None, json=as_json).run()
        with contextlib.suppress(ValueError):
            check_attributes(footage.meta.attributes, footage.meta.state_names)
            read_captions(folder, [x.length for x in footage.episodes])
        for i in range(len(footage)):
            with contextlib.suppress(ValueError):
                footage[i]
    return printed.getvalue()


def write_bundle(folder: Path) -> None:
    """Copy a shipped world."""
    shutil.copytree(ROOT / "checkpoints" / "jump", folder, ignore=shutil.ignore_patterns("*.gif", "*.png", "*.md"))


def write_footage(folder: Path) -> None:
    """Record random numbers, with captions."""
    rng, spec = np.random.default_rng(0), discrete(("stay", "left", "right"))
    fields = {"size": (12, 16), "fps": 15.0, "action_spec": spec, "state_names": ("x", "biome")}
    words = {"biome": {"en": ["sea", "land"], "ko": ["바다", "땅"]}}
    meta = FootageMeta(game="g", title="G", objects={}, recorder={"seed": 0}, attributes=words, **fields)
    with FootageWriter(folder, meta) as writer:
        for steps in (5, 40, 300):
            obs = rng.integers(0, 256, (steps + 1, 12, 16, 3), dtype=np.uint8)
            action, state = rng.integers(0, 3, (steps, 1)), rng.integers(0, 2, (steps + 1, 2))
            end = np.arange(steps) == steps - 1
            reward = rng.normal(size=steps).astype(np.float32)
            floats = action.astype(np.float32), reward, end, ~end & False, state.astype(np.float32)
            writer.add(Episode(obs, *floats), seed=0, policy="random")
    (folder / "captions.jsonl").write_text('{"episode": 0, "start": 0, "stop": 4, "text": "the sea"}\n' * 3)


KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path, random.Random], str]]] = {
    "bundles": (write_bundle, try_bundle),
    "footages": (write_footage, try_footage),
}


def fault_of(attempt: Callable[[Path, random.Random], str], folder: Path, rng: random.Random) -> str | None:
    """Try one case; return what is wrong with how it ended, None where nothing is."""
    signal.alarm(MAX_SECONDS)
    try:
        printed = attempt(folder, rng)
        strange = {c for c in printed if not c.isprintable() and c != "\n"}
        return f"prints {sorted(strange)!a}" if strange else None
    except (Exception, TimeUpError) as error:
        where = " < ".join(f"{Path(x.filename).name}:{x.lineno}" for x in reversed(extract_tb(error.__traceback__)))
        return f"{type(error).__name__}: {str(error)[:200]} at {where[:200]}"
    finally:
        signal.alarm(0)


def work(pipe: Any, kind: str, seed: int, start: int, stop: int) -> None:
    """Try cases in a process of limited memory; send the fault of each."""

    def time_up(*_: object) -> None:
        raise TimeUpError(f"over {MAX_SECONDS} s")

    signal.signal(signal.SIGALRM, time_up)
    write, attempt = KINDS[kind]
    with tempfile.TemporaryDirectory() as home:
        write(Path(home) / "whole")
        os.chdir(home)
        fault = fault_of(attempt, Path(home) / "whole", random.Random(0))  # warm up, before memory is limited
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MAX_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        pipe.send(fault)
        for case in range(start, stop):
            rng, folder = random.Random(f"{kind} {seed} {case}"), Path(home) / "cases" / "one"
            shutil.copytree(Path(home) / "whole", folder, copy_function=os.link)
            mutate(folder, rng)
            pipe.send(fault_of(attempt, folder, rng))
            shutil.rmtree(folder)


def fuzz(kind: str, count: int, seed: int) -> dict[str, Any]:
    """Try `count` cases in child processes, and begin a new one after each that died; return the faults by case."""
    context, faults, done, began = multiprocessing.get_context("spawn"), {}, 0, time.monotonic()
    while done < count:
        mine, theirs = context.Pipe(duplex=False)
        child = context.Process(target=work, args=(theirs, kind, seed, done, count))
        child.start()
        theirs.close()
        try:
            if not mine.poll(600) or (fault := mine.recv()) is not None:
                raise RuntimeError(f"expected the whole {kind} to be taken, got {fault}.")
            while done < count:
                fault = mine.recv() if mine.poll(MAX_SECONDS + 10) else "hangs, deaf to signals"
                if fault is not None:
                    faults[done] = fault
                done += 1
                if fault == "hangs, deaf to signals":
                    break
        except EOFError:
            faults[done] = f"the process died, status {child.exitcode}"
            done += 1
        finally:
            child.kill()
            child.join()
        print(f"{kind}: {done} of {count}, {len(faults)} faults", file=sys.stderr)
    return {"cases": count, "seconds": round(time.monotonic() - began), "num_faults": len(faults), "faults": faults}


def main(config: Config) -> int:
    print(f"fuzz: seed {config.seed}, {config.count} of each", flush=True)
    found = {kind: fuzz(kind, config.count, config.seed) for kind in KINDS}
    result = {
        "command": f"python experiments/fuzz.py --count {config.count} --seed {config.seed}",
        "hardware": f"{os.cpu_count()} {platform.machine()} cores, no accelerator",
        "max_seconds": MAX_SECONDS,
        "max_bytes": MAX_BYTES,
        **found,
    }
    config.out.write_text(json.dumps(result, indent=1) + "\n")
    num_faults = sum(result["num_faults"] for result in found.values())
    print(f"fuzz: {num_faults} faults at seed {config.seed}, written to {config.out}")
    return int(num_faults > 0)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config)))
