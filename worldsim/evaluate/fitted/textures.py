"""Features of how frames look, whatever stands where: what samples of a few dozen clips are compared by.

EfficientNet-Lite0's last stage, mean over places, where its weights are installed: single frames. Else the random
convolutions of `worldsim.metrics` over four frames, of which mean and deviation over places are taken after each of the
first two layers. Where things are goes into neither: with the flat features of those convolutions, 32 streams of a
small game differ more by luck than by a blur of 1.5 pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float, UInt8

from worldsim.evaluate.fitted.efficientnet import frame_features, load_weights
from worldsim.metrics import CLIP_LEN, FEATURE_SEED, Moments, RandomFeatures, moments

STRIDE = 8  # frames of a clip between those that are looked at
NUM_LAYERS = 2
_BATCH = 64
Look = Callable[[UInt8[np.ndarray, "n t h w c"]], Moments]


def find_look() -> tuple[str, Look]:
    """The name of the features to be had here, and a function that gives the moments of clips in them."""
    try:
        load_weights()
    except (ModuleNotFoundError, ValueError):
        return "random convolutions", random_look
    return "EfficientNet-Lite0", known_look


def known_look(clips: UInt8[np.ndarray, "n t h w c"]) -> Moments:
    """Moments of EfficientNet-Lite0's features of every STRIDE-th frame."""
    some = clips[:, ::STRIDE]
    return moments(frame_features(some.reshape(-1, *some.shape[2:])))


def random_look(clips: UInt8[np.ndarray, "n t h w c"]) -> Moments:
    """Moments of random features of four frames in every STRIDE."""
    starts = range(0, clips.shape[1] - CLIP_LEN + 1, STRIDE)
    stacks = np.concatenate([np.moveaxis(clips[:, i : i + CLIP_LEN], 1, 3) for i in starts])
    stacks = stacks.reshape(*stacks.shape[:3], -1)
    parts = []
    for start in range(0, len(stacks), _BATCH):
        rows = np.minimum(np.arange(start, start + _BATCH), len(stacks) - 1)  # one shape, so nothing compiles twice
        parts.append(np.asarray(_textures(stacks.shape[-1])(stacks[rows])))
    return moments(np.concatenate(parts)[: len(stacks)])


@cache
def _textures(in_channels: int) -> Callable[[np.ndarray], Float[jax.Array, "b d"]]:
    network = RandomFeatures(in_channels, rngs=nnx.Rngs(FEATURE_SEED))
    graphdef, params = nnx.split(network)

    @jax.jit
    def textures(params, stacks):
        x, found = stacks.astype(jnp.float32) / 255, []
        for conv in nnx.merge(graphdef, params).convs[:NUM_LAYERS]:
            x = nnx.gelu(conv(x))
            found += [x.mean((1, 2)), x.std((1, 2))]
        return jnp.concatenate(found, -1)

    return lambda stacks: textures(params, stacks)
