"""A small stand-in for the model, whose frames and ends can be told beforehand."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from worldsim.controls import ActionSpec, Axis, Button, Choice, discrete
from worldsim.env import WorldVectorEnv
from worldsim.model.generate import Sampler
from worldsim.simulator import Simulator
from worldsim.types import SimState, StepOutput

SIZE = (6, 8)
CAR = ActionSpec(axes=(Axis(name="wheel"), Axis(name="pedal", low=0.0)))
PAD = ActionSpec(buttons=(Button(name="a"), Button(name="b")))
BOTH = ActionSpec(choices=(Choice(labels=("x", "y"), keys=((), ())),), buttons=PAD.buttons, axes=CAR.axes)


STARTS = np.random.default_rng(0).integers(0, 256, (64, 1, *SIZE, 3), dtype=np.uint8)


@jax.jit
def fake_step(state, action, lifetime):
    total = action if action.ndim == 1 else action.sum(-1)
    noise = jax.vmap(lambda k: jax.random.randint(k, (), 0, 4))(state.key)
    move = noise + total.astype(jnp.int32)
    obs = state.cache["obs"] + move[:, None, None, None].astype(jnp.uint8)
    index = state.frame_index + 1
    over = index >= lifetime
    fresh = jax.vmap(lambda k: jax.random.split(k, 1)[0])(state.key)
    chance = over.astype(jnp.float32)
    out = StepOutput(obs, total.astype(jnp.float32), over, jnp.zeros_like(over), index / 10, chance)
    return SimState(fresh, {"obs": obs}, index), out


class FakeSimulator(Simulator):
    """A world whose frame moves by its action and noise, and which ends after `lifetime` frames."""

    fps, params, identity, card = 10, None, "fake", SimpleNamespace(name="fake")

    def __init__(self, action_spec=None, lifetime=10_000, num_denoise_steps=4):
        self.sampler = Sampler(num_denoise_steps)
        self.action_spec = action_spec or discrete(("noop", "left", "right"))
        self.size, self.lifetime = SIZE, lifetime
        self.world = SimpleNamespace(initial_contexts={"obs": STARTS, "prev_action": None})
        self.config = SimpleNamespace(num_latents=SIZE[0] * SIZE[1], token_dim=3)
        self.batches = []  # worlds in each step

    def reset(self, key, *, initial, batch_size=None, decode=True):
        batch_size = initial.batch_size(batch_size)
        keys = key if key.ndim else jax.random.split(key, batch_size)
        obs = jnp.asarray(initial.obs[:, -1])
        state = SimState(keys, {"obs": obs}, jnp.zeros(batch_size, jnp.int32))
        return state, obs if decode else self.encode(obs)

    def step(self, state, action, *, decode=True, params=None):
        self.batches.append(action.shape[0])
        state, out = fake_step(state, jnp.asarray(action), self.lifetime)
        return state, out if decode else out._replace(obs=self.encode(out.obs))

    def encode(self, obs):
        return obs.reshape(len(obs), -1, 3).astype(jnp.float32) - 128

    def decode(self, z):
        return (z + 128).reshape(len(z), *SIZE, 3).astype(jnp.uint8)


def make_vec(num_envs=5, lifetime=10_000, **kwargs):
    env = WorldVectorEnv(num_envs, FakeSimulator(lifetime=lifetime), **kwargs)
    env.action_space.seed(0)
    return env
