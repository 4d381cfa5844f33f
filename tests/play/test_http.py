"""HTTP by those who mean no good: half requests end, and malformed ones leave no traceback."""

import contextlib
import logging
import socket
import time

import pytest

from tests.play.conftest import status

GET = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
MALFORMED = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": GET + b"Host: 127.0.0.1\r\n\r\n",
    "a header without a colon": GET + b"x\r\n\r\n",
    "a long header": GET + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
    "a folded header": GET + b"X: y\r\n z\r\n\r\n",
    "many headers": GET + b"".join(b"X-%d: y\r\n" % i for i in range(300)) + b"\r\n",
    "a bad length": GET + b"Content-Length: -1\r\n\r\n",
    "a bad chunk": GET + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
    "a bad request behind a good one": GET + b"\r\n" + b"\x00\r\n\r\n",
    "a null in the path": GET.replace(b" / ", b" /page/%00 ") + b"\r\n",
    "a long path": GET.replace(b" / ", b" /page/" + b"x" * 5000 + b" ") + b"\r\n",
    "a path that is no UTF-8": GET.replace(b" / ", b" /page/%ff ") + b"\r\n",
    "bad ranges": GET + b"Range: bytes=9-1,-\r\n\r\n",
    "an upgrade to nothing": GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "an upgrade without a key": GET + UPGRADE + b"\r\n",
    "an upgrade by POST": GET.replace(b"GET", b"POST") + UPGRADE + b"Sec-WebSocket-Key: x\r\n\r\n",
    "an upgrade with a body": GET + UPGRADE + b"Content-Length: 5\r\n\r\nhello",
    "an upgrade with a folded header": GET + UPGRADE + b"X: y\r\n z\r\n\r\n",
    "an upgrade with many headers": GET + UPGRADE + b"".join(b"X-%d: y\r\n" % i for i in range(300)) + b"\r\n",
    "an upgrade with a long header": GET + UPGRADE + b"X: " + b"y" * 12_000 + b"\r\n\r\n",
    "an upgrade with a header in Latin-1": GET + UPGRADE + b"X: \xff\r\nOrigin: \xff\r\n\r\n",
}


def ask(address: str, data: bytes) -> bytes:
    """What the server answers until it closes, or is silent."""
    host, port = address.split(":")
    answer = b""
    with socket.create_connection((host, int(port)), 0.3) as line, contextlib.suppress(OSError):
        line.sendall(data)
        while more := line.recv(65536):
            answer += more
    return answer


@pytest.fixture
def log(caplog):
    """What uvicorn and asyncio log, uvicorn's handlers being its own."""
    for name in ("uvicorn.error", "asyncio"):
        logging.getLogger(name).addHandler(caplog.handler)
    yield caplog
    for name in ("uvicorn.error", "asyncio"):
        logging.getLogger(name).removeHandler(caplog.handler)


def test_malformed_requests_leave_no_traceback_and_the_server_goes_on(serve, log):
    server = serve()
    for name, data in MALFORMED.items():
        log.clear()
        answer = ask(server.address, data)
        assert b" 500 " not in answer, name
        assert not [record.getMessage() for record in log.records if record.exc_info], name
    assert status(f"http://{server.address}/") == 200


def test_text_that_is_no_utf8_closes_its_page_without_a_traceback(serve, log):
    page = serve().page()
    page.frame()
    page.socket.send(b"\xff\xfe", text=True)
    assert page.end()[0] == 1007
    assert not [record for record in log.records if record.exc_info]


@pytest.mark.parametrize("start", [b"", b"GET / HT", GET, GET + b"Content-Length: 9\r\n\r\nhal"])
def test_a_request_that_never_comes_whole_is_let_go(serve, monkeypatch, start):
    monkeypatch.setattr("worldsim.play.http.REQUEST_S", 0.3)
    host, port = serve().address.split(":")
    began = time.monotonic()
    with socket.create_connection((host, int(port)), 5) as line:
        line.sendall(start)
        for _ in range(30):  # a byte now and then buys no time
            time.sleep(0.05)
            with contextlib.suppress(OSError):
                line.sendall(b"x" if start else b"")
            if time.monotonic() - began > 0.6:
                break
        with contextlib.suppress(ConnectionError):
            while line.recv(65536):
                pass
    assert time.monotonic() - began < 3


def test_a_page_plays_on_after_the_time_for_a_request(serve, monkeypatch):
    monkeypatch.setattr("worldsim.play.http.REQUEST_S", 0.3)
    page = serve().page()
    began = time.monotonic()
    while time.monotonic() < began + 0.8:
        page.frame()
