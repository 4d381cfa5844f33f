"""Ctrl-C and SIGTERM end a command within seconds, whatever it is doing.

Python hears a signal only between its own instructions, not while XLA compiles for a minute, and an interrupt that is
raised inside a callback of the garbage collector is dropped. So the first signal raises KeyboardInterrupt, progress
bars ask whether one was missed, and a thread ends the process where neither helped. Nothing is lost by that: what is on
the disk is whole at any time.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRACE_S = 4.0  # to hear a signal, and mostly to save too
SAVING_S = 25.0  # more for what has heard it and still saves a large model
STOPPED = 130  # exit status

_DEAF = "_xla_gc_callback"  # what is raised inside of it is printed and dropped

_requested, _raised = threading.Event(), threading.Event()


@contextmanager
def heard(hint: str = "") -> Iterator[None]:
    """Hear both signals while a command runs in the main thread.

    Args:
        hint: how to go on, printed where the process ends by force.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(os, "set_blocking"):
        yield
        return
    _requested.clear()
    _raised.clear()
    read, write = os.pipe()
    os.set_blocking(write, False)
    ended = threading.Event()
    threading.Thread(target=_watch, args=(read, ended, hint), daemon=True).start()
    before = {kind: signal.signal(kind, _interrupt) for kind in (signal.SIGINT, signal.SIGTERM)}
    old = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(old)
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


def say_stopped(hint: str) -> None:
    """Print that the command was stopped, and how to go on."""
    print("\nworldsim: stopped" + (f"; {hint}." if hint else "."), file=sys.stderr, flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if frame is not None and frame.f_code.co_name == _DEAF:
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
    elif not _raised.is_set():  # a second one must not break what the first one saves
        _raised.set()
        raise KeyboardInterrupt


def _watch(read: int, ended: threading.Event, hint: str) -> None:
    stops = {signal.SIGINT, signal.SIGTERM}
    try:
        while (numbers := os.read(read, 64)) and not stops & set(numbers):
            continue
        if numbers:
            _requested.set()
            if not ended.wait(GRACE_S) and not (_raised.is_set() and ended.wait(SAVING_S)):
                say_stopped(hint)
                os._exit(STOPPED)
    finally:
        os.close(read)  # at the end: Python complains of a signal that it cannot write here
