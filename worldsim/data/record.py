"""Record a game: workers play, this process lists their episodes in order.

The order and the content of the episodes depend on the seed alone, never on the number of workers: a worker that is
ahead waits in line, and what was played beyond the frames asked for is deleted. So a recording that goes on after
any interruption ends as the same footage as one that was never interrupted.
"""

from __future__ import annotations

import builtins
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worldsim.data.policies import check_policy
from worldsim.data.store import Footage, FootageMeta, FootageWriter

_TRIES = 2  # an episode whose worker died is tried once more
_CLOSE_S = 5.0


def record(
    game: str,
    out: Path | str,
    *,
    num_frames: int,
    policy: str = "noisy",
    seed: int = 0,
    num_workers: int = 1,
    size: tuple[int, int] | None = None,
    frame_skip: int | None = None,
    max_episode_len: int = 1000,
    on_progress: Callable[[int, int], None] | None = None,
    pilots: str | None = None,
) -> Footage:
    """Record whole episodes of a game until the folder holds at least `num_frames` frames.

    Footage of the same game, size and actions that is already there counts, and goes on with its next episode.

    Args:
        game: a short name ("jump") or a Gymnasium id ("CartPole-v1", "my_module:MyGame-v0").
        out: folder of the footage, new or of an earlier recording.
        num_frames: frames wanted in the folder, those of earlier recordings included.
        policy: "noisy" (the game's scripted player with 10 to 30 % noise, else random) or "random".
        seed: episode i is a pure function of the seed and i.
        num_workers: processes that play.
        size: height and width in pixels; None takes the game's own.
        frame_skip: steps of the game for each action; None takes the game's own.
        max_episode_len: actions after which an episode is cut, marked truncated.
        on_progress: called with frames done and frames wanted, about twice a second.
        pilots: what lets a trained agent play; `worldsim.agent.record` gives it.

    Returns:
        The footage, open for reading.

    Raises:
        ValueError: no such game or policy, other footage in the folder, a number out of range.
        ModuleNotFoundError: the game's package is not installed; the message says which extra has it.
        OSError: no room on the disk.
        RuntimeError: a game died twice in the same episode.
    """
    counts = {"num_frames": num_frames, "num_workers": num_workers, "max_episode_len": max_episode_len}
    for name, value in (*counts.items(), ("frame_skip", 1 if frame_skip is None else frame_skip)):
        if value < 1:
            raise ValueError(f"{name} wants a whole number of at least 1, got {value}.")
    if seed < 0:
        raise ValueError(f"seed wants a whole number of at least 0, got {seed}.")
    if size is not None and min(size) < 1:
        raise ValueError(f"size wants a height and a width of at least 1 pixel, got {size}.")
    check_policy(policy, pilots)
    command = ["worldsim", "record", game, "--policy", policy, "--seed", str(seed)]
    command += ["--size", *map(str, size)] if size else []
    recorder = {"policy": policy, "seed": seed, "max_episode_len": max_episode_len, "command": " ".join(command)}
    job = {"game": game, "size": size, "frame_skip": frame_skip, "recorder": recorder, "pilots": pilots}
    _Recording(job, Path(out), num_frames, num_workers, on_progress).run()
    return Footage.open(out)


class _Recording:
    """The parent's side of one call to `record`."""

    def __init__(self, job: dict, out: Path, wanted: int, num_workers: int, on_progress: Callable | None):
        self.job, self.out, self.wanted, self.num_workers = job, out, wanted, num_workers
        self.on_progress = on_progress or (lambda done, wanted: None)
        self.mail: queue.Queue[tuple[_Worker, dict | None]] = queue.Queue()
        self.workers: list[_Worker] = []
        self.finished: dict[int, tuple[Path, dict]] = {}  # played, waiting for an earlier one
        self.retry: list[int] = []
        self.tries: dict[int, int] = {}
        self.next_index = 0
        self.writer: FootageWriter | None = None

    def run(self) -> None:
        try:
            self._start_worker()
            while self.writer is None or self.writer.num_frames < self.wanted:
                worker, message = self.mail.get()
                if message is None:
                    self._died(worker)
                elif "error" in message:
                    raise _error(message)
                elif "meta" in message:
                    self._ready(worker, FootageMeta.from_json(message["meta"]))
                elif "frames" in message:
                    worker.frames = message["frames"]
                else:
                    self._finished(worker, message)
                self._report()
        finally:
            self._stop()

    def _ready(self, worker: _Worker, meta: FootageMeta) -> None:
        if self.writer is None:  # the first worker knows the game; now the others can start
            self.writer = FootageWriter(self.out, meta)
            self.next_index = len(self.writer.episodes)
            if self.writer.num_frames < self.wanted:
                for _ in range(self.num_workers - 1):
                    self._start_worker()
        self.writer.meta.check_same_world(meta)
        self._give_task(worker)

    def _give_task(self, worker: _Worker) -> None:
        assert self.writer is not None
        ahead = sum(summary["length"] for _, summary in self.finished.values())
        if self.retry:
            index = self.retry.pop(0)
        elif self.writer.num_frames + ahead < self.wanted:
            index, self.next_index = self.next_index, self.next_index + 1
        else:
            return  # what is being played or waits is enough
        self.tries[index] = self.tries.get(index, 0) + 1
        worker.play(index, self.writer.part())

    def _finished(self, worker: _Worker, message: dict) -> None:
        assert self.writer is not None and worker.part is not None
        self.finished[message["episode"]] = worker.part, message["summary"]
        worker.index, worker.part, worker.frames = None, None, 0
        recorder = self.job["recorder"]
        while len(self.writer.episodes) in self.finished and self.writer.num_frames < self.wanted:
            part, summary = self.finished.pop(len(self.writer.episodes))
            self.writer.commit(part, summary, seed=recorder["seed"], policy=recorder["policy"])
        self._give_task(worker)

    def _died(self, worker: _Worker) -> None:
        code, words = worker.last_words()
        self.workers.remove(worker)
        what = f"{self.job['game']} died with exit code {code}{words}"
        if worker.index is None or self.tries[worker.index] >= _TRIES:
            kept = 0 if self.writer is None else len(self.writer.episodes)
            raise RuntimeError(f"{what}; {kept} whole episodes are kept, and recording again goes on after them.")
        warnings.warn(f"{what}; episode {worker.index} is played again.", RuntimeWarning, stacklevel=2)
        self.retry.append(worker.index)
        self._start_worker()

    def _report(self) -> None:
        if self.writer is not None:
            waiting = sum(summary["length"] for _, summary in self.finished.values())
            done = self.writer.num_frames + waiting + sum(w.frames for w in self.workers)
            self.on_progress(min(done, self.wanted), self.wanted)

    def _start_worker(self) -> None:
        self.workers.append(_Worker(self.job, self.mail))

    def _stop(self) -> None:
        for worker in self.workers:
            worker.ask_to_leave()
        for worker in self.workers:
            worker.wait()
        if self.writer is not None:
            self.writer.close()


class _Worker:
    """A process that plays, and the thread that reads its answers."""

    def __init__(self, job: dict, mail: queue.Queue):
        self.index: int | None = None
        self.part: Path | None = None
        self.frames = 0
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        paths = os.pathsep.join(p or os.getcwd() for p in sys.path)  # sees the modules that this process sees
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from worldsim.data.worker import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": paths},
            text=True,
        )
        self._thread = threading.Thread(target=self._read, args=(mail,), daemon=True)
        self._thread.start()
        self._send(job)

    def play(self, index: int, part: Path) -> None:
        """Ask for an episode."""
        self.index, self.part = index, part
        self._send({"index": index, "path": str(part.absolute())})

    def ask_to_leave(self) -> None:
        """Close its stdin: it ends within a step."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            return

    def wait(self) -> None:
        """Wait until the process is gone, and see to it."""
        try:
            self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()

    def last_words(self) -> tuple[int, str]:
        """The exit code of a process that died, and the last line that it wrote to stderr."""
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        self.ask_to_leave()
        self.wait()
        return code, f' ("{lines[-1][:200]}")' if lines else ""

    def _send(self, message: dict) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # it died; the reading thread says so

    def _read(self, mail: queue.Queue) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            mail.put((self, json.loads(line)))
        mail.put((self, None))


def _error(message: dict[str, Any]) -> Exception:
    """What the worker raised, of the same kind where it is one that callers expect."""
    if message["error"] == "OSError":
        text = message["message"]
        return OSError(message["errno"], text.split("] ", 1)[-1]) if message["errno"] else OSError(text)
    known = {"ValueError", "TypeError", "ModuleNotFoundError", "MemoryError"}
    kind = getattr(builtins, message["error"]) if message["error"] in known else RuntimeError
    return kind(message["message"] if kind is not RuntimeError else f"{message['error']}: {message['message']}")
