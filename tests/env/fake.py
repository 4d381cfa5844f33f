"""A small stand-in for the model, whose frames and ends can be told beforehand."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from worldsim.env import WorldVectorEnv
from worldsim.types import ActionSpec, Axis, Button, Choice, SimState, StepOutput, discrete

SIZE = (6, 8)
CAR = ActionSpec(axes=(Axis(name="wheel"), Axis(name="pedal", low=0.0)))
PAD = ActionSpec(buttons=(Button(name="a"), Button(name="b")))
BOTH = ActionSpec(choices=(Choice(labels=("x", "y"), keys=((), ())),), buttons=PAD.buttons, axes=CAR.axes)


@partial(jax.jit, static_argnums=1)
def fake_reset(key, batch_size):
    keys = jax.random.split(key, batch_size)
    obs = jax.vmap(lambda k: jax.random.randint(k, (*SIZE, 3), 0, 256))(keys).astype(jnp.uint8)
    return SimState(keys, {"obs": obs}, jnp.zeros(batch_size, jnp.int32)), obs


@jax.jit
def fake_step(state, action, lifetime):
    total = action if action.ndim == 1 else action.sum(-1)
    noise = jax.vmap(lambda k: jax.random.randint(k, (), 0, 4))(state.key)
    move = noise + total.astype(jnp.int32)
    obs = state.cache["obs"] + move[:, None, None, None].astype(jnp.uint8)
    index = state.frame_index + 1
    over = index >= lifetime
    fresh = jax.vmap(lambda k: jax.random.split(k, 1)[0])(state.key)
    out = StepOutput(obs, total.astype(jnp.float32), over, jnp.zeros_like(over), index / 10)
    return SimState(fresh, {"obs": obs}, index), out


class FakeSimulator:
    """A world whose frame moves by its action and noise, and which ends after `lifetime` frames."""

    fps = 10

    def __init__(self, action_spec=None, lifetime=10_000):
        self.action_spec = action_spec or discrete(("noop", "left", "right"))
        self.size, self.lifetime = SIZE, lifetime
        self.world = SimpleNamespace(starts={"obs": np.zeros((2, 1, *SIZE, 3), np.uint8), "prev_action": None})
        self.batches = []

    def reset(self, key, *, batch_size=None, prompt=None, prompt_actions=None):
        self.batches.append(batch_size)
        state, obs = fake_reset(key, batch_size)
        if isinstance(prompt, np.ndarray):
            obs = jnp.asarray(prompt[:, -1])
        return state._replace(cache={"obs": obs}), obs

    def step(self, state, action):
        return fake_step(state, action, self.lifetime)


def make_vec(num_envs=5, lifetime=10_000, **kwargs):
    env = WorldVectorEnv(num_envs, FakeSimulator(lifetime=lifetime), **kwargs)
    env.action_space.seed(0)
    return env
