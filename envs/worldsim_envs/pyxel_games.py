"""Pyxel's bundled games, run headless and without their main loop.

A Pyxel program has `import pyxel`, draws on one global screen and hands two callbacks to `pyxel.run`. Here its source
is executed afresh at every reset against a stand-in for that module, which forwards drawing to the real engine and
keeps for itself what would leak from one episode to the next: random numbers, frame counter and keys. So an episode
depends on its seed and its actions only. Sound is left out.

The screen is one to a process: the game that was reset last owns it. Games of one program may use it by turns.

Source: https://github.com/kitao/pyxel (MIT, engine and games).
"""

from __future__ import annotations

import builtins
import os
import random
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, ClassVar

import numpy as np

from .game import GameEnv, import_optional
from .pyxel_rules import RULES

_screen: dict[str, Any] = {"ready": False, "program": None}


class PyxelModule(ModuleType):
    """The module that a game gets by `import pyxel`.

    The picture shows `rows_above` rows more than the game's own screen, over its top. What the game draws up there is
    seen, and its texts are moved up to the new edge.
    """

    def __init__(self, engine: ModuleType, folder: Path, seed: int, rows_above: int = 0):
        super().__init__("pyxel")
        self._engine, self._folder, self._rows_above = engine, folder, rows_above
        self._random = random.Random(seed)
        self._pressed_at: dict[int, int] = {}
        self._released_at: dict[int, int] = {}
        self.frame_count = 0
        self.update: Callable[[], None] = lambda: None
        self.draw: Callable[[], None] = lambda: None
        for name in ("play", "playm", "stop", "quit", "title", "icon", "mouse"):
            setattr(self, name, lambda *args, **kwargs: None)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._engine, name)
        if callable(value) or name.isupper():
            setattr(self, name, value)  # found at once from now on; width, images and the like may change
        return value

    def init(self, width: int, height: int, **_: Any) -> None:
        """Open the headless screen, or give the open one this size."""
        self.width, self.height = width, height
        height += self._rows_above
        if _screen["ready"]:
            self._engine.resize(width, height)
            for reset_drawing in (self._engine.clip, self._engine.pal):
                reset_drawing()
            self._engine.dither(1.0)
        else:
            driver, here = os.environ.get("SDL_AUDIODRIVER"), Path.cwd()
            os.environ["SDL_AUDIODRIVER"] = "dummy"  # a machine without a sound card prints a page of ALSA errors
            try:
                self._engine.init(width, height, headless=True)
            finally:
                os.environ.pop("SDL_AUDIODRIVER") if driver is None else os.environ.update(SDL_AUDIODRIVER=driver)
                os.chdir(here)  # the engine goes to the folder of the program that calls it
            _screen["ready"] = True
        self.camera()

    def camera(self, x: float = 0, y: float = 0) -> None:
        """Move the origin of drawing."""
        self._engine.camera(x, y - self._rows_above)

    def text(self, x: float, y: float, *args: Any, **kwargs: Any) -> None:
        """Write at the top of the picture what belongs at the top of the game's screen."""
        self._engine.text(x, y - self._rows_above, *args, **kwargs)

    def load(self, filename: str, **kwargs: Any) -> None:
        """Load a resource file that lies beside the game."""
        self._engine.load(str(self._folder / filename), **kwargs)

    def run(self, update: Callable[[], None], draw: Callable[[], None]) -> None:
        """Keep the callbacks instead of looping over them."""
        self.update, self.draw = update, draw

    def hold(self, keys: frozenset[int]) -> None:
        """Begin a frame with exactly these keys down."""
        self.frame_count += 1
        for key in self._pressed_at.keys() - keys:
            del self._pressed_at[key]
            self._released_at[key] = self.frame_count
        for key in keys - self._pressed_at.keys():
            self._pressed_at[key] = self.frame_count

    def btn(self, key: int) -> bool:
        """Whether a key is down."""
        return key in self._pressed_at

    def btnp(self, key: int, hold: int = 0, repeat: int = 0) -> bool:
        """Whether a key went down in this frame, or repeats after `hold` frames, every `repeat` frames."""
        if key not in self._pressed_at:
            return False
        age = self.frame_count - self._pressed_at[key]
        return age == 0 or (repeat > 0 and age >= hold and (age - hold) % repeat == 0)

    def btnr(self, key: int) -> bool:
        """Whether a key went up in this frame."""
        return self._released_at.get(key) == self.frame_count

    def rseed(self, seed: int) -> None:
        """Restart the random numbers."""
        self._random.seed(seed)

    def rndi(self, a: int, b: int) -> int:
        """A random whole number between a and b, both included."""
        return self._random.randint(min(a, b), max(a, b))

    def rndf(self, a: float, b: float) -> float:
        """A random number between a and b."""
        return self._random.uniform(a, b)


@lru_cache
def _compiled(path: Path) -> CodeType:
    return compile(path.read_text(encoding="utf-8"), str(path), "exec")


def run_program(path: Path, module: PyxelModule) -> dict[str, Any]:
    """Execute a Pyxel program against `module` until its `pyxel.run`; return its global names."""

    def import_(name: str, *args: Any) -> ModuleType:
        return module if name == "pyxel" else builtins.__import__(name, *args)

    names = {"__name__": "__main__", "__builtins__": {**vars(builtins), "__import__": import_}}
    exec(_compiled(path), names)
    return names


class PyxelGame(GameEnv):
    """A game that comes with Pyxel. See `GameEnv` for the arguments."""

    games: ClassVar[dict[str, dict[str, Any]]] = {name: rules.about for name, rules in RULES.items()}

    def __init__(self, game: str, **kwargs: Any):
        super().__init__(game, **kwargs)
        self._engine = import_optional("pyxel", "pyxel")
        self._folder = Path(str(self._engine.__file__)).parent / "examples"
        self._rules_type = RULES[game]
        self._keys = [frozenset(getattr(self._engine, key) for key in keys) for keys in self._rules_type.pyxel_keys]

    def _start(self, seed: int) -> None:
        self._random = random.Random(seed)
        rows_above = getattr(self._rules_type, "rows_above", 0)
        self._module = PyxelModule(self._engine, self._folder, self._random.getrandbits(31), rows_above)
        _screen["program"] = self.game
        names = run_program(self._folder / self._rules_type.program, self._module)
        self._rules = self._rules_type(self._module.update.__self__, names)  # type: ignore[attr-defined]
        for keys in self._rules_type.start_keys:
            self._module.hold(frozenset(getattr(self._engine, key) for key in keys))
            self._module.update()
        self._module.draw()
        self._last_score = self._rules.score()

    def _advance(self, action: int) -> tuple[float, bool]:
        if _screen["program"] != self.game:
            raise RuntimeError(
                f"the Pyxel screen of this process now shows {_screen['program']!r}, not {self.game!r}: "
                "reset this game first, or run one game a process (gymnasium.vector.AsyncVectorEnv)."
            )
        for _ in range(self.frame_skip):
            self._module.hold(self._keys[action])
            self._module.update()
            if self._rules.is_over():
                break
        if not self._rules.is_over() or getattr(self._rules_type, "draws_end", True):
            self._module.draw()
        score = self._rules.score()
        reward, self._last_score = max(0.0, score - self._last_score), score
        return reward, self._rules.is_over()

    def _frame(self) -> np.ndarray:
        height, width = self.metadata["native_size"]
        index = np.frombuffer(self._engine.screen.data_ptr(), np.uint8, height * width).reshape(height, width)
        colours = np.array(list(self._engine.colors), np.uint32)
        palette = np.stack([colours >> 16 & 255, colours >> 8 & 255, colours & 255], -1).astype(np.uint8)
        return palette[index]

    def _state(self) -> dict[str, float]:
        return self._rules.state()

    def scripted_action(self) -> np.int64:
        """Play well, from the game's own variables."""
        return np.int64(self._rules.scripted_action(self.frame_skip))
