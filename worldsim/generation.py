"""One frame after another: sample the next latents, commit them to the past, read the outcome.

Pure functions of modules, caches and keys, shared by the simulator, which runs for people and agents, and by training,
which judges itself by free-running frames. Every world of a batch draws from a key of its own, so a world's future does
not depend on its neighbours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PRNGKeyArray, UInt8

from worldsim.diffusion.parametrize import noised
from worldsim.diffusion.sample import sample_with_first
from worldsim.diffusion.schedule import Levels, step_index
from worldsim.dynamics import Cache, Dynamics
from worldsim.dynamics.camera import settled
from worldsim.glimpse import behold, coded, paint, remembered
from worldsim.nn.params import merge
from worldsim.tokenizer import Tokenizer
from worldsim.types import fold_keys, frame_to_obs


class Model(NamedTuple):
    """The modules of a world."""

    tokenizer: Tokenizer
    dynamics: Dynamics
    outcome: Any = None  # Outcome; None where nobody asks for rewards
    opening: Any = None  # Dynamics that draw the first frame of all; None where the others do


class Sampler(NamedTuple):
    """How frames are drawn: K steps, the deviation of the noise that they start from, and how far a prompt is followed.

    With guidance w the prediction is that without the prompt plus w times what the prompt changes (classifier-free
    guidance, Ho and Salimans 2022, arXiv 2207.12598), at twice the cost where w is not 1.
    """

    num_denoise_steps: int = 4
    noise_scale: Any = 1.0  # float, or one a world [b]; 1 = as trained
    guidance: float = 1.0  # w; for worlds that read prompts
    early_guidance: float = 1.0  # w below the level `guided_from`, in 0..1
    guided_from: float = 0.0


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


def draw_noise(keys: Key[Array, " b"], like: Float[Array, "b n c"]) -> Float[Array, "b n c"]:
    """Draw standard normal noise of the shape of latents, each world's from its own key."""
    return jax.vmap(lambda key: jax.random.normal(key, like.shape[1:], like.dtype))(keys)


def observe(
    model: Model,
    cache: Cache,
    z: Float[Array, "b n c"],
    prev_action: Float[Array, "b a"],
    keys: Key[Array, " b"],
    *,
    real: UInt8[Array, "b h w 3"] | None = None,
    knows_pitch: bool = False,
) -> tuple[Cache, Float[Array, "b d"]]:
    """Make a frame part of the past: noise it to the level of the past, label it so, and commit it.

    `real`: the picture of a frame that was not dreamed: it tells how far down a camera looks, where the cache does not
    know (`knows_pitch`), and is remembered as it is.

    Returns:
        The new cache and the hidden state that the outcome heads read.
    """
    dynamics, config = model.dynamics, model.dynamics.config
    batch = z.shape[0]
    past = noised(z, draw_noise(keys, z), config.past_level / config.num_levels)
    levels = Levels(jnp.full((batch,), config.past_level), jnp.zeros((batch,), jnp.int32))
    sight, glimpse = glimpsed(model, cache, prev_action)
    _, hidden, fresh = dynamics.step(past, levels, prev_action, cache, glimpse)
    view = cache.view
    if config.camera is not None:
        frame = paint(model.tokenizer, z, view, sight, glimpse) if real is None else real
        view = remembered(dynamics, cache, z, frame, prev_action, is_real=real is not None, knows_pitch=knows_pitch)
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
    _, glimpse = glimpsed(model, cache, prev_action)
    steps = jnp.full((batch,), step_index(sampler.num_denoise_steps, config.num_levels))
    without_prompt = cache if sampler.guidance == 1 else cache._replace(prompt=dynamics.hear((), batch))

    def denoise(z_tau: Float[Array, "b n c"], tau: Float[Array, ""]) -> Float[Array, "b n c"]:
        index = jnp.round(tau * config.num_levels).astype(jnp.int32)
        levels = Levels(jnp.broadcast_to(index, (batch,)), steps)
        z_hat = dynamics.step(z_tau, levels, prev_action, cache, glimpse)[0]
        if sampler.guidance == 1:
            return z_hat
        unprompted = dynamics.step(z_tau, levels, prev_action, without_prompt, glimpse)[0]
        guidance = jnp.where(tau < sampler.guided_from, sampler.early_guidance, sampler.guidance)
        return unprompted + guidance * (z_hat - unprompted)

    scale = jnp.reshape(jnp.asarray(sampler.noise_scale, jnp.float32), (-1, 1, 1))
    noise = draw_noise(keys, jnp.zeros((batch, config.num_latents, config.token_dim))) * scale
    z, first = sample_with_first(denoise, noise, sampler.num_denoise_steps)
    if config.camera is not None:
        began = cache.view.began[:, None, None]
        z, first = (jnp.where(began, settled(x, glimpse.z, config), x) for x in (z, first))
    return z, jnp.sqrt(jnp.mean((z - first) ** 2, axis=(1, 2)))


def glimpsed(model: Model, cache: Cache, prev_action: Float[Array, "b a"]) -> tuple[Any, Any]:
    """What the camera's way tells of the next frame, and that coded; () where no camera is known."""
    if model.dynamics.config.camera is None:
        return (), ()
    sight = behold(model.dynamics, cache.view, prev_action)
    return sight, coded(model.tokenizer, sight, model.dynamics.config)


def picture(model: Model, cache: Cache, z: Float[Array, "b n c"]) -> UInt8[Array, "b h w 3"]:
    """Paint the frame that `observe` made the last of the past: z, or what a camera remembers of it."""
    return frame_to_obs(model.tokenizer.decode(z)) if model.dynamics.config.camera is None else cache.view.frame


def free_run(
    model: Model, cache: Cache, prev_actions: Float[Array, "b t a"], keys: Key[Array, " b"], sampler: Sampler
) -> tuple[Cache, UInt8[Array, "b t h w 3"]]:
    """Dream and paint t frames, each from the ones before it."""

    def step(carry, action):
        cache, keys = carry
        keys, keys_dream, keys_past = split_keys(keys, 3)
        z, _ = dream(model, cache, action, keys_dream, sampler)
        cache, _ = observe(model, cache, z, action, keys_past)
        return (cache, keys), picture(model, cache, z)

    (cache, _), frames = jax.lax.scan(step, (cache, keys), jnp.moveaxis(prev_actions, 1, 0))
    return cache, jnp.moveaxis(frames, 0, 1)


def watch(
    model: Model,
    cache: Cache,
    z: Float[Array, "b t n c"],
    prev_actions: Float[Array, "b t a"],
    keys: Key[Array, " b"],
    *,
    obs: UInt8[Array, "b t h w 3"] | None = None,
) -> tuple[Cache, Float[Array, "b t d"]]:
    """Commit t known frames one after another; give the hidden state of each.

    `obs` are their pictures, which a camera remembers; where they are not at hand, what z paints is.
    """

    def step(carry, frame):
        cache, keys = carry
        z, action, obs = frame
        keys, keys_past = split_keys(keys, 2)
        real = frame_to_obs(model.tokenizer.decode(z)) if obs is None else obs
        cache, hidden = observe(model, cache, z, action, keys_past, real=real)
        return (cache, keys), hidden

    frames = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), (z, prev_actions, obs))
    (cache, _), hidden = jax.lax.scan(step, (cache, keys), frames)
    return cache, jnp.moveaxis(hidden, 0, 1)


def bind(graphdefs: tuple, params: dict) -> Model:
    """Join the graphs of the modules with their parameters, inside or outside of jit."""
    parts = zip(Model._fields, graphdefs, strict=True)
    modules: dict[str, Any] = {name: None if graph is None else merge(graph, params[name]) for name, graph in parts}
    return Model(**modules)
