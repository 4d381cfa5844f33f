"""A Gymnasium environment as the recorder sees it: uint8 RGB pictures out, action rows in.

A short name is a game of worldsim_envs, which resizes and skips frames itself and describes its actions, keys and
ground truth in its metadata. Any other environment works where the observation is a picture or the environment renders
one; its controls get the names that its action space gives them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from worldsim import schema
from worldsim.controls import ActionSpec
from worldsim.data.meta import FootageMeta
from worldsim.recording.pictures import PictureReader, propose_size, resize
from worldsim.recording.policies import ScriptedPlayer
from worldsim.recording.source import SETTINGS, GameConfig, make_pictured
from worldsim.recording.spaces import action_of_row, row_of_action, spec_of_space

_RENDERED = PictureReader()


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
        config: which game, and how it is shown; a name alone stands for its own settings.
        on_step: called after each step; may raise to end the episode.

    Raises:
        ValueError: no such game, or one whose pictures or actions cannot be recorded.
        ModuleNotFoundError: the game's package is not installed.
    """

    def __init__(self, config: GameConfig | str, on_step: Callable[[], None] | None = None):
        self.config = config = GameConfig.of(config) if isinstance(config, str) else config
        self.name, self._on_step, self._ours = config.name, on_step, config.is_short_name
        self._env, self._reader = make_pictured(config)
        self._about: dict[str, Any] = dict(self._env.unwrapped.metadata or {})
        self.frame_skip = int(self._about.get("frame_skip", 1)) if self._ours else int(config.frame_skip or 1)
        self._repeat = 1 if self._ours else self.frame_skip
        self._size = None if self._ours else config.size
        self.own_size: tuple[int, int] | None = None  # of the pictures before they are scaled
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

    def played(self, row: Float[np.ndarray, " a"]) -> Float[np.ndarray, " a"]:
        """Return the row as the game plays it: axes of whole numbers are rounded."""
        space = self._env.action_space
        return row_of_action(space, action_of_row(space, row))

    def step(self, row: Float[np.ndarray, " a"]) -> Arrival:
        """Hold an action for `frame_skip` steps of the game; rewards add up.

        Raises:
            ValueError: the game returns something else than Gymnasium's five values, or a reward that is no number.
        """
        action = action_of_row(self._env.action_space, row)
        total = 0.0
        for _ in range(self._repeat):
            values = self._env.step(action)
            if len(values) != 5:
                raise ValueError(
                    f"expected (obs, reward, terminated, truncated, info) from a step of {self.name}, got "
                    f"{len(values)} values; an environment of the old Gym needs a wrapper, such as shimmy's."
                )
            obs, reward, terminated, truncated, info = values
            total += _number(reward, self.name)
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
            recorder={**recorder, **self._settings(), "package": package, "version": version},
            licence=str(about.get("licence", "unknown")),
            assets_licence=str(about.get("assets_licence", "unknown")),
            prompts=tuple(about.get("prompts", ())) or (self.name,),
        )

    def close(self) -> None:
        """End the game."""
        self._env.close()

    def _fps(self) -> float:
        fps = float(self.config.fps or self._about.get("render_fps") or 30.0)
        return fps if self._ours else fps / self.frame_skip

    def _settings(self) -> dict[str, object]:
        """Return what it takes to make this game again, beside its name and size."""
        settings = {name: value for name in SETTINGS if (value := getattr(self.config, name)) and _is_plain(value)}
        settings["frame_skip"] = self.frame_skip
        return settings if self.own_size in (None, self._size) else {**settings, "own_size": list(self.own_size or ())}

    def _action_spec(self) -> ActionSpec:
        if self._ours and "action" in self._about:
            return schema.from_json(ActionSpec, self._about["action"], "action", complete=False)
        meanings = getattr(self._env.unwrapped, "get_action_meanings", None)
        return spec_of_space(self._env.action_space, meanings() if meanings else None)

    def _picture(self, obs: Any) -> UInt8[np.ndarray, "h w c"]:
        try:
            picture = _RENDERED.read(self._env.render()) if self._reader is None else self._reader.read(obs)
        except (ValueError, KeyError, IndexError) as error:
            raise ValueError(f"{self.name}: {error}.") from error
        if self._ours:
            return picture
        own = picture.shape[:2]
        self.own_size = self.own_size or own
        if self.config.size is None and own != self.own_size:
            raise ValueError(
                f"expected pictures of {self.own_size[0]}x{self.own_size[1]} from {self.name}, as its first was, got "
                f"{own[0]}x{own[1]}; --size {' '.join(map(str, self.own_size))} scales them all."
            )
        self._size = self._size or propose_size(*own)
        return resize(picture, self._size)

    def _state(self, info: dict[str, Any]) -> Float[np.ndarray, " s"] | None:
        return np.asarray(info["state"], np.float32) if self.state_names else None


def _is_plain(value: object) -> bool:
    """Return whether a value can be kept as JSON; of an environment's own objects nothing is kept."""
    try:
        json.dumps(dict(value) if isinstance(value, Mapping) else value)
    except (TypeError, ValueError):
        return False
    return True


def _number(reward: Any, game: str) -> float:
    value = np.asarray(reward)
    if value.size != 1 or value.dtype.kind not in "biuf":
        raise ValueError(f"expected one number for the reward of {game}, got {value.dtype} {value.shape}.")
    if not np.isfinite(value).all():
        raise ValueError(f"expected a finite reward from {game}, got {value.item()}.")
    return float(value.item())


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
