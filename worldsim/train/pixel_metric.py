"""Rescale the latents of a trained tokenizer to the metric of pixels.

Nothing in the tokenizer's loss says how large a latent is, and the optimizer makes all channels alike: those that paint
the brightness of a patch and those that paint its grain. Dynamics that are trained by the squared error of latents then
fit the grain, which cannot be predicted. With the mean J' J of the decoder's Jacobian over footage as metric, the
squared error of latents is, to first order, that of pixels. What the tokenizer paints stays the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from worldsim.model.tokenizer import Tokenizer
from worldsim.nn.params import merge, split
from worldsim.types import obs_to_frame

NUM_FRAMES = 64
MIN_SCALE = 1e-2  # of the largest: what the decoder does not read must stay invertible


def use_pixel_metric(tokenizers: Sequence[Tokenizer], obs: Sequence[UInt8[np.ndarray, "n h w c"]]) -> None:
    """Change the basis of the latents of tokenizers of the same weights, in place, by their metric on some frames.

    Each tokenizer has its own frames, of its size; each counts the same.
    """
    metrics = [
        np.asarray(pixel_metric(x, _evenly(frames)), np.float64) for x, frames in zip(tokenizers, obs, strict=True)
    ]
    values, vectors = np.linalg.eigh(np.mean(metrics, 0))
    scale = np.sqrt(np.maximum(values, MIN_SCALE**2 * values.max()))
    there, back = (vectors * s @ vectors.T for s in (scale, 1 / scale))  # both symmetric
    for tokenizer in tokenizers:
        to_latent, from_latent = tokenizer.to_latent, tokenizer.from_latent
        to_latent.kernel[...] = jnp.asarray(np.asarray(to_latent.kernel[...]) @ there, jnp.float32)
        if to_latent.bias is not None:
            to_latent.bias[...] = jnp.asarray(there @ np.asarray(to_latent.bias[...]), jnp.float32)
        from_latent.kernel[...] = jnp.asarray(back @ np.asarray(from_latent.kernel[...]), jnp.float32)


def _evenly(obs: UInt8[np.ndarray, "n h w c"]) -> UInt8[np.ndarray, "m h w c"]:
    return obs[np.linspace(0, len(obs) - 1, min(NUM_FRAMES, len(obs))).astype(int)]


def pixel_metric(tokenizer: Tokenizer, obs: UInt8[np.ndarray, "n h w c"]) -> Float[Array, "k k"]:
    """Estimate J' J of a cell: how much the picture changes, in squared frame units, with its latents.

    All cells are moved at once, each by a sign of its own, so that what they do to each other cancels on average.
    """
    config, (graph, params) = tokenizer.config, split(tokenizer)
    channels = config.latent_channels

    @jax.jit
    def moved(params, obs, signs):
        tokenizer = merge(graph, params)
        z = tokenizer.encode(obs_to_frame(obs))

        def along(channel: Array) -> Array:
            step = jnp.tile(jax.nn.one_hot(channel, channels), config.pack**2).reshape(1, 1, -1) * signs
            return jax.jvp(tokenizer.decode, (z,), (step,))[1]

        return jax.lax.map(along, jnp.arange(channels))

    cells = config.grid[0] * config.grid[1] * config.pack**2
    signs = np.random.default_rng(0).choice(
        np.array([-1, 1], np.float32), (len(obs), cells // config.pack**2, config.pack**2)
    )
    pictures = moved(params, obs, jnp.asarray(np.repeat(signs, channels, -1))).reshape(channels, -1)
    return pictures @ pictures.T / (len(obs) * cells)
