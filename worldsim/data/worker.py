"""The process that plays: it reads tasks from stdin, records one episode for each, and answers on stdout.

Both ways the messages are lines of JSON. A process of its own, because some games allow one instance a process;
kept between episodes, because starting one costs seconds. When stdin ends the parent is gone, however it went
(kill -9 too), and the worker leaves within a step, or after a short grace where the game hangs.

Imports that take seconds wait until the watch on the parent is up: a process killed while its workers were still
starting left one of them behind for more than ten seconds on a busy machine.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_GRACE_S = 3.0
_NEWS_S = 0.5


class Stopped(Exception):
    """The parent wants no more of this episode, or is gone."""


def main() -> None:
    """Serve the parent until it goes. The first line of stdin says which game; each next one is an episode."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-c is the parent's to handle
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what games print must not mix with the answers
    tasks: queue.Queue[dict | None] = queue.Queue()
    gone = threading.Event()
    threading.Thread(target=_watch_parent, args=(tasks, gone), daemon=True).start()

    def say(**message: Any) -> None:
        print(json.dumps(message), file=answers, flush=True)

    try:
        _serve(tasks, gone, say)
    except (Stopped, BrokenPipeError):
        pass
    except Exception as error:  # every error is the parent's to report
        say(error=type(error).__name__, message=str(error), errno=getattr(error, "errno", None))
        raise


def _serve(tasks: queue.Queue, gone: threading.Event, say: Callable[..., None]) -> None:
    job = tasks.get()
    if job is None:
        return
    from worldsim.data.game import Game
    from worldsim.data.playing import record_episode
    from worldsim.data.policies import make_pilot

    size = tuple(job["size"]) if job["size"] else None
    game = Game(job["game"], size, job["frame_skip"])
    news_at = time.monotonic()

    def on_frame(frames: int) -> None:
        nonlocal news_at
        if gone.is_set():
            raise Stopped
        if time.monotonic() - news_at > _NEWS_S:
            news_at = time.monotonic()
            say(frames=frames)

    try:
        meta = game.meta(job["recorder"])
        if job["pilots"] is not None:  # an agent that does not fit is refused before there is a folder
            make_pilot(job["pilots"], job["recorder"]["policy"], game.spec, meta.size, 0)
        say(meta=meta.to_json())
        while (task := tasks.get()) is not None:
            how = {k: job["recorder"][k] for k in ("policy", "seed", "max_episode_len")} | {"pilots": job["pilots"]}
            path = Path(task["path"])
            say(
                episode=task["index"], summary=record_episode(game, path, index=task["index"], on_frame=on_frame, **how)
            )
    finally:
        game.close()


def _watch_parent(tasks: queue.Queue, gone: threading.Event) -> None:
    for line in sys.stdin:
        tasks.put(json.loads(line))
    gone.set()
    tasks.put(None)
    time.sleep(_GRACE_S)
    os._exit(1)
