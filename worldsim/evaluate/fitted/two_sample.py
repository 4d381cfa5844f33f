"""A two-sample test: how well can a small network tell two sets of clips from each other?

A classifier that is trained on one part of two samples and then tells the other part no better than by chance has found
no difference (Lopez-Paz and Oquab, "Revisiting classifier two-sample tests", arXiv:1610.06545). It sees what a Frechet
distance of single frames does not: wrong motion, a missing player, a pattern that comes back. It has about 20,000
parameters and some hundred steps, the same for every world, so its AUROC compares among worlds and is no bound.
"""

from __future__ import annotations

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, UInt8

from worldsim.metrics import auroc

CLIP_LEN = 8  # frames that the classifier sees
WIDEST = 64  # pixels: of larger pictures it learns from parts of that size
BATCH, NUM_STEPS, LEARNING_RATE = 32, 250, 4e-3
_CHUNK = 32


class ClipNet(nnx.Module):
    """Three convolutions over the first frame and the changes after it, their maximum and mean, one logit."""

    def __init__(self, num_colours: int, *, rngs: nnx.Rngs):
        self.convs = nnx.List(
            [
                nnx.Conv(CLIP_LEN * num_colours, 16, (5, 5), strides=(2, 2), rngs=rngs),
                nnx.Conv(16, 24, (3, 3), strides=(2, 2), rngs=rngs),
                nnx.Conv(24, 32, (3, 3), strides=(2, 2), rngs=rngs),
            ]
        )
        self.head = nnx.Linear(2 * 32, 1, rngs=rngs)

    def __call__(self, clip: UInt8[Array, "b t h w c"]) -> Float[Array, " b"]:
        """Give the logit of a clip to be of the first sample."""
        frame = clip.astype(jnp.float32) / 127.5 - 1
        x = jnp.concatenate([frame[:, :1], 4 * jnp.diff(frame, axis=1)], 1)
        x = jnp.moveaxis(x, 1, 3).reshape(*clip.shape[:1], *clip.shape[2:4], -1)
        for conv in self.convs:
            x = nnx.gelu(conv(x))
        return self.head(jnp.concatenate([x.max((1, 2)), x.mean((1, 2))], -1))[:, 0]


Pair = tuple[UInt8[np.ndarray, "n t h w c"], UInt8[np.ndarray, "m t h w c"]]


def two_sample_auroc(train: Pair, test: Pair, *, num_steps: int = NUM_STEPS, seed: int = 0) -> float:
    """AUROC of a classifier that learns to tell two samples: .5 = they cannot be told, 1 = always.

    Args:
        train: clips of both samples, of CLIP_LEN frames or more; it learns from every CLIP_LEN among them.
        test: other clips of both, of other streams; the first and the last CLIP_LEN frames of each are scored.
        num_steps: of training.
        seed: of weights and batches.

    Raises:
        ValueError: an empty sample, or clips that are too short.
    """
    samples = (*train, *test)
    if min(map(len, samples)) < 1 or min(x.shape[1] for x in samples) < CLIP_LEN:
        raise ValueError(f"expected clips of at least {CLIP_LEN} frames, got samples of {[x.shape for x in samples]}.")
    params, graph = _train(train, num_steps, seed)
    ends = [np.concatenate([x[:, :CLIP_LEN], x[:, -CLIP_LEN:]]) for x in test]
    scores = [_score(graph, params, x) for x in ends]
    labels = np.repeat([1, 0], [len(x) for x in scores])
    found = auroc(np.concatenate(scores), labels)
    assert found is not None
    return found


def _train(pair: Pair, num_steps: int, seed: int):
    height, width, num_colours = pair[0].shape[2:]
    params, graph, optimizer, step = _trainer(num_colours, num_steps, seed)
    state, rng = optimizer.init(params), np.random.default_rng(seed)
    label = np.repeat(np.array([1, 0], np.float32), BATCH // 2)
    for _ in range(num_steps):
        y, x = (int(rng.integers(max(side - WIDEST, 0) + 1)) for side in (height, width))
        parts = []
        for sample in pair:
            which = rng.integers(len(sample), size=(BATCH // 2, 1))
            when = rng.integers(sample.shape[1] - CLIP_LEN + 1, size=(BATCH // 2, 1)) + np.arange(CLIP_LEN)
            parts.append(sample[which, when, y : y + WIDEST, x : x + WIDEST])
        params, state = step(params, state, np.concatenate(parts), label)
    return params, graph


@cache
def _trainer(num_colours: int, num_steps: int, seed: int):
    """What training begins with, and its step: compiled once for a size of pictures."""
    graph, params = nnx.split(ClipNet(num_colours, rngs=nnx.Rngs(seed)), nnx.Param)
    optimizer = optax.adamw(optax.cosine_decay_schedule(LEARNING_RATE, max(num_steps, 1)), weight_decay=0.05)
    return params, graph, optimizer, jax.jit(partial(_train_step, graph, optimizer))


def _train_step(graph, optimizer, params, state, clip, label):
    def loss(params):
        return optax.sigmoid_binary_cross_entropy(nnx.merge(graph, params)(clip), label).mean()

    updates, state = optimizer.update(jax.grad(loss)(params), state, params)
    return optax.apply_updates(params, updates), state


def _score(graph, params, clips: UInt8[np.ndarray, "n t h w c"]) -> Float[np.ndarray, " n"]:
    parts = []
    for start in range(0, len(clips), _CHUNK):
        rows = np.minimum(np.arange(start, start + _CHUNK), len(clips) - 1)  # one shape, so nothing compiles twice
        parts.append(np.asarray(_logits(graph, params, clips[rows])))
    return np.concatenate(parts)[: len(clips)]


@partial(jax.jit, static_argnums=0)
def _logits(graph, params, clip):
    return nnx.merge(graph, params)(clip)
