"""The first frame of all, where a world begins from nothing but words.

An opening draws it in as many steps as it has levels, follows the words further than they mean, and draws several, of
which the one is kept that fits the words best. The opening itself says how well: it frees a frame of noise with the
words and without them, and what shows the words is told better with them (a diffusion model as a classifier, Li et al.
2023, arXiv 2303.16203; the best of several samples, Ma et al. 2025, arXiv 2501.09732).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from worldsim.diffusion.parametrize import noised
from worldsim.diffusion.schedule import Levels, step_index
from worldsim.dynamics import Dynamics, DynamicsConfig
from worldsim.generation import Model, Sampler, draw_noise, dream, split_keys

CANDIDATES = 4  # drawn for every world that begins from words
FIT_LEVELS, NOISES = (1 / 16, 2 / 16, 3 / 16), 4  # at which levels, of 0..1, and by how many draws they are compared
GUIDANCE, NOISE_SCALE = 2.0, 1.15
EARLY_GUIDANCE, GUIDED_FROM = 1.3, 0.15  # while a frame is almost noise: how bright it is has not been settled yet
LEFT_OVER = 2  # levels: what was drawn is freed of noise once more, as if so much were left


def begin(model: Model, words: Any, keys: Key[Array, " b"], sampler: Sampler) -> Float[Array, "b n c"]:
    """Draw the first frame of worlds that begin from nothing but words, a `Prompt` or ().

    Where there are words, an opening draws CANDIDATES for each world and keeps the one that `fit` says fits best. A
    world without an opening asks its dynamics.
    """
    batch = len(keys)
    if model.opening is None:
        cache = model.dynamics.empty_cache(batch, words)
        return dream(model, cache, _unknown(model.dynamics, batch), keys, sampler)[0]
    if not jax.tree.leaves(words):
        return _draw(model, words, keys, sampler)
    keys_draw, keys_fit = split_keys(keys, 2)
    each = jnp.stack(split_keys(keys_draw, CANDIDATES), 1).reshape(-1)
    words = jax.tree.map(lambda x: jnp.repeat(x, CANDIDATES, 0), words)
    z = _draw(model, words, each, sampler)
    fits = fit(model.opening, words, z, jnp.repeat(keys_fit, CANDIDATES)).reshape(batch, CANDIDATES)
    return z.reshape(batch, CANDIDATES, *z.shape[1:])[jnp.arange(batch), jnp.argmax(fits, 1)]


def fit(opening: Dynamics, words: Any, z: Float[Array, "b n c"], keys: Key[Array, " b"]) -> Float[Array, " b"]:
    """Tell how well frames fit words: by how much the words lessen the mean square error of freeing them of noise.

    Latents are noised to each of FIT_LEVELS, where most of what words say is to be told yet, by NOISES draws and by the
    same turned round, so that noise that is darker on the whole than it should be favours nothing dark. Frames to be
    compared want the same key, whose noise they get.
    """
    config, batch = opening.config, len(keys)
    caches, unknown = (opening.empty_cache(batch, words), opening.empty_cache(batch)), _unknown(opening, batch)
    noise = jnp.stack([draw_noise(k, z) for k in split_keys(keys, NOISES)])

    def gain(case: tuple[Array, Array]) -> Float[Array, " b"]:
        level, noise = case
        noisy = noised(z, noise, level / config.num_levels)
        at = _at(config, level, batch)
        told, guessed = (jnp.mean((opening.step(noisy, at, unknown, c)[0] - z) ** 2, (1, 2)) for c in caches)
        return guessed - told

    levels = jnp.array([max(1, round(level * config.num_levels)) for level in FIT_LEVELS])
    both = jnp.concatenate([noise, -noise])
    cases = jnp.repeat(levels, len(both)), jnp.tile(both, (len(levels), 1, 1, 1))
    return jax.lax.map(gain, cases).mean(0)


def _draw(model: Model, words: Any, keys: Key[Array, " b"], sampler: Sampler) -> Float[Array, "b n c"]:
    """Draw a first frame by the opening, in as many steps as it has levels.

    In the first steps, which settle how bright it is, words are followed hardly further than they mean, or dusk would
    be black (guidance in an interval of levels, Kynkaanniemi et al. 2024, arXiv 2404.07724). What is drawn is less
    varied than what was seen, and keeps a grain of the noise that it was made of: so it begins from NOISE_SCALE times
    the sampler's noise, and what came of it is freed of noise once more.
    """
    opening, config = model.opening, model.opening.config
    unknown, cache = _unknown(opening, len(keys)), opening.empty_cache(len(keys), words)
    guidance = max(sampler.guidance, GUIDANCE) if jax.tree.leaves(words) else 1.0
    bold = Sampler(config.num_levels, NOISE_SCALE * sampler.noise_scale, guidance, EARLY_GUIDANCE, GUIDED_FROM)
    z, _ = dream(Model(model.tokenizer, opening), cache, unknown, keys, bold)
    return opening.step(z, _at(config, config.num_levels - LEFT_OVER, len(keys)), unknown, cache)[0]


def _at(config: DynamicsConfig, level: Any, batch: int) -> Levels:
    """One level for all, by its index, in the finest steps."""
    return Levels(jnp.full((batch,), level), jnp.full((batch,), step_index(config.num_levels, config.num_levels)))


def _unknown(dynamics: Dynamics, batch: int) -> Float[Array, "b a"]:
    """Action rows that nobody knows."""
    return jnp.full((batch, dynamics.config.action_size), jnp.nan)
