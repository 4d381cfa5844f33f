"""worldsim: record a game, learn its world, play the dream, train agents in it.

>>> import worldsim, gymnasium
>>> world = worldsim.load("jump")                                       # a Simulator: reset, step, rollout
>>> env = gymnasium.make("worldsim/World-v0", world="jump")             # the same world as an environment
>>> footage = worldsim.record("jump", "footage/jump", num_frames=20000)  # the real game

Names are imported when they are first used, so that `import worldsim` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import gymnasium as _gymnasium

if TYPE_CHECKING:
    from worldsim.checkpoint import World
    from worldsim.data.record import record
    from worldsim.env import JaxWorldEnv, WorldEnv, WorldVectorEnv
    from worldsim.simulator import Simulator, load
    from worldsim.train import fit

__version__ = "0.1.0"
__all__ = ["JaxWorldEnv", "Simulator", "World", "WorldEnv", "WorldVectorEnv", "__version__", "fit", "load", "record"]
_HOMES = {
    "JaxWorldEnv": "env",
    "Simulator": "simulator",
    "World": "checkpoint",
    "WorldEnv": "env",
    "WorldVectorEnv": "env",
    "fit": "train",
    "load": "simulator",
    "record": "data.record",
}

if "worldsim/World-v0" not in _gymnasium.registry:
    _gymnasium.register(
        "worldsim/World-v0", entry_point="worldsim.env:WorldEnv", vector_entry_point="worldsim.env:WorldVectorEnv"
    )


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'worldsim' has no attribute {name!r}")
    return getattr(importlib.import_module(f"worldsim.{_HOMES[name]}"), name)
