"""Sessions of one server: rooms by world, places up to a limit, a queue for the rest, and nobody who has left."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Collection, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count, repeat
from pathlib import Path
from typing import Any, NamedTuple

from worldsim.model.modules import count_params
from worldsim.play.archive import Archive
from worldsim.play.background import in_background
from worldsim.play.frames import decode_picture
from worldsim.play.messages import Command, Message
from worldsim.play.player import NOTHING, RANDOM, Player, Policies
from worldsim.play.room import Room
from worldsim.play.session import Session
from worldsim.play.stepper import Stepper
from worldsim.recording.source import is_short_name
from worldsim.world import is_bare_name, load_world, match_game, match_world, read_card, valid_names

QUEUE = 32
SILENT_S = 20.0
_WARN_S = 30.0
_GOODBYE_S = 1.0
_FOLLOW_EVERY_S = 0.5


class WorldRef(NamedTuple):
    """A world, and one of its games where it has several."""

    folder: Path
    game: str | None


class Full(Exception):
    """Neither a place nor one in the queue."""


class SessionManager:
    """All rooms of one server.

    Args:
        world: folder of the world that people enter.
        stepper: of that world.
        archive: where recordings go.
        max_players: of all rooms together.
        fps: ticks a second; each world's own by default.
        idle_s: seconds without a key or a command after which a place is given up.
        seed: of the first player's dream; drawn by default.
        policies: what can play in that world in place of a person.
        words: what people enter it with, where it reads words; they begin from a recorded context by default.
        game: which game of the world, where it has several.
        worlds: folders of those that people may enter beside it; None = all that are found.
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
        policies: Policies | None = None,
        words: str | None = None,
        game: str | None = None,
        worlds: Collection[Path] | None = None,
    ):
        self.world = WorldRef(world.resolve(), game)
        self.archive, self.max_players, self.fps, self.idle_s = archive, max_players, fps, idle_s
        self.words = words
        self.folders = None if worlds is None else {self.world.folder, *(folder.resolve() for folder in worlds)}
        self.thread = ThreadPoolExecutor(1, "worldsim-model")
        self._starting, self._decoding, self._loading = (asyncio.Semaphore(1) for _ in range(3))
        self.rooms = {self.world: self._room(stepper, seed, policies)}
        self.places: dict[Session, Room | None] = {}
        self.queue: list[Session] = []
        self._tasks: set[asyncio.Task] = set()
        self._is_closed = False

    # --- life

    def start(self) -> None:
        """Begin to tick, to watch for silent pages, and to compile what will be needed."""
        for room in self.rooms.values():
            self._run(room)
        self._spawn(self._watch())

    async def close(self, reason: str = "the server has stopped") -> None:
        """Send everybody home; what they recorded is whole."""
        if self._is_closed:
            return
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        for session in self.queue:
            session.send((1001, reason))
        for session, room in list(self.places.items()):
            if room is not None:
                await room.leave(session)
            session.send((1001, reason))
        deadline = time.monotonic() + _GOODBYE_S
        while (self.places or self.queue) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)  # until the pages have been told
        await asyncio.get_running_loop().run_in_executor(self.thread, self.archive.close)
        self.thread.shutdown(wait=False, cancel_futures=True)

    # --- people

    async def join(self, session: Session) -> None:
        """Give a session a place, or one in the queue.

        Raises:
            Full: the queue is full too.
        """
        if len(self.places) < self.max_players:
            await self._enter(session, self.rooms[self.world], self.words)
        elif len(self.queue) >= QUEUE:
            raise Full(f"all {self.max_players} places are taken and {QUEUE} people wait; try again later")
        else:
            self.queue.append(session)
            self._tell_queue()

    async def leave(self, session: Session) -> None:
        """Take a session out, and let the next one in."""
        session.is_gone = True
        if session in self.queue:
            self.queue.remove(session)
        elif session in self.places:
            room = self.places.pop(session)
            if room is not None and not self._is_closed:
                await room.leave(session)
        if self._is_closed:
            return
        while self.queue and len(self.places) < self.max_players:
            await self._enter(self.queue.pop(0), self.rooms[self.world], self.words)
        self._tell_queue()

    def receive(self, session: Session, message: Message) -> None:
        """Take a message: a text prompt may lead into another room, the rest is the session's."""
        if not isinstance(message, Command) or message.what != "start" or message.args["prompt"] in (RANDOM, NOTHING):
            session.receive(message)
        else:
            session.last_message_at = session.last_input_at = time.monotonic()
            session.wanted = message
            if not session.is_following:
                session.is_following = True
                self._spawn(self._follow(session))

    def receive_picture(self, session: Session, raw: bytes) -> None:
        """Take a picture to begin from: one at a time of each player, one at a time of all."""
        session.last_message_at = session.last_input_at = time.monotonic()
        room = self.places.get(session)
        if session.has_picture:
            session.note("still reading the last picture", "error")
        elif room is not None:
            session.has_picture = True
            self._spawn(self._decode(session, raw, room.stepper.size))

    async def _decode(self, session: Session, raw: bytes, size: tuple[int, int]) -> None:
        try:
            async with self._decoding:
                session.commands.append(await in_background(decode_picture, raw, size, nice=True))
        except Exception as error:
            session.has_picture = False
            session.note(" ".join(str(error).split()), "error")

    # --- rooms

    async def _enter(self, session: Session, room: Room, words: str | None) -> None:
        self.places[session] = room
        session.last_input_at = time.monotonic()
        await room.enter(session, await asyncio.to_thread(self._hello, room))
        if words is not None and room.stepper.reads_words:
            session.receive(Command("start", {"prompt": words}))

    async def _follow(self, session: Session) -> None:
        """Go to the world that the last text names, or begin again where the session is in it already."""
        try:
            while session.wanted is not None and not session.is_gone:
                start, session.wanted = session.wanted, None
                await self._find(session, start, start.args["prompt"])
                await asyncio.sleep(_FOLLOW_EVERY_S)
        finally:
            session.is_following = False

    async def _find(self, session: Session, start: Command, prompt: str) -> None:
        folder = await asyncio.to_thread(match_world, prompt)
        here = self.places.get(session)
        if folder is None or not self._is_open(folder):
            names = ", ".join(await asyncio.to_thread(valid_names, self._is_open))
            return session.note(f"no world here answers to {prompt!r}; there are: {names}", "error")
        if here is None:
            return
        card = await asyncio.to_thread(read_card, folder)
        world = WorldRef(folder.resolve(), match_game(card, prompt))
        if self.rooms.get(world) is here:
            session.receive(start)
        else:
            await self._move(session, here, world, None if is_bare_name(card, prompt) else prompt)

    def _is_open(self, folder: Path) -> bool:
        return self.folders is None or folder.resolve() in self.folders

    async def _move(self, session: Session, here: Room, world: WorldRef, words: str | None) -> None:
        async with self._loading:
            if world not in self.rooms:
                session.note("waking another world …")
                try:
                    stepper = await in_background(self._load, world)
                except ValueError as error:
                    return session.note(str(error), "error")
                self.rooms[world] = self._room(stepper)
                self._run(self.rooms[world])
        if self.places.get(session) is not here:  # gone or moved meanwhile
            return
        self.places[session] = None
        await here.leave(session)
        if not session.is_gone:
            await self._enter(session, self.rooms[world], words)

    def _load(self, world: WorldRef) -> Stepper:
        """A world that is compiled for its first player, so that those of other worlds do not wait for it."""
        stepper = Stepper(load_world(world.folder, game=world.game, count_params=count_params), self.max_players)
        stepper.prepare()
        return stepper

    def _room(self, stepper: Stepper, seed: int | None = None, policies: Policies | None = None) -> Room:
        seeds = repeat(None) if seed is None else count(seed)  # players count on from the first one's
        new_player = lambda: Player(stepper, self.archive, next(seeds), policies)  # noqa: E731
        return Room(stepper, self.thread, self.fps, new_player, self._starting)

    def _run(self, room: Room) -> None:
        self._spawn(room.run())
        self._spawn(self._compile(room.stepper))

    async def _compile(self, stepper: Stepper) -> None:
        """First what the first player waits for, in the thread that they wait for; the rest in the background."""
        await asyncio.get_running_loop().run_in_executor(self.thread, stepper.prepare)
        await in_background(self._warm_up, stepper)

    def _warm_up(self, stepper: Stepper) -> None:
        for _ in stepper.warm_up():
            if self._is_closed:
                return

    def _hello(self, room: Room) -> dict[str, Any]:
        game = room.card.game
        # Whether it can be played is known only when it starts; without the games' package it surely cannot.
        ours = is_short_name(game) and importlib.util.find_spec("worldsim_envs") is not None
        return {"has_real": ours, "max_players": self.max_players, "worlds": valid_names(self._is_open)}

    # --- the silent and the idle

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            now = time.monotonic()
            for session in [*self.places, *self.queue]:
                if now - session.last_message_at > SILENT_S:
                    session.send((4001, f"this page sent nothing for {SILENT_S:g} seconds"))
                elif session in self.places:
                    self._watch_idle(session, now - session.last_input_at)

    def _watch_idle(self, session: Session, idle_s: float) -> None:
        if idle_s > self.idle_s:
            session.send((4000, "nobody has played here for a while; come back any time"))
        elif 0 <= idle_s - (self.idle_s - _WARN_S) < 1.0:
            session.note(f"still there? Press a key within {_WARN_S:g} seconds to keep your place")

    def _tell_queue(self) -> None:
        for place, session in enumerate(self.queue, 1):
            session.send({"type": "queue", "place": place, "max_players": self.max_players})

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
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
