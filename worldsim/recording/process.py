"""A game in a process of its own, in which functions of the game are called from here.

Some games allow one instance a process, and one that crashes or hangs must not take others with it. Recording, scoring
and play share this protocol: `call(function, ...)` runs `function(game, ...)` over there, and messages come back as
`(process, kind, value)` in an inbox.

    meta       the game has started: its FootageMeta
    progress   steps of the running call so far, about twice a second
    result     what the call returned
    error      what it raised; the process ends
    died       the process has ended

Both ways a message is a pickle behind its length, on stdin and stdout. When stdin ends the parent is gone, however it
went (kill -9 too), and the process leaves within a step, or after a short grace where the game hangs. Imports that take
seconds wait until the watch on the parent is up: a process killed while its workers were still starting left one of
them behind for more than ten seconds on a busy machine.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worldsim.recording.source import GameConfig

_GRACE_S = 3.0
_PROGRESS_S = 0.5
_LENGTH = struct.Struct("<Q")
_KNOWN = (ValueError, TypeError, ModuleNotFoundError, MemoryError)  # errors that callers expect

Inbox = queue.Queue[tuple["GameProcess", str, Any]]


class Stopped(Exception):
    """The parent is gone."""


class GameProcess:
    """The parent's end of a game in a process of its own.

    Args:
        config: the game and how it is shown.
        inbox: where messages go, so that several processes can share one.

    Raises:
        ValueError: an environment that cannot be sent to another process.
    """

    def __init__(self, config: GameConfig, inbox: Inbox | None = None):
        self.game, self.inbox = config.name, queue.Queue() if inbox is None else inbox
        start = _portable_config(config)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        paths = os.pathsep.join(p or os.getcwd() for p in sys.path)  # sees the modules that this process sees
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from worldsim.recording.process import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "PYTHONPATH": paths},
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self._send(start)

    def call(self, function: Callable[..., object], *args: object, **kwargs: object) -> None:
        """Run `function(game, ...)` in the process; the inbox gets its result. All of it must be picklable."""
        self._send((function, args, kwargs))

    def receive(self, timeout_s: float) -> Any:
        """Wait for the meta, or for the result of a call; for a process that has an inbox of its own.

        Raises:
            RuntimeError: the process died, or gives no answer in time. Errors of the call are raised as they are.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                _, kind, value = self.inbox.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise RuntimeError(f"{self.game} gave no answer for {timeout_s:g} s.") from None
            if kind == "error":
                raise value
            if kind == "died":
                raise RuntimeError(f"{self.death()}.")
            if kind != "progress":
                return value

    def death(self) -> str:
        """How a process ended that died: its exit code and the last line that it wrote to stderr."""
        code = self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"{self.game} died with exit code {code}" + (f' ("{lines[-1][:200]}")' if lines else "")

    def leave(self) -> None:
        """Ask the process to end within a step."""
        try:
            self._stdin.close()
        except BrokenPipeError:
            return

    def close(self, timeout_s: float = 5.0) -> None:
        """End the process, by force where it hangs."""
        self.leave()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join()
        self._stdout.close()
        self._stderr.close()

    def _send(self, message: object) -> None:
        try:
            _write(self._stdin, message)
        except BrokenPipeError:
            return  # it died; the reading thread says so

    def _read(self) -> None:
        while (message := _read(self._stdout)) is not None:
            self.inbox.put((self, *pickle.loads(message)))
        self.inbox.put((self, "died", None))


def serve() -> None:
    """Serve the parent until it goes: the first message says which game, each other one is a call."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-c is the parent's to handle
    answers = os.fdopen(os.dup(1), "wb")
    if hasattr(os, "register_at_fork"):  # what a game forks off must not hold the pipe open
        os.register_at_fork(after_in_child=lambda: os.close(answers.fileno()))
    os.dup2(2, 1)  # what games print must not mix with the answers
    requests: queue.Queue[bytes | None] = queue.Queue()
    gone = threading.Event()
    threading.Thread(target=_watch_parent, args=(requests, gone), daemon=True).start()
    try:
        _serve(requests, gone, lambda kind, value: _write(answers, (kind, value)))
    except (Stopped, BrokenPipeError):
        pass
    except Exception as error:  # every error is the parent's to report
        _write(answers, ("error", _portable(error)))
        raise


def _serve(requests: queue.Queue[bytes | None], gone: threading.Event, send: Callable[[str, Any], None]) -> None:
    start = requests.get()
    if start is None:
        return
    from worldsim.recording.game import Game

    steps, reported_at = 0, time.monotonic()

    def on_step() -> None:
        nonlocal steps, reported_at
        if gone.is_set():
            raise Stopped
        steps += 1
        if time.monotonic() - reported_at > _PROGRESS_S:
            reported_at = time.monotonic()
            send("progress", steps)

    game = Game(pickle.loads(pickle.loads(start)), on_step)
    try:
        send("meta", game.meta({}))
        while (request := requests.get()) is not None:
            function, args, kwargs = pickle.loads(request)
            steps, reported_at = 0, time.monotonic()
            send("result", function(game, *args, **kwargs))
    finally:
        game.close()


def _watch_parent(requests: queue.Queue[bytes | None], gone: threading.Event) -> None:
    with os.fdopen(os.dup(0), "rb") as stdin:
        while (message := _read(stdin)) is not None:
            requests.put(message)
    gone.set()
    requests.put(None)
    time.sleep(_GRACE_S)
    os._exit(1)


def _portable_config(config: GameConfig) -> bytes:
    """Pickle a game, with the code of a script or a notebook where it lives in one."""
    import cloudpickle

    try:
        return cloudpickle.dumps(config)
    except Exception as error:  # whatever the environment's own code raises
        raise ValueError(
            f"expected an environment that can be pickled, for it is played in a process of its own; {config.name} "
            f"cannot ({type(error).__name__}: {error}). Give a function that makes it."
        ) from error


def _portable(error: Exception) -> Exception:
    """The error without what only the game's process can unpickle, of the same kind where callers expect it."""
    if isinstance(error, OSError):
        return OSError(error.errno, error.strerror) if error.errno else OSError(str(error))
    kind = next((kind for kind in _KNOWN if isinstance(error, kind)), None)
    return RuntimeError(f"{type(error).__name__}: {error}") if kind is None else kind(str(error))


def _write(file: IO[bytes], message: object) -> None:
    data = pickle.dumps(message)
    file.write(_LENGTH.pack(len(data)) + data)
    file.flush()


def _read(file: IO[bytes]) -> bytes | None:
    """The next message; None where the other end is gone."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    data = file.read(length)
    return data if len(data) == length else None
