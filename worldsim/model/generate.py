"""Generate frame by frame: sample the next latents, commit them to the past, render them.

Pure functions of modules, caches and keys, shared by the simulator, which runs for people and agents, and by training,
which evaluates weights on free-running frames. Every world of a batch draws from a key of its own, so its future does
not depend on its neighbours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt8

from worldsim.diffusion.parametrize import noised
from worldsim.diffusion.sample import sample_with_first
from worldsim.diffusion.schedule import Levels, step_index
from worldsim.model.dynamics import Cache, Dynamics
from worldsim.model.tokenizer import Tokenizer
from worldsim.nn.params import merge
from worldsim.types import frame_to_obs

MAX_LATENT = 10.0
"""No latent is that large: a prediction beyond it must become neither a past nor a target of training."""
MAX_DREAMED = 1e4
"""Nor is a dreamed one, whatever guidance exaggerates: a world that runs away stays there and does not end in NaN."""

_CHANCE = 1  # of keys: what enters by chance, beside the noise that is drawn with the keys themselves


class Model(NamedTuple):
    """The modules of a world."""

    tokenizer: Tokenizer
    dynamics: Dynamics
    outcome: Any = None  # Outcome; None where no rewards are read
    first_frame: Any = None  # Dynamics that draw the first frame from text or noise; None where the others do


class Sampler(NamedTuple):
    """How frames are sampled: K steps, the standard deviation of their noise, and the guidance by a prompt.

    With guidance w the prediction is that without the prompt plus w times what the prompt changes (classifier-free
    guidance, Ho and Salimans 2022, arXiv 2207.12598), at twice the cost where w is not 1.
    """

    num_denoise_steps: int = 4
    noise_scale: Any = 1.0  # float, or one per world [b]; 1 = as trained
    guidance: float = 1.0  # w; for worlds that read prompts
    early_guidance: float = 1.0  # w below the level `guided_from`, in 0..1
    guided_from: float = 0.0


def split_keys(keys: Key[Array, " b"], num: int) -> tuple[Key[Array, " b"], ...]:
    """Split the key of every world into `num`."""
    parts = jax.vmap(lambda key: jax.random.split(key, num))(keys)
    return tuple(parts[:, i] for i in range(num))


def fold_in(keys: Key[Array, " b"], number: int) -> Key[Array, " b"]:
    """Derive a key of every world from its own, for what `number` stands for."""
    return jax.vmap(jax.random.fold_in, (0, None))(keys, number)


def draw_noise(keys: Key[Array, " b"], like: Float[Array, "b n c"]) -> Float[Array, "b n c"]:
    """Draw standard normal noise of the shape of latents, each world's from its own key."""
    return jax.vmap(lambda key: jax.random.normal(key, like.shape[1:], like.dtype))(keys)


class Expected(NamedTuple):
    """What the prior knows of the next frame: the same whether it is dreamed or observed, so it is found once."""

    prediction: Any  # its picture, and the inputs that the dynamics take of it
    looked: Any  # what `Dynamics.look` makes of these


def expect(model: Model, cache: Cache, prev_action: Float[Array, "b a"]) -> Expected:
    """Let the prior predict the next frame from the past; the cache is only read."""
    prediction = model.dynamics.prior.predict(model.tokenizer, cache.prior, prev_action)
    return Expected(prediction, model.dynamics.look(cache, prev_action, prediction[1]))


def observe(
    model: Model,
    cache: Cache,
    z: Float[Array, "b n c"],
    prev_action: Float[Array, "b a"],
    keys: Key[Array, " b"],
    *,
    expected: Expected | None = None,
    real: UInt8[Array, "b h w 3"] | None = None,
    knows_pitch: bool = False,
) -> tuple[Cache, Float[Array, "b d"]]:
    """Append a frame to the past: noise it to `context_tau` and commit it.

    Args:
        model: the modules.
        cache: the past.
        z: the frame's latents.
        prev_action: the action that led into it.
        keys: of its noise.
        expected: of `expect`; found here by default.
        real: its picture, where it was recorded and not generated; the prior keeps it as it is.
        knows_pitch: whether the prior's camera heading is exact already, and not to be estimated from the picture.

    Returns:
        The new cache and the hidden state that the outcome heads read.
    """
    dynamics, config = model.dynamics, model.dynamics.config
    batch = z.shape[0]
    past = noised(z, draw_noise(keys, z), config.context_tau / config.num_levels)
    levels = Levels(jnp.full((batch,), config.context_tau), jnp.zeros((batch,), jnp.int32))
    prediction, looked = expect(model, cache, prev_action) if expected is None else expected
    _, hidden, states = dynamics.step(past, levels, prev_action, cache, looked)
    prior = dynamics.prior.update(
        model.tokenizer, cache.prior, z, prediction, prev_action, cache.count, real=real, knows_pitch=knows_pitch
    )
    return dynamics.commit(past, states, cache)._replace(prior=prior), hidden


def dream(
    model: Model,
    cache: Cache,
    prev_action: Float[Array, "b a"],
    keys: Key[Array, " b"],
    sampler: Sampler,
    *,
    expected: Expected | None = None,
) -> tuple[Float[Array, "b n c"], Float[Array, " b"]]:
    """Sample the next frame's latents; the cache is only read. `expected` is of `expect`, found here by default.

    Returns:
        The latents, and their root-mean-square distance from the first step's prediction: a one-sample estimate of
        the spread of possible futures.
    """
    dynamics, config = model.dynamics, model.dynamics.config
    batch = prev_action.shape[0]
    looked = (expect(model, cache, prev_action) if expected is None else expected).looked
    prior_inputs = dynamics.draw(cache, prev_action, looked, fold_in(keys, _CHANCE))
    steps = jnp.full((batch,), step_index(sampler.num_denoise_steps, config.num_levels))
    without_prompt = cache if sampler.guidance == 1 else cache._replace(prompt=dynamics.encode_prompt((), batch))

    def denoise(z_tau: Float[Array, "b n c"], tau: Float[Array, ""]) -> Float[Array, "b n c"]:
        index = jnp.round(tau * config.num_levels).astype(jnp.int32)
        levels = Levels(jnp.broadcast_to(index, (batch,)), steps)
        z_hat = dynamics.step(z_tau, levels, prev_action, cache, prior_inputs)[0]
        if sampler.guidance == 1:
            return z_hat
        unprompted = dynamics.step(z_tau, levels, prev_action, without_prompt, prior_inputs)[0]
        guidance = jnp.where(tau < sampler.guided_from, sampler.early_guidance, sampler.guidance)
        return unprompted + guidance * (z_hat - unprompted)

    scale = jnp.reshape(jnp.asarray(sampler.noise_scale, jnp.float32), (-1, 1, 1))
    noise = draw_noise(keys, jnp.zeros((batch, config.num_latents, config.token_dim))) * scale
    z, first = sample_with_first(denoise, noise, sampler.num_denoise_steps)
    z, first = (
        jnp.clip(dynamics.prior.shrink(x, cache.prior, prior_inputs), -MAX_DREAMED, MAX_DREAMED) for x in (z, first)
    )
    return z, jnp.sqrt(jnp.mean((z - first) ** 2, axis=(1, 2)))


def render(model: Model, cache: Cache, z: Float[Array, "b n c"]) -> UInt8[Array, "b h w 3"]:
    """Render the frame z that `observe` appended last."""
    return model.dynamics.prior.render(model.tokenizer, cache.prior, z)


def free_run(
    model: Model, cache: Cache, prev_actions: Float[Array, "b t a"], keys: Key[Array, " b"], sampler: Sampler
) -> tuple[Cache, UInt8[Array, "b t h w 3"]]:
    """Generate and render t frames, each from the ones before it."""

    def step(carry, action):
        cache, keys = carry
        keys, keys_dream, keys_past = split_keys(keys, 3)
        expected = expect(model, cache, action)
        z, _ = dream(model, cache, action, keys_dream, sampler, expected=expected)
        cache, _ = observe(model, cache, z, action, keys_past, expected=expected)
        return (cache, keys), render(model, cache, z)

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
    """Append t known frames to the past; with the hidden state of each.

    `obs` are their pictures, which the prior keeps; without them the decoded z take their place.
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
