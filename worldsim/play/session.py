"""One connection: what its person holds, which messages are on their way, and whether the person is still there."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque

import numpy as np

from worldsim.controls import Input
from worldsim.play.controls import InputState
from worldsim.play.messages import Ack, Command, Message
from worldsim.play.player import Player

IN_FLIGHT = 2
_OUTBOX, _COMMANDS = 64, 32
_RATE_SPAN_S = 2.0


class Session:
    """A page and its player. The event loop owns all of it but `player`, which the model's thread owns in a tick."""

    def __init__(self):
        self.player: Player | None = None  # None until the room has made one, and in the queue
        self.input = InputState()
        self.commands: deque[Command | np.ndarray] = deque()  # that no tick has taken yet
        self.has_picture = False  # one is being decoded, or waits for a tick
        self.wanted: Command | None = None  # the last text that names a world
        self.is_following = False  # such a text is looked up
        self.outbox: asyncio.Queue[str | bytes | tuple[int, str]] = asyncio.Queue(_OUTBOX)
        self.last_message_at = self.last_input_at = time.monotonic()
        self.number = 0
        self.is_gone = False
        self.line_held = False
        self._acked = 0
        self._sent_at: deque[float] = deque(maxlen=512)

    def receive(self, message: Message) -> None:
        """Take a message of the page."""
        self.last_message_at = time.monotonic()
        if isinstance(message, Input | Command):
            self.last_input_at = self.last_message_at
        if isinstance(message, Input):
            self.input.update(message)
        elif isinstance(message, Ack):
            self._acked = max(self._acked, min(message.frame, self.number))
        elif isinstance(message, Command):
            self.commands.append(message)

    @property
    def is_full(self) -> bool:
        """Whether more commands wait than a person gives."""
        return len(self.commands) > _COMMANDS

    def take_command(self) -> Command | np.ndarray | None:
        """The next command, or picture to begin from."""
        if not self.commands:
            return None
        command = self.commands.popleft()
        self.has_picture &= isinstance(command, Command)
        return command

    @property
    def has_room(self) -> bool:
        """Whether another frame may be sent: at most two are on their way."""
        return self.number - self._acked < IN_FLIGHT

    def send(self, message: dict[str, object] | bytes | tuple[int, str]) -> None:
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
        """Show the person a text for a while."""
        self.send({"type": "note", "text": text, "level": level})

    @property
    def fps(self) -> float:
        """Frames sent in a second, of late."""
        now = time.monotonic()
        while self._sent_at and self._sent_at[0] < now - _RATE_SPAN_S:
            self._sent_at.popleft()
        return (len(self._sent_at) - 1) / (now - self._sent_at[0]) if len(self._sent_at) > 1 else 0.0
