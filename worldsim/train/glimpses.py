"""What the camera's way tells of every frame of footage, worked out once before the dynamics are trained."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from worldsim.data.dataset import Columns
from worldsim.data.meta import FootageMeta
from worldsim.dynamics import Dynamics, DynamicsConfig
from worldsim.dynamics.cache import Cache, Glimpse
from worldsim.generation import Model, Sampler, dream, glimpsed, observe
from worldsim.glimpse import paint
from worldsim.nn.camera import CameraConfig
from worldsim.nn.params import merge, split
from worldsim.tokenizer import Tokenizer
from worldsim.train.loop import Progress
from worldsim.train.presets import Preset
from worldsim.types import Batch, fold_keys, obs_to_frame

EPISODES, REPORT_EVERY = 32, 20  # at once, and frames of each between reports
RUN, LONGEST = 6.0, 12  # frames


class Glimpses(NamedTuple):
    """Of frames of footage `[n ...]`."""

    glimpse: Glimpse
    seen: Float[Any, "*n m c"]  # latents of what the camera took each frame for: the frame, or its glimpse

    def batch(self, shown: Batch, rows: np.ndarray) -> Batch:
        """Give windows what the dynamics are shown of them."""
        glimpse = Glimpse(*(x[rows].astype(np.float32) for x in self.glimpse))
        return shown._replace(glimpse=glimpse, seen=self.seen[rows].astype(np.float32))


class Latents(NamedTuple):
    """Footage as the dynamics see it."""

    train: Float[np.ndarray, "n m c"]
    held: Float[np.ndarray, "n m c"]
    glimpses: Glimpses | tuple[()] = ()  # of the frames to train on, where a camera is known


def with_camera(preset: Preset, meta: FootageMeta) -> Preset:
    """Give the preset that uses the camera of footage, where it says what it is.

    A preset whose dynamics say already what they are seen by, as those of a world to go on from, stays as it is.
    """
    if not meta.camera or "camera" in preset.dynamics:
        return preset
    return dataclasses.replace(preset, dynamics={**preset.dynamics, "camera": camera_config(meta)})


def game_camera(meta: FootageMeta) -> CameraConfig:
    """Read the camera of footage; one that stands still where there is none, for a world in which others turn."""
    return camera_config(meta) if meta.camera else CameraConfig(size=meta.size)


def camera_config(meta: FootageMeta) -> CameraConfig:
    """Read the camera of footage.

    Raises:
        ValueError: it names an action that the footage has not, or lacks something.
    """
    names = meta.action_spec.column_names
    if missing := [k for k in ("field_of_view", "yaw", "pitch") if k not in meta.camera]:
        raise ValueError(f"the footage's camera lacks {', '.join(missing)}.")
    if unknown := [meta.camera[k] for k in ("yaw", "pitch") if meta.camera[k] not in names]:
        raise ValueError(f"the footage's camera is turned by {', '.join(unknown)}, which is no action of {names}.")
    yaw, pitch = (names.index(meta.camera[k]) for k in ("yaw", "pitch"))
    overlays: tuple[Any, ...] = tuple(tuple(map(float, box)) for box in meta.camera.get("overlays", ()))
    return CameraConfig(
        size=meta.size, field_of_view=float(meta.camera["field_of_view"]), yaw=yaw, pitch=pitch, overlays=overlays
    )


class Glimpser:
    """Looks at every frame of footage from where the camera had been before, episode by episode.

    As in a dream, where what is seen next comes of what was dreamed, the camera takes now and then for the frame what
    the dynamics make of it, for a run of RUN frames on average, before it is shown frames again. Dynamics that have not
    learned yet take their glimpse for it; so dynamics that go on learning meet the errors that they make.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        dynamics: Dynamics,
        meta: FootageMeta,
        columns: Columns,
        *,
        seed: int = 0,
        on_progress: Callable[[Progress], None] | None = None,
    ):
        assert dynamics.config.camera is not None
        self.config, self.columns, self.seed, self.on_progress = dynamics.config, columns, seed, on_progress
        self.pitch, self.graph = true_pitch(meta, columns), split(dynamics)[0]
        graph, self.tokenizer = split(tokenizer)
        self.step = jax.jit(partial(_take, (graph, self.graph)))

    def __call__(self, params: Any, draw: int = 0) -> Glimpses:
        """Glimpse all frames with parameters of the dynamics; another `draw` dreams in other places."""
        n, config, columns = len(self.columns.obs), self.config, self.columns
        cells = tuple(size * config.pack for size in config.grid)
        out = Glimpse(
            np.empty((n, config.num_latents, config.token_dim), np.float16),
            np.empty((n, *cells), np.float16),
            np.empty((n, *cells), np.float16),
        )
        seen = np.empty_like(out.z)
        is_own, start = _runs(n, self.seed + draw), time.monotonic()
        at_once = EPISODES if jax.default_backend() == "cpu" else len(columns.bounds)
        by_length = np.argsort(np.diff(columns.bounds), kind="stable")  # so that those at once end nearly at once
        for i in range(0, len(by_length), at_once):
            begin, end = (columns.bounds[by_length[i : i + at_once] + k] for k in (0, 1))
            cache = merge(self.graph, params).empty_cache(len(begin))
            level = cache.view.heading.at[:, 1].set(np.nan_to_num(self.pitch[begin]))
            cache = cache._replace(view=cache.view._replace(heading=level))
            for t in range(int((end - begin).max())):  # no scan: on CPU its body would have one core
                rows, goes_on = np.minimum(begin + t, end - 1), begin + t < end
                key = jax.random.fold_in(jax.random.key(self.seed + draw), int(begin[0]) + t)
                shown = columns.obs[rows], columns.prev_action[rows], is_own[rows]
                cache, found = self.step((self.tokenizer, params), cache, *shown, key)
                for mine, theirs in zip((*out, seen), found, strict=True):
                    mine[rows[goes_on]] = np.asarray(theirs)[goes_on]
                if t % REPORT_EVERY == 0:
                    self._report(int(begin[0] + t * len(begin)), n, time.monotonic() - start)
        return Glimpses(out, seen)

    def _report(self, done: int, n: int, took: float) -> None:
        if self.on_progress is not None:
            left = took * (n - done) / max(done, 1)
            self.on_progress(Progress("glimpses", done, n, math.nan, done / took, left, ""))


def _take(graphs: Any, params: Any, cache: Cache, obs, action, is_own, key) -> tuple[Cache, list]:
    """Look at a frame of each stream, and take it, or a dream of it, for what was seen."""
    model = Model(*(merge(graph, p) for graph, p in zip(graphs, params, strict=True)))
    keys = fold_keys(key, len(obs))
    sight, glimpse = glimpsed(model, cache, action)
    own, _ = dream(model, cache, action, keys, Sampler(num_denoise_steps=1))
    is_own = (is_own & cache.view.began)[:, None, None]
    z = jnp.where(is_own, own, model.tokenizer.encode(obs_to_frame(obs)))
    taken = jnp.where(is_own[..., None], paint(model.tokenizer, own, cache.view, sight, glimpse), obs)
    cache, _ = observe(model, cache, z, action, keys, real=taken, knows_pitch=True)
    return cache, [x.astype(jnp.float16) for x in (*glimpse, z)]


def _runs(n: int, seed: int) -> Bool[np.ndarray, " n"]:
    """Runs of True and False in turn, each of RUN frames on average and of LONGEST at most."""
    lengths = np.minimum(np.random.default_rng(seed).geometric(1 / RUN, n), LONGEST)
    return (np.repeat(np.arange(n), lengths)[:n] % 2).astype(bool)


def true_pitch(meta: FootageMeta, columns: Columns) -> Float[np.ndarray, " n"]:
    """How far down the camera looks in every frame, in radians; NaN where the footage does not say it."""
    name = meta.camera.get("state")
    if columns.state is None or name not in meta.state_names:
        return np.full(len(columns.obs), np.nan, np.float32)
    return np.radians(columns.state[:, meta.state_names.index(name)])


def surprises(latents: Float[np.ndarray, "n m c"], glimpses: Glimpses, config: DynamicsConfig) -> Float[Array, "3 c"]:
    """Measure the mean square distance of frames from what their glimpses say, channel by channel.

    Of what is fresh, old and new; where cells are of several kinds, by their shares. At least 0.001.
    """
    total, weight = np.zeros((3, config.token_dim)), np.zeros((3, config.token_dim))
    cell = config.token_dim // config.pack**2
    for begin in range(0, len(latents), 4096):
        part = slice(begin, begin + 4096)
        error = np.square(latents[part] - glimpses.glimpse.z[part].astype(np.float32))
        fresh, old = (x[part].astype(np.float32) for x in glimpses.glimpse[1:])
        follows = (fresh + old).any((1, 2), keepdims=True)  # not so an episode's first frame
        for kind, share in enumerate((fresh, old, 1 - fresh - old)):
            packed = _packed(share * follows, config, cell)
            total[kind] += (packed * error).sum((0, 1))
            weight[kind] += packed.sum((0, 1))
    return jnp.asarray(np.maximum(total / np.maximum(weight, 1e-6), 1e-3), jnp.float32)


def _packed(share: Float[np.ndarray, "n y x"], config: DynamicsConfig, cell: int) -> Float[np.ndarray, "n m c"]:
    (rows, columns), pack = config.grid, config.pack
    blocks = share.reshape(-1, rows, pack, columns, pack).transpose(0, 1, 3, 2, 4)
    return np.repeat(blocks.reshape(len(share), rows * columns, pack * pack), cell, -1)
