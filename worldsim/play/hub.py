"""Who sits where: rooms by world, places up to a limit, a queue for the rest, and nobody who has left."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from worldsim.checkpoint import load_world, match_world, meant_game, read_card, say_worlds, says_names_alone
from worldsim.data.game import is_short_name
from worldsim.play.background import in_background
from worldsim.play.messages import Command
from worldsim.play.player import Pilot
from worldsim.play.recording import Archive
from worldsim.play.room import Room
from worldsim.play.seat import Seat
from worldsim.play.stepper import Stepper
from worldsim.simulator import NOTHING

QUEUE = 32
SILENT_S = 20.0
_WARN_S = 30.0
_GOODBYE_S = 1.0


Place = tuple[Path, str | None]  # folder of a world, and which game of it where it has several


class Full(Exception):
    """Neither a place nor one in the queue."""


class Hub:
    """All rooms of one server.

    Args:
        world: folder of the world that people enter.
        game: which game of it, where it has several.
        stepper: of that world.
        archive: where recordings go.
        max_players: of all rooms together.
        fps: ticks a second; each world's own by default.
        idle_s: seconds without a key or a command after which a place is given up.
        seed: of the first player's dream; drawn by default.
        pilots: who can take the stick in that world beside random keys.
        words: what people enter it with, where it reads words; they begin at a recorded moment by default.
    """

    def __init__(
        self,
        world: Path,
        stepper: Stepper,
        archive: Archive,
        *,
        max_players: int,
        fps: float | None,
        idle_s: float,
        seed: int | None = None,
        pilots: Mapping[str, Callable[[int], Pilot]] | None = None,
        words: str | None = None,
        game: str | None = None,
    ):
        self.world: Place = world, game
        self.archive, self.max_players, self.fps, self.idle_s = archive, max_players, fps, idle_s
        self.words = words
        self.thread = ThreadPoolExecutor(1, "worldsim-model")
        self.rooms: dict[Place, Room] = {self.world: Room(stepper, archive, self.thread, fps, seed, pilots)}
        self.places: dict[Seat, Room | None] = {}
        self.queue: list[Seat] = []
        self._tasks: set[asyncio.Future] = set()
        self._loops: dict[Place, asyncio.Task] = {}
        self._is_closed = False

    # --- life

    def start(self) -> None:
        """Begin to tick, to look after the silent, and to compile what will be needed."""
        for place in self.rooms:
            self._run(place)
        self._spawn(self._watch())

    async def close(self, reason: str = "the server has stopped") -> None:
        """Send everybody home; what they recorded is whole."""
        if self._is_closed:
            return
        self._is_closed = True
        for task in (*self._tasks, *self._loops.values()):
            task.cancel()
        for seat in self.queue:
            seat.send((1001, reason))
        for seat, room in list(self.places.items()):
            if room is not None:
                await room.leave(seat)
            seat.send((1001, reason))
        deadline = time.monotonic() + _GOODBYE_S
        while (self.places or self.queue) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)  # until the pages have been told
        await asyncio.get_running_loop().run_in_executor(self.thread, self.archive.close)
        self.thread.shutdown(wait=False, cancel_futures=True)

    # --- people

    async def join(self, seat: Seat) -> None:
        """Give a seat a place, or one in the queue.

        Raises:
            Full: the queue is full too.
        """
        if len(self.places) < self.max_players:
            await self._enter(seat, self.world, self.words)
        elif len(self.queue) >= QUEUE:
            raise Full(f"all {self.max_players} places are taken and {QUEUE} people wait; try again later")
        else:
            self.queue.append(seat)
            self._tell_queue()

    async def leave(self, seat: Seat) -> None:
        """Take a seat out, and let the next one in."""
        seat.is_gone = True
        if seat in self.queue:
            self.queue.remove(seat)
        elif seat in self.places:
            room = self.places.pop(seat)
            if room is not None and not self._is_closed:
                await room.leave(seat)
        if self._is_closed:
            return
        while self.queue and len(self.places) < self.max_players:
            await self._enter(self.queue.pop(0), self.world, self.words)
        self._tell_queue()

    async def hear(self, seat: Seat, message: Any) -> None:
        """Take a message: a text prompt may lead into another room, the rest is the room's."""
        if isinstance(message, Command) and message.what == "start":
            prompt = message.args["prompt"]
            if prompt not in ("random", NOTHING) and not await self._follow(seat, prompt):
                return
        seat.hear(message)

    # --- rooms

    async def _enter(self, seat: Seat, place: Place, words: str | None) -> None:
        self.places[seat] = room = self.rooms[place]
        seat.used_at = time.monotonic()
        await room.enter(seat, self._hello(room))
        if words is not None and room.stepper.reads_words:
            seat.hear(Command("start", {"prompt": words}))

    async def _follow(self, seat: Seat, prompt: str) -> bool:
        """Find the world that a text means; True where the seat is in it already."""
        folder = await asyncio.to_thread(match_world, prompt)
        here = self.places.get(seat)
        if folder is None:
            names = ", ".join(await asyncio.to_thread(say_worlds))
            seat.note(f"no world here answers to {prompt!r}; there are: {names}", "error")
            return False
        if here is None:
            return False
        card = await asyncio.to_thread(read_card, folder)
        place = folder.resolve(), meant_game(card, prompt)
        if self._known(place) in self.rooms and self.rooms[self._known(place)] is here:
            return True
        self._spawn(self._move(seat, here, place, None if says_names_alone(card, prompt) else prompt))
        return False

    def _known(self, place: Place) -> Place:
        """The place as it is called in `rooms`, where it is there by another path."""
        return next((p for p in self.rooms if (p[0].resolve(), p[1]) == place), place)

    async def _move(self, seat: Seat, here: Room, place: Place, words: str | None) -> None:
        place = self._known(place)
        if place not in self.rooms:
            seat.note("waking another world …")
            try:
                world = partial(load_world, place[0], game=place[1])
                stepper = await in_background(lambda: Stepper(world(), self.max_players))
            except ValueError as error:
                seat.note(str(error), "error")
                return
            if place not in self.rooms:
                self.rooms[place] = Room(stepper, self.archive, self.thread, self.fps)
                self._run(place)
        if self.places.get(seat) is not here:  # gone or moved meanwhile
            return
        self.places[seat] = None
        await here.leave(seat)
        if not seat.is_gone:
            await self._enter(seat, place, words)

    def _run(self, place: Place) -> None:
        room = self.rooms[place]
        self._loops[place] = task = asyncio.create_task(room.run())
        task.add_done_callback(_report)
        self._spawn(self._compile(room.stepper))

    async def _compile(self, stepper: Stepper) -> None:
        """First what the first player waits for, in the thread that they wait for; the rest behind their back."""
        await asyncio.get_running_loop().run_in_executor(self.thread, stepper.prepare)
        await in_background(self._warm_up, stepper)

    def _warm_up(self, stepper: Stepper) -> None:
        for _ in stepper.warm_up():
            if self._is_closed:
                return

    def _hello(self, room: Room) -> dict[str, Any]:
        game = room.card["game"]
        # Whether it can be played is known only when it starts; without the games' package it surely cannot.
        ours = is_short_name(game) and importlib.util.find_spec("worldsim_envs") is not None
        return {"has_real": ours, "max_players": self.max_players, "worlds": say_worlds()}

    # --- the silent and the idle

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            now = time.monotonic()
            for seat in [*self.places, *self.queue]:
                if now - seat.heard_at > SILENT_S:
                    seat.send((4001, f"nothing was heard from this page for {SILENT_S:g} seconds"))
                elif seat in self.places:
                    self._watch_idle(seat, now - seat.used_at)

    def _watch_idle(self, seat: Seat, idle_s: float) -> None:
        if idle_s > self.idle_s:
            seat.send((4000, "nobody has played here for a while; come back any time"))
        elif 0 <= idle_s - (self.idle_s - _WARN_S) < 1.0:
            seat.note(f"still there? Press a key within {_WARN_S:g} seconds to keep your place")

    def _tell_queue(self) -> None:
        for place, seat in enumerate(self.queue, 1):
            seat.send({"type": "queue", "place": place, "max_players": self.max_players})

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_report)


def _report(task: asyncio.Future) -> None:
    """Let an error of a background task be seen instead of kept."""
    with suppress(asyncio.CancelledError):
        if (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a task of worldsim play failed", "exception": error, "task": task}
            )
