"""What players record: it can be read back and watched, and takes no more of the disk than it may."""

import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from tests.play.conftest import pixels, status
from worldsim.data.store import Footage
from worldsim.play.archive import Archive


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
    with urllib.request.urlopen(f"http://{server.address}/{recorded['video']}") as answer:
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


def test_recordings_take_no_more_of_the_disk_than_they_may(serve):
    frame_bytes = 16 * 16 * 3
    server = serve(max_bytes=2e4)  # some 26 frames: an untrained dream does not stay finite for long
    page = server.page()
    page.frame()
    page.do("record", on=True)
    error = page.text("note", lambda m: m["level"] == "error")
    assert "--max-recordings-gb" in error["text"]
    assert page.text("status")["recording"] is None
    page.do("record", on=True)
    page.text("note", lambda m: m["level"] == "error")
    page.frame()
    folder = server.manager.archive.folder
    num_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert 5 * frame_bytes < num_bytes < 70_000
    assert Archive(folder, 1.0).is_full


def test_one_video_is_made_at_a_time(serve, monkeypatch):
    running, most = [], []

    def video(archive, token):
        running.append(token)
        most.append(len(running))
        time.sleep(0.05)
        running.remove(token)

    monkeypatch.setattr(Archive, "video", video)
    address = serve().address
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: status(f"http://{address}/recordings/{i}.mp4"), range(8)))
    assert answers == [404] * 8 and max(most) == 1


def test_a_disk_that_fails_ends_the_recording_and_not_the_game(serve, monkeypatch):
    page = serve().page()
    page.frame()
    page.do("record", on=True)
    page.text("status", lambda s: s["recording"] is not None)

    def fail(tape, *args):
        raise OSError("no room left on the disk")

    monkeypatch.setattr("worldsim.play.archive.Tape.step", fail)
    page.text("note", lambda m: "no room left" in m["text"])
    page.frame()
    assert page.text("status")["recording"] is None
