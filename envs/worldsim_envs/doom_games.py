"""Doom scenarios through ViZDoom, headless, with the free Freedoom pictures that come in its wheel.

Ground truth is the engine's: place in map units, angle in degrees counter-clockwise from east, health. The
picture shows the world from inside. Take Cover's fireballs have a place in it while they are FIREBALL_LARGEST pixels
high at most; where `objects` has a view, that names which columns are the pose that the picture is seen from.
Rewards are those of the scenarios; their own time limits are replaced by Gymnasium's, so that a limit truncates.

Sources: Kempka et al. 2016, arXiv 1605.02097; https://github.com/Farama-Foundation/ViZDoom.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import weakref
from typing import Any, ClassVar

import numpy as np

from .doom_players import PLAYERS, TURN, Scene
from .game import NAN, GameEnv, centre, choice, import_optional

_DOOM = {
    "package": "vizdoom",
    "licence": "MIT (ViZDoom), GPL (ZDoom engine inside)",
    "assets_licence": "Freedoom, BSD-3-Clause; scenario maps MIT",
    "native_size": [120, 160],
    "size": [48, 64],
    "frame_skip": 4,
    "render_fps": 8.75,
    "objects": {},
}
_STATE = ["x", "y", "angle", "health"]
FIREBALL_LARGEST = 16  # native pixels
_FIREBALLS = [f"fireball{i}" for i in range(4)]
_VARIABLES = {
    "x": "POSITION_X",
    "y": "POSITION_Y",
    "angle": "ANGLE",
    "health": "HEALTH",
    "ammo": "AMMO2",
    "kills": "KILLCOUNT",
}
_NOOP = ("noop", ())
_TURNS = ("turn-left", ("ArrowLeft",)), ("turn-right", ("ArrowRight",))
_FIRE = ("fire", ("Space",))
_FORWARD, _BACK = ("forward", ("ArrowUp",)), ("back", ("ArrowDown",))
_STRAFES = ("strafe-left", ("KeyA",)), ("strafe-right", ("KeyD",))
_BUTTONS = {
    "turn-left": "TURN_LEFT",
    "turn-right": "TURN_RIGHT",
    "fire": "ATTACK",
    "forward": "MOVE_FORWARD",
    "back": "MOVE_BACKWARD",
    "left": "MOVE_LEFT",
    "right": "MOVE_RIGHT",
    "strafe-left": "MOVE_LEFT",
    "strafe-right": "MOVE_RIGHT",
    "look-left": "TURN_LEFT_RIGHT_DELTA",
    "look-right": "TURN_LEFT_RIGHT_DELTA",
}
_PRESSED = {"look-left": -TURN, "look-right": TURN}  # any other button is down, 1, or not, 0


def _both(first: tuple[str, tuple[str, ...]], second: tuple[str, tuple[str, ...]]) -> tuple[str, tuple[str, ...]]:
    return f"{first[0]}+{second[0]}", (*first[1], *second[1])


def _end(engine: Any, folder: tempfile.TemporaryDirectory[str]) -> None:
    """End the engine's process, which frees its shared memory, and drop its files."""
    engine.close()
    folder.cleanup()


class DoomGame(GameEnv):
    """A scenario of ViZDoom. See `GameEnv` for the arguments.

    The engine runs as a process of its own from the first reset until `close`.
    """

    games: ClassVar[dict[str, dict[str, Any]]] = {
        "doom-takecover": {
            "title": "Doom: Take Cover",
            "prompts": ["take cover", "dodge fireballs", "doom"],
            **_DOOM,
            "size": [60, 80],
            "action": choice(_NOOP, ("left", ("ArrowLeft",)), ("right", ("ArrowRight",))),
            "state": [*_STATE, *(f"{ball}_{axis}" for ball in _FIREBALLS for axis in "xy")],
            "objects": {ball: {"size": [5, 4]} for ball in _FIREBALLS},
        },
        "doom-defend-center": {
            "title": "Doom: Defend the Center",
            "prompts": ["defend the center", "doom arena", "shoot monsters"],
            **_DOOM,
            "action": choice(_NOOP, *_TURNS, _FIRE, *(_both(turn, _FIRE) for turn in _TURNS)),
            "state": [*_STATE, "ammo", "kills"],
        },
        "doom-corridor": {
            "title": "Doom: Deadly Corridor",
            "prompts": ["deadly corridor", "doom corridor"],
            **_DOOM,
            "action": choice(
                _NOOP, _FORWARD, _BACK, *_STRAFES, *_TURNS, _FIRE, *(_both(turn, _FIRE) for turn in _TURNS)
            ),
            "state": [*_STATE, "ammo", "kills"],
        },
        "doom-mywayhome": {
            "title": "Doom: My Way Home",
            "prompts": ["my way home", "doom maze", "rooms", "find the vest"],
            **_DOOM,
            "action": choice(_NOOP, _FORWARD, *_TURNS, *(_both(_FORWARD, turn) for turn in _TURNS), *_STRAFES),
            "state": _STATE,
        },
        "doom-lookaway": {
            "title": "Doom: Look Away",
            "prompts": ["look away", "look away and come back", "doom rooms"],
            **_DOOM,
            "action": choice(_NOOP, _FORWARD, ("look-left", ("ArrowLeft",)), ("look-right", ("ArrowRight",))),
            "state": _STATE,
            "objects": {"player": {"view": {"x": "x", "y": "y", "angle": "angle", "degrees": 90, "near": 0.5}}},
        },
    }
    _scenarios: ClassVar[dict[str, str]] = {
        "doom-takecover": "take_cover",
        "doom-defend-center": "defend_the_center",
        "doom-corridor": "deadly_corridor",
        "doom-mywayhome": "my_way_home",
        "doom-lookaway": "my_way_home",
    }

    def __init__(self, game: str, **kwargs: Any):
        super().__init__(game, **kwargs)
        self._vizdoom = import_optional("vizdoom", "vizdoom")
        self._labels: list[str] = self.metadata["action"]["choices"][0]["labels"]
        parts = [() if label == "noop" else label.split("+") for label in self._labels]
        held = [{_BUTTONS[part]: _PRESSED.get(part, 1.0) for part in label} for label in parts]
        names = sorted(set().union(*held))
        self._buttons = [[down.get(name, 0.0) for name in names] for down in held]
        self._button_names = names
        self._variable_names = [name for name in self.metadata["state"] if name in _VARIABLES]
        self._engine: Any = None

    def _open(self) -> Any:
        """Start the engine, a process of its own."""
        vzd = self._vizdoom
        engine = vzd.DoomGame()
        engine.load_config(os.path.join(vzd.scenarios_path, f"{self._scenarios[self.game]}.cfg"))
        engine.set_window_visible(False)
        engine.set_sound_enabled(False)
        engine.set_mode(vzd.Mode.PLAYER)
        engine.set_screen_resolution(vzd.ScreenResolution.RES_160X120)
        engine.set_screen_format(vzd.ScreenFormat.RGB24)
        engine.set_episode_timeout(0)
        engine.set_objects_info_enabled(True)
        engine.set_labels_buffer_enabled(_FIREBALLS[0] in self.metadata["objects"])
        engine.set_sectors_info_enabled(self._scenarios[self.game] == "my_way_home")
        engine.set_available_buttons([getattr(vzd.Button, name) for name in self._button_names])
        self._variables = [getattr(vzd.GameVariable, _VARIABLES[name]) for name in self._variable_names]
        engine.set_available_game_variables(self._variables)
        # The engine leaves files in its working directory: it gets one that goes away with it.
        folder = tempfile.TemporaryDirectory(prefix="worldsim-doom-")
        engine.set_doom_config_path(os.path.join(folder.name, "vizdoom.ini"))
        with contextlib.chdir(folder.name):
            engine.init()
        self._finalizer = weakref.finalize(self, _end, engine, folder)
        return engine

    def close(self) -> None:
        """End the engine's process and free its shared memory; reset starts it again."""
        self._playing = False
        if self._engine is not None:
            self._finalizer()
            self._engine = None

    def _start(self, seed: int) -> None:
        if self._engine is None:
            self._engine = self._open()
        self._engine.set_seed(seed)
        self._engine.new_episode()
        self._player = PLAYERS[self.game](seed)
        self._observe()

    def _advance(self, action: int) -> tuple[float, bool]:
        reward = self._engine.make_action(self._buttons[action], self.frame_skip)
        terminated = bool(self._engine.is_episode_finished())
        if not terminated:
            self._observe()  # the engine shows nothing after the end: the last picture stays
        values = [self._engine.get_game_variable(name) for name in self._variables]
        self._truth = dict(zip(self._variable_names, values)) | self._places()
        return reward, terminated

    def _observe(self) -> None:
        self._last = self._engine.get_state()
        self._screen = self._last.screen_buffer
        self._truth = dict(zip(self._variable_names, self._last.game_variables)) | self._places()

    def _places(self) -> dict[str, float]:
        """Where the fireballs of Take Cover are in the picture, the largest first."""
        if _FIREBALLS[0] not in self.metadata["objects"]:
            return {}
        seen = [x for x in self._last.labels if "Ball" in x.object_name and x.height <= FIREBALL_LARGEST]
        balls = sorted(seen, key=lambda x: (-x.height, x.x, x.y))[: len(_FIREBALLS)]
        at = [centre(x.x + x.width / 2, x.y + x.height / 2, self.metadata["native_size"]) for x in balls]
        at += [(NAN, NAN)] * (len(_FIREBALLS) - len(at))
        return {f"{name}_{axis}": place[i] for name, place in zip(_FIREBALLS, at) for i, axis in enumerate("xy")}

    def _frame(self) -> np.ndarray:
        return self._screen

    def _state(self) -> dict[str, float]:
        return self._truth

    def scripted_action(self) -> np.int64:
        """Play well, from the engine's list of objects and walls."""
        scene = Scene(
            x=self._truth["x"],
            y=self._truth["y"],
            angle=self._truth["angle"],
            num_tics=self.frame_skip,
            objects=self._last.objects,
            sectors=self._last.sectors,
        )
        return np.int64(self._labels.index(self._player.play(scene)))
