"""A 3D block world to walk, look, dig and build in: Luanti (formerly Minetest) with its minetest_game, in lock-step.

`luanti` is one endless map; `luanti-valley` one valley of 96 by 96 blocks, with a landmark in each of its four parts.

Actions as in VPT (Baker et al. 2022, arXiv:2206.11795): keys for moving, jumping, sneaking, digging and placing, the
slot of the hotbar, and the mouse in degrees a frame. A frame is a fifteenth of a second of the game, however long it
takes to draw. An episode's seed chooses a spot of the map, the heading, the time of day and the sky; a seed that
was played before in this process, or the WEAR-th episode, starts the game anew, so that what was dug is whole.

Rewards: 1 a block that is dug or placed, -0.25 a hit point that is lost. Death ends an episode.
Ground truth: where the camera is (x east, y up, z north, in blocks; yaw counter-clockwise from north and pitch down, in
degrees), what is looked at and how far away, health, and what has happened since the last frame. The server's share of
it, events and place, arrives a frame or two late at times: it runs in a thread of its own.
"""

from __future__ import annotations

import subprocess
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from ..game import GameEnv
from .client import DEGREES_PER_PIXEL, PROGRAM, Client
from .player import Player
from .words import attributes, node_index, place_index, time_index

FPS, MOST_DEGREES, WEAR, VIEWING_RANGE = 15.0, 20.0, 48, 48
BUTTONS = {
    "forward": "KeyW",
    "back": "KeyS",
    "left": "KeyA",
    "right": "KeyD",
    "jump": "Space",
    "sneak": "ShiftLeft",
    "dig": "Mouse0",
    "place": "Mouse2",
}
SLOTS = 8
HAND = [0.66, 0.64, 1.0, 0.95]  # where it is held while it rests
EVENTS = ("dug", "built", "hurt", "died")
MEASURED = ("x", "y", "z", "yaw", "pitch", "distance", "health", "time_of_day")
COUNTED = ("dug", "placed", "hurt", "died")
MAP_NAMES = {"luanti": "endless", "luanti-valley": "valley"}
NOON, DUSK, MIDNIGHT, DAWN = 0.5, 0.785, 0.0, 0.195
HOURS = {  # how often an episode begins at each
    "endless": {NOON: 0.64, DUSK: 0.14, MIDNIGHT: 0.08, DAWN: 0.14},
    "valley": {NOON: 0.72, DUSK: 0.13, MIDNIGHT: 0.15},
}
WHOLE_DAYS = {"endless": 0.08, "valley": 0.0}  # share of episodes in which a whole day goes by


def _controls() -> dict[str, Any]:
    slots = range(1, SLOTS + 1)
    labels, keys = ["keep", *map(str, slots)], [[], *([f"Digit{i}"] for i in slots)]
    axes = [
        {"name": name, "unit": "degrees", "low": -MOST_DEGREES, "high": MOST_DEGREES, "keys": [key]}
        for name, key in (("yaw", "mouse_x"), ("pitch", "mouse_y"))
    ]
    buttons = [{"name": name, "keys": [key]} for name, key in BUTTONS.items()]
    return {"choices": [{"name": "slot", "labels": labels, "keys": keys}], "buttons": buttons, "axes": axes}


def _description(map_name: str, title: str, prompts: list[str]) -> dict[str, Any]:
    words = attributes(map_name)
    return {
        "title": title,
        "prompts": prompts,
        "package": "python-xlib",
        "extra": "luanti",
        "programs": ["minetest", "Xvfb"],
        "licence": "LGPL-2.1-or-later (Luanti)",
        "assets_licence": "minetest_game: LGPL-2.1 code, CC BY-SA 3.0 and 4.0, CC0, MIT media, as each mod says",
        "native_size": [180, 320],
        "size": [64, 112],
        "frame_skip": 1,
        "render_fps": FPS,
        "action": _controls(),
        "state": [*MEASURED, *words, *COUNTED],
        "attributes": words,
        "camera": {"field_of_view": 72.0, "yaw": "yaw", "pitch": "pitch", "state": "pitch", "hud_regions": [HAND]},
        "objects": {"player": {"view": {"x": "x", "y": "z", "angle": "yaw", "degrees": 90, "near": 0.3}}},
    }


class LuantiGame(GameEnv):
    """Luanti. See `GameEnv` for the arguments; it runs as a process of its own from the first reset until `close`.

    Actions are a Dict of "choices" (the slot of the hotbar, 0 keeps it), "buttons" and "axes" (yaw right and pitch
    down, degrees a frame, to a quarter of a degree).

    Raises:
        FileNotFoundError: Luanti, Xvfb or a C compiler is missing; names how to get it.
        RuntimeError: the game died; the next reset starts it again.
    """

    games: ClassVar[dict[str, dict[str, Any]]] = {
        "luanti": _description(
            "endless", "Luanti", ["minecraft", "luanti", "minetest", "block game", "마인크래프트", "루안티"]
        ),
        "luanti-valley": _description("valley", "Luanti, one valley", ["valley", "luanti valley", "골짜기"]),
    }

    def __init__(self, game: str = "luanti", **kwargs: Any):
        super().__init__(game, **kwargs)
        self._map = MAP_NAMES[game]
        self._client: Client | None = None
        self._played: set[int] = set()

    def close(self) -> None:
        """End the game's processes; reset starts it again."""
        self._playing = False
        if self._client is not None:
            self._client.close()
            self._client = None

    def scripted_action(self) -> dict[str, np.ndarray]:
        """Wander, look around, dig and build, by a plan that the seed draws."""
        assert self._client is not None and self._client.seen is not None
        row = self._player.act(self._client.seen)
        return {"choices": row[:1].astype(np.int64), "buttons": row[1:9].astype(np.int8), "axes": row[9:]}

    def _start(self, seed: int) -> None:
        if self._client is not None and (seed in self._played or len(self._played) >= WEAR):
            self.close()
        if self._client is None:
            self._played.clear()
            height, width = self.metadata["native_size"]
            self._client = Client(
                size=(height, width), dt=1 / FPS, map_name=self._map, map_seed=7, viewing_range=VIEWING_RANGE
            )
        self._played.add(seed)
        rng = np.random.default_rng(seed)
        hours = HOURS[self._map]
        day = rng.choice(list(hours), p=list(hours.values())) + rng.uniform(-0.02, 0.02)
        spread = rng.uniform(-0.18, 0.18) if abs(day - 0.5) < 0.1 else 0.0
        self._sky = int(rng.random() < 0.15)
        speed = 2000 if rng.random() < WHOLE_DAYS[self._map] else 72
        with self._mend():
            self._client.set_down(
                seed,
                yaw=float(rng.uniform(0, 360)),
                pitch=float(rng.uniform(-5, 15)),
                time_of_day=float((day + spread) % 1),
                speed=speed,
                sky=("clear", "overcast")[self._sky],
            )
        self._place, self._rest = 0, np.zeros(2)
        self._player = Player(seed, self._map)
        self._happened = dict.fromkeys(EVENTS, 0)
        self._read_events()
        self._happened = dict.fromkeys(EVENTS, 0)

    def _advance(self, action: dict[str, np.ndarray]) -> tuple[float, bool]:
        client = self._client
        assert client is not None
        self._happened = dict.fromkeys(EVENTS, 0)
        with self._mend():
            for code, is_down in zip(BUTTONS.values(), action["buttons"]):
                client.game.hold(code, bool(is_down))
            slot = int(action["choices"][0])
            for number in range(1, SLOTS + 1):
                client.game.hold(f"Digit{number}", number == slot)
            for _ in range(self.frame_skip):
                wanted = action["axes"] / DEGREES_PER_PIXEL + self._rest
                pixels = np.rint(wanted)
                self._rest = wanted - pixels  # what is less than a pixel is not lost
                client.game.move(int(pixels[0]), int(pixels[1]))
                client.step()
                self._read_events()
        happened = self._happened
        reward = happened["dug"] + happened["built"] - 0.25 * happened["hurt"]
        return float(reward), happened["died"] > 0

    def _mend(self) -> _Mend:
        return _Mend(self)

    def _read_events(self) -> None:
        assert self._client is not None
        for event in self._client.events:
            kind, _, rest = event.partition(" ")
            if kind == "place":
                self._place = place_index(rest)
            elif kind in ("hurt", "died"):
                self._happened["hurt"] += int(rest)
                self._happened["died"] += kind == "died"
            elif kind in self._happened:
                self._happened[kind] += 1
        self._client.events.clear()

    def _frame(self) -> np.ndarray:
        assert self._client is not None
        return self._client.picture

    def _state(self) -> dict[str, float]:
        assert self._client is not None and self._client.seen is not None
        seen, happened = self._client.seen, self._happened
        event = next((4 - i for i, name in enumerate(reversed(EVENTS)) if happened[name]), 0)
        return {
            "x": seen.x,
            "y": seen.y,
            "z": seen.z,
            "yaw": seen.yaw % 360,
            "pitch": seen.pitch,
            "distance": seen.distance if seen.distance >= 0 else float("nan"),
            "health": seen.health,
            "time_of_day": seen.time,
            "biome": self._place,
            "place": self._place,
            "time": time_index(seen.time),
            "weather": self._sky,
            "looking_at": node_index(seen.node),
            "held": seen.slot,
            "event": event,
            "dug": happened["dug"],
            "placed": happened["built"],
            "hurt": happened["hurt"],
            "died": happened["died"],
        }

    def _controls(self, action: dict[str, Any]) -> gym.Space:
        low, high = (np.array([axis[end] for axis in action["axes"]], np.float32) for end in ("low", "high"))
        return gym.spaces.Dict(
            choices=gym.spaces.MultiDiscrete([len(action["choices"][0]["labels"])]),
            buttons=gym.spaces.MultiBinary(len(action["buttons"])),
            axes=gym.spaces.Box(low, high, dtype=np.float32),
        )

    def _checked(self, action: Any) -> Any:
        if not self.action_space.contains(action):
            raise ValueError(f"expected an action in {self.action_space}, got {action!r}.")
        return action

    @staticmethod
    def _version(package: str) -> str:
        try:
            said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, timeout=10)
        except OSError:
            return "unknown"
        return said.stdout.split("\n")[0].strip() or "unknown"


class _Mend:
    """Close a game that died, so that the next reset starts it again."""

    def __init__(self, game: LuantiGame):
        self._game = game

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, *_: Any) -> None:
        if kind is not None:
            self._game.close()
