"""The web server of `worldsim play`: one static page, one WebSocket, the recordings.

It binds to the loopback unless told otherwise. `guard` says who may ask, `http` when a request has to be whole, and
`connection` what a page may send; a page that breaks the rules is closed with the reason, and nobody else notices. No
address leads to a file but the few of the page.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from functools import partial
from importlib import resources

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from worldsim.play.background import in_background
from worldsim.play.connection import serve
from worldsim.play.frames import MAX_PICTURE_BYTES
from worldsim.play.guard import Access, Guard
from worldsim.play.http import HTTP, WebSocketProtocol, quiet
from worldsim.play.sessions import QUEUE, SessionManager

_VISITORS = 128  # connections beside those of players and queue; more are answered with 503


def make_app(manager: SessionManager, access: Access) -> Starlette:
    """Build the ASGI app."""
    page = resources.files("worldsim.play") / "page"

    async def index(request: Request) -> Response:
        return FileResponse(str(page / "index.html"))

    one_video = asyncio.Semaphore(1)

    async def recording(request: Request) -> Response:
        async with one_video:
            video = await in_background(manager.archive.video, request.path_params["token"], nice=True)
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
    return Starlette(routes=routes, lifespan=lifespan, middleware=[Middleware(Guard, access=access)])


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


def make_server(manager: SessionManager, access: Access, on_ready: Callable[[], None]) -> uvicorn.Server:
    """Make a server whose `run(sockets=[listener])` ends seconds after ctrl-c or SIGTERM, with all recordings whole."""
    config = uvicorn.Config(
        make_app(manager, access),
        log_level="error",
        access_log=False,
        http=HTTP,
        ws=WebSocketProtocol,
        limit_concurrency=manager.max_players + QUEUE + _VISITORS,
        ws_max_size=MAX_PICTURE_BYTES + 1024,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=2,
        server_header=False,
        proxy_headers=False,
    )
    logging.getLogger("uvicorn.error").addFilter(quiet)
    return _Server(config, manager, on_ready)
