"""Play behind a proxy that serves it below a path, as nginx and notebook servers do."""

import re
import urllib.request
from urllib.parse import urljoin

import pytest
from websockets.exceptions import InvalidStatus

from tests.play.conftest import Page, status
from worldsim.play.guard import Access

PUBLIC = "https://hub.example.org"


def test_a_page_of_an_allowed_origin_plays_below_a_path(serve, behind_proxy):
    proxy = behind_proxy(serve(access=Access(origins=(PUBLIC,))).address)
    page = Page(proxy.address, path=f"{proxy.path}/play", origin=PUBLIC)
    page.frame()
    page.do("record", on=True)
    for _ in range(5):
        page.frame()
    page.do("record", on=False)
    video = page.text("recorded")["video"]
    assert status(urljoin(f"http://{proxy.address}{proxy.path}/", video)) == 200
    page.close()


def test_other_origins_stay_foreign_behind_it(serve, behind_proxy):
    proxy = behind_proxy(serve(access=Access(origins=(PUBLIC,))).address)
    for origin in (f"http://{proxy.address}", "https://hub.example.org:8443", "http://hub.example.org"):
        with pytest.raises(InvalidStatus) as error:
            Page(proxy.address, path=f"{proxy.path}/play", origin=origin)
        assert error.value.response.status_code == 403


def test_all_that_the_page_names_is_found_below_the_path(serve, behind_proxy):
    proxy = behind_proxy(serve().address)
    address = f"http://{proxy.address}{proxy.path}/"
    with urllib.request.urlopen(address) as answer:
        names = re.findall(r'<(?:link|script)[^>]* (?:href|src)="([^"]+)"', answer.read().decode())
    assert len(names) == 3 and [status(urljoin(address, name)) for name in names] == [200] * 3


def test_a_notebook_of_an_allowed_origin_may_frame_the_page(serve):
    server = serve(access=Access(origins=(PUBLIC,)))
    with urllib.request.urlopen(f"http://{server.address}/") as answer:
        assert answer.headers["content-security-policy"].endswith(f"frame-ancestors {PUBLIC}")
