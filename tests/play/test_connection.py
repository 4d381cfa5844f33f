"""Every way to break the rules of a message: it closes the page that did, and no other."""

import json

import pytest

from tests.play.conftest import png
from worldsim.play.connection import Meter
from worldsim.play.frames import MAX_PICTURE_BYTES
from worldsim.play.messages import MAX_TEXT_BYTES

BAD = {
    "no JSON": "{",
    "no object": "[]",
    "no type": "{}",
    "unknown type": '{"type": "input2"}',
    "too long": json.dumps({"type": "ping", "x": "y" * MAX_TEXT_BYTES}),
    "unknown field": '{"type": "ping", "x": 1}',
    "missing field": '{"type": "input", "n": 1}',
    "keys are no list": '{"type": "input", "n": 1, "keys": "ArrowUp"}',
    "too many keys": json.dumps({"type": "input", "n": 1, "keys": ["a"] * 17}),
    "key is no name": '{"type": "input", "n": 1, "keys": [3]}',
    "n is negative": '{"type": "input", "n": -1, "keys": []}',
    "n is a fraction": '{"type": "input", "n": 1.5, "keys": []}',
    "n is true": '{"type": "input", "n": true, "keys": []}',
    "motion is infinite": '{"type": "input", "n": 1, "keys": [], "motion": [1e999, 0]}',
    "motion is NaN": '{"type": "input", "n": 1, "keys": [], "motion": [NaN, 0]}',
    "motion of three": '{"type": "input", "n": 1, "keys": [], "motion": [1, 2, 3]}',
    "axis too far": '{"type": "input", "n": 1, "keys": [], "axes": {"x": 2}}',
    "unknown command": '{"type": "do", "what": "exec"}',
    "command is a private name": '{"type": "do", "what": "__init__"}',
    "rewind into the future": '{"type": "do", "what": "rewind", "seconds": -1}',
    "empty prompt": '{"type": "do", "what": "start", "prompt": " "}',
    "long prompt": json.dumps({"type": "do", "what": "start", "prompt": "x" * 201}),
    "policy is a number": '{"type": "do", "what": "policy", "name": 3}',
    "unknown format": '{"type": "do", "what": "settings", "format": "svg"}',
    "pause is a number": '{"type": "do", "what": "pause", "on": 1}',
    "deep nesting": "[" * 2000,
}


def test_every_bad_message_closes_its_own_page_with_a_reason_and_no_other(serve):
    server = serve()
    good = server.page()
    good.frame()
    for name, text in BAD.items():
        bad = server.page()
        bad.frame()
        bad.socket.send(text)
        code, reason = bad.end()
        assert code == 1008 and reason, name
    before = len(good.frames)
    good.frame()
    assert len(good.frames) > before and len(server.manager.places) == 1


def test_a_picture_that_is_too_large_closes_the_page(serve):
    page = serve().page()
    page.frame()
    page.socket.send(b"x" * (MAX_PICTURE_BYTES + 1))
    assert page.end()[0] == 1009


def test_a_flood_closes_the_page(serve):
    page = serve().page()
    page.frame()
    try:
        for _ in range(3000):
            page.send(type="ping")
    except Exception:
        pass
    code, reason = page.end()
    assert code == 1008 and "a second" in reason


def test_large_messages_count_as_many(serve):
    meter = Meter()
    assert meter.lets(MAX_PICTURE_BYTES) and not meter.lets(MAX_PICTURE_BYTES)


@pytest.mark.parametrize("message", ['{"type": "input", "n": 1, "keys": ["a"]}', png(), b"x" * MAX_PICTURE_BYTES])
def test_a_page_that_waits_may_only_ping(serve, message):
    server = serve(max_players=1)
    server.page().frame()
    waiting = server.page()
    assert waiting.text("queue")["place"] == 1
    waiting.send(type="ping")
    waiting.socket.send(message)
    code, reason = waiting.end()
    assert code == 1008 and "nothing but ping" in reason


def test_commands_of_a_page_that_reads_nothing_are_bounded(serve):
    page = serve().page(acks=False)
    page.frame()
    page.frame()
    for _ in range(40):
        page.do("save")
    code, reason = page.end()
    assert code == 1008 and "more commands" in reason
