"""A server of a small world in this process, and a page that speaks to it."""

import contextlib
import dataclasses
import io
import json
import math
import re
import socket
import socketserver
import threading
import urllib.error
import urllib.request

import jax
import numpy as np
import pytest
import websockets.sync.client as client
from PIL import Image

from worldsim.play.background import wait_for_background


def unpack(data: bytes):
    """The inverse of `pack`, as the page does it."""
    from worldsim.play.frames import HEADER, UNCERTAINTY_KNOWN, Frame

    _, flags, _, number, answered, length, clock, reward, total, uncertainty, real_reward, real_total, model_ms = (
        HEADER.unpack_from(data)
    )
    picture = data[HEADER.size : HEADER.size + length]
    known = uncertainty if flags & UNCERTAINTY_KNOWN else None
    real = data[HEADER.size + length :]
    return Frame(number, answered, clock, flags, reward, total, known, model_ms, picture, real_reward, real_total, real)


def pixels(frame) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(frame.picture)).convert("RGB"))


def png(size=(16, 16), colour=(200, 30, 30)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


def status(request) -> int:
    """The status that an address answers with."""
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


class Page:
    """What a page does, without a browser: acknowledges frames and keeps what comes."""

    def __init__(self, address: str, acks: bool = True, path: str = "/play", origin: str | None = None):
        self._stack = contextlib.ExitStack()
        origin = origin or f"http://{address}"
        line = client.connect(f"ws://{address}{path}", origin=origin, compression=None, max_size=None)
        self.socket = self._stack.enter_context(line)
        self.acks, self.frames, self.texts = acks, [], []
        self._n = 0

    def send(self, **message) -> None:
        self.socket.send(json.dumps(message))

    def do(self, what: str, **args) -> None:
        self.send(type="do", what=what, **args)

    def hold(self, *keys: str) -> int:
        self._n += 1
        self.send(type="input", n=self._n, keys=list(keys))
        return self._n

    def next(self, timeout: float = 30.0):
        """The next message: a Frame or a dict."""
        message = self.socket.recv(timeout=timeout)
        if isinstance(message, str):
            self.texts.append(json.loads(message))
            return self.texts[-1]
        self.frames.append(unpack(message))
        if self.acks:
            self.send(type="ack", frame=self.frames[-1].number)
        return self.frames[-1]

    def frame(self, wanted=lambda frame: True):
        """The next frame that is wanted."""
        while True:
            message = self.next()
            if not isinstance(message, dict) and wanted(message):
                return message

    def text(self, kind: str, wanted=lambda message: True) -> dict:
        """The next message of a kind."""
        while True:
            message = self.next()
            if isinstance(message, dict) and message["type"] == kind and wanted(message):
                return message

    def end(self) -> tuple[int, str]:
        """Read until the server closes; its code and reason."""
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed):
            while True:
                self.next()
        return self.socket.close_code, self.socket.close_reason

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="session")
def restless_world(tmp_path_factory):
    """A bundle whose every frame differs, after its noise: an untrained world, shaken."""
    from tests.worlds import change, random_world
    from worldsim.world import FootageSource, save_world

    world, rng = change(random_world(), footage=FootageSource(recorder={"seed": 1})), np.random.default_rng(0)
    params = jax.tree.map(lambda x: (x + 0.3 * rng.normal(size=x.shape)).astype(x.dtype), world.params)
    path = tmp_path_factory.mktemp("restless") / "bar"
    save_world(dataclasses.replace(world, params=params), path)
    return path


@pytest.fixture(scope="session")
def stepper(restless_world):
    """The model of the small world, shared by all servers, so that it is compiled once."""
    from worldsim.play.stepper import Stepper
    from worldsim.world import load_world

    return Stepper(load_world(restless_world), 3)


@pytest.fixture
def serve(stepper, restless_world, tmp_path):
    """Start a server with settings; gives its address, its manager and a way to open pages."""
    from worldsim.play.archive import Archive
    from worldsim.play.guard import Access
    from worldsim.play.server import bind, make_server
    from worldsim.play.sessions import SessionManager

    ends = []

    def start(world=None, access=None, max_bytes=math.inf, **settings):
        folder, model = world or (restless_world, stepper)
        settings = {"max_players": 3, "fps": None if world else 40.0, "idle_s": 600.0, "seed": 0} | settings
        settings["max_players"] = min(settings["max_players"], model.max_players)
        manager = SessionManager(folder, model, Archive(tmp_path / "played", max_bytes), **settings)
        listener = bind("127.0.0.1", 0)
        ready = threading.Event()
        server = make_server(manager, access or Access(), ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        assert ready.wait(30)
        running = Running(f"127.0.0.1:{listener.getsockname()[1]}", manager, server, thread)
        ends.append(running.stop)
        return running

    yield start
    for end in ends:
        end()


class Proxy(socketserver.ThreadingTCPServer):
    """Serves another server below a path, as notebook servers do: cuts the path off and writes the Host anew."""

    daemon_threads, path = True, "/user/me/proxy/8000"

    def __init__(self, upstream: str):
        self.upstream = upstream
        super().__init__(("127.0.0.1", 0), _Relay)
        self.address = f"127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Relay(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (more := self.request.recv(65536)):
                return
            head += more
        head = head.replace(b" " + Proxy.path.encode(), b" ", 1)
        head = re.sub(rb"(?im)^host: [^\r]*", f"Host: {self.server.upstream}".encode(), head)
        head = re.sub(rb"(?im)^connection: keep-alive", b"Connection: close", head)
        host, port = self.server.upstream.split(":")
        with socket.create_connection((host, int(port))) as line:
            line.sendall(head)
            threading.Thread(target=_pump, args=(self.request, line), daemon=True).start()
            _pump(line, self.request)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def behind_proxy():
    """Put a server behind a proxy."""
    with contextlib.ExitStack() as stack:

        def start(upstream: str = "") -> Proxy:
            proxy = stack.enter_context(Proxy(upstream))
            stack.callback(proxy.shutdown)
            return proxy

        yield start


class Running:
    """A server that runs, and the pages that were opened."""

    def __init__(self, address, manager, server, thread):
        self.address, self.manager, self.server, self.thread = address, manager, server, thread
        self.pages = []

    def page(self, **settings) -> Page:
        self.pages.append(Page(self.address, **settings))
        return self.pages[-1]

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        assert not self.thread.is_alive() and wait_for_background(30.0)
        for page in self.pages:
            page.close()
