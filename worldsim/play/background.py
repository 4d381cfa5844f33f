"""Work that takes seconds and must not keep the process from ending: compilation, the start of a game."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


def in_background(function: Callable[..., Any], *args: Any) -> asyncio.Future:
    """Run a function in a daemon thread; the future gets its result. An executor's threads would be waited for."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def work() -> None:
        try:
            outcome = function(*args), None
        except BaseException as error:
            outcome = None, error
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, *outcome)

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
