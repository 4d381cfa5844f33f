"""A learned world as a reinforcement-learning environment, in three forms of one model.

- `WorldEnv`: a Gymnasium environment, one world.
- `WorldVectorEnv`: a Gymnasium vector environment, many worlds in one batched model, never many models.
- `JaxWorldEnv`: pure functions of one world for `jax.vmap`, `jax.jit` and `jax.lax.scan`, shaped like gymnax.

`gymnax`, `envelope` and `sb3` have them in the classes of those libraries, `penalty` has wrappers. `base` states the
contract of all three and `check_world_env` checks it, of a game as of a world. `import worldsim` registers
"worldsim/World-v0" with Gymnasium.
Source: https://gymnasium.farama.org/api/env/, https://farama.org/Vector-Autoreset-Mode.
"""

from __future__ import annotations

from worldsim.env.check import check_world_env
from worldsim.env.functional import EnvParams, EnvState, JaxWorldEnv
from worldsim.env.penalty import UncertaintyPenalty, VectorUncertaintyPenalty
from worldsim.env.single import WorldEnv
from worldsim.env.spaces import action_rows, action_space
from worldsim.env.vector import WorldVectorEnv

__all__ = [
    "EnvParams",
    "EnvState",
    "JaxWorldEnv",
    "UncertaintyPenalty",
    "VectorUncertaintyPenalty",
    "WorldEnv",
    "WorldVectorEnv",
    "action_rows",
    "action_space",
    "check_world_env",
]
