"""Where dreams begin: every start of a bundle is watched once, so that a reset is a look-up.

All three forms of a world begin here, so one key means one beginning and one noise in each of them:
`fold_in(key, 1)` draws the start, `fold_in(key, 0)` is the stream of noise that the state carries.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PRNGKeyArray

from worldsim.types import SimState


class Starts(NamedTuple):
    """The beginnings of a world, one a row."""

    state: SimState
    obs: Any  # uint8 [n h w c], or latents float32 [n tokens d]


def watch_starts(sim: Any, decode: bool) -> Starts:
    """Let the simulator watch each start of its bundle; `decode` as for `Simulator.reset`."""
    frames, actions = sim.world.starts["obs"], sim.world.starts["prev_action"]
    return Starts(
        *sim.reset(jax.random.key(0), batch_size=len(frames), prompt=frames, prompt_actions=actions, decode=decode)
    )


def begin(starts: Starts, keys: Key[Array, " b"]) -> tuple[SimState, Array]:
    """Begin one world a key: (state, obs), both with leading axis b."""

    def draw(key):
        return jax.random.randint(jax.random.fold_in(key, 1), (), 0, len(starts.obs))

    index = jax.vmap(draw)(keys)
    state, obs = jax.tree.map(lambda x: x[index], tuple(starts))
    return state._replace(key=stream_keys(keys)), obs


def stream_keys(keys: Key[Array, " b"]) -> Key[Array, " b"]:
    """The stream of noise that follows from each key."""
    return jax.vmap(lambda key: jax.random.fold_in(key, 0))(keys)


def keys_of_seeds(seeds: Any) -> Key[Array, " b"]:
    """`jax.random.key` of each seed, taken modulo 2**32."""
    return jax.vmap(jax.random.key)(jnp.asarray(np.array([seed % 2**32 for seed in seeds], np.uint32)))


def typed(key: PRNGKeyArray) -> Key[Array, ""]:
    """A key of `jax.random.key` as it is, and one of the old `jax.random.PRNGKey` as such."""
    return key if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else jax.random.wrap_key_data(key)
