"""Who is let in: hosts, origins and the key."""

import urllib.error
import urllib.request

import pytest
import websockets.sync.client as client
from websockets.exceptions import InvalidStatus

from tests.play.conftest import status
from worldsim.play.guard import Access


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_a_foreign_origin_is_refused(serve, origin):
    server = serve()
    with pytest.raises(InvalidStatus) as error:
        client.connect(f"ws://{server.address}/play", origin=origin).__enter__()
    assert error.value.response.status_code == 403


def test_a_connection_without_origin_is_refused(serve):
    server = serve()
    with pytest.raises(InvalidStatus):
        client.connect(f"ws://{server.address}/play").__enter__()


def test_a_foreign_host_name_is_refused(serve):
    server = serve()
    request = urllib.request.Request(f"http://{server.address}/", headers={"Host": "evil.example"})
    assert status(request) == 403


@pytest.mark.parametrize("path", ["/page/../server.py", "/page/%2e%2e/server.py", "/recordings/..%2f..%2fx.mp4", "/x"])
def test_no_address_leads_out_of_the_page(serve, path):
    server = serve()
    assert status(f"http://{server.address}{path}") == 404


def test_the_page_may_load_nothing_from_elsewhere(serve):
    with urllib.request.urlopen(f"http://{serve().address}/") as answer:
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert b"http://" not in answer.read().replace(b"http://www.w3.org/", b"")


@pytest.mark.parametrize(
    ("host", "origin", "allowed"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000", True),
        ("LOCALHOST:8000", "http://localhost:8000", True),
        ("[::1]:8000", "http://[::1]:8000", True),
        ("localhost", "http://localhost:80", True),
        ("127.0.0.1:8000", "https://127.0.0.1:8000", False),
        ("127.0.0.1:8000", "ftp://127.0.0.1:8000", False),
        ("127.0.0.1:8000", "http://127.0.0.1:1", False),
        ("127.0.0.1:8000", "http://127.0.0.1", False),
        ("127.0.0.1:8000", "file://", False),
        ("127.0.0.1:8000", "http://[", False),
        ("127.0.0.1:8000", "http://127.0.0.1:99999", False),
        ("127.0.0.1:8000", "http://a@127.0.0.1:8000", False),
        ("", "file://", False),
        ("[", "http://[", False),
        ("127.0.0.1:8000", "https://games.example.org", True),
        ("games.example.org", "https://games.example.org", True),
        ("games.example.org", "http://games.example.org:8000", False),
        ("127.0.0.1:8000", "https://games.example.org:8443", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(host, origin, allowed):
    access = Access(origins=("https://games.example.org",))
    assert (access.refusal(scope(host=host, origin=origin)) is None) == allowed


def scope(path="/play", query="", **headers) -> dict:
    """A WebSocket's ASGI scope."""
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "websocket", "scheme": "ws", "path": path, "query_string": query.encode(), "headers": pairs}


@pytest.mark.parametrize("origin", ["http://[", "file://", "http://127.0.0.1:99999"])
def test_an_origin_that_is_none_is_a_403_without_a_traceback(serve, origin, caplog):
    server = serve()
    with pytest.raises(InvalidStatus) as error:
        client.connect(f"ws://{server.address}/play", origin=origin).__enter__()
    assert error.value.response.status_code == 403 and not caplog.records


@pytest.mark.parametrize("origin", ["games.example.org", "https://games.example.org/sub", "null", "http://["])
def test_an_allowed_origin_that_is_none_is_refused(origin):
    with pytest.raises(ValueError, match="for --allow-origin, got"):
        Access(origins=(origin,))


def test_without_the_key_nobody_sees_the_page_or_plays(serve):
    server = serve(access=Access(key="pass-word"))
    address = f"http://{server.address}"
    assert [status(f"{address}/{query}") for query in ("", "?key=", "?key=pass", "?key=pass-word")] == [
        403,
        403,
        403,
        200,
    ]
    for query in ("", "?key=pass"):
        with pytest.raises(InvalidStatus):
            server.page(path=f"/play{query}")
    server.page(path="/play?key=pass-word").frame()
