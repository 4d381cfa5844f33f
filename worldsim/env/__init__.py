"""A learned world as a reinforcement-learning environment, in three forms of one model.

- `WorldEnv`: a Gymnasium environment, one world.
- `WorldVectorEnv`: a Gymnasium vector environment, many worlds in one batched model, never many models.
- `JaxWorldEnv`: pure functions of one world for `jax.vmap`, `jax.jit` and `jax.lax.scan`, shaped like gymnax.

`terminated` is what the world's outcome head says; the horizon is reported as `truncated` and nothing else, so that
a value function bootstraps past it. The contract is written down in docs/env-contract.md;
`import worldsim` registers "worldsim/World-v0" with Gymnasium.
Source: https://gymnasium.farama.org/api/env/, https://farama.org/Vector-Autoreset-Mode.
"""

from __future__ import annotations

from worldsim.env.functional import EnvParams, EnvState, JaxWorldEnv
from worldsim.env.single import WorldEnv
from worldsim.env.spaces import action_rows, action_space
from worldsim.env.vector import WorldVectorEnv

__all__ = ["EnvParams", "EnvState", "JaxWorldEnv", "WorldEnv", "WorldVectorEnv", "action_rows", "action_space"]
