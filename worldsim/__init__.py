"""worldsim: record a game, learn its world, play the dream, train agents in it.

>>> import worldsim, gymnasium
>>> footage = worldsim.record("jump", "footage/jump", num_frames=20000)  # the real game
>>> world = worldsim.fit(["footage/jump"], "runs/jump", minutes=10)     # its world
>>> sim = worldsim.load("runs/jump")                                    # a Simulator: reset, step, rollout
>>> env = gymnasium.make("worldsim/World-v0", world="runs/jump")        # the same world as an environment
>>> env = gymnasium.make("worldsim/pong-v0")                            # one that is shipped or in ./runs, by its id
>>> agent = worldsim.fit_agent("runs/jump", "footage/jump", "runs/jumper")

Names are imported when they are first used, so that `import worldsim` is quick.
"""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any

import gymnasium as _gymnasium

from worldsim import backend as _backend  # noqa: F401 - it watches forks from here on
from worldsim import places as _places

if TYPE_CHECKING:
    from worldsim.agent import Agent, AgentConfig, fit_agent, load_agent, score_agent
    from worldsim.data.store import Footage
    from worldsim.env import JaxWorldEnv, WorldEnv, WorldVectorEnv, check_world_env
    from worldsim.history import History, fork
    from worldsim.initial import InitialContext
    from worldsim.recording.record import record
    from worldsim.rollout import dream
    from worldsim.simulator import Simulator, load
    from worldsim.train import Init, Recipe, fit
    from worldsim.world import World

__version__ = "0.1.0"
__all__ = [
    "Agent",
    "AgentConfig",
    "Footage",
    "History",
    "Init",
    "InitialContext",
    "JaxWorldEnv",
    "Recipe",
    "Simulator",
    "World",
    "WorldEnv",
    "WorldVectorEnv",
    "__version__",
    "check_world_env",
    "dream",
    "fit",
    "fit_agent",
    "fork",
    "load",
    "load_agent",
    "record",
    "register_worlds",
    "score_agent",
]
_CONTENTS = {  # in the order of work: the module, and its public names
    "recording.record": "record",
    "data.store": "Footage",
    "train": "fit Init Recipe",
    "world": "World",
    "simulator": "load Simulator",
    "initial": "InitialContext",
    "history": "History fork",
    "rollout": "dream",
    "env": "WorldEnv WorldVectorEnv JaxWorldEnv check_world_env",
    "agent": "AgentConfig fit_agent Agent load_agent score_agent",
}
_HOMES = {name: module for module, names in _CONTENTS.items() for name in names.split()}


def register_worlds() -> None:
    """Register with Gymnasium "worldsim/World-v0", and an id such as "worldsim/pong-v0" of each world that is found.

    Importing worldsim does it; do it again for worlds that were trained since.
    """
    found = {_places.run_name(folder) for folder in _places.world_folders() if (folder / "card.json").is_file()}
    names = {name: {"world": name} for name in found if re.fullmatch(r"[\w.-]+", name)} | {"World": {}}
    for name, kwargs in names.items():
        if (env_id := f"worldsim/{name}-v0") not in _gymnasium.registry:
            single, many = "worldsim.env:WorldEnv", "worldsim.env:WorldVectorEnv"
            _gymnasium.register(env_id, entry_point=single, vector_entry_point=many, kwargs=kwargs)


register_worlds()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'worldsim' has no attribute {name!r}")
    return getattr(importlib.import_module(f"worldsim.{_HOMES[name]}"), name)
