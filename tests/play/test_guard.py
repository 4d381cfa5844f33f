"""Who is let in: hosts, origins and the key."""

import urllib.error
import urllib.request

import pytest
import websockets.sync.client as client
from websockets.exceptions import InvalidStatus

from tests.play.conftest import status


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
