"""A small classifier of pictures, learned from recorded frames: the judge of what a dream shows.

Convolutions, pooled over all places, and a linear head; a few hundred steps on frames that are never measured later.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

BATCH, NUM_STEPS, LEARNING_RATE, CHUNK = 64, 800, 3e-3, 256


class Network(nnx.Module):
    """Four convolutions, mean and maximum over the picture, logits."""

    def __init__(self, num_channels: int, num_classes: int, *, rngs: nnx.Rngs):
        widths = (num_channels, 16, 32, 48, 64)
        self.convs = nnx.List([nnx.Conv(a, b, (3, 3), strides=(2, 2), rngs=rngs) for a, b in zip(widths, widths[1:])])
        self.head = nnx.Linear(2 * widths[-1], num_classes, rngs=rngs)

    def __call__(self, pictures: Any) -> Any:
        """Logits `[b classes]` of uint8 pictures `[b h w c]`; c may be two pictures behind one another."""
        x = pictures.astype(jnp.float32) / 127.5 - 1.0
        for conv in self.convs:
            x = nnx.gelu(conv(x))
        return self.head(jnp.concatenate([x.mean((1, 2)), x.max((1, 2))], -1))


class Classifier(NamedTuple):
    """A trained network; `classes` are the labels that it was shown."""

    classes: np.ndarray
    graph: nnx.GraphDef
    params: Any

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """The most likely label of each picture."""
        guesses = []
        for start in range(0, len(pictures), CHUNK):
            pick = np.minimum(np.arange(start, start + CHUNK), len(pictures) - 1)  # one shape: nothing compiles twice
            guesses.append(np.asarray(_logits(self.graph, self.params, pictures[pick])).argmax(-1))
        return self.classes[np.concatenate(guesses)[: len(pictures)]]


def fit_classifier(
    pictures: np.ndarray, labels: np.ndarray, *, num_steps: int = NUM_STEPS, seed: int = 0
) -> Classifier:
    """Learn to tell the labels `[n]` of uint8 pictures `[n h w c]`; every label is shown equally often."""
    classes, target = np.unique(labels, return_inverse=True)
    graph, params = nnx.split(Network(pictures.shape[-1], len(classes), rngs=nnx.Rngs(seed)), nnx.Param)
    optimizer = optax.adamw(optax.cosine_decay_schedule(LEARNING_RATE, num_steps), weight_decay=0.05)
    step, state = jax.jit(partial(_step, graph, optimizer)), optimizer.init(params)
    rng, members = np.random.default_rng(seed), [np.flatnonzero(target == i) for i in range(len(classes))]
    for _ in range(num_steps):
        kinds = rng.integers(len(classes), size=BATCH)
        pick = np.array([rng.choice(members[kind]) for kind in kinds])
        params, state = step(params, state, pictures[pick], kinds)
    return Classifier(classes, graph, params)


def _step(graph: Any, optimizer: Any, params: Any, state: Any, pictures: Any, target: Any) -> tuple[Any, Any]:
    def loss(params: Any) -> Any:
        logits = nnx.merge(graph, params)(pictures)
        return optax.softmax_cross_entropy_with_integer_labels(logits, target).mean()

    updates, state = optimizer.update(jax.grad(loss)(params), state, params)
    return optax.apply_updates(params, updates), state


@partial(jax.jit, static_argnums=0)
def _logits(graph: Any, params: Any, pictures: Any) -> Any:
    return nnx.merge(graph, params)(pictures)
