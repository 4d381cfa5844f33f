"""Ctrl-C and SIGTERM end a command within seconds, whatever it is doing.

Python hears a signal only between its own instructions, not while XLA compiles for a minute, and an interrupt that is
raised where nothing can be raised, as in a callback of the garbage collector or a finalizer, is dropped. So the first
signal raises KeyboardInterrupt, one that was dropped is sent again, progress bars ask whether one was missed, and a
thread ends the process where none of it helped. Nothing is lost by that: what is on the disk is whole at any time.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

GRACE_S = 4.0  # to hear a signal, and mostly to save too
SAVING_S = 25.0  # more for what has heard it, can go on later, and still saves a large model
STOPPED = 130  # exit status

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_AGAIN_S = 0.05  # until an interrupt that was dropped is sent again
_requested, _raised, _dropped = threading.Event(), threading.Event(), threading.Event()
_saying = threading.Lock()


def end_at_once() -> None:
    """Let both signals end the process with a line, in what a program does before and after its command."""
    if threading.current_thread() is threading.main_thread():
        for kind in _SIGNALS:
            signal.signal(kind, _end)


@contextmanager
def heard(hint: Callable[[], str]) -> Iterator[None]:
    """Hear both signals while a command runs in the main thread.

    Args:
        hint: returns how to go on, for where the process ends by force; "" where nothing does.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(os, "set_blocking"):
        yield
        return
    for event in (_requested, _raised, _dropped):
        event.clear()
    if _saying.locked():
        _saying.release()
    read, write = os.pipe()
    os.set_blocking(write, False)
    ended = threading.Event()
    threading.Thread(target=_watch, args=(read, ended, hint), daemon=True).start()
    old, hook = signal.set_wakeup_fd(write, warn_on_full_buffer=False), sys.unraisablehook
    sys.unraisablehook = lambda error: _drop() if error.exc_type is KeyboardInterrupt else hook(error)
    before = {kind: signal.signal(kind, _interrupt) for kind in _SIGNALS}
    try:
        yield
    finally:
        signal.set_wakeup_fd(old)
        sys.unraisablehook = hook
        ended.set()
        for kind, handler in before.items():
            signal.signal(kind, handler)
        os.close(write)


def check() -> None:
    """Raise the interrupt that was asked for.

    Raises:
        KeyboardInterrupt: there was a signal.
    """
    if _requested.is_set() and not _raised.is_set():
        _raised.set()
        raise KeyboardInterrupt


def requested() -> bool:
    """Return whether a signal asked the command to end."""
    return _requested.is_set() or _raised.is_set()


def say_stopped(hint: str) -> None:
    """Print that the command was stopped, and how to go on; once, whoever says it."""
    if _saying.acquire(blocking=False):
        os.write(2, f"\nworldsim: stopped{f'; {hint}' if hint else ''}.\n".encode())


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not _raised.is_set():  # a second one must not break what the first one saves
        _raised.set()
        raise KeyboardInterrupt


def _drop() -> None:
    _raised.clear()
    _dropped.set()


def _end(number: int, frame: FrameType | None) -> None:
    say_stopped("")
    os._exit(STOPPED)


def _watch(read: int, ended: threading.Event, hint: Callable[[], str]) -> None:
    try:
        while (numbers := os.read(read, 64)) and not set(_SIGNALS) & set(numbers):
            continue
        if numbers:
            _requested.set()
            if not _ends(ended, hint):
                say_stopped(hint())
                os._exit(STOPPED)
    finally:
        os.close(read)  # at the end: Python complains of a signal that it cannot write here


def _ends(ended: threading.Event, hint: Callable[[], str]) -> bool:
    """Wait for the end of the command; return whether it came in time."""
    deadline = time.monotonic() + GRACE_S
    while not ended.wait(_AGAIN_S):
        if _dropped.is_set():
            _dropped.clear()
            os.kill(os.getpid(), signal.SIGINT)
        if time.monotonic() > deadline:
            return _raised.is_set() and hint() != "" and ended.wait(SAVING_S)
    return True
