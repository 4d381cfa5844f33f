"""One connection: what its person holds, what is on its way to them, and whether they are still there."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from typing import Any

from worldsim.play.controls import Hands
from worldsim.play.messages import Ack, Command, Input, Message
from worldsim.play.player import Player

IN_FLIGHT = 2
_OUTBOX = 64
_RATE_SPAN_S = 2.0


class Seat:
    """A place at a world. The event loop owns all of it but `player`, which the model's thread owns during a tick."""

    def __init__(self):
        self.player: Player | None = None  # None until the room has made one, and in the queue
        self.hands = Hands()
        self.commands: deque[Command | bytes] = deque()
        self.outbox: asyncio.Queue[str | bytes | tuple[int, str]] = asyncio.Queue(_OUTBOX)
        self.heard_at = self.used_at = time.monotonic()
        self.number = 0
        self.wants_real = False
        self.is_gone = False
        self._acked = 0
        self._sent_at: deque[float] = deque(maxlen=512)
        self.line_held = False

    def hear(self, message: Message) -> None:
        """Take a message of the page."""
        self.heard_at = time.monotonic()
        if isinstance(message, Input):
            self.hands.hold(message)
            self.used_at = self.heard_at
        elif isinstance(message, Ack):
            self._acked = max(self._acked, min(message.frame, self.number))
        elif isinstance(message, Command):
            self.give(message)

    def give(self, command: Command | bytes) -> None:
        """Queue a command, or a picture to begin from, for the next tick."""
        self.heard_at = self.used_at = time.monotonic()
        self.commands.append(command)

    @property
    def num_waiting(self) -> int:
        """Commands that no tick has taken yet."""
        return len(self.commands)

    @property
    def has_room(self) -> bool:
        """Whether another frame may be sent: at most two are on their way."""
        return self.number - self._acked < IN_FLIGHT

    def send(self, message: Any) -> None:
        """Put a message into the outbox: a dict as JSON, bytes as they are, (code, reason) as the end."""
        if self.is_gone:
            return
        if isinstance(message, bytes):
            self._sent_at.append(time.monotonic())
        try:
            self.outbox.put_nowait(json.dumps(message) if isinstance(message, dict) else message)
        except asyncio.QueueFull:
            self.is_gone = True  # reads nothing: the socket's side ends it

    def note(self, text: str, level: str = "info") -> None:
        """Say something to the person."""
        self.send({"type": "note", "text": text, "level": level})

    @property
    def fps(self) -> float:
        """Frames sent in a second, of late."""
        now = time.monotonic()
        while self._sent_at and self._sent_at[0] < now - _RATE_SPAN_S:
            self._sent_at.popleft()
        return (len(self._sent_at) - 1) / (now - self._sent_at[0]) if len(self._sent_at) > 1 else 0.0
