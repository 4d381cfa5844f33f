"""The game loop of one world: at each tick, all players who are due take one step in one call of the model.

Ticks keep the world's pace by the clock: the next one is due a period after the last was due, not after it was done,
so that they do not drift. Where the model is slower the tick waits for it and starts anew from there: the game slows
down, no step is skipped, and the page is told. The event loop serves the pages; one thread owns model and players.

What one player costs the others is bounded: a tick does one command of each, and commands wait so long after one that
they take a tenth of the thread's time at most. So do people who enter.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from worldsim import schema
from worldsim.controls import Input
from worldsim.play import frames
from worldsim.play.background import in_background
from worldsim.play.controls import describe, has_mouse, row_of_input, shortcuts, with_keys
from worldsim.play.messages import Command
from worldsim.play.player import RANDOM, Player
from worldsim.play.session import Session
from worldsim.play.stepper import Stepper
from worldsim.recording.real import RealGame
from worldsim.recording.source import is_short_name

STATUS_EVERY_S = 1.0
_SLOW = 0.92  # of the wanted pace; below it the page is told that the tick is held
_START_REAL = Command("real", {"on": True})
_REAL_EVERY_S = 10.0  # between two starts of one player
_REST, _MAX_REST_S = 9.0, 2.0  # after a command, in times that it took
_ENTRY_REST_S = 0.25


class Turn(NamedTuple):
    """What one player brings to a tick."""

    session: Session
    player: Player
    command: Command | np.ndarray | None
    held: Input


class Room:
    """One world and its players.

    Args:
        stepper: of the world.
        thread: one worker, shared by all rooms, that owns models and players.
        fps: ticks a second; the world's own by default.
        new_player: makes a player of the world; called in the thread.
        starting: of real games, one at a time in all rooms.
    """

    def __init__(
        self,
        stepper: Stepper,
        thread: ThreadPoolExecutor,
        fps: float | None,
        new_player: Callable[[], Player],
        starting: asyncio.Semaphore,
    ):
        self.stepper, self.thread, self._new_player, self._starting = stepper, thread, new_player, starting
        self.card, self.spec = stepper.card, with_keys(stepper.spec)
        self.fps = float(fps or self.card.fps)
        self.sessions: list[Session] = []
        self.model_ms: deque[float] = deque(maxlen=120)
        self._real_tasks: set[asyncio.Task] = set()
        self._entering = asyncio.Lock()
        self._status_at = 0.0
        self._start = time.monotonic()

    # --- people come and go

    async def enter(self, session: Session, hello: dict[str, object]) -> None:
        """Give a session a player of its own."""
        async with self._entering:
            if session.is_gone:
                return
            began = time.monotonic()
            player = await self._in_thread(self._new_player)
            rest = min(_REST * (time.monotonic() - began), _ENTRY_REST_S)
            await self._welcome(session, player, hello)
            await asyncio.sleep(rest)

    async def _welcome(self, session: Session, player: Player, hello: dict[str, object]) -> None:
        if session.is_gone:
            await self._in_thread(player.close)
            return
        session.send(self.hello(player) | hello)
        session.player = player
        self.sessions.append(session)
        self._status_at = 0.0

    async def leave(self, session: Session) -> None:
        """Let a session go; what it recorded is whole."""
        if session in self.sessions:
            self.sessions.remove(session)
        player, session.player = session.player, None
        if player is not None:
            await self._in_thread(player.close)
            self._tell(session, player)
        self._status_at = 0.0

    def hello(self, player: Player) -> dict[str, object]:
        """What a page has to know of a world."""
        card = self.card
        names = ("name", "title", "game", "size", "fps", "licence", "limits", "prompts")
        return {
            "type": "hello",
            "world": {name: schema.to_json(getattr(card, name)) for name in names},
            "controls": describe(self.spec),
            "has_mouse": has_mouse(self.spec),
            "shortcuts": shortcuts(self.spec),
            "steps": self.stepper.steps,
            "policies": [*player.policies, RANDOM],
            "fps": self.fps,
        }

    # --- the loop

    async def run(self) -> None:
        """Tick until cancelled."""
        period = 1 / self.fps
        due = time.monotonic()
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if self.sessions:
                try:
                    await self._tick((due - self._start) * 1e3)
                except Exception:
                    for session in self.sessions:
                        session.send((1011, "the model has failed; the server's log says how"))
                    raise
            now = time.monotonic()
            due = due + period if now < due + period else now  # held: the model was slower than the game

    async def _tick(self, clock_ms: float) -> None:
        turns = [turn for session in self.sessions if (turn := self._turn(session)) is not None]
        shown = await self._in_thread(self._work, turns, clock_ms) if turns else []
        for turn, frame in zip(turns, shown):
            if frame is not None:
                turn.session.number += 1
                turn.session.send(frames.pack(frame._replace(number=turn.session.number)))
            self._tell(turn.session, turn.player)
            if _starts_real(turn.command):
                self._start_real(turn)
        if any(turn.command is not None for turn in turns):
            self._status_at = 0.0
        if time.monotonic() >= self._status_at:
            self._status_at = time.monotonic() + STATUS_EVERY_S
            for session in self.sessions:
                if session.player is not None:
                    session.send(self.status(session, session.player))

    def _turn(self, session: Session) -> Turn | None:
        player = session.player
        if player is None:
            return None
        moves = player.is_due or player.flags != 0
        session.line_held = moves and not session.has_room
        if session.line_held:
            return None  # its commands wait too, so that none is done unseen
        command = session.take_command() if time.monotonic() >= player.rests_until else None
        return Turn(session, player, command, session.input.take()) if moves or command is not None else None

    def _tell(self, session: Session, player: Player) -> None:
        for level, text in player.notes:
            session.note(text, level)
        for recorded in player.recorded:
            session.send({"type": "recorded", **recorded._asdict()})
        player.notes.clear()
        player.recorded.clear()

    def status(self, session: Session, player: Player) -> dict[str, object]:
        """What the panel shows."""
        model_ms = float(np.median(self.model_ms)) if self.model_ms else 0.0
        slow = not player.paused and 0 < session.fps < _SLOW * self.fps
        history = player.history
        return {
            "type": "status",
            "fps": session.fps,
            "wanted_fps": self.fps,
            "held": ("line" if session.line_held else "model") if slow else None,
            "model_ms": model_ms,
            "players": len(self.sessions),
            "paused": player.paused,
            "policy": player.policy_name,
            "num_denoise_steps": player.num_denoise_steps,
            "noise_scale": player.noise_scale,
            "format": player.picture_format,
            "saves": len(player.saves),
            "rewindable_s": (player.now.age - history[0].age) / self.card.fps if history else 0.0,
            "recording": {"frames": len(player.tapes["dream"])} if "dream" in player.tapes else None,
            "real": player.real is not None,
        }

    # --- in the model's thread

    def _work(self, turns: list[Turn], clock_ms: float) -> list[frames.Frame | None]:
        """Do the commands, then one step for all who are due and have not just jumped."""
        for turn in turns:
            if turn.command is not None and not _starts_real(turn.command):
                began = time.monotonic()
                if isinstance(turn.command, Command):
                    turn.player.do(turn.command)
                else:
                    turn.player.begin_from_picture(turn.command)
                took = time.monotonic() - began
                turn.player.rests_until = began + took + min(_REST * took, _MAX_REST_S)
        moving = [turn for turn in turns if turn.player.is_due and not turn.player.flags]
        began = time.perf_counter()
        requests = [turn.player.request(row_of_input(self.spec, turn.held)) for turn in moving]
        results = self.stepper.step(requests) if requests else []
        model_ms = (time.perf_counter() - began) * 1e3
        if moving:
            self.model_ms.append(model_ms)
        for turn, request, result in zip(moving, requests, results):
            turn.player.advance(request, result)
        moved = {id(turn) for turn in moving}
        return [
            self._frame(turn, clock_ms, model_ms) if id(turn) in moved or turn.player.flags else None for turn in turns
        ]

    def _frame(self, turn: Turn, clock_ms: float, model_ms: float) -> frames.Frame:
        """What the player gets to see; the loop numbers it."""
        player = turn.player
        result, real, kind = player.now.result, player.real, player.picture_format
        flags, player.flags = player.flags, 0
        frame = frames.Frame(
            number=0,
            answered=turn.held.n,
            clock_ms=clock_ms,
            flags=flags,
            reward=result.reward,
            total=player.now.total,
            uncertainty=result.uncertainty,
            model_ms=model_ms,
            picture=frames.encode_picture(result.obs, kind),
        )
        if real is None:
            return frame
        picture = frames.encode_picture(real.now.obs, kind)
        return frame._replace(real_reward=real.now.reward, real_total=real.total, real_picture=picture)

    async def _in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.thread, function, *args)

    # --- the real game

    def _start_real(self, turn: Turn) -> None:
        """Start the real game beside the loop, since it takes seconds; one a player, and not again at once."""
        if turn.player.real is not None:
            return turn.session.note("the real game is running", "error")
        if not is_short_name(self.card.game):  # else a card from elsewhere would choose what is imported here
            return turn.session.note("there is no real game of this world here", "error")
        wait_s = turn.player.may_start_real_at - time.monotonic()
        if math.isinf(wait_s):
            return turn.session.note("the real game is starting", "error")
        if wait_s > 0:
            return turn.session.note(f"the real game may start again in {wait_s:.0f} s", "error")
        turn.player.may_start_real_at = math.inf  # until this start is over
        task = asyncio.create_task(self._bring_real(turn.session, turn.player))
        self._real_tasks.add(task)
        task.add_done_callback(self._real_tasks.discard)

    async def _bring_real(self, session: Session, player: Player) -> None:
        session.note(f"starting the real {self.card.title} …")
        try:
            async with self._starting:
                if session.is_gone:
                    return
                game = await in_background(RealGame, self.card)
        except (ValueError, ModuleNotFoundError, RuntimeError) as error:
            session.note(" ".join(str(error).split()), "error")
            return
        finally:
            player.may_start_real_at = time.monotonic() + _REAL_EVERY_S
        if session.player is not player or session.is_gone:
            await in_background(game.close)
            return
        await self._in_thread(player.take_real, game)
        self._status_at = 0.0


def _starts_real(command: Command | np.ndarray | None) -> bool:
    return isinstance(command, Command) and command == _START_REAL
