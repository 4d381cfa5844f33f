"""Where a game comes from: a short name, a Gymnasium id, an environment, or a function that makes one."""

from __future__ import annotations

import copy
import difflib
import importlib
import importlib.util
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator

from worldsim.recording.pictures import PictureReader, find_picture

FAMILY = "worldsim_envs"
_PACKAGES = {"ALE": "ale_py"}  # namespaces of ids that are not named as the package that registers them

SETTINGS = ("frame_skip", "env_kwargs", "obs_key", "channels", "fps")
"""Of a GameConfig: what the footage's `recorder` keeps, beside name and size, to make the game again."""
EnvSource = str | gym.Env | Callable[..., gym.Env]


@dataclass(frozen=True, kw_only=True)
class GameConfig:
    """A game and how it is shown."""

    name: str
    """A short name ("jump") or a Gymnasium id ("CartPole-v1", "my_module:MyGame-v0")."""
    size: tuple[int, int] | None = None
    """Height and width of the pictures; None takes the game's own, or smaller ones where those are large."""
    frame_skip: int | None = None
    """How many steps of the game one action lasts; None takes the game's own."""
    env: EnvSpec | gym.Env | Callable[..., gym.Env] | None = None
    """The environment itself, or what makes it, where the name alone does not find it in another process."""
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the environment."""
    obs_key: str | None = None
    """Which entry of a Dict observation is the picture, where several are."""
    channels: str | None = None
    """"first" or "last": where the colours of a picture stand, if its shape leaves it open."""
    fps: float | None = None
    """Steps of the game for each second; None takes what the environment says, or 30."""

    @classmethod
    def of(cls, source: EnvSource, **settings: Any) -> GameConfig:
        """Describe a game, so that another process can make it too.

        Args:
            source: a name or an id, an environment, or a function that makes one from `env_kwargs`.
            **settings: the other fields.

        Raises:
            TypeError: neither of them.
        """
        if isinstance(source, str):
            return cls(name=source, env=_spec_of_this_process(source), **settings)
        if isinstance(source, gym.Env):
            spec = source.unwrapped.spec
            return cls(name=spec.id if spec else type(source.unwrapped).__name__, env=source, **settings)
        if callable(source):
            return cls(name=getattr(source, "__name__", type(source).__name__), env=source, **settings)
        raise TypeError(f"expected a game's name, an environment or a function that makes one, got {source!r}.")

    @property
    def is_short_name(self) -> bool:
        """Whether the game is named as ours ("jump") rather than by a Gymnasium id or an environment."""
        return self.env is None and is_short_name(self.name)


def is_short_name(name: str) -> bool:
    """Return whether a game is named as ours ("jump") rather than by a Gymnasium id."""
    return not re.search(r"[:/]|-v\d+$", name)


def make_pictured(config: GameConfig) -> tuple[gym.Env, PictureReader | None]:
    """Make an environment that shows pictures, with the reader of its observations; None where it renders them.

    Raises:
        ValueError: there is no such game, or none whose pictures can be recorded.
    """
    env = _make(config, {})
    modes = env.unwrapped.metadata.get("render_modes") or []
    is_remade = not isinstance(config.env, gym.Env) and (config.env is None or isinstance(config.env, EnvSpec))
    can_render = env.unwrapped.render_mode == "rgb_array" or (is_remade and "rgb_array" in modes)
    try:
        reader = find_picture(env.observation_space, config.obs_key, config.channels, can_render=can_render)
    except ValueError as error:
        raise ValueError(f"{config.name}: {error}") from error
    if reader is None and not can_render:
        raise ValueError(
            f"expected pictures in the observations of {config.name}, or rgb_array rendering of it, got "
            f"{env.observation_space}, render modes {modes} and render mode {env.unwrapped.render_mode}."
        )
    if reader is not None or env.unwrapped.render_mode == "rgb_array":
        return env, reader
    env.close()
    return _make(config, {"render_mode": "rgb_array"}), None


def _make(config: GameConfig, kwargs: dict[str, Any]) -> gym.Env:
    if isinstance(config.env, gym.Env):
        return config.env
    kwargs = {**config.env_kwargs, **kwargs}
    if config.env is not None and not isinstance(config.env, EnvSpec):
        env = config.env(**kwargs)
        if not isinstance(env, gym.Env):
            raise ValueError(f"expected a Gymnasium environment from {config.name}, got {env!r}.")
        return env
    env_id: str | EnvSpec = config.env or config.name
    if config.is_short_name:
        env_id = f"{FAMILY}:{FAMILY}/{config.name}-v0"
        sizes = {"size": config.size, "frame_skip": config.frame_skip}
        kwargs |= {k: v for k, v in sizes.items() if v is not None}
    elif isinstance(env_id, str):
        env_id = _with_package(env_id)
    try:
        return gym.make(env_id, disable_env_checker=True, **kwargs)
    except gym.error.UnregisteredEnv as error:
        raise ValueError(_unknown(config.name)) from error


def _with_package(env_id: str) -> str:
    """Name the package that registers an id with a namespace ("ALE/Pong-v5"), where it is installed."""
    namespace = env_id.partition("/")[0]
    package = _PACKAGES.get(namespace, namespace)
    is_missing = env_id not in gym.registry and ":" not in env_id and "/" in env_id
    return f"{package}:{env_id}" if is_missing and importlib.util.find_spec(package) else env_id


def _spec_of_this_process(name: str) -> EnvSpec | None:
    """Return what this process knows of an id, which a script or a notebook may have registered."""
    module, _, env_id = name.rpartition(":")
    spec: Any = gym.registry.get(env_id) if module in ("", "__main__") else None
    if spec is not None and isinstance(spec.entry_point, str) and spec.entry_point.startswith("__main__:"):
        spec = copy.copy(spec)
        spec.entry_point = load_env_creator(str(spec.entry_point))
    return spec


def _unknown(name: str) -> str:
    with suppress(ModuleNotFoundError):
        importlib.import_module(FAMILY)
    ours = [i.removeprefix(f"{FAMILY}/").removesuffix("-v0") for i in gym.registry if i.startswith(f"{FAMILY}/")]
    close = difflib.get_close_matches(name, [*ours, *gym.registry], n=3)
    guess = f" Did you mean {' or '.join(close)}?" if close else ""
    games = f" Games here: {', '.join(sorted(ours))}." if ours else ""
    return (
        f"there is no game {name!r}.{guess}{games} A Gymnasium id that a module registers works too, as "
        "module:MyGame-v0, and in Python worldsim.record takes an environment or a function that makes one."
    )
