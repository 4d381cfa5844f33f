"""The connection of page and server: what is played over it, and every way to break its rules."""

import io
import json
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
import websockets.sync.client as client
from PIL import Image
from websockets.exceptions import InvalidStatus

from worldsim.data.store import Footage
from worldsim.play import frames
from worldsim.play.frames import MAX_PICTURE_BYTES
from worldsim.play.messages import MAX_TEXT_BYTES


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


def test_a_page_is_told_of_the_world_and_then_sees_it(serve):
    page = serve().page()
    hello = page.text("hello")
    assert hello["world"]["name"] == "bar" and hello["world"]["size"] == [16, 16] and hello["fps"] == 40.0
    assert hello["controls"][0]["bindings"][1] == {"label": "left", "keys": ["ArrowLeft"]}
    first, second = page.frame(), page.frame()
    assert first.flags & frames.BEGUN and not second.flags & frames.BEGUN
    assert pixels(first).shape == (16, 16, 3) and second.number == first.number + 1


def test_a_frame_says_which_input_it_answers(serve):
    page = serve().page()
    page.frame()
    n = page.hold("ArrowLeft")
    assert page.frame(lambda frame: frame.answered >= n).answered == n


def test_no_more_than_two_frames_are_on_their_way(serve):
    page = serve().page(acks=False)
    page.text("status", lambda s: s["players"] == 1)
    page.text("status")
    page.text("status")
    assert len(page.frames) == 2


def test_a_page_that_reads_late_is_told_that_its_line_holds_the_tick(serve):
    page = serve().page(acks=False)
    page.frame()
    page.frame()
    status = page.text("status", lambda s: s["held"] is not None)
    assert status["held"] == "line"


def test_load_gives_back_the_very_frame_that_was_saved_and_the_dream_goes_on_the_same(serve):
    page = serve().page()
    page.do("pause", on=True)
    page.text("status", lambda s: s["paused"])
    saved = page.frames[-1]
    page.do("save")
    page.text("status", lambda s: s["saves"] == 1)

    def play_on():
        seen = []
        for _ in range(3):
            page.do("step")
            seen.append(page.frame().picture)
        return seen

    one = play_on()
    page.do("load")
    back = page.frame()
    assert back.flags & frames.JUMPED and back.picture == saved.picture and back.total == saved.total
    assert play_on() == one
    assert len(set(one)) == 3


def test_rewind_shows_a_frame_that_was_there_before_and_branches(serve):
    server = serve()
    page = server.page()
    for _ in range(60):
        page.frame()
    page.do("rewind", seconds=2.0)
    back = page.frame(lambda frame: frame.flags & frames.JUMPED)
    before = [f.picture for f in page.frames[:-1]]
    place = before.index(back.picture)  # worldsim's clock: 10 frames are a second of the bar game
    assert 15 <= len(before) - place <= 40
    page.frame()


def test_a_held_world_moves_frame_by_frame(serve):
    page = serve().page()
    page.frame()
    page.do("pause", on=True)
    page.text("status", lambda s: s["paused"])
    count = len(page.frames)
    page.do("step")
    assert page.frame().flags & frames.HELD
    page.text("status")
    page.text("status")
    assert len(page.frames) == count + 1
    page.do("pause", on=False)
    page.frame(lambda frame: not frame.flags & frames.HELD)


def test_sampler_settings_take_effect(serve):
    page = serve().page()
    assert page.frame(lambda f: not f.flags & frames.BEGUN).uncertainty is not None  # four steps
    page.do("settings", num_denoise_steps=1)
    page.frame(lambda f: not f.flags and f.uncertainty is None)
    page.do("settings", noise_scale=0.0, format="jpeg")
    status = page.text("status", lambda s: s["noise_scale"] == 0.0)
    assert status["num_denoise_steps"] == 1 and status["format"] == "jpeg"
    page.frame(lambda f: f.picture[:2] == b"\xff\xd8")


def test_a_number_of_steps_that_the_world_has_not_is_a_note(serve):
    page = serve().page()
    page.do("settings", num_denoise_steps=3)
    assert "(1, 2, 4)" in page.text("note")["text"]


def test_a_policy_takes_control_and_gives_it_back(serve):
    seen = []

    def right(seed):
        return lambda obs, row: seen.append((obs.shape, row)) or np.array([2], np.float32)

    page = serve(policies={"right": right}).page()
    assert page.text("hello")["policies"] == ["right", "random"]
    for policy in ("right", "random", None):
        page.do("policy", name=policy)
        page.text("status", lambda s, policy=policy: s["policy"] == policy)
        for _ in range(4):
            page.frame()
    assert seen and seen[0][0] == (16, 16, 3) and seen[-1][1] == [2]
    page.do("policy", name="/etc/passwd")
    assert "expected one of random, right for policy" in page.text("note")["text"]


def test_a_dropped_picture_is_where_the_dream_begins(serve):
    page = serve().page()
    page.frame()
    page.do("pause", on=True)
    page.text("status", lambda s: s["paused"])
    page.socket.send(png((64, 32), (200, 30, 30)))
    begun = page.frame(lambda frame: frame.flags & frames.BEGUN)
    assert (pixels(begun) == (200, 30, 30)).all()


@pytest.mark.parametrize(
    "raw", [b"", b"GIF89a", b"not a picture", png((9000, 1))], ids=["empty", "cut", "text", "wide"]
)
def test_a_picture_that_cannot_be_read_is_a_note_and_play_goes_on(serve, raw):
    page = serve().page()
    page.frame()
    page.socket.send(raw)
    note = page.text("note")
    assert note["level"] == "error" and "for a picture" in note["text"]
    page.frame()


def test_a_text_begins_the_world_that_it_names_and_else_says_what_there_is(serve, somewhere_empty):
    page = serve().page()
    page.frame()
    page.do("start", prompt="nothing")
    page.frame(lambda frame: frame.flags & frames.BEGUN)
    page.do("start", prompt="a castle in the clouds")
    assert "there are:" in page.text("note", lambda m: m["level"] == "error")["text"]
    page.do("start", prompt="pong")
    assert page.text("hello")["world"]["name"] == "pong"
    page.frame(lambda frame: frame.flags & frames.BEGUN)


def test_a_path_is_never_followed_from_the_page(serve, restless_world):
    page = serve().page()
    page.frame()
    page.do("start", prompt=str(restless_world))
    assert page.text("note", lambda m: m["level"] == "error")


def test_a_recording_can_be_read_back_and_watched(serve):
    server = serve()
    page = server.page()
    page.frame()
    page.do("record", on=True)
    for _ in range(12):
        page.frame()
    page.do("record", on=False)
    recorded = page.text("recorded")
    footage = Footage.open(server.manager.archive.folder / "bar-dream")
    episode = footage[0]
    assert recorded["source"] == "dream" and recorded["frames"] == len(episode.obs) > 8
    seen = [pixels(frame) for frame in page.frames]
    assert all(any((obs == other).all() for other in seen) for obs in episode.obs)
    with urllib.request.urlopen(f"http://{server.address}{recorded['video']}") as answer:
        assert answer.read()[4:8] == b"ftyp"


def test_a_rewind_cuts_the_recording_in_two(serve):
    server = serve()
    page = server.page()
    page.frame()
    page.do("record", on=True)
    for _ in range(30):
        page.frame()
    page.do("rewind", seconds=1.0)
    first = page.text("recorded")
    for _ in range(5):
        page.frame()
    page.close()
    server.stop()
    footage = Footage.open(server.manager.archive.folder / "bar-dream")
    assert len(footage) == 2 and footage.episodes[0].length == first["frames"]


def test_two_players_have_worlds_of_their_own(serve):
    server = serve()
    one, two = server.page(), server.page()
    for page in (one, two):
        page.do("pause", on=True)
        page.text("status", lambda s: s["paused"] and s["players"] == 2)
    one.do("step")
    changed = one.frame()
    assert changed.picture not in {f.picture for f in two.frames}
    two.do("step")
    assert two.frame().picture != changed.picture


def test_who_comes_late_waits_and_enters_when_a_place_is_free(serve):
    server = serve(max_players=1)
    first, second = server.page(), server.page()
    first.frame()
    assert second.text("queue")["place"] == 1
    first.close()
    second.text("hello")
    second.frame()


def test_an_idle_player_is_let_go(serve):
    page = serve(idle_s=1.0).page()
    assert page.end()[0] == 4000


def test_a_silent_page_is_let_go(serve, monkeypatch):
    monkeypatch.setattr("worldsim.play.sessions.SILENT_S", 0.5)
    page = serve().page(acks=False)
    assert page.end()[0] == 4001


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


def test_a_stop_says_so_to_the_pages_closes_recordings_and_takes_less_than_five_seconds(serve):
    server = serve()
    page = server.page()
    page.do("record", on=True)
    for _ in range(10):
        page.frame()
    server.server.should_exit = True
    began = time.monotonic()
    assert page.end() == (1001, "the server has stopped")
    server.thread.join(10)
    assert time.monotonic() - began < 5
    assert Footage.open(server.manager.archive.folder / "bar-dream").episodes[0].length > 5


def test_ticks_keep_their_pace_and_do_not_drift(serve):
    page = serve(fps=20.0).page()
    page.frame()
    began, count, clock = time.monotonic(), len(page.frames), page.frames[-1].clock_ms
    while time.monotonic() < began + 3:
        page.frame()
    ticks = len(page.frames) - count
    assert page.frames[-1].clock_ms - clock == pytest.approx(50 * ticks, rel=0.1)
    assert ticks == pytest.approx(60, rel=0.15)
