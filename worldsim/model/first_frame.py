"""The first frame of a world that begins from text or noise.

A first-frame model, dynamics without a past, draws several candidates in as many steps as it has levels, with strong
guidance, and keeps the one that fits the text best. The model itself scores the fit: it denoises a frame with the text
and without it, and a frame that shows the text is denoised better with it (a diffusion model as a classifier, Li et al.
2023, arXiv 2303.16203; the best of several samples, Ma et al. 2025, arXiv 2501.09732).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from worldsim.diffusion.parametrize import noised
from worldsim.diffusion.schedule import Levels, step_index
from worldsim.model.dynamics import Dynamics, DynamicsConfig
from worldsim.model.generate import Model, Sampler, draw_noise, dream, split_keys

CANDIDATES = 4  # per world that begins from text
FIT_LEVELS, NUM_NOISES = (1 / 16, 2 / 16, 3 / 16), 4  # tau, and draws of noise at each, by which candidates are scored
GUIDANCE, NOISE_SCALE = 2.0, 1.15
EARLY_GUIDANCE, GUIDED_FROM = 1.3, 0.15  # below this tau, where the brightness of the frame is decided
LAST_LEVELS = 2  # the sample is denoised once more from this many levels before tau = 1


def draw_first_frame(model: Model, prompt: PyTree, keys: Key[Array, " b"], sampler: Sampler) -> Float[Array, "b n c"]:
    """Draw the latents of the first frame of worlds from a `Prompt`, or () for noise alone.

    With a prompt, a first-frame model draws CANDIDATES for each world and keeps the one of the best `prompt_fit`. A
    world without a first-frame model samples its dynamics.
    """
    batch = len(keys)
    if model.first_frame is None:
        cache = model.dynamics.empty_cache(batch, prompt)
        return dream(model, cache, unknown_actions(model.dynamics.config, batch), keys, sampler)[0]
    if not jax.tree.leaves(prompt):
        return _sample(model, prompt, keys, sampler)
    keys_draw, keys_fit = split_keys(keys, 2)
    each = jnp.stack(split_keys(keys_draw, CANDIDATES), 1).reshape(-1)
    prompt = jax.tree.map(lambda x: jnp.repeat(x, CANDIDATES, 0), prompt)
    z = _sample(model, prompt, each, sampler)
    fits = prompt_fit(model.first_frame, prompt, z, jnp.repeat(keys_fit, CANDIDATES)).reshape(batch, CANDIDATES)
    return z.reshape(batch, CANDIDATES, *z.shape[1:])[jnp.arange(batch), jnp.argmax(fits, 1)]


def prompt_fit(
    first_frame: Dynamics, prompt: PyTree, z: Float[Array, "b n c"], keys: Key[Array, " b"]
) -> Float[Array, " b"]:
    """Return how well frames fit a prompt: by how much it lowers the mean square error of denoising them.

    Latents are noised to each of FIT_LEVELS, where most of what a prompt says is still undecided, by NUM_NOISES draws
    and by their negatives, so that noise that is dark on average favours no dark frame. Frames to be compared need the
    same key, so that they get the same noise.
    """
    config, batch = first_frame.config, len(keys)
    caches = first_frame.empty_cache(batch, prompt), first_frame.empty_cache(batch)
    unknown = unknown_actions(config, batch)
    noise = jnp.stack([draw_noise(k, z) for k in split_keys(keys, NUM_NOISES)])

    def gain(case: tuple[Array, Array]) -> Float[Array, " b"]:
        level, noise = case
        noisy = noised(z, noise, level / config.num_levels)
        at = _levels(config, level, batch)
        prompted, unprompted = (jnp.mean((first_frame.step(noisy, at, unknown, c)[0] - z) ** 2, (1, 2)) for c in caches)
        return unprompted - prompted

    levels = jnp.array([max(1, round(level * config.num_levels)) for level in FIT_LEVELS])
    both = jnp.concatenate([noise, -noise])
    cases = jnp.repeat(levels, len(both)), jnp.tile(both, (len(levels), 1, 1, 1))
    return jax.lax.map(gain, cases).mean(0)


def unknown_actions(config: DynamicsConfig, batch: int) -> Float[Array, "b a"]:
    """Return action rows of NaN."""
    return jnp.full((batch, config.action_size), jnp.nan)


def _sample(model: Model, prompt: PyTree, keys: Key[Array, " b"], sampler: Sampler) -> Float[Array, "b n c"]:
    """Sample the first-frame model in as many steps as it has levels.

    Guidance is weak in the first steps, which decide the brightness, or dusk would be black (guidance in an interval of
    levels, Kynkaanniemi et al. 2024, arXiv 2404.07724). Samples are less varied than footage and keep a grain of their
    noise: so they begin from NOISE_SCALE times the sampler's noise, and are denoised once more at the end.
    """
    first_frame, config = model.first_frame, model.first_frame.config
    unknown, cache = unknown_actions(config, len(keys)), first_frame.empty_cache(len(keys), prompt)
    guidance = max(sampler.guidance, GUIDANCE) if jax.tree.leaves(prompt) else 1.0
    guided = Sampler(config.num_levels, NOISE_SCALE * sampler.noise_scale, guidance, EARLY_GUIDANCE, GUIDED_FROM)
    z, _ = dream(Model(model.tokenizer, first_frame), cache, unknown, keys, guided)
    return first_frame.step(z, _levels(config, config.num_levels - LAST_LEVELS, len(keys)), unknown, cache)[0]


def _levels(config: DynamicsConfig, level: PyTree, batch: int) -> Levels:
    """Return one level for all frames, by its index, at the finest step size."""
    return Levels(jnp.full((batch,), level), jnp.full((batch,), step_index(config.num_levels, config.num_levels)))
