"""What all real games share: a picture of a chosen size, a frame skip, ground truth in `info`, a description.

A family of games (`pyxel_games.py`, `atari_games.py`, `doom_games.py`, `phyworld.py`) is one subclass of `GameEnv` that
fills in five methods around an engine. The subclass never resizes, counts or validates; this class never knows an
engine.

Ground truth: `info["state"]` is a float32 row whose columns are named by `metadata["state"]`. An object o has
the columns `o_x` and `o_y`: its centre as a fraction 0..1 of the frame's width and height, NaN while it is not
on screen. `metadata["objects"][o]["size"]` is its height and width in native pixels.
"""

from __future__ import annotations

import copy
import importlib
import importlib.metadata
from types import ModuleType
from typing import Any, ClassVar, SupportsFloat

import gymnasium as gym
import numpy as np

NAN = float("nan")


class MissingGamePackageError(ModuleNotFoundError):
    """The optional package behind a game is not installed."""


def import_optional(module: str, package: str, *, extra: str = "games") -> ModuleType:
    """Import the engine of a game.

    Raises:
        MissingGamePackageError: it is not installed; names how to install it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise MissingGamePackageError(
            f'this game needs the package {package}, which is not installed: pip install "worldsim-jax[{extra}]".',
            name=error.name,
        ) from error


def choice(*options: tuple[str, tuple[str, ...]]) -> dict[str, Any]:
    """Describe a Discrete action: a (label, KeyboardEvent.codes held) pair an option, the no-op first."""
    labels, keys = [x[0] for x in options], [list(x[1]) for x in options]
    return {"choices": [{"name": "action", "labels": labels, "keys": keys}], "buttons": [], "axes": []}


def drawn_here(size: int, *, fps: int) -> dict[str, Any]:
    """Describe what the games share that this package draws itself, on a square of `size` pixels."""
    return {
        "package": "numpy",
        "licence": "MIT",
        "assets_licence": "MIT",
        "native_size": [size, size],
        "size": [size, size],
        "frame_skip": 1,
        "render_fps": fps,
    }


def centre(x: float, y: float, native_size: tuple[int, int] | list[int]) -> tuple[float, float]:
    """Turn a centre in native pixels into fractions 0..1 of width and height; NaN when outside the frame."""
    height, width = native_size
    if 0 <= x < width and 0 <= y < height:
        return x / width, y / height
    return NAN, NAN


class GameEnv(gym.Env[np.ndarray, Any]):
    """A real game behind Gymnasium: uint8 `[h w 3]` observations, mostly a Discrete action, deterministic for a seed.

    Args:
        game: short name, a key of `games`.
        size: height and width of `obs` in pixels, area-averaged from the native picture; None = the game's default.
        frame_skip: native frames an action is held; None = the game's default.
        render_mode: "rgb_array" makes `render()` return the picture at its native size.

    Raises:
        ValueError: unknown game, or a size or frame skip that is not positive.
        MissingGamePackageError: the engine is not installed.
    """

    games: ClassVar[dict[str, dict[str, Any]]] = {}
    draws_any_size: ClassVar[bool] = False  # `_frame` has the size of `obs` already, so nothing is averaged
    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 30}

    def __init__(
        self,
        game: str,
        *,
        size: tuple[int, int] | None = None,
        frame_skip: int | None = None,
        render_mode: str | None = None,
    ):
        about = self.describe(game)
        if size is not None and np.shape(size) != (2,):
            raise ValueError(f"expected a height and a width in pixels for size, got {size!r}.")
        height, width = size or about["size"]
        skip = about["frame_skip"] if frame_skip is None else int(frame_skip)
        if min(height, width) < 1:
            raise ValueError(f"expected a positive height and width for size, got {size}.")
        if skip < 1:
            raise ValueError(f"expected at least 1 native frame an action for frame_skip, got {frame_skip}.")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f'expected None or "rgb_array" for render_mode, got {render_mode!r}.')
        averages = not self.draws_any_size and [int(height), int(width)] != list(about["native_size"])
        self._cv2: Any = import_optional("cv2", "opencv-python-headless") if averages else None
        native_fps = about["render_fps"] * about["frame_skip"]
        about.update(
            version=self._version(about["package"]),
            size=[int(height), int(width)],
            frame_skip=skip,
            render_fps=native_fps / skip,
            render_modes=["rgb_array"],
        )
        self.metadata = about
        self.game = game
        self.frame_skip = skip
        self.render_mode = render_mode
        self.observation_space = gym.spaces.Box(0, 255, (int(height), int(width), 3), np.uint8)
        self.action_space = self._controls(about["action"])
        self._playing = False

    @classmethod
    def describe(cls, game: str) -> dict[str, Any]:
        """Describe a game without importing its engine: title, licence, sizes, keys, ground truth.

        Raises:
            ValueError: unknown game.
        """
        if game not in cls.games:
            raise ValueError(f"unknown game {game!r}: {cls.__name__} has {', '.join(sorted(cls.games))}.")
        return {"name": game, "extra": "games", **copy.deepcopy(cls.games[game])}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        """Start an episode; the same seed gives the same episode, whatever was played before."""
        super().reset(seed=seed, options=options)
        self._start(int(self.np_random.integers(2**31 - 1)))
        self._playing = True
        return self._obs(), self._info()

    def step(self, action: Any) -> tuple[np.ndarray, SupportsFloat, bool, bool, dict[str, Any]]:
        """Hold one action for `frame_skip` native frames."""
        action = self._checked(action)
        if not self._playing:
            raise gym.error.ResetNeeded("the episode is over or never began: call reset() before step().")
        reward, terminated = self._advance(action)
        self._playing = not terminated
        return self._obs(), float(reward), terminated, False, self._info()

    def render(self) -> np.ndarray | None:
        """The picture at its native size, uint8 `[h w 3]`, when render_mode is "rgb_array"."""
        return self._frame().copy() if self.render_mode == "rgb_array" else None

    def scripted_action(self) -> Any:
        """What a decent scripted player would do now, from the engine's own state."""
        raise NotImplementedError

    def _controls(self, action: dict[str, Any]) -> gym.Space:
        """The action space: one choice, for all games but those that say otherwise."""
        return gym.spaces.Discrete(len(action["choices"][0]["labels"]))

    def _checked(self, action: Any) -> Any:
        """The action as `_advance` takes it.

        Raises:
            ValueError: it is not in the action space.
        """
        assert isinstance(self.action_space, gym.spaces.Discrete)
        if not self.action_space.contains(np.int64(action)):
            raise ValueError(f"expected an integer in 0..{self.action_space.n - 1} for action, got {action!r}.")
        return int(action)

    @staticmethod
    def _version(package: str) -> str:
        return importlib.metadata.version(package)

    def _obs(self) -> np.ndarray:
        height, width = self.metadata["size"]
        frame = self._frame()
        if frame.shape[:2] == (height, width):
            return frame.copy()
        return self._cv2.resize(frame, (width, height), interpolation=self._cv2.INTER_AREA)

    def _info(self) -> dict[str, Any]:
        state = self._state()
        return {"state": np.array([state[name] for name in self.metadata["state"]], np.float32)}

    def _start(self, seed: int) -> None:
        """Begin an episode that is a pure function of `seed`."""
        raise NotImplementedError

    def _advance(self, action: Any) -> tuple[float, bool]:
        """Play `frame_skip` native frames; return the reward and whether the game ended."""
        raise NotImplementedError

    def _frame(self) -> np.ndarray:
        """The present picture, uint8 `[h w 3]`, native size (the size of `obs` where the game draws any)."""
        raise NotImplementedError

    def _state(self) -> dict[str, float]:
        """Ground truth by column name."""
        raise NotImplementedError
