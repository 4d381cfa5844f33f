"""One WebSocket from beginning to end: what a page sends is weighed before it is read, and one that breaks the rules is
closed with the reason."""

from __future__ import annotations

import asyncio
import contextlib
import time

from starlette.types import Message as Received
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from worldsim.play.frames import MAX_PICTURE_BYTES
from worldsim.play.messages import MAX_TEXT_BYTES, BadMessage, Ping, parse
from worldsim.play.session import Session
from worldsim.play.sessions import Full, SessionManager

MESSAGES_A_SECOND, BURST = 250.0, 500.0  # of up to MAX_TEXT_BYTES; a picture counts as many


class Meter:
    """A token bucket of messages by their size."""

    def __init__(self):
        self._allowed, self._at = BURST, time.monotonic()

    def lets(self, num_bytes: int) -> bool:
        """Whether one more message, of so many bytes, is within the rate."""
        now = time.monotonic()
        self._allowed = (
            min(BURST, self._allowed + (now - self._at) * MESSAGES_A_SECOND) - 1 - num_bytes // MAX_TEXT_BYTES
        )
        self._at = now
        return self._allowed >= 0


async def serve(websocket: WebSocket, manager: SessionManager) -> None:
    """One connection from beginning to end: one task receives, one sends; when either ends the place is free."""
    await websocket.accept()
    session = Session()
    tasks = {asyncio.create_task(_receive(websocket, session, manager)), asyncio.create_task(_send(websocket, session))}
    try:
        await manager.join(session)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    except Full as error:
        await _close(websocket, 1013, str(error))
    finally:
        session.is_gone = True
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await manager.leave(session)
        failed = [r for r in results if isinstance(r, Exception)]
        why = (1011, "the server has failed; its log says how") if failed else (1000, "")
        await _close(websocket, *next((r for r in results if isinstance(r, tuple)), why))
    for error in failed:
        raise error


async def _receive(websocket: WebSocket, session: Session, manager: SessionManager) -> tuple[int, str] | None:
    """Take messages; returns why the connection is to be closed, or None where the page has left."""
    meter = Meter()
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return None
        if not meter.lets(len(message.get("bytes") or message.get("text") or "")):
            return 1008, f"more than {MESSAGES_A_SECOND:g} messages of {MAX_TEXT_BYTES >> 10} KiB a second"
        try:
            ended = _take(message, session, manager)
        except BadMessage as error:
            return 1008, str(error)[:120]
        if ended is not None:
            return ended


def _take(message: Received, session: Session, manager: SessionManager) -> tuple[int, str] | None:
    """Hand one message on; returns why the connection is to be closed where it is too much."""
    text, raw = message.get("text"), message.get("bytes")
    if raw is not None and len(raw) > MAX_PICTURE_BYTES:
        return 1009, f"expected at most {MAX_PICTURE_BYTES >> 20} MiB for a picture"
    parsed = None if text is None else parse(text)
    if session in manager.queue and not isinstance(parsed, Ping):
        return 1008, "expected nothing but ping of a page that waits"
    if session.is_full:
        return 1008, "more commands than the game can follow"
    if raw is not None:
        manager.receive_picture(session, raw)
    elif parsed is not None:
        manager.receive(session, parsed)
    return None


async def _send(websocket: WebSocket, session: Session) -> tuple[int, str] | None:
    """Send what is in the outbox."""
    while True:
        message = await session.outbox.get()
        if isinstance(message, tuple):
            return message
        try:
            await (websocket.send_bytes(message) if isinstance(message, bytes) else websocket.send_text(message))
        except (WebSocketDisconnect, RuntimeError):
            return None
        if session.is_gone:
            return 1008, "this page reads too slowly"


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    if WebSocketState.DISCONNECTED in (websocket.client_state, websocket.application_state):
        return
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await websocket.close(code, reason[:120])
