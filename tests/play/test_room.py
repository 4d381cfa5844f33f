"""What is played over the connection: frames, commands and the pace of the ticks."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from tests.play.conftest import pixels, png
from worldsim.play import frames
from worldsim.play.room import Room


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


@pytest.fixture
def ticks(monkeypatch):
    """Run a room on a clock of its own, where ticks cost `costs` seconds; gives the seconds at which each was due."""

    def run(fps: float, costs: list[float], late: float) -> list[float]:
        room = object.__new__(Room)
        room.fps, room.sessions, room._start = fps, [None], 100.0
        now, due, left = [room._start], [], list(costs)

        async def tick(clock_ms):
            if not left:
                raise asyncio.CancelledError
            due.append(clock_ms / 1e3)
            now[0] += left.pop(0)

        async def sleep(seconds):
            now[0] += seconds + late

        clock = SimpleNamespace(monotonic=lambda: now[0])
        monkeypatch.setattr("worldsim.play.room.time", clock)
        monkeypatch.setattr("worldsim.play.room.asyncio", SimpleNamespace(sleep=sleep))
        monkeypatch.setattr(room, "_tick", tick)
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(room.run())
        return due

    return run


def test_ticks_keep_their_pace_and_do_not_drift(ticks):
    assert ticks(20.0, [0.01] * 100, late=0.003) == pytest.approx(np.arange(100) / 20)


def test_a_tick_that_is_late_slows_the_game_and_is_not_made_up_for(ticks):
    assert ticks(20.0, [0.01, 0.12, 0.01, 0.01], late=0.0) == pytest.approx([0, 0.05, 0.17, 0.22])
