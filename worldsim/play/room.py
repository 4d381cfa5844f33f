"""The game loop of one world: at each tick, all players who are due take one step in one call of the model.

Ticks keep the world's pace by the clock: the next one is due a period after the last was due, not after it was done,
so that they do not drift. Where the model is slower the tick waits for it and starts anew from there: the game slows
down, no step is skipped, and the page is told. The event loop speaks with people; one thread owns model and players.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from worldsim.data.real import RealGame
from worldsim.play import frames
from worldsim.play.background import in_background
from worldsim.play.controls import describe, has_mouse, row_of_input, shortcuts, with_keys
from worldsim.play.messages import Command, Input
from worldsim.play.picture import encode
from worldsim.play.player import RANDOM, Pilot, Player
from worldsim.play.recording import Archive
from worldsim.play.seat import Seat
from worldsim.play.stepper import Dreamt, Stepper, Wish

STATUS_EVERY_S = 1.0
_SLOW = 0.92  # of the wanted pace; below it the page is told that the tick is held


class Turn(NamedTuple):
    """What one player brings to a tick."""

    seat: Seat
    player: Player
    commands: tuple[Command | bytes, ...]
    held: Input


class Shown(NamedTuple):
    """What one player gets from a tick."""

    dreamt: Dreamt
    flags: int
    model_ms: float
    picture: bytes
    real_picture: bytes


class Room:
    """One world and its players.

    Args:
        stepper: of the world.
        archive: where recordings go.
        thread: one worker, shared by all rooms, that owns models and players.
        fps: ticks a second; the world's own by default.
        seed: of the first player; the others count on from it. Drawn by default.
        pilots: who can take the stick beside random keys.
    """

    def __init__(
        self,
        stepper: Stepper,
        archive: Archive,
        thread: ThreadPoolExecutor,
        fps: float | None,
        seed: int | None = None,
        pilots: Mapping[str, Callable[[int], Pilot]] | None = None,
    ):
        self.pilots = pilots or {}
        self.stepper, self.archive, self.thread = stepper, archive, thread
        self.card, self.spec = stepper.card, with_keys(stepper.spec)
        self.fps = float(fps or self.card["fps"])
        self.seats: list[Seat] = []
        self.model_ms: deque[float] = deque(maxlen=120)
        self._seed = seed
        self._real_tasks: set[asyncio.Task] = set()
        self._status_at = 0.0
        self._start = time.monotonic()

    # --- people come and go

    async def enter(self, seat: Seat, hello: dict[str, Any]) -> None:
        """Give a seat a player of its own."""
        seed, self._seed = self._seed, None if self._seed is None else self._seed + 1
        player = await self._in_thread(Player, self.stepper, self.archive, seed, self.pilots)
        if seat.is_gone:
            await self._in_thread(player.close)
            return
        seat.send(self.hello() | hello)
        seat.player = player
        self.seats.append(seat)
        self._status_at = 0.0

    async def leave(self, seat: Seat) -> None:
        """Let a seat go; what it recorded is whole."""
        if seat in self.seats:
            self.seats.remove(seat)
        player, seat.player = seat.player, None
        if player is not None:
            await self._in_thread(player.close)
            self._tell(seat, player)
        self._status_at = 0.0

    def hello(self) -> dict[str, Any]:
        """What a page has to know of a world."""
        card = self.card
        names = ("name", "title", "game", "size", "fps", "licence", "limits", "prompts")
        return {
            "type": "hello",
            "world": {name: card[name] for name in names},
            "controls": describe(self.spec),
            "has_mouse": has_mouse(self.spec),
            "shortcuts": shortcuts(self.spec),
            "steps": self.stepper.steps,
            "policies": [*self.pilots, RANDOM],
            "fps": self.fps,
        }

    # --- the loop

    async def run(self) -> None:
        """Tick until cancelled."""
        period = 1 / self.fps
        due = time.monotonic()
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if self.seats:
                try:
                    await self._tick((due - self._start) * 1e3)
                except Exception:
                    for seat in self.seats:
                        seat.send((1011, "the model has failed; the server's log says how"))
                    raise
            now = time.monotonic()
            due = due + period if now < due + period else now  # held: the model was slower than the game

    async def _tick(self, clock_ms: float) -> None:
        turns = [turn for seat in self.seats if (turn := self._turn(seat)) is not None]
        shown = await self._in_thread(self._work, turns) if turns else []
        for turn, result in zip(turns, shown):
            if result is not None:
                self._show(turn, result, clock_ms)
            self._tell(turn.seat, turn.player)
            self._start_real(turn)
        if turns and any(turn.commands for turn in turns):
            self._status_at = 0.0
        if time.monotonic() >= self._status_at:
            self._status_at = time.monotonic() + STATUS_EVERY_S
            for seat in self.seats:
                if seat.player is not None:
                    seat.send(self.status(seat, seat.player))

    def _turn(self, seat: Seat) -> Turn | None:
        player = seat.player
        if player is None:
            return None
        moves = player.is_due or player.flags != 0
        seat.line_held = moves and not seat.has_room
        if seat.line_held:
            return None  # its commands wait too, so that none is done unseen
        commands = tuple(seat.commands)
        seat.commands.clear()
        if any(isinstance(x, Command) and x.what == "real" and x.args["on"] for x in commands):
            seat.wants_real = True
        return Turn(seat, player, commands, seat.hands.take()) if moves or commands else None

    def _show(self, turn: Turn, shown: Shown, clock_ms: float) -> None:
        seat, real = turn.seat, turn.player.real
        seat.number += 1
        frame = frames.Frame(
            seat.number,
            turn.held.n,
            clock_ms,
            shown.flags,
            shown.dreamt.reward,
            turn.player.now.total,
            shown.dreamt.uncertainty,
            shown.model_ms,
            shown.picture,
            0.0 if real is None else real.now.reward,
            0.0 if real is None else real.total,
            shown.real_picture,
        )
        seat.send(frames.pack(frame))

    def _tell(self, seat: Seat, player: Player) -> None:
        for level, text in player.notes:
            seat.note(text, level)
        for recorded in player.recorded:
            seat.send({"type": "recorded", **recorded._asdict()})
        player.notes.clear()
        player.recorded.clear()

    def status(self, seat: Seat, player: Player) -> dict[str, Any]:
        """What the panel shows."""
        model_ms = float(np.median(self.model_ms)) if self.model_ms else 0.0
        slow = not player.paused and 0 < seat.fps < _SLOW * self.fps
        history = player.history
        return {
            "type": "status",
            "fps": seat.fps,
            "wanted_fps": self.fps,
            "held": ("line" if seat.line_held else "model") if slow else None,
            "model_ms": model_ms,
            "players": len(self.seats),
            "paused": player.paused,
            "pilot": player.pilot_name,
            "num_denoise_steps": player.num_denoise_steps,
            "noise_scale": player.noise_scale,
            "format": player.picture_format,
            "saves": len(player.saves),
            "rewindable_s": (player.now.age - history[0].age) / self.card["fps"] if history else 0.0,
            "recording": {"frames": len(player.tapes["dream"])} if player.tapes else None,
            "real": player.real is not None,
        }

    # --- in the model's thread

    def _work(self, turns: list[Turn]) -> list[Shown | None]:
        """Do the commands, then one step for all who are due and have not just jumped."""
        for turn in turns:
            for command in turn.commands:
                if isinstance(command, bytes):
                    turn.player.begin_from_picture(command)
                elif not (command.what == "real" and command.args["on"]):
                    turn.player.do(command)
        moving = [turn for turn in turns if turn.player.is_due and not turn.player.flags]
        began = time.perf_counter()
        wishes: list[Wish] = [turn.player.wish(row_of_input(self.spec, turn.held)) for turn in moving]
        dreamt = self.stepper.step(wishes) if wishes else []
        model_ms = (time.perf_counter() - began) * 1e3
        if moving:
            self.model_ms.append(model_ms)
        for turn, wish, result in zip(moving, wishes, dreamt):
            turn.player.arrive(wish, result)
        moved = {id(turn) for turn in moving}
        return [self._paint(turn, model_ms) if id(turn) in moved or turn.player.flags else None for turn in turns]

    def _paint(self, turn: Turn, model_ms: float) -> Shown:
        player = turn.player
        flags, player.flags = player.flags, 0
        dreamt, kind = player.now.dreamt, player.picture_format
        real = b"" if player.real is None else encode(player.real.now.obs, kind)
        return Shown(dreamt, flags, model_ms, encode(dreamt.obs, kind), real)

    async def _in_thread(self, function: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.thread, function, *args)

    # --- the real game

    def _start_real(self, turn: Turn) -> None:
        """Start the real game beside the loop, since it takes seconds."""
        if turn.seat.wants_real:
            turn.seat.wants_real = False
            task = asyncio.create_task(self._bring_real(turn.seat, turn.player))
            self._real_tasks.add(task)
            task.add_done_callback(self._real_tasks.discard)

    async def _bring_real(self, seat: Seat, player: Player) -> None:
        seat.note(f"starting the real {self.card['title']} …")
        try:
            game = await in_background(RealGame, self.card)
        except (ValueError, ModuleNotFoundError, RuntimeError) as error:
            seat.note(" ".join(str(error).split()), "error")
            return
        if seat.player is not player or seat.is_gone:
            await in_background(game.close)
            return
        await self._in_thread(player.take_real, game)
        self._status_at = 0.0
