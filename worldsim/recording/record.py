"""Record a game: processes play, this one lists their episodes in order.

The order and the content of the episodes depend on the seed alone, never on the number of workers: a worker that is
ahead waits in line, and what was played beyond the frames asked for is deleted. So a recording that goes on after
any interruption ends as the same footage as one that was never interrupted.
"""

from __future__ import annotations

import queue
import shlex
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from worldsim.data.store import Footage, FootageMeta, FootageWriter
from worldsim.places import as_path
from worldsim.recording.episode import record_episode
from worldsim.recording.policies import PolicyMaker, check_policy
from worldsim.recording.process import GameProcess, Inbox
from worldsim.recording.source import EnvSource, GameConfig

_TRIES = 2  # an episode that failed is tried once more, then left out
_MOST_SKIPPED = 3  # episodes in a row, before the recording is given up

MAX_FPS = 1000.0

OnProgress = Callable[[int, int], None]


def record(
    game: EnvSource,
    out: Path | str,
    *,
    num_frames: int,
    policy: str = "noisy",
    seed: int = 0,
    num_workers: int = 1,
    size: tuple[int, int] | None = None,
    frame_skip: int | None = None,
    max_episode_len: int = 1000,
    env_kwargs: Mapping[str, Any] | None = None,
    obs_key: str | None = None,
    channels: str | None = None,
    fps: float | None = None,
    on_progress: OnProgress | None = None,
    agent: PolicyMaker | None = None,
) -> Footage:
    """Record whole episodes of a game until the folder holds at least `num_frames` frames; returns its footage.

    Footage of the same game, size and actions that is already there counts, and goes on with its next episode.

    Args:
        game: a short name ("jump"), a Gymnasium id ("CartPole-v1", "my_module:MyGame-v0"), an environment, or a
            function that makes one. Other processes play copies of it, so it must be picklable.
        out: folder of the footage, new or of an earlier recording.
        num_frames: frames wanted in the folder, those of earlier recordings included.
        policy: "noisy" (the game's scripted player with 10 to 30 % noise, else random), "lapsing" (the same, who at
            times leaves the keys to chance: more ends), "random" or "noop"; with `agent` the name that the footage
            gives it.
        seed: episode i is a pure function of the seed and i.
        num_workers: processes that play.
        size: height and width in pixels; None takes the game's own, scaled to 96 pixels where it has more than 128.
        frame_skip: steps of the game for each action; None takes the game's own.
        max_episode_len: actions after which an episode is cut, marked truncated.
        env_kwargs: keyword arguments of the environment.
        obs_key: which entry of a Dict observation is the picture.
        channels: "first" or "last": where a picture's colours stand, where its shape leaves it open.
        fps: steps of the game for each second; None takes what the environment says, or 30.
        on_progress: called with frames done and frames wanted, about twice a second.
        agent: makes the policy of a trained agent; `worldsim.agent.record` gives it.

    Raises:
        ValueError: no such game or policy, other footage in the folder, or what cannot be recorded.
        ModuleNotFoundError: the game's package is not installed; the message says which extra has it.
        OSError: no room on the disk.
        RuntimeError: several episodes in a row failed twice. A single one is left out, with a warning.
    """
    counts = {"num_frames": num_frames, "num_workers": num_workers, "max_episode_len": max_episode_len}
    _check_numbers({**counts, "frame_skip": frame_skip}, seed, size, channels, fps)
    shown = {"size": size, "frame_skip": frame_skip, "obs_key": obs_key, "channels": channels, "fps": fps}
    _Recording(
        config=GameConfig.of(game, env_kwargs=env_kwargs or {}, **shown),
        how={"policy": policy, "seed": seed, "max_episode_len": max_episode_len},
        agent=agent,
        out=as_path(out),
        wanted=num_frames,
        num_workers=num_workers,
        on_progress=on_progress or (lambda done, wanted: None),
    ).run()
    return Footage.open(out)


def _check_numbers(
    counts: Mapping[str, int | None], seed: int, size: tuple[int, int] | None, channels: str | None, fps: float | None
) -> None:
    for name, value, least in (*((*count, 1) for count in counts.items()), ("seed", seed, 0)):
        if value is not None and value < least:
            raise ValueError(f"expected a whole number of at least {least} for {name}, got {value}.")
    if size is not None and min(size) < 1:
        raise ValueError(f"expected a height and a width of at least 1 pixel for size, got {size}.")
    if channels not in (None, "first", "last"):
        raise ValueError(f'expected "first" or "last" for channels, got {channels!r}.')
    if fps is not None and not 0 < fps <= MAX_FPS:
        raise ValueError(f"expected a number above 0, of {MAX_FPS:g} at most, for fps, got {fps}.")


@dataclass
class _Task:
    """The episode that a worker plays."""

    index: int
    part: Path
    num_frames: int = 0


@dataclass(kw_only=True)
class _Recording:
    """The parent's side of one call to `record`."""

    config: GameConfig
    how: dict[str, Any]  # policy, seed, max_episode_len
    agent: PolicyMaker | None
    out: Path
    wanted: int
    num_workers: int
    on_progress: OnProgress
    inbox: Inbox = field(default_factory=queue.Queue)
    tasks: dict[GameProcess, _Task | None] = field(default_factory=dict)
    finished: dict[int, tuple[Path, dict]] = field(default_factory=dict)  # played, waiting for an earlier one
    retry: list[int] = field(default_factory=list)
    tries: dict[int, int] = field(default_factory=dict)
    next_index: int = 0
    next_listed: int = 0  # the episode that the index waits for
    skipped: set[int] = field(default_factory=set)
    writer: FootageWriter | None = None

    def run(self) -> None:
        if self.agent is None:
            check_policy(self.how["policy"])
        try:
            self._start_worker()
            while self.writer is None or self.writer.num_frames < self.wanted:
                worker, kind, value = self.inbox.get()
                if worker not in self.tasks:
                    continue  # it failed, and this is its end
                task = self.tasks[worker]
                if kind == "error":
                    self._failed(worker, task, value)
                elif kind == "died":
                    self._failed(worker, task, RuntimeError(worker.death()))
                elif kind == "meta":
                    self._ready(worker, value)
                elif task is not None and kind == "progress":
                    task.num_frames = value + 1
                elif task is not None and kind == "result":
                    self._finished(worker, task, value)
                self._report()
        finally:
            for worker in self.tasks:
                worker.leave()
            for worker in self.tasks:
                worker.close()
            if self.writer is not None:
                self.writer.close()

    def _ready(self, worker: GameProcess, meta: FootageMeta) -> None:
        if self.writer is None:  # the first worker knows the game; now the others can start
            if self.agent is not None:  # one that does not fit is refused before there is a folder
                self.agent(meta.action_spec, meta.size, 0)
            recorder = {**self.how, "command": self._command(), **meta.recorder}
            self.writer = FootageWriter(self.out, replace(meta, recorder=recorder))
            self.next_index = self.next_listed = self.writer.next_number
            if self.writer.num_frames < self.wanted:
                for _ in range(self.num_workers - 1):
                    self._start_worker()
        self.writer.meta.check_same_world(meta)
        self._give_task(worker)

    def _give_task(self, worker: GameProcess) -> None:
        assert self.writer is not None
        if self.retry:
            index = self.retry.pop(0)
        elif self.writer.num_frames + self._num_waiting < self.wanted:
            index, self.next_index = self.next_index, self.next_index + 1
        else:
            return  # what is being played or waits is enough
        self.tries[index] = self.tries.get(index, 0) + 1
        self.tasks[worker] = task = _Task(index, self.writer.part())
        worker.call(record_episode, task.part.absolute(), index=index, agent=self.agent, **self.how)

    def _finished(self, worker: GameProcess, task: _Task, summary: dict[str, object]) -> None:
        assert self.writer is not None
        self.finished[task.index], self.tasks[worker] = (task.part, summary), None
        self._list()
        self._give_task(worker)

    def _list(self) -> None:
        """Put what has finished into the index, in order."""
        assert self.writer is not None
        while self.writer.num_frames < self.wanted and self.next_listed in self.finished.keys() | self.skipped:
            if self.next_listed in self.finished:
                part, summary = self.finished.pop(self.next_listed)
                how = {"seed": self.how["seed"], "policy": self.how["policy"]}
                self.writer.commit(part, summary, number=self.next_listed, **how)
            self.next_listed += 1

    def _failed(self, worker: GameProcess, task: _Task | None, error: Exception) -> None:
        """Play an episode that failed once more, then leave it out; give up where that helps nothing."""
        del self.tasks[worker]
        worker.close()
        if task is None or isinstance(error, (OSError, MemoryError)):
            raise error
        what = f"episode {task.index} of seed {self.how['seed']} failed ({error})"
        if self.tries[task.index] < _TRIES:
            warnings.warn(f"{what}; episode {task.index} is played again.", RuntimeWarning, stacklevel=2)
            self.retry.append(task.index)
        else:
            self.skipped.add(task.index)
            if {task.index - i for i in range(_MOST_SKIPPED)} <= self.skipped:
                kept = 0 if self.writer is None else len(self.writer.episodes)
                kind = type(error) if isinstance(error, (ValueError, TypeError)) else RuntimeError
                raise kind(f"{str(error).rstrip('.')}; {kept} whole episodes are kept in {self.out}.") from error
            warnings.warn(f"{what} twice; it is left out.", RuntimeWarning, stacklevel=2)
            self._list()
        self._start_worker()

    @property
    def _num_waiting(self) -> int:
        """Frames of episodes that wait for an earlier one."""
        return sum(summary["length"] for _, summary in self.finished.values())

    def _report(self) -> None:
        if self.writer is not None:
            playing = sum(task.num_frames for task in self.tasks.values() if task is not None)
            self.on_progress(min(self.writer.num_frames + self._num_waiting + playing, self.wanted), self.wanted)

    def _start_worker(self) -> None:
        self.tasks[GameProcess(self.config, inbox=self.inbox)] = None

    def _command(self) -> str:
        """Return the command that records the same, but for --out and --frames, which do not change an episode."""
        command = ["worldsim", "record", self.config.name, "--policy", self.how["policy"]]
        command += ["--seed", str(self.how["seed"])]
        command += ["--size", *map(str, self.config.size)] if self.config.size else []
        for name in ("frame_skip", "obs_key", "channels", "fps"):
            if (value := getattr(self.config, name)) is not None:
                command += [f"--{name.replace('_', '-')}", str(value)]
        return shlex.join(command)
