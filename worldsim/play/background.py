"""Work that takes seconds and must not keep the process from ending: compilation, the start of a game."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

_threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


def in_background(function: Callable[..., object], *args: object, nice: bool = False) -> asyncio.Future:
    """Run a function in a daemon thread; the future gets its result. An executor's threads would be waited for.

    Args:
        function: what to run.
        args: of the function.
        nice: let the game's thread go first, where the system can (Linux has priorities for threads).
    """
    return asyncio.wrap_future(start(function, *args, nice=nice))


def start(function: Callable[..., object], *args: object, nice: bool = False) -> Future:
    """As `in_background`, from a thread that has no event loop."""
    future: Future = Future()
    future.set_running_or_notify_cancel()

    def work() -> None:
        try:
            if nice and sys.platform == "linux":
                with suppress(OSError):  # lower already
                    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
            future.set_result(function(*args))
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=work, daemon=True)
    _threads.add(thread)
    thread.start()
    return future


def wait_for_background(seconds: float) -> bool:
    """Wait for what still runs, so that it is not torn off in the middle of native code; whether all of it ended."""
    end = time.monotonic() + seconds
    for thread in list(_threads):
        thread.join(max(0.0, end - time.monotonic()))
    return not any(thread.is_alive() for thread in _threads)
