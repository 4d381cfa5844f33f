"""Pages that mean no good, in a process of their own: `python -m tests.play.attacks ADDRESS NAME`."""

import contextlib
import io
import itertools
import json
import sys
import time
from collections.abc import Iterator

import websockets.sync.client as client
from PIL import Image


def picture(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(out, "PNG")
    return out.getvalue()


def do(what: str, **args) -> str:
    return json.dumps({"type": "do", "what": what, **args})


def taps() -> Iterator[str]:
    for n in itertools.count():
        yield json.dumps({"type": "input", "n": n, "keys": [f"{n}-{i}" for i in range(16)]})


# name -> messages, seconds between two of them, pages
ATTACKS = {
    "taps": (taps(), 0.005, 1),
    "large pictures": (itertools.repeat(picture(2040, 2040)), 0.05, 1),
    "pictures that are too large": (itertools.repeat(picture(8000, 4000)), 0.05, 1),
    "real games": (itertools.cycle([do("real", on=True), do("real", on=False)]), 0.05, 1),
    "beginnings": (itertools.repeat(do("start", prompt="random")), 0.02, 1),
    "names of worlds": (itertools.repeat(do("start", prompt="a castle")), 0.02, 1),
    "recordings": (itertools.cycle([do("record", on=True), do("record", on=False)]), 0.02, 1),
    "megabytes": (itertools.repeat(b"x" * (1 << 20)), 0.05, 6),
}


def attack(address: str, name: str) -> None:
    """Send for ever; a page that is closed comes back."""
    messages, every_s, num_pages = ATTACKS[name]
    print("ready", flush=True)
    while True:
        with contextlib.suppress(Exception), contextlib.ExitStack() as stack:
            url, origin = f"ws://{address}/play", f"http://{address}"
            pages = [stack.enter_context(client.connect(url, origin=origin)) for _ in range(num_pages)]
            for message in messages:
                for page in pages:
                    page.send(message)
                time.sleep(every_s)
        time.sleep(0.2)


if __name__ == "__main__":
    attack(*sys.argv[1:])
