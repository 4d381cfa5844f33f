"""One frame after another: sample the next latents, commit them to the past, read the outcome.

Pure functions of modules, caches and keys, shared by the simulator, which runs for people and agents, and by training,
which judges itself by free-running frames. Every world of a batch draws from a key of its own, so a world's future does
not depend on its neighbours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PRNGKeyArray

from worldsim.diffusion.parametrize import noised
from worldsim.diffusion.sample import sample_with_first
from worldsim.diffusion.schedule import Levels, step_index
from worldsim.dynamics import Cache, Dynamics
from worldsim.glimpse import coded, remembered
from worldsim.nn.camera import look, turned
from worldsim.nn.params import merge
from worldsim.tokenizer import Tokenizer
from worldsim.types import fold_keys


class Model(NamedTuple):
    """The three modules of a world."""

    tokenizer: Tokenizer
    dynamics: Dynamics
    outcome: Any = None  # Outcome; None where nobody asks for rewards


class Sampler(NamedTuple):
    """How frames are drawn: K steps, the deviation of the noise that they start from, and how far a prompt is followed.

    With guidance w the prediction is that without the prompt plus w times what the prompt changes (classifier-free
    guidance, Ho and Salimans 2022, arXiv 2207.12598), at twice the cost where w is not 1.
    """

    num_denoise_steps: int = 4
    noise_scale: Any = 1.0  # float, or one a world [b]; 1 = as trained
    guidance: float = 1.0  # w; for worlds that read prompts


def split_keys(keys: Key[Array, " b"], num: int) -> tuple[Key[Array, " b"], ...]:
    """Split the key of every world into `num`."""
    parts = jax.vmap(lambda key: jax.random.split(key, num))(keys)
    return tuple(parts[:, i] for i in range(num))


def world_keys(key: PRNGKeyArray | Key[Array, " b"], count: int) -> Key[Array, " b"]:
    """The key of each of `count` worlds: derived from one, or as they came."""
    if not (jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.ndim):
        return fold_keys(key, count)
    if key.shape != (count,):
        raise ValueError(f"key wants one key, or one for each of {count} worlds, got {key.shape}.")
    return key


def observe(
    model: Model,
    cache: Cache,
    z: Float[Array, "b n c"],
    prev_action: Float[Array, "b a"],
    keys: Key[Array, " b"],
    *,
    is_real: bool = False,
) -> tuple[Cache, Float[Array, "b d"]]:
    """Make a frame part of the past: noise it to the level of the past, label it so, and commit it.

    `is_real`: it was not dreamed, so that it tells where a camera looks.

    Returns:
        The new cache and the hidden state that the outcome heads read.
    """
    dynamics, config = model.dynamics, model.dynamics.config
    batch = z.shape[0]
    past = noised(z, _noise(keys, z), config.past_level / config.num_levels)
    levels = Levels(jnp.full((batch,), config.past_level), jnp.zeros((batch,), jnp.int32))
    glimpse = _glimpse(model, cache, prev_action)
    _, hidden, fresh = dynamics.step(past, levels, prev_action, cache, glimpse)
    view = remembered(model.tokenizer, dynamics, cache, z, prev_action, is_real=is_real)
    return dynamics.commit(past, fresh, cache)._replace(view=view), hidden


def dream(
    model: Model, cache: Cache, prev_action: Float[Array, "b a"], keys: Key[Array, " b"], sampler: Sampler
) -> tuple[Float[Array, "b n c"], Float[Array, " b"]]:
    """Sample the next frame's latents; the cache is only read.

    Returns:
        The latents, and their root-mean-square distance from the first step's prediction: a one-sample estimate of
        the spread of what could have come.
    """
    dynamics, config = model.dynamics, model.dynamics.config
    batch = prev_action.shape[0]
    glimpse = _glimpse(model, cache, prev_action)
    steps = jnp.full((batch,), step_index(sampler.num_denoise_steps, config.num_levels))
    without_prompt = cache if sampler.guidance == 1 else cache._replace(prompt=dynamics.hear((), batch))

    def denoise(z_tau: Float[Array, "b n c"], tau: Float[Array, ""]) -> Float[Array, "b n c"]:
        index = jnp.round(tau * config.num_levels).astype(jnp.int32)
        levels = Levels(jnp.broadcast_to(index, (batch,)), steps)
        z_hat = dynamics.step(z_tau, levels, prev_action, cache, glimpse)[0]
        if sampler.guidance == 1:
            return z_hat
        unprompted = dynamics.step(z_tau, levels, prev_action, without_prompt, glimpse)[0]
        return unprompted + sampler.guidance * (z_hat - unprompted)

    scale = jnp.reshape(jnp.asarray(sampler.noise_scale, jnp.float32), (-1, 1, 1))
    noise = _noise(keys, jnp.zeros((batch, config.num_latents, config.token_dim))) * scale
    z, first = sample_with_first(denoise, noise, sampler.num_denoise_steps)
    return z, jnp.sqrt(jnp.mean((z - first) ** 2, axis=(1, 2)))


def free_run(
    model: Model,
    cache: Cache,
    prev_actions: Float[Array, "b t a"],
    keys: Key[Array, " b"],
    sampler: Sampler,
) -> tuple[Cache, Float[Array, "b t n c"]]:
    """Dream t frames, each from the ones before it."""

    def step(carry, action):
        cache, keys = carry
        keys, keys_dream, keys_past = split_keys(keys, 3)
        z, _ = dream(model, cache, action, keys_dream, sampler)
        cache, _ = observe(model, cache, z, action, keys_past)
        return (cache, keys), z

    (cache, _), frames = jax.lax.scan(step, (cache, keys), jnp.moveaxis(prev_actions, 1, 0))
    return cache, jnp.moveaxis(frames, 0, 1)


def watch(
    model: Model,
    cache: Cache,
    z: Float[Array, "b t n c"],
    prev_actions: Float[Array, "b t a"],
    keys: Key[Array, " b"],
) -> tuple[Cache, Float[Array, "b t d"]]:
    """Commit t known frames one after another; give the hidden state of each."""

    def step(carry, frame):
        cache, keys = carry
        keys, keys_past = split_keys(keys, 2)
        cache, hidden = observe(model, cache, frame[0], frame[1], keys_past, is_real=True)
        return (cache, keys), hidden

    frames = (jnp.moveaxis(z, 1, 0), jnp.moveaxis(prev_actions, 1, 0))
    (cache, _), hidden = jax.lax.scan(step, (cache, keys), frames)
    return cache, jnp.moveaxis(hidden, 0, 1)


def bind(graphdefs: tuple, params: dict) -> Model:
    """Join the graphs of the three modules with their parameters, inside or outside of jit."""
    names = ("tokenizer", "dynamics", "outcome")
    return Model(*(merge(graph, params[name]) for graph, name in zip(graphdefs, names, strict=True)))


def _glimpse(model: Model, cache: Cache, prev_action: Float[Array, "b a"]) -> Any:
    """What the camera's way tells of the next frame; () where no camera is known."""
    config = model.dynamics.config
    if config.camera is None:
        return ()
    sight = look(cache.view, turned(cache.view.heading, prev_action, config.camera), config.camera)
    return coded(model.tokenizer, sight, config)


def _noise(keys: Key[Array, " b"], like: Float[Array, "b n c"]) -> Float[Array, "b n c"]:
    return jax.vmap(lambda key: jax.random.normal(key, like.shape[1:], like.dtype))(keys)
