"""`worldsim play` as a process: it says where it is, and ends when it is asked to."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.commands import run
from tests.play.conftest import Page
from worldsim.cli.play import Play
from worldsim.data.store import Footage
from worldsim.play.guard import Access


@pytest.fixture
def started(untrained_world, tmp_path):
    """A running `worldsim play` and its address."""
    command = [sys.executable, "-m", "worldsim", "play", str(untrained_world), "--port", "0", "--no-browser"]
    command += ["--out", str(tmp_path / "played")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_env())
    ready, _, _ = select.select([process.stdout], [], [], 90)
    assert ready
    line = process.stdout.readline()
    assert line, process.stderr.read()
    assert "other worlds that players may enter: all" in process.stdout.readline()
    assert "at most 10 GB" in process.stdout.readline()
    yield process, re.search(r"http://(\S+)", line)[1]
    if process.poll() is None:
        process.kill()
    process.communicate()


def _env() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)}


@pytest.mark.parametrize("ask", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_within_five_seconds_with_open_pages_and_whole_recordings(started, tmp_path, ask):
    process, address = started
    page = Page(address)
    page.do("record", on=True)
    for _ in range(6):
        page.frame()
    began = time.monotonic()
    process.send_signal(ask)
    assert page.end()[0] == 1001
    process.wait(10)
    assert time.monotonic() - began < 5
    page.close()
    out, err = process.communicate()
    assert process.returncode == 0 and out == "stopped\n" and "Traceback" not in err and "terminate" not in err
    assert Footage.open(tmp_path / "played" / "bar-dream")[0].obs.shape[1:] == (16, 16, 3)


def test_a_port_that_is_taken_is_a_clear_error(capsys, untrained_world):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        status, out, err = run(capsys, "play", untrained_world, "--port", taken.getsockname()[1], "--no-browser")
    assert status == 2 and "choose another with --port" in err and not out


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--fps", 0, "for --fps, got"),
        ("--fps", "nan", "for --fps, got"),
        ("--max-players", 0, "for --max-players, got"),
        ("--port", 70000, "for --port, got"),
        ("--idle-minutes", -1, "for --idle-minutes, got"),
        ("--max-recordings-gb", -1, "for --max-recordings-gb, got"),
        ("--allow-origin", "games.example.org", "for --allow-origin, got"),
        ("--worlds", "a lamp shop", "no world at"),
        ("--host", "192.0.2.1", "cannot serve at"),
    ],
)
def test_bad_options_are_refused_in_one_line(capsys, untrained_world, option, value, said):
    status, out, err = run(capsys, "play", untrained_world, option, value)
    assert status == 2 and said in err and len(err.strip().splitlines()) == 1 and not out


def test_an_unknown_world_is_refused(capsys, somewhere_empty):
    status, _, err = run(capsys, "play", "a lamp shop")
    assert status == 2 and "Worlds here" in err


@pytest.mark.parametrize(
    ("settings", "host", "has_key"),
    [
        ({}, "127.0.0.1", False),
        ({}, "::1", False),
        ({}, "0.0.0.0", True),
        ({}, "192.168.1.2", True),
        ({"open": True}, "0.0.0.0", False),
        ({"allow_origin": ("https://games.example.org",)}, "127.0.0.1", True),
        ({"allow_origin": ("https://games.example.org",), "open": True}, "127.0.0.1", False),
    ],
)
def test_the_link_has_a_key_where_others_reach_the_server(settings, host, has_key):
    access = Play(**settings)._for_address(Access(), host)
    assert (access.key is not None) == has_key
    assert (access.hosts is None) == (host in ("0.0.0.0", "192.168.1.2"))
