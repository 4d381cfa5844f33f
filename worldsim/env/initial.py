"""How episodes begin: every initial context of a bundle is encoded once, so that a reset is a look-up.

All three forms of a world begin here, so one key means one beginning and one noise in each of them:
the keys of `worldsim.initial.reset_keys` draw the initial context, and are the stream of noise that the state carries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key, PRNGKeyArray, Shaped

from worldsim.initial import InitialContext, reset_keys
from worldsim.simulator import Simulator
from worldsim.types import SimState


class InitialStates(NamedTuple):
    """The states after the initial contexts of a world, one a row."""

    state: SimState
    obs: Shaped[Array, "n ..."]  # uint8 [n h w c], or latents float32 [n tokens d]


def encode_initial(sim: Simulator, decode: bool) -> InitialStates:
    """Return the state after each initial context of the bundle; `decode` as for `Simulator.reset`."""
    frames, actions = sim.world.initial_contexts["obs"], sim.world.initial_contexts["prev_action"]
    return InitialStates(*sim.reset(jax.random.key(0), initial=InitialContext.frames(frames, actions), decode=decode))


@jax.jit
def draw_initial(
    initial: InitialStates, keys: Key[Array, " b"], index: Int[Array, " b"] | None = None
) -> tuple[SimState, Shaped[Array, "b ..."], Int[Array, " b"]]:
    """Begin one world a key, at the contexts of `index` or at drawn ones: (state, obs, index), leading axis b."""

    def draw(key):
        return jax.random.randint(reset_keys(key, 1).context, (), 0, len(initial.obs))

    index = jax.vmap(draw)(keys) if index is None else index
    state, obs = jax.tree.map(lambda x: x[index], tuple(initial))
    return state._replace(key=noise_keys(keys)), obs, index


def noise_keys(keys: Key[Array, " b"]) -> Key[Array, " b"]:
    """Return the stream of noise that follows from each key."""
    return jax.vmap(lambda key: reset_keys(key, 1).worlds[0])(keys)


def keys_of_seeds(seeds: Sequence[int]) -> Key[Array, " b"]:
    """Return `jax.random.key` of each seed, taken modulo 2**32."""
    return jax.vmap(jax.random.key)(jnp.asarray(np.array([seed % 2**32 for seed in seeds], np.uint32)))


def typed_key(key: PRNGKeyArray) -> Key[Array, ""]:
    """Return a key of `jax.random.key` as it is, and one of the old `jax.random.PRNGKey` as a typed one."""
    return key if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else jax.random.wrap_key_data(key)
