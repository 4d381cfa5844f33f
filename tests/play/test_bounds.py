"""What one player costs the others: an honest one keeps its frames beside one who means no good."""

import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from tests.play.attacks import ATTACKS
from tests.play.conftest import png
from worldsim.play import room

FPS, WINDOW_S = 20.0, 0.5


def frames_a_window(page, num_windows: int) -> float:
    """Median of the frames that arrive in half a second."""
    counts = []
    for _ in range(num_windows):
        count, end = len(page.frames), time.monotonic() + WINDOW_S
        while time.monotonic() < end:
            page.frame()
        counts.append(len(page.frames) - count)
    return float(np.median(counts))


@contextmanager
def attacker(address: str, name: str):
    command = [sys.executable, "-m", "tests.play.attacks", address, name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": os.getcwd()})
    try:
        assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("name", ATTACKS)
def test_an_honest_player_keeps_four_fifths_of_its_frames_beside(serve, name):
    server = serve(fps=FPS, max_players=2)
    page = server.page()
    page.frame()
    alone = frames_a_window(page, 5)
    with attacker(server.address, name):
        frames_a_window(page, 1)
        beside = frames_a_window(page, 7)
    assert beside >= 0.8 * alone, (beside, alone)


def slow_games(monkeypatch):
    """Games that start only when they are released, and then fail: (those that were asked for, the release)."""
    started, release = [], threading.Event()

    def start(card):
        started.append(card)
        release.wait(10)
        raise RuntimeError("no such game")

    monkeypatch.setattr(room, "RealGame", start)
    return started, release


def test_a_player_has_one_real_game(serve, monkeypatch):
    started, release = slow_games(monkeypatch)
    page = serve().page()
    for _ in range(6):
        page.do("real", on=True)
        page.frame()
    page.text("note", lambda m: "may start again" in m["text"] or "is starting" in m["text"])
    release.set()
    page.text("note", lambda m: "no such game" in m["text"])
    page.do("real", on=True)
    page.text("note", lambda m: "may start again in" in m["text"])
    assert len(started) == 1


def test_games_of_those_who_left_do_not_start(serve, monkeypatch):
    started, release = slow_games(monkeypatch)
    server = serve()
    for _ in range(3):
        page = server.page()
        page.frame()
        page.do("real", on=True)
        page.text("note")
        page.close()
    honest = server.page()
    honest.frame()
    release.set()
    honest.do("real", on=True)
    honest.text("note", lambda m: "no such game" in m["text"])
    assert len(started) == 2


def test_one_picture_of_a_player_is_decoded_at_a_time(serve, monkeypatch):
    decoding, release = [], threading.Event()

    def decode(raw, size):
        decoding.append(len(raw))
        release.wait(10)
        raise ValueError("expected a picture.")

    monkeypatch.setattr("worldsim.play.sessions.decode_picture", decode)
    page = serve().page()
    page.frame()
    for _ in range(5):
        page.socket.send(png())
    page.text("note", lambda m: "still reading the last picture" in m["text"])
    page.frame()  # while it is decoded
    assert len(decoding) == 1
    release.set()
    page.text("note", lambda m: "expected a picture" in m["text"])


def test_commands_take_a_fraction_of_the_thread_that_all_share(serve, monkeypatch):
    did = []
    monkeypatch.setattr(
        "worldsim.play.player.Player.do", lambda player, command: (did.append(time.monotonic()), time.sleep(0.05))
    )
    page = serve().page()
    page.frame()
    for _ in range(8):
        page.do("start", prompt="random")
    while len(did) < 3:
        page.frame()
    assert min(np.diff(did)) > 0.4


def test_a_world_is_loaded_once_however_often_it_is_named(serve, stepper, somewhere_empty, monkeypatch):
    loaded = []
    monkeypatch.setattr(
        "worldsim.play.sessions.SessionManager._load", lambda manager, world: loaded.append(world) or stepper
    )
    server = serve()
    pages = [server.page(), server.page()]
    for page in pages:
        page.frame()
        for _ in range(5):
            page.do("start", prompt="pong")
    for page in pages:
        page.text("hello")
    assert len(loaded) == 1
