"""One learned world as an environment of jax-envelope (extra `envelope`), for its wrappers.

>>> env = TruncationWrapper(env=EnvelopeWorld("pong", obs_type="latent"), max_steps=200)
>>> env = VmapWrapper(env=AutoResetWrapper(env=EpisodeStatisticsWrapper(env=env)), batch_size=8)
>>> state, info = env.init(jax.random.key(0))
>>> step = jax.jit(lambda env, state, action: env.step(state, action))
>>> state, info = step(env, state, actions)

`envelope.create("worldsim::pong")` is the same world with the horizon of the other forms. `JaxWorldEnv` needs no
jax-envelope; this adds its base class, spaces and info.
Source: https://github.com/keraJLi/envelope
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import gymnasium as gym
import jax.numpy as jnp
import numpy as np
from envelope.environment import Environment, InfoContainer
from envelope.spaces import Continuous, Discrete, PyTreeSpace, Space
from envelope.struct import field, static_field
from jaxtyping import PRNGKeyArray

from worldsim.env.base import WorldLike
from worldsim.env.functional import EnvParams, EnvState, JaxWorldEnv
from worldsim.places import FIRST

NEVER = np.iinfo(np.int32).max  # frames: the horizon is TruncationWrapper's


class EnvelopeWorld(Environment):
    """One learned world; arguments as for `JaxWorldEnv`, or one that there is already.

    Seed and actions give the transitions of `WorldEnv`: the state has its own stream of noise. An action is one of
    `JaxWorldEnv`, or a dict of `choices`, `buttons` and `axes` where controls are mixed. `info` has step, uncertainty
    and termination_probability beside obs, reward, terminated and truncated; the latter two are NaN after a reset.
    """

    core: JaxWorldEnv = static_field()
    arrays: Any = field()
    """Weights and initial contexts, leaves of this pytree: a jitted function of the environment has no constants of
    them, and `replace(arrays=...)` is another world of the same shape."""

    def __init__(self, core: WorldLike | JaxWorldEnv = FIRST, arrays: Any = None, **settings: Any):
        core = core if isinstance(core, JaxWorldEnv) else JaxWorldEnv(core, **settings)
        object.__setattr__(self, "core", core)
        object.__setattr__(self, "arrays", core.default_params.arrays if arrays is None else arrays)
        self.__post_init__()

    @classmethod
    def from_name(cls, env_name: str, env_kwargs: dict[str, Any] | None = None, **settings: Any) -> EnvelopeWorld:
        """Return the world that `envelope.create("worldsim::NAME")` asks for."""
        return cls(env_name, **(env_kwargs or {}), **settings)

    @property
    def default_max_steps(self) -> int:
        """The horizon of the other forms; `envelope.create` truncates by it."""
        return int(EnvParams().horizon)

    def init(self, key: PRNGKeyArray) -> tuple[EnvState, InfoContainer]:
        """Begin at an initial context of the bundle, drawn by the key."""
        obs, state = self.core.reset(key, EnvParams(arrays=self.arrays))
        nothing, no = jnp.float32(jnp.nan), jnp.zeros((), bool)
        info = InfoContainer(obs=obs, reward=jnp.float32(0), terminated=no, truncated=no)
        return state, info.update(step=state.num_steps, uncertainty=nothing, termination_probability=nothing)

    def step(self, state: EnvState, action: Any) -> tuple[EnvState, InfoContainer]:
        """Dream one frame on."""
        if isinstance(action, dict):
            kinds = self.core.simulator.action_spec.kinds
            action = jnp.concatenate([jnp.asarray(action[kind.field], jnp.float32) for kind in kinds], -1)
        params = EnvParams(NEVER, self.arrays)
        obs, state, reward, terminated, truncated, found = self.core.step_env(state.key, state, action, params)
        info = InfoContainer(obs=obs, reward=reward, terminated=terminated, truncated=truncated)
        return state, info.update(**found)

    @cached_property
    def action_space(self) -> Space:
        """The space of actions: that of `WorldEnv` in jax-envelope's words."""
        return _space(self.core.single_action_space)

    @cached_property
    def observation_space(self) -> Space:
        """The space of observations."""
        return _space(self.core.single_observation_space)


def _space(space: gym.Space) -> Space:
    """Return a Gymnasium space as one of jax-envelope."""
    if isinstance(space, gym.spaces.Dict):
        return PyTreeSpace({name: _space(part) for name, part in space.items()})
    if isinstance(space, gym.spaces.Box):
        return Continuous(low=jnp.asarray(space.low), high=jnp.asarray(space.high))
    if isinstance(space, gym.spaces.MultiBinary):
        return Discrete(n=jnp.full(space.shape, 2, jnp.int32))
    if isinstance(space, gym.spaces.MultiDiscrete):
        return Discrete(n=jnp.asarray(space.nvec, jnp.int32))
    assert isinstance(space, gym.spaces.Discrete)
    return Discrete(n=jnp.int32(space.n))
