"""Run a program that draws with GLX frame by frame, on a screen of its own: the controller of `lockstep.c`.

    with Lockstep(["glxgears"], size=(180, 320), dt=1 / 30) as game:
        picture = game.start()      # uint8 [h w 3]; from here on time stands still between frames
        game.hold("KeyW", True)
        picture = game.step()       # one frame on

The screen is Xvfb with Mesa's software renderer, keys and mouse arrive by XTEST. Both processes end when this one does,
killed or not: they hold the reading end of a pipe that ends with it. Memory and sockets are inherited and have no name,
so nothing can be left behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import select
import shutil
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Mapping, Sequence
from mmap import mmap
from pathlib import Path
from typing import Any

import numpy as np

from ..game import import_optional

SOURCE = Path(__file__).with_name("lockstep.c")
HEADER = 64  # bytes of `struct shared` before the pixels
FRAME_S, START_S = 20.0, 60.0
KEYSYMS = {
    "ArrowLeft": "Left",
    "ArrowRight": "Right",
    "ArrowUp": "Up",
    "ArrowDown": "Down",
    "Space": "space",
    "ShiftLeft": "Shift_L",
    "ControlLeft": "Control_L",
    "Enter": "Return",
    "Escape": "Escape",
}


class Lockstep:
    """A program under `lockstep.c`.

    Args:
        command: the program and its arguments.
        size: height and width of the screen and of the program's window, in pixels.
        dt: seconds that pass between two frames.
        env: variables of the environment beside this process's own.

    Raises:
        FileNotFoundError: Xvfb, the program or a C compiler is missing; names how to get it.
        RuntimeError: the library cannot be compiled, or a process ended at once.
    """

    def __init__(
        self, command: Sequence[str], *, size: tuple[int, int], dt: float, env: Mapping[str, str] | None = None
    ):
        wanted = {"Xvfb": "the Debian package xvfb", command[0]: f"the program {command[0]}"}
        for program, package in wanted.items():
            if shutil.which(program) is None:
                raise FileNotFoundError(f"{Path(program).name} is not installed: install {package}.")
        make_display = import_optional("Xlib.display", "python-xlib", extra="luanti").Display
        self._x, self._names = importlib.import_module("Xlib.X"), importlib.import_module("Xlib.XK")
        library = compile_library()
        self.size, self.text, self._tail = size, "", ""
        height, width = size
        self._life, self._alive = os.pipe()  # what reads the first ends when the second closes
        self._sync, theirs = socket.socketpair()
        self._memory = os.memfd_create("lockstep")
        os.ftruncate(self._memory, HEADER + 4 * height * width)
        self._shared = mmap(self._memory, HEADER + 4 * height * width)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the processes
        self._processes: list[subprocess.Popen] = []
        self._display: Any = None
        bound = {**os.environ, "LD_PRELOAD": str(library), "LOCKSTEP_LIFE": str(self._life)}
        try:
            screen = self._open_screen(bound)
            bound |= {
                "DISPLAY": screen,
                "LIBGL_ALWAYS_SOFTWARE": "1",
                "LOCKSTEP_SYNC": str(theirs.fileno()),
                "LOCKSTEP_SHM": str(self._memory),
                "LOCKSTEP_W": str(width),
                "LOCKSTEP_H": str(height),
                **(env or {}),
            }
            np.frombuffer(self._shared, np.float64, 1, 8)[:] = dt
            fds = (self._life, theirs.fileno(), self._memory)
            self._processes.append(
                subprocess.Popen(
                    command,
                    env=bound,
                    pass_fds=fds,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                )
            )
            os.set_blocking(self._processes[-1].stdout.fileno(), False)  # type: ignore[union-attr]
            self._display = make_display(screen)
        except BaseException:
            self.close()
            raise
        finally:
            theirs.close()
        self._held: set[str] = set()

    def start(self) -> np.ndarray:
        """Stop the program's time at its next frame, give its window the keys, and return the frame."""
        self._focus()
        np.frombuffer(self._shared, np.uint32, 1, 0)[:] = 1
        return self._receive(START_S)

    def step(self) -> np.ndarray:
        """Let one frame pass: uint8 [h w 3]. What the program printed meanwhile is added to `text`."""
        try:
            self._sync.send(b"g")
        except OSError:
            raise self._died() from None
        return self._receive(FRAME_S)

    def hold(self, code: str, is_down: bool) -> None:
        """Press or let go a key (KeyboardEvent.code) or a mouse button (Mouse0, Mouse2), if it is not so already."""
        if (code in self._held) == is_down:
            return
        x, button = self._x, {"Mouse0": 1, "Mouse2": 3}.get(code)
        if button is not None:
            self._display.xtest_fake_input(x.ButtonPress if is_down else x.ButtonRelease, button)
        else:
            key = self._display.keysym_to_keycode(self._keysym(code))
            self._display.xtest_fake_input(x.KeyPress if is_down else x.KeyRelease, key)
        self._display.sync()
        (self._held.add if is_down else self._held.discard)(code)

    def move(self, dx: int, dy: int) -> None:
        """Move the mouse by pixels, right and down."""
        if dx or dy:
            self._display.xtest_fake_input(self._x.MotionNotify, True, x=dx, y=dy)
            self._display.sync()

    def release_all(self) -> None:
        """Let go of everything."""
        for code in tuple(self._held):
            self.hold(code, False)

    def read_text(self) -> str:
        """What the program printed since this was last asked; for a program whose time is not held yet."""
        self._drain()
        text, self.text = self.text, ""
        return text

    def check_alive(self) -> None:
        """Raise RuntimeError where the program has ended."""
        if self._processes[-1].poll() is not None:
            raise self._died()

    def close(self) -> None:
        """End both processes."""
        if self._alive < 0:
            return
        os.close(self._alive)  # they end by themselves
        self._alive = -1
        if self._display is not None:
            with contextlib.suppress(Exception):  # its server may be gone already
                self._display.close()
        for process in reversed(self._processes):
            try:
                process.wait(2.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        os.close(self._life)
        self._sync.close()
        self._errors.close()
        os.close(self._memory)

    def __enter__(self) -> Lockstep:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _open_screen(self, env: Mapping[str, str]) -> str:
        """Start Xvfb on a display that is free, and return its name."""
        height, width = self.size
        line, theirs = os.pipe()
        command = ["Xvfb", "-displayfd", str(theirs), "-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp"]
        self._processes.append(
            subprocess.Popen(
                [*command, "-noreset"],
                env=env,
                pass_fds=(theirs, self._life),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
            )
        )
        os.close(theirs)
        with os.fdopen(line, "rb") as answers:
            ready, _, _ = select.select([answers], [], [], START_S)
            number = answers.readline().strip() if ready else b""
        if not number:
            raise RuntimeError(f"Xvfb gave no display: {self._last_words()}")
        return f":{int(number)}"

    def _focus(self) -> None:
        """Without a window manager nobody gives a window the keys."""
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            children = self._display.screen().root.query_tree().children
            windows = [window for window in children if window.get_attributes().map_state == self._x.IsViewable]
            if windows:
                windows[-1].set_input_focus(self._x.RevertToParent, self._x.CurrentTime)
                return self._display.sync()
            self.check_alive()
            time.sleep(0.05)
        raise RuntimeError("the program opened no window.")

    def _receive(self, timeout_s: float) -> np.ndarray:
        ready, _, _ = select.select([self._sync], [], [], timeout_s)
        if not ready:
            raise RuntimeError(f"the program gave no frame for {timeout_s:g} s.")
        try:
            got = self._sync.recv(1)
        except OSError:
            got = b""
        if not got:
            raise self._died()
        self._drain()
        height, width = self.size
        pixels = np.frombuffer(self._shared, np.uint8, 4 * height * width, HEADER).reshape(height, width, 4)
        return np.ascontiguousarray(pixels[::-1, :, :3])

    def _drain(self) -> None:
        stream = self._processes[-1].stdout
        assert stream is not None
        while part := stream.read(65536):
            self.text += part.decode(errors="replace")
            self._tail = (self._tail + part.decode(errors="replace"))[-2000:]

    def _died(self) -> RuntimeError:
        process = self._processes[-1]
        try:
            code: Any = process.wait(2.0)
        except subprocess.TimeoutExpired:
            code = "unknown"
        return RuntimeError(f"the program {process.args[0]} ended with exit code {code}: {self._last_words()}")  # type: ignore[index]

    def _last_words(self) -> str:
        if len(self._processes) > 1:
            self._drain()
        self._errors.seek(0)  # of the screen
        lines = (self._errors.read().decode(errors="replace") + self._tail).strip().splitlines()
        return " / ".join(line[:200] for line in lines[-3:]) or "it said nothing."

    def _keysym(self, code: str) -> int:
        name = KEYSYMS.get(code) or code.removeprefix("Key").removeprefix("Digit").lower()
        return self._names.string_to_keysym(name)


def compile_library() -> Path:
    """Compile `lockstep.c` with the system's compiler, once for each version of it, and return the library.

    Raises:
        FileNotFoundError: there is no C compiler.
        RuntimeError: it refuses; quotes why.
    """
    digest = hashlib.sha256(SOURCE.read_bytes() + sysconfig.get_platform().encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "worldsim"
    library = cache / f"lockstep-{digest}.so"
    if library.is_file():
        return library
    compiler = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
    if compiler is None:
        raise FileNotFoundError("no C compiler (cc, gcc, clang) is installed: install one; this game needs it once.")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        made = Path(folder) / library.name
        command = [compiler, "-shared", "-fPIC", "-O2", str(SOURCE), "-o", str(made), "-ldl", "-lpthread"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{compiler} cannot compile {SOURCE.name}: {done.stderr.strip()[-300:]}")
        os.replace(made, library)
    return library
