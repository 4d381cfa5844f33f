"""Work that takes seconds and must not keep the process from ending: compilation, the start of a game."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future

_threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


def in_background(function: Callable[..., object], *args: object) -> asyncio.Future:
    """Run a function in a daemon thread; the future gets its result. An executor's threads would be waited for."""
    future: Future = Future()
    future.set_running_or_notify_cancel()

    def work() -> None:
        try:
            future.set_result(function(*args))
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=work, daemon=True)
    _threads.add(thread)
    thread.start()
    return asyncio.wrap_future(future)


def wait_for_background(seconds: float) -> bool:
    """Wait for what still runs, so that it is not torn off in the middle of native code; whether all of it ended."""
    end = time.monotonic() + seconds
    for thread in list(_threads):
        thread.join(max(0.0, end - time.monotonic()))
    return not any(thread.is_alive() for thread in _threads)
