"""Who plays where: places, the queue, other worlds, and those who are gone."""

import time

from worldsim.data.store import Footage
from worldsim.play import frames
from worldsim.world import find_world


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


def test_strangers_enter_the_worlds_on_the_list_and_no_others(serve, somewhere_empty):
    page = serve(worlds=[find_world("pong")]).page()
    assert page.text("hello")["worlds"] == ["pong"]
    page.do("start", prompt="jump")
    assert page.text("note", lambda m: m["level"] == "error")["text"].endswith("there are: pong")
    page = serve(worlds=[]).page()
    page.do("start", prompt="pong")
    assert page.text("note", lambda m: m["level"] == "error")
