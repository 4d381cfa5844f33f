"""What players record: it can be read back and watched, and takes no more of the disk than it may."""

import urllib.error
import urllib.request

from tests.play.conftest import pixels
from worldsim.data.store import Footage


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
