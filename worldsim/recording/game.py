"""A Gymnasium environment as the recorder sees it: uint8 RGB pictures out, action rows in.

A short name is a game of worldsim_envs, which resizes and skips frames itself and describes its actions, keys and
ground truth in its metadata. Any other Gymnasium id works where the observation is a uint8 RGB picture or the
environment renders one; its controls get the names that its action space gives them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from worldsim import schema
from worldsim.controls import ActionSpec
from worldsim.data.meta import FootageMeta
from worldsim.recording.policies import ScriptedPlayer
from worldsim.recording.spaces import action_of_row, row_of_action, spec_of_space

_FAMILY = "worldsim_envs"


class Arrival(NamedTuple):
    """What a step of the game led to."""

    obs: UInt8[np.ndarray, "h w c"]
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    state: Float[np.ndarray, " s"] | None = None


class Game:
    """One running game. `reset(seed)`, then `step(row)` until it is over.

    Args:
        name: a short name ("jump") or a Gymnasium id ("CartPole-v1", "my_module:MyGame-v0").
        size: height and width of the pictures; None takes the game's own.
        frame_skip: how many steps of the game one action lasts; None takes the game's own.
        on_step: called after each step; may raise to end the episode.

    Raises:
        ValueError: no such game, or one whose pictures or actions cannot be recorded.
        ModuleNotFoundError: the game's package is not installed.
    """

    def __init__(
        self,
        name: str,
        size: tuple[int, int] | None = None,
        frame_skip: int | None = None,
        on_step: Callable[[], None] | None = None,
    ):
        self.name, self._on_step = name, on_step
        self._ours = is_short_name(name)
        kwargs = {"size": size, "frame_skip": frame_skip} if self._ours else {}
        kwargs = {k: v for k, v in kwargs.items() if v is not None}
        self._env, self._render = _make_pictured(f"{_FAMILY}:{_FAMILY}/{name}-v0" if self._ours else name, kwargs, name)
        self._about: dict[str, Any] = dict(self._env.unwrapped.metadata or {})
        self.frame_skip = int(self._about.get("frame_skip", 1)) if self._ours else int(frame_skip or 1)
        self._repeat = 1 if self._ours else self.frame_skip
        self._size = None if self._ours else size
        self.spec = self._action_spec()
        self.state_names = tuple(self._about.get("state", ())) if self._ours else ()

    @property
    def scripted(self) -> ScriptedPlayer | None:
        """The environment's own player, where it has one."""
        player = getattr(self._env.unwrapped, "scripted_action", None)
        return None if player is None else lambda: row_of_action(self._env.action_space, player())

    def reset(self, seed: int) -> Arrival:
        """Begin an episode; the same seed begins the same one."""
        obs, info = self._env.reset(seed=seed)
        return Arrival(self._picture(obs), state=self._state(info))

    def step(self, row: Float[np.ndarray, " a"]) -> Arrival:
        """Hold an action for `frame_skip` steps of the game; rewards add up."""
        action = action_of_row(self._env.action_space, row)
        total = 0.0
        for _ in range(self._repeat):
            obs, reward, terminated, truncated, info = self._env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        if self._on_step is not None:
            self._on_step()
        return Arrival(self._picture(obs), total, bool(terminated), bool(truncated), self._state(info))

    def meta(self, recorder: Mapping[str, object]) -> FootageMeta:
        """The description of footage of this game; resets the game to see its size."""
        height, width, _ = self.reset(0).obs.shape
        about = self._about if self._ours else {}
        package = str(about.get("package") or type(self._env.unwrapped).__module__.split(".")[0])
        version = about.get("version") or _version(package)
        return FootageMeta(
            game=self.name,
            title=str(about.get("title", self.name)),
            size=(height, width),
            fps=self._fps(),
            action_spec=self.spec,
            state_names=self.state_names,
            objects=about.get("objects", {}),
            attributes=about.get("attributes", {}),
            camera=about.get("camera", {}),
            recorder={**recorder, "frame_skip": self.frame_skip, "package": package, "version": version},
            licence=str(about.get("licence", "unknown")),
            assets_licence=str(about.get("assets_licence", "unknown")),
            prompts=tuple(about.get("prompts", ())) or (self.name,),
        )

    def close(self) -> None:
        """End the game."""
        self._env.close()

    def _fps(self) -> float:
        fps = float(self._about.get("render_fps") or 30.0)
        return fps if self._ours else fps / self.frame_skip

    def _action_spec(self) -> ActionSpec:
        if self._ours and "action" in self._about:
            return schema.from_json(ActionSpec, self._about["action"], "action", complete=False)
        meanings = getattr(self._env.unwrapped, "get_action_meanings", None)
        return spec_of_space(self._env.action_space, meanings() if meanings else None)

    def _picture(self, obs: Any) -> UInt8[np.ndarray, "h w c"]:
        picture = np.asarray(self._env.render() if self._render else obs)
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise ValueError(f"expected uint8 pictures [h w 3] of {self.name}, got {picture.dtype} {picture.shape}.")
        if self._size and picture.shape[:2] != self._size:
            height, width = self._size
            picture = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX))
        return picture

    def _state(self, info: dict[str, Any]) -> Float[np.ndarray, " s"] | None:
        return np.asarray(info["state"], np.float32) if self.state_names else None


def is_short_name(name: str) -> bool:
    """Whether a game is named as ours ("jump") rather than by a Gymnasium id."""
    return not re.search(r"[:/]|-v\d+$", name)


def _make_pictured(env_id: str, kwargs: dict[str, Any], name: str) -> tuple[gym.Env, bool]:
    """An environment that shows pictures, and whether they come from render()."""
    env = _make(env_id, kwargs, name)
    space = env.observation_space
    if isinstance(space, gym.spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 3 and space.shape[2] == 3:
        return env, False
    modes = env.unwrapped.metadata.get("render_modes") or []
    env.close()
    if "rgb_array" not in modes:
        raise ValueError(
            f"expected uint8 RGB observations or rgb_array rendering of {name}, got {space} and render modes {modes}."
        )
    return _make(env_id, {**kwargs, "render_mode": "rgb_array"}, name), True


def _make(env_id: str, kwargs: dict[str, Any], name: str) -> gym.Env:
    try:
        return gym.make(env_id, disable_env_checker=True, **kwargs)
    except gym.error.UnregisteredEnv as error:
        raise ValueError(_unknown(name)) from error


def _unknown(name: str) -> str:
    ours = [i.removeprefix(f"{_FAMILY}/").removesuffix("-v0") for i in gym.registry if i.startswith(f"{_FAMILY}/")]
    close = difflib.get_close_matches(name, [*ours, *gym.registry], n=3)
    guess = f" Did you mean {' or '.join(close)}?" if close else ""
    games = f" Games here: {', '.join(sorted(ours))}." if ours else ""
    return f"there is no game {name!r}.{guess}{games} Any Gymnasium id works too, such as module:MyGame-v0."


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
