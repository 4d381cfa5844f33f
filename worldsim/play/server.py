"""The web server of `worldsim play`: one static page, one WebSocket, the recordings, and what keeps strangers out.

It binds to the loopback unless told otherwise. A WebSocket is accepted only from the page's own origin, so that another
site in the same browser cannot play; messages are limited in size and rate and checked one by one; a page that breaks
the rules is closed with the reason, and nobody else notices. No address leads to a file but the few of the page.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from importlib import resources
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from worldsim.play.frames import MAX_PICTURE_BYTES
from worldsim.play.messages import BadMessage, parse
from worldsim.play.session import Session
from worldsim.play.sessions import Full, SessionManager

MESSAGES_A_SECOND, BURST = 250.0, 500.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def make_app(manager: SessionManager, hosts: tuple[str, ...] | None) -> Starlette:
    """Build the ASGI app.

    Args:
        manager: the rooms.
        hosts: names under which the page may be asked for; None = any (bound to more than the loopback). On the
            loopback this keeps out sites whose name was made to point here (DNS rebinding).
    """
    page = resources.files("worldsim.play") / "page"

    async def index(request: Request) -> Response:
        return FileResponse(str(page / "index.html"))

    async def recording(request: Request) -> Response:
        video = await asyncio.to_thread(manager.archive.video, request.path_params["token"])
        if video is None:
            return PlainTextResponse("there is no such recording", 404)
        headers = {"content-disposition": 'attachment; filename="worldsim.mp4"'}
        return Response(video, media_type="video/mp4", headers=headers)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        manager.start()
        try:
            yield
        finally:
            await manager.close()

    routes = [
        Route("/", index),
        Route("/recordings/{token:str}.mp4", recording),
        WebSocketRoute("/play", partial(serve, manager=manager)),
        Mount("/page", StaticFiles(directory=str(page))),
    ]
    return Starlette(routes=routes, lifespan=lifespan, middleware=[Middleware(Guard, hosts=hosts)])


class _Server(uvicorn.Server):
    """Sends the players home before the sockets are taken from under them."""

    def __init__(self, config: uvicorn.Config, manager: SessionManager, on_ready: Callable[[], None]):
        super().__init__(config)
        self._manager, self._on_ready = manager, on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._manager.close()
        await super().shutdown(sockets)


def bind(host: str, port: int) -> socket.socket:
    """Take an address, port 0 meaning any that is free.

    Raises:
        OSError: it is taken, or not one of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise OSError(f"cannot serve at {host}:{port} ({error}); choose another with --port, 0 for any.") from error
    return listener


def make_server(manager: SessionManager, listener: socket.socket, on_ready: Callable[[], None]) -> uvicorn.Server:
    """Make a server whose `run(sockets=[listener])` ends seconds after ctrl-c or SIGTERM, with all recordings whole."""
    host = listener.getsockname()[0]
    app = make_app(manager, LOOPBACK if host in LOOPBACK else None)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        ws="websockets-sansio",
        ws_max_size=MAX_PICTURE_BYTES + 1024,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=2,
        server_header=False,
        proxy_headers=False,
    )
    return _Server(config, manager, on_ready)


class Guard:
    """Refuses foreign hosts and, for the WebSocket, foreign origins; adds the headers that browsers obey."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...] | None):
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with 403."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        strange_host = self.hosts is not None and _name(f"//{host}") not in self.hosts
        foreign = scope["type"] == "websocket" and urlsplit(headers.get("origin", "")).netloc != host
        if strange_host or foreign:
            return await _refuse(scope, receive, send, "host" if strange_host else "origin")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers)


async def _refuse(scope: Scope, receive: Receive, send: Send, what: str) -> None:
    if scope["type"] == "websocket":
        await WebSocket(scope, receive, send).close(1008, f"foreign {what}")  # before accept: a 403
    else:
        await PlainTextResponse(f"foreign {what}", 403)(scope, receive, send)


def _name(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


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
    allowed, at = BURST, time.monotonic()  # a token bucket
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return None
        now = time.monotonic()
        allowed, at = min(BURST, allowed + (now - at) * MESSAGES_A_SECOND) - 1, now
        if allowed < 0:
            return 1008, f"more than {MESSAGES_A_SECOND:g} messages a second"
        text, raw = message.get("text"), message.get("bytes")
        if raw is not None and len(raw) > MAX_PICTURE_BYTES:
            return 1009, f"expected at most {MAX_PICTURE_BYTES >> 20} MiB for a picture"
        if len(session.commands) > 32:
            return 1008, "more commands than the game can follow"
        try:
            if raw is not None:
                session.add(raw)
            elif text is not None:
                await manager.receive(session, parse(text))
        except BadMessage as error:
            return 1008, str(error)[:120]


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
