"""Windows whose later frames the dynamics made of one another, to train on as context.

In a dream every frame follows frames that were dreamed. Dynamics that only ever met recorded ones, or such as are one
prediction away from them, do not know how to go on from there: what they get a little wrong they get wronger. So every
now and then they dream on from recorded frames, over several steps, without gradient; windows of that are kept, shown
as the past, and the recorded frames stay the target, which leads back to what the game does (Resampling Forcing,
arXiv 2512.15702; LIVE, arXiv 2602.03747). Worlds with a camera do the same to all of their footage at once
(`worldsim.train.stages.warps`).
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float, Int64, PyTree

from worldsim.data.dataset import Windows
from worldsim.model.dynamics import Cache
from worldsim.model.generate import MAX_LATENT, Model, Sampler, dream, expect, observe
from worldsim.model.tokenizer import Tokenizer
from worldsim.nn.params import merge, split
from worldsim.types import fold_keys

NUM_WINDOWS = 256  # that are generated at once, and kept
LEAST_GIVEN = 2  # recorded frames at the start of a window; up to half of it are


class Rollouts:
    """A buffer of windows of footage that were dreamed on from their first frames; empty before the first refresh.

    Args:
        graph: of the dynamics.
        tokenizer: of the footage.
        latents: of the footage `[n m c]`.
        windows: of the same footage.
        num_denoise_steps: of the dreams.
        seed: of windows and noise.
    """

    def __init__(
        self,
        graph: nnx.GraphDef,
        tokenizer: Tokenizer,
        latents: PyTree,
        windows: Windows,
        num_denoise_steps: int,
        seed: int,
    ):
        self.graph, self.latents, self.windows, self.seed = graph, latents, windows, seed
        tokenizer_graph, self.tokenizer = split(tokenizer)
        sampler = Sampler(num_denoise_steps=num_denoise_steps)
        self.step = jax.jit(partial(_step, (tokenizer_graph, graph), sampler))
        self.ids: Int64[np.ndarray, " n"] = np.zeros(0, np.int64)
        self.context: Float[np.ndarray, "n t m c"] | None = None

    def refresh(self, params: PyTree, draw: int) -> None:
        """Dream new windows with parameters of the dynamics; another `draw` takes other windows."""
        rng, count = np.random.default_rng([self.seed, draw]), min(NUM_WINDOWS, len(self.windows))
        ids = rng.choice(len(self.windows), count, replace=False)
        rows, length = self.windows.rows(ids)[0], self.windows.length
        given = rng.integers(LEAST_GIVEN, max(LEAST_GIVEN, length // 2) + 1, count)
        cache, frames = merge(self.graph, params).empty_cache(count), []
        for t in range(length):  # no scan: on CPU its body would have one core
            key = jax.random.fold_in(jax.random.fold_in(jax.random.key(self.seed), draw), t)
            action = self.windows.columns.prev_action[rows[:, t]]
            cache, z = self.step(
                (self.tokenizer, params),
                cache,
                np.asarray(self.latents[rows[:, t]], np.float32),
                action,
                t < given,
                key,
            )
            frames.append(np.asarray(z))
        self.ids, self.context = ids, np.stack(frames, 1)

    def mix(
        self, ids: Int64[np.ndarray, " b"], num_own: int, step: int
    ) -> tuple[Int64[np.ndarray, " b"], Float[np.ndarray, "b t m c"]]:
        """Let windows of the buffer take the place of the last `num_own`; returns them with the context of each."""
        kept = np.asarray(ids)
        if self.context is None or not num_own:
            return kept, np.asarray(self.latents[self.windows.rows(kept)[0]], np.float32)
        chosen = np.random.default_rng([self.seed, 1, step]).integers(len(self.ids), size=num_own)
        kept = np.concatenate([kept[: len(kept) - num_own], self.ids[chosen]])
        context = np.asarray(self.latents[self.windows.rows(kept)[0]], np.float32)
        context[len(kept) - num_own :] = self.context[chosen]
        return kept, context


def _step(
    graphs: PyTree, sampler: Sampler, params: PyTree, cache: Cache, z, action, is_given, key
) -> tuple[Cache, PyTree]:
    """Append a recorded frame, or a dreamed one, to the past of each stream."""
    model = Model(*(merge(graph, p) for graph, p in zip(graphs, params, strict=True)))
    expected = expect(model, cache, action)
    dreamed, _ = dream(model, cache, action, fold_keys(key, len(z)), sampler, expected=expected)
    z = jnp.where(is_given[:, None, None], z, jnp.clip(dreamed, -MAX_LATENT, MAX_LATENT))
    cache, _ = observe(model, cache, z, action, fold_keys(jax.random.fold_in(key, 1), len(z)), expected=expected)
    return cache, z
