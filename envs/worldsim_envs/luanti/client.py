"""A running Luanti: its private user folder, its settings and mods, and what they log a frame."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .lockstep import Lockstep

HERE = Path(__file__).parent
PROGRAM = "/usr/games/minetest"
DEGREES_PER_PIXEL = 0.25
MAPS = {"endless": "v7", "valley": "singlenode"}  # and the generator that each needs
JOIN_S, SETTLE_LEAST, SETTLE_MOST, STILL_FRAMES = 90.0, 20, 240, 12


class Seen(NamedTuple):
    """What the client knew when it drew a frame: blocks, and degrees with pitch down."""

    x: float
    y: float
    z: float
    yaw: float
    pitch: float
    health: float
    slot: int
    time: float
    distance: float
    node: str


class Client:
    """Luanti in lock-step, in single player.

    Args:
        size: height and width of its window in pixels.
        dt: seconds a frame.
        map_name: of MAPS, a file of Lua that makes it or knows it.
        map_seed: of the map.
        viewing_range: blocks that can be seen.

    Raises:
        FileNotFoundError: Luanti, Xvfb or a C compiler is missing; names how to get it.
        RuntimeError: it does not start; quotes what it printed last.
    """

    def __init__(self, *, size: tuple[int, int], dt: float, map_name: str, map_seed: int, viewing_range: int):
        program = PROGRAM if Path(PROGRAM).exists() else shutil.which("minetest") or shutil.which("luanti")
        if program is None:
            raise FileNotFoundError("Luanti is not installed: install the Debian package minetest.")
        self._folder = tempfile.TemporaryDirectory(prefix="worldsim-luanti-")
        home = Path(self._folder.name)
        self._command, self.events = home / "world" / "command.txt", []
        self._write_files(home, size, map_name, map_seed, viewing_range)
        command = [program, "--config", str(home / "game.conf"), "--gameid", "minetest", "--world", str(home / "world")]
        command += ["--go", "--logfile", ""]
        own = {"HOME": str(home), "XDG_CACHE_HOME": str(home), "LP_NUM_THREADS": "1"}
        try:
            self.game = Lockstep(command, size=size, dt=dt, env=own)
        except BaseException:
            self._folder.cleanup()
            raise
        self.seen: Seen | None = None
        try:
            self._wait_for("joined")
            self.picture = self.game.start()
            self._read()
        except BaseException:
            self.close()
            raise

    def set_down(self, seed: int, *, yaw: float, pitch: float, time_of_day: float, speed: float, sky: str) -> None:
        """Begin at the place that a seed draws, and let frames pass until the picture stands still."""
        self.game.release_all()
        order = f"reset {seed} {yaw:.3f} {pitch:.3f} {time_of_day:.5f} {speed:g} {sky}\n"
        part = self._command.with_suffix(".part")
        part.write_text(order)
        os.replace(part, self._command)
        self.events.clear()
        until = time.monotonic() + JOIN_S
        while f"placed {seed}" not in self.events:
            if time.monotonic() > until:
                raise RuntimeError(f"Luanti did not set the player down within {JOIN_S:g} s.")
            self.step()
            time.sleep(0.002)  # the server makes its map in threads with the real clock
        still = 0
        for frame in range(SETTLE_MOST):
            before = self.picture
            self.step()
            time.sleep(0.004)
            still = still + 1 if np.array_equal(before, self.picture) else 0
            if frame >= SETTLE_LEAST and still >= STILL_FRAMES:
                break
        self.events = [event for event in self.events if event.startswith("place ")]

    def step(self) -> None:
        """Let one frame pass; `picture`, `seen` and `events` are then of it."""
        self.picture = self.game.step()
        self._read()

    def close(self) -> None:
        """End it and drop its folder."""
        self.game.close()
        self._folder.cleanup()

    def _read(self) -> None:
        lines = self.game.text.split("\n")
        self.game.text = lines.pop()  # what is not whole yet
        for kind, rest in filter(None, map(_logged, lines)):
            if kind == "S":
                self.events.append(rest)
            else:
                *numbers, node = rest.split(" ")
                x, y, z, yaw, pitch, health, slot, clock, distance = map(float, numbers)
                self.seen = Seen(x, y, z, yaw, -pitch, health, int(slot), clock, distance, node)

    def _wait_for(self, event: str) -> None:
        until = time.monotonic() + JOIN_S
        while event not in self.events:
            self.game.check_alive()
            if time.monotonic() > until:
                raise RuntimeError(f"Luanti did not get ready within {JOIN_S:g} s.")
            time.sleep(0.05)
            self.game.text += self.game.read_text()
            self._read()

    def _write_files(self, home: Path, size: tuple[int, int], map_name: str, map_seed: int, viewing_range: int) -> None:
        values = {
            "W": size[1],
            "H": size[0],
            "RANGE": viewing_range,
            "SENSITIVITY": DEGREES_PER_PIXEL,
            "MAPGEN": MAPS[map_name],
            "MAP_SEED": map_seed,
            "AUTOJUMP": "false",
        }
        settings = (HERE / "game.conf").read_text()
        for name, value in values.items():
            settings = settings.replace(f"@{name}@", str(value))
        (home / "game.conf").write_text(settings)
        mods = home / ".minetest" / "clientmods"
        server, client = home / "world" / "worldmods" / "worldsim", mods / "worldsim"
        server.mkdir(parents=True)
        client.mkdir(parents=True)
        shutil.copy(HERE / "server.lua", server / "init.lua")
        shutil.copy(HERE / f"{map_name}.lua", server / "map.lua")
        (server / "mod.conf").write_text("name = worldsim\ndepends = default, wool, flowers\n")
        shutil.copy(HERE / "client.lua", client / "init.lua")
        (client / "mod.conf").write_text("name = worldsim\n")
        (mods / "mods.conf").write_text("load_mod_worldsim = true\n")
        world = "gameid = minetest\nbackend = dummy\nplayer_backend = files\nauth_backend = files\n"
        (home / "world" / "world.mt").write_text(world + "mod_storage_backend = files\nload_mod_worldsim = true\n")


def _logged(line: str) -> tuple[str, str] | None:
    """What one of the mods logged: its letter and the rest; None for any other line."""
    found = re.search(r"ACTION\[[\w-]+\]: ([SC]) (.*)", line)
    return (found[1], found[2]) if found else None
