"""How playing in the browser feels: frames a second and latency in a real Chromium, start-up, half an hour of play.

    pip install playwright && apt-get install chromium
    python experiments/play.py                      # some minutes
    python experiments/play.py --soak-minutes 30    # and half an hour of play
    python experiments/play.py --world minecraft --num-denoise-steps 2 --only-pages # another world, without its starts

The server is the command `worldsim play pong`, the page is its page in headless Chromium on the same machine, and the
keys are pressed by Playwright every 130 ms at uneven moments. Latency is the page's own: from the key to the drawing of
the first frame that answers it. "cached" starts find the compiled programs of a start before them, "cold" ones find
none. Half an hour of play watches the resident memory of the server (after its first five minutes, when the moments to
go back to are full and all is compiled) and how far the ticks are from where the clock says they should be. Writes
experiments/results/play.json, and of another world than pong play_<world>.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.evaluate import hardware

RESULTS = Path(__file__).parent / "results"
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SETTLE_S = 6.0
KEYS = {"pong": ("ArrowUp", "ArrowDown"), "minecraft": ("KeyW", "KeyD")}


@contextmanager
def server(world: str, cache: Path, *options: str) -> Iterator[tuple[subprocess.Popen, str]]:
    """Run `worldsim play`; gives the process and its address."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "worldsim", "play", world, "--port", "0", "--no-browser", *options]
        env = os.environ | {"XDG_CACHE_HOME": str(cache)}
        env.pop("JAX_COMPILATION_CACHE_DIR", None)
        process = subprocess.Popen([*command, "--out", folder], stdout=subprocess.PIPE, text=True, env=env)
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found, "the server did not start"
            yield process, found[0]
        finally:
            process.terminate()
            process.wait(10)


class Tab:
    """A page that is played."""

    def __init__(self, browser: Any, address: str):
        self.page = browser.new_page(viewport={"width": 1280, "height": 800})
        self.page.goto(address)
        self.wait("window.worldsim?.frames > 0")

    def wait(self, condition: str, seconds: float = 60.0) -> None:
        """Wait until something holds in the page."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(condition):
            if time.monotonic() > end:
                raise TimeoutError(condition)
            time.sleep(0.01)

    def reset(self) -> None:
        """Count from here on."""
        self.page.evaluate("worldsim.resetStats()")

    def numbers(self) -> tuple[int, list[float]]:
        """Frames drawn and latencies in ms since the reset."""
        frames, latency = self.page.evaluate("[worldsim.frames, worldsim.latency]")
        return frames, latency

    def tap(self, key: str, rng: np.random.Generator) -> None:
        """Press a key for 40 to 90 ms."""
        self.page.keyboard.down(key)
        time.sleep(rng.uniform(0.04, 0.09))
        self.page.keyboard.up(key)


def play(tabs: list[Tab], keys: tuple[str, ...], seconds: float, seed: int = 0) -> list[dict[str, float]]:
    """Play all tabs by turns; frames a second and latencies of each."""
    rng = np.random.default_rng(seed)
    for tab in tabs:
        tab.reset()
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        for tab in tabs:
            tab.tap(str(rng.choice(keys)), rng)
        time.sleep(rng.uniform(0.02, 0.11))
    found = []
    for tab in tabs:
        frames, latency = tab.numbers()
        p50, p95 = np.percentile(latency, [50, 95]) if latency else (float("nan"),) * 2
        fps = frames / (time.monotonic() - began)
        found.append({"fps": fps, "latency_p50_ms": p50, "latency_p95_ms": p95, "num_presses": len(latency)})
    return found


def measure_play(browser: Any, world: str, cache: Path, fps: float | None, num_players: int, args: Any) -> dict:
    """Some runs of one setting: the median of the runs and their spread; of several players the slowest one."""
    options = [] if fps is None else ["--fps", f"{fps:g}"]
    with server(world, cache, *options, "--max-players", str(max(num_players, 1))) as (_, address):
        tabs = [Tab(browser, address) for _ in range(num_players)]
        time.sleep(SETTLE_S)  # until all is compiled
        for tab in tabs if args.num_denoise_steps else ():
            tab.page.evaluate(f"document.querySelector('#steps [data-steps=\"{args.num_denoise_steps}\"]').click()")
        runs = [play(tabs, KEYS[world], args.seconds, seed) for seed in range(args.repeats)]
        status = tabs[0].page.evaluate("worldsim.status")
        for tab in tabs:
            tab.page.close()
    slowest = [min(run, key=lambda found: found["fps"]) for run in runs]
    result: dict[str, Any] = {key: status[key] for key in ("wanted_fps", "model_ms", "num_denoise_steps")}
    for name in ("fps", "latency_p50_ms", "latency_p95_ms"):
        values = [run[name] for run in slowest]
        result |= {name: float(np.median(values)), f"{name}_sd": float(np.std(values))}
    return result | {"num_players": num_players, "num_runs": args.repeats, "seconds": args.seconds}


def measure_start(browser: Any, world: str, cache: Path) -> float:
    """Seconds from the command to the first frame on the page."""
    began = time.monotonic()
    with server(world, cache) as (_, address):
        tab = Tab(browser, address)
        seconds = time.monotonic() - began
        time.sleep(SETTLE_S)  # so that what is compiled behind the first frame is kept too
        tab.page.close()
    return seconds


def measure_starts(browser: Any, world: str, repeats: int) -> dict[str, float]:
    """Cold and cached starts."""
    cold, cached = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(measure_start(browser, world, Path(cache)))
            cached.append(measure_start(browser, world, Path(cache)))
    spread = {"cold_s": cold, "cached_s": cached}
    return {key: float(x) for name, v in spread.items() for key, x in ((name, np.median(v)), (f"{name}_sd", np.std(v)))}


def soak(browser: Any, world: str, cache: Path, minutes: float) -> dict[str, Any]:
    """Play for long: memory of the server and place of the ticks."""
    rng, memory, late = np.random.default_rng(0), [], []
    with server(world, cache) as (process, address):
        tab = Tab(browser, address)
        time.sleep(SETTLE_S)
        fps = tab.page.evaluate("worldsim.hello.fps")
        began, first = time.monotonic(), tab.page.evaluate("worldsim.lastFrame.number")
        while (gone := time.monotonic() - began) < 60 * minutes:
            for _ in range(40):
                tab.tap(str(rng.choice(KEYS[world])), rng)
                time.sleep(rng.uniform(0.05, 0.3))
            number = tab.page.evaluate("worldsim.lastFrame.number")
            late.append((time.monotonic() - began) - (number - first) / fps)
            memory.append((gone, resident_mib(process.pid)))
        tab.page.close()
    settled = [mib for at, mib in memory if at >= min(300.0, 30 * minutes)]
    return {
        "minutes": minutes,
        "memory_mib_start": settled[0],
        "memory_mib_end": settled[-1],
        "memory_growth": settled[-1] / settled[0] - 1,
        "memory_spread": max(settled) / min(settled) - 1,
        "ticks": number - first,
        "tick_drift_ms": 1e3 * (np.median(late[-10:]) - np.median(late[:10])),
    }


def resident_mib(pid: int) -> float:
    """Memory of a process that is in RAM."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024  # type: ignore[index]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", default="pong", choices=sorted(KEYS))
    parser.add_argument("--num-denoise-steps", type=int, help="K; the world's own by default")
    parser.add_argument("--only-pages", action="store_true", help="one player at two speeds, and nothing else")
    parser.add_argument("--seconds", type=float, default=20.0, help="a run")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each setting")
    parser.add_argument("--soak-minutes", type=float, default=0.0, help="of long play; 0 for none")
    parser.add_argument("--only-soak", action="store_true", help="leave the other numbers as they are")
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    file = RESULTS / ("play.json" if args.world == "pong" else f"play_{args.world}.json")
    result = json.loads(file.read_text()) if file.is_file() else {}
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as cache:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGS)
        if not args.only_soak:
            settings = [("own_fps", None, 1), ("fps_60", 60.0, 1)]
            if not args.only_pages:
                result = {"start": measure_starts(browser, args.world, args.repeats), "soak": result.get("soak")}
                settings += [("fps_30", 30.0, 1), ("four", 30.0, 4)]
            for name, fps, players in settings:
                result[name] = measure_play(browser, args.world, Path(cache), fps, players, args)
                print(name, json.dumps(result[name]), file=sys.stderr)
        if args.soak_minutes:
            result["soak"] = soak(browser, args.world, Path(cache), args.soak_minutes)
        version = browser.version
        browser.close()
    command = "python experiments/play.py " + " ".join(sys.argv[1:] or ["--soak-minutes 30"])
    result |= {"world": args.world, "chromium": version, "command": command}
    file.write_text(json.dumps(result | hardware(), indent=1) + "\n")


if __name__ == "__main__":
    main()
