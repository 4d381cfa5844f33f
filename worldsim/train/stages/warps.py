"""Warp all footage once before the dynamics train on it, so that a step of training only reads what it needs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from worldsim.data.dataset import Columns
from worldsim.data.meta import FootageMeta
from worldsim.model.camera.prior import Warp
from worldsim.model.dynamics import Cache, Dynamics, DynamicsConfig
from worldsim.model.generate import Model, Sampler, dream, expect, observe
from worldsim.model.tokenizer import Tokenizer
from worldsim.nn.params import merge, split
from worldsim.train.loop import Progress
from worldsim.types import fold_keys, obs_to_frame

EPISODES, REPORT_EVERY = 32, 20  # at once, and frames of each between reports
RUN, LONGEST = 6.0, 12  # frames of self-generated context in a row: mean and maximum


class FootageWarper:
    """The prior's inputs for every frame of footage, and a context that is generated here and there.

    Goes through the episodes as generation does, where the next warp is made of generated frames: for runs of RUN
    frames on average, what the dynamics generate takes the place of the recorded frame. Before training they generate
    the warp itself; `refresh` lets dynamics that train on meet the errors that they make. `params` are the dynamics'.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        dynamics: Dynamics,
        meta: FootageMeta,
        columns: Columns,
        params: PyTree,
        *,
        seed: int = 0,
        on_progress: Callable[[Progress], None] | None = None,
    ):
        self.config, self.columns, self.seed, self.on_progress = dynamics.config, columns, seed, on_progress
        self.pitch = true_pitch(meta, columns)
        self.graph = split(dynamics)[0]
        graph, self.tokenizer = split(tokenizer)
        self.step = jax.jit(partial(_step, (graph, self.graph)))
        self.refresh(params)

    def refresh(self, params: PyTree, draw: int = 0) -> None:
        """Warp all frames with parameters of the dynamics; another `draw` generates context in other places."""
        n, config, columns = len(self.columns.obs), self.config, self.columns
        cells = tuple(size * config.pack for size in config.grid)
        z = np.empty((n, config.num_latents, config.token_dim), np.float16)
        inputs = Warp(z, *(np.empty((n, *cells), np.float16) for _ in range(2)))
        context = np.empty_like(z)
        is_generated, start = _runs(n, self.seed + draw), time.monotonic()
        at_once = EPISODES if jax.default_backend() == "cpu" else len(columns.bounds)
        by_length = np.argsort(np.diff(columns.bounds), kind="stable")  # so that those at once end nearly at once
        for i in range(0, len(by_length), at_once):
            begin, end = (columns.bounds[by_length[i : i + at_once] + k] for k in (0, 1))
            cache = self._empty_cache(params, begin)
            for t in range(int((end - begin).max())):  # no scan: on CPU its body would have one core
                rows, continues = np.minimum(begin + t, end - 1), begin + t < end
                key = jax.random.fold_in(jax.random.key(self.seed + draw), int(begin[0]) + t)
                shown = columns.obs[rows], columns.prev_action[rows], is_generated[rows]
                cache, found = self.step((self.tokenizer, params), cache, *shown, key)
                for mine, theirs in zip((*inputs, context), found, strict=True):
                    mine[rows[continues]] = np.asarray(theirs)[continues]
                if t % REPORT_EVERY == 0:
                    self._report(int(begin[0] + t * len(begin)), n, time.monotonic() - start)
        self.inputs, self.context = inputs, context

    def rows(self, rows: np.ndarray) -> tuple[Warp, np.ndarray]:
        """Return the prior's inputs and the context of frames."""
        return Warp(*(x[rows].astype(np.float32) for x in self.inputs)), self.context[rows].astype(np.float32)

    def _empty_cache(self, params: PyTree, begin: np.ndarray) -> Cache:
        cache = merge(self.graph, params).empty_cache(len(begin))
        heading = cache.prior.heading.at[:, 1].set(np.nan_to_num(self.pitch[begin]))
        return cache._replace(prior=cache.prior._replace(heading=heading))

    def _report(self, done: int, n: int, took: float) -> None:
        if self.on_progress is not None:
            left = took * (n - done) / max(done, 1)
            self.on_progress(Progress("warps", done, n, math.nan, done / took, left, ""))


def _step(graphs: PyTree, params: PyTree, cache: Cache, obs, action, is_generated, key) -> tuple[Cache, list]:
    """Warp to a frame of each stream, and append the frame, or a generated one, to its past."""
    model = Model(*(merge(graph, p) for graph, p in zip(graphs, params, strict=True)))
    prior, keys = model.dynamics.prior, fold_keys(key, len(obs))
    expected = expect(model, cache, action)
    generated, _ = dream(model, cache, action, keys, Sampler(num_denoise_steps=1), expected=expected)
    is_generated = (is_generated & cache.prior.started)[:, None, None]
    z = jnp.where(is_generated, generated, model.tokenizer.encode(obs_to_frame(obs)))
    painted = prior.paint(model.tokenizer, generated, cache.prior, expected.prediction)
    frame = jnp.where(is_generated[..., None], painted, obs)
    cache, _ = observe(model, cache, z, action, keys, expected=expected, real=frame, knows_pitch=True)
    return cache, [x.astype(jnp.float16) for x in (*expected.prediction[1], z)]


def _runs(n: int, seed: int) -> Bool[np.ndarray, " n"]:
    """Return runs of True and False in turn, each of RUN frames on average and of LONGEST at most."""
    lengths = np.minimum(np.random.default_rng(seed).geometric(1 / RUN, n), LONGEST)
    return (np.repeat(np.arange(n), lengths)[:n] % 2).astype(bool)


def true_pitch(meta: FootageMeta, columns: Columns) -> Float[np.ndarray, " n"]:
    """Return the recorded pitch of the camera in every frame, in radians downwards; NaN where there is none."""
    name = meta.camera.get("state")
    if columns.state is None or name not in meta.state_names:
        return np.full(len(columns.obs), np.nan, np.float32)
    return np.radians(columns.state[:, meta.state_names.index(name)])


def region_errors(latents: Float[np.ndarray, "n m c"], warp: Warp, config: DynamicsConfig) -> Float[Array, "3 c"]:
    """Measure the mean square distance of frames from their warps, channel by channel; at least 0.001.

    Of visible, remembered and unseen regions; a cell of several counts in each by its fractions.
    """
    total, weight = np.zeros((3, config.token_dim)), np.zeros((3, config.token_dim))
    cell_dim = config.token_dim // config.pack**2
    for begin in range(0, len(latents), 4096):
        part = slice(begin, begin + 4096)
        error = np.square(latents[part] - warp.z[part].astype(np.float32))
        visible, remembered = (x[part].astype(np.float32) for x in warp[1:])
        follows = (visible + remembered).any((1, 2), keepdims=True)  # not so an episode's first frame
        for region, fraction in enumerate((visible, remembered, 1 - visible - remembered)):
            packed = _packed(fraction * follows, config, cell_dim)
            total[region] += (packed * error).sum((0, 1))
            weight[region] += packed.sum((0, 1))
    return jnp.asarray(np.maximum(total / np.maximum(weight, 1e-6), 1e-3), jnp.float32)


def _packed(fraction: Float[np.ndarray, "n y x"], config: DynamicsConfig, cell_dim: int) -> Float[np.ndarray, "n m c"]:
    (rows, columns), pack = config.grid, config.pack
    blocks = fraction.reshape(-1, rows, pack, columns, pack).transpose(0, 1, 3, 2, 4)
    return np.repeat(blocks.reshape(len(fraction), rows * columns, pack * pack), cell_dim, -1)
