"""One learned world as an environment of gymnax 1 (extra `gymnax`), for its wrappers and for learners written for it.

>>> env = GymnaxWorld("pong", obs_type="latent")
>>> params = env.default_params.replace(max_steps_in_episode=200)
>>> obs, state = env.reset(jax.random.key(0), params)

`JaxWorldEnv` needs no gymnax; this adds gymnax's base class, spaces and names to it.
Source: https://github.com/RobertTLange/gymnax
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Shaped

from worldsim.env import functional
from worldsim.env.base import WorldLike
from worldsim.env.functional import JaxWorldEnv
from worldsim.places import FIRST


@struct.dataclass
class EnvState(environment.EnvState):
    """The state of one world."""

    time: Any  # int32 [], frames since the reset
    world: Any  # SimState with a leading axis of 1
    obs: Any
    terminal: Any  # bool []


@struct.dataclass
class EnvParams(environment.EnvParams):
    """What may change between calls without compiling anew."""

    max_steps_in_episode: Any = 1000  # int or int32 []
    arrays: Any = None  # as in `functional.EnvParams`


class GymnaxWorld(environment.Environment[EnvState, EnvParams]):
    """One learned world; arguments as for `JaxWorldEnv`, the horizon is `params.max_steps_in_episode`.

    An action is an int in a world of one choice, a row [a] in one of axes alone or with `axis_bins`, and else a tuple
    with the value of each control.
    """

    def __init__(self, world: WorldLike = FIRST, **settings: Any):
        super().__init__()
        self.core = JaxWorldEnv(world, **settings)

    @property
    def default_params(self) -> EnvParams:
        """The parameters of a call that gives none, with the weights of the world."""
        return EnvParams(arrays=self.core.default_params.arrays)

    def reset_env(self, key: PRNGKeyArray, params: EnvParams) -> tuple[Shaped[Array, "..."], EnvState]:
        """Begin at an initial context of the bundle, drawn by the key."""
        obs, state = self.core.reset(key, functional.EnvParams(arrays=params.arrays))
        return obs, EnvState(time=state.num_steps, world=state.world, obs=obs, terminal=jnp.zeros((), bool))

    def step_env(
        self, key: PRNGKeyArray, state: EnvState, action: Any, params: EnvParams
    ) -> tuple[Shaped[Array, "..."], EnvState, Float[Array, ""], Bool[Array, ""], dict[str, Array]]:
        """Dream one frame on: (obs, state, reward, terminated, info); whether it is the last, `is_truncated` says."""
        row = jnp.stack([jnp.asarray(x) for x in action], -1) if isinstance(action, tuple) else action
        before = functional.EnvState(state.world, jnp.asarray(state.time))
        how = functional.EnvParams(arrays=params.arrays)
        obs, after, reward, terminated, _, info = self.core.step_env(key, before, row, how)
        state = EnvState(time=after.num_steps, world=after.world, obs=obs, terminal=terminated)
        return obs, state, reward, terminated, info

    def get_obs(self, state: EnvState, params: EnvParams | None = None, key: PRNGKeyArray | None = None) -> Array:
        """Return the present observation."""
        return state.obs

    def is_terminated(self, state: EnvState, params: EnvParams) -> Bool[Array, ""]:
        """Return whether the outcome head has ended the episode."""
        return state.terminal

    @property
    def name(self) -> str:
        """The id of the world."""
        return f"worldsim/{self.core.simulator.card.name}-v0"

    @property
    def num_actions(self) -> int:
        """The number of options in a world of one choice, else of controls."""
        spec = self.core.simulator.action_spec
        return len(spec.choices[0].options) if spec.is_discrete else spec.size

    def action_space(self, params: EnvParams | None = None) -> spaces.Space:
        """The space of actions: Discrete for one choice, Box for axes, else a Tuple of the controls."""
        spec, bins = self.core.simulator.action_spec, self.core.axis_bins
        if bins is not None:
            return spaces.Tuple([spaces.Discrete(len(values)) for values in spec.values(bins)])
        if spec.is_discrete:
            return spaces.Discrete(self.num_actions)
        if spec.size == len(spec.axes):
            low, high = (jnp.asarray(x) for x in spec.bounds)
            return spaces.Box(low, high, (spec.size,), jnp.float32)
        return spaces.Tuple(
            [spaces.Discrete(len(x.options)) if x.options else spaces.Box(x.low, x.high, ()) for x in spec.controls]
        )

    def observation_space(self, params: EnvParams | None = None) -> spaces.Box:
        """The space of observations."""
        space = self.core.single_observation_space
        return spaces.Box(float(space.low.min()), float(space.high.max()), space.shape, space.dtype)

    def state_space(self, params: EnvParams | None = None) -> spaces.Dict:
        """The space of what a state says by itself; the world's memory has none."""
        return spaces.Dict(
            {
                "time": spaces.Discrete(np.iinfo(np.int32).max),
                "obs": self.observation_space(params),
                "terminal": spaces.Discrete(2),
            }
        )
