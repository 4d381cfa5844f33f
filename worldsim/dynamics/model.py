"""The denoiser of the next latent frame, given past latents and actions.

Two paths. A block-causal transformer, one block of tokens a frame: [action, level, registers, latents]. Layers attend
over space; every `time_every`-th attends over time instead. And beside it a local path of convolutions over the cells
that the tokens pack, which sees the present and the last NUM_BEFORE frames: it moves what moves, and the transformer
tells it what goes on elsewhere and went on before. Both start from a Kalman filter (`worldsim.diffusion.prior`).

Generation keeps the past in a ring cache, so that a frame costs a few passes over one block, whatever the length of the
past. Training does what generation does, for all frames of a window at once: `remember` reads each frame as the past,
nearly clean, and `predict` each as the present, at any level, seeing the past's versions of the frames before it. A
prompt is read once, for a stream or a window.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from worldsim.diffusion.prior import Known, known
from worldsim.diffusion.schedule import Levels, num_step_sizes
from worldsim.dynamics.cache import NUM_BEFORE, Cache, Past
from worldsim.dynamics.camera import Gaze, expected_change, shares
from worldsim.dynamics.config import DynamicsConfig
from worldsim.dynamics.flow import FlowNet
from worldsim.dynamics.prompt import PromptReader
from worldsim.nn.attention import SpaceAttention, TimeAttention, grid_angles
from worldsim.nn.camera import empty_view
from worldsim.nn.embedding import ActionEmbedding, GridEmbedding
from worldsim.nn.layers import RMSNorm, SwiGLU, like, linear
from worldsim.nn.local import ConvBlock, conv, pack_cells, unpack
from worldsim.nn.recurrence import GatedRecurrence

MOST_WEIGHT = 6.0  # log of how much more or less may change than on average


class _Local(NamedTuple):
    """The local path between its two halves, before and after the transformer."""

    cells: Float[Array, "b *t y x e"]
    cond: Float[Array, "b *t d"]  # level and action
    fuse: Callable[[Array, Array], Known]  # the noisy view with the past, for a mean square and that of its change
    follows: Float[Array, "b *t 1 1"]  # 1 where there is a past
    power: Float[Array, "..."]
    innovation: Float[Array, "..."]


class _Layer(nnx.Module):
    """Attention over space or time, and feed-forward."""

    attention: Any  # SpaceAttention or TimeAttention, as `over_time` says

    def __init__(self, config: DynamicsConfig, *, over_time: bool, rngs: nnx.Rngs):
        heads = config.width // config.head_dim
        groups = heads // config.kv_groups
        if over_time:
            self.attention = TimeAttention(
                config.width, heads, groups, window=config.window, num_sinks=config.num_sinks, rngs=rngs
            )
        else:
            self.attention = SpaceAttention(config.width, heads, groups, rngs=rngs)
        self.over_time = over_time
        self.feed_forward = SwiGLU(config.width, expansion=8 / 3, rngs=rngs)


class Dynamics(nnx.Module):
    """The denoiser: whole windows by `remember` and `predict`, streams by `step` and `commit`."""

    def __init__(self, config: DynamicsConfig, *, rngs: nnx.Rngs):
        self.config = config
        d, c = config.width, config.token_dim
        e, cell = config.local_width, c // config.pack**2
        glimpsed = 0 if config.camera is None else cell + 2
        self.see = conv((1 + NUM_BEFORE) * cell + glimpsed, e, rngs=rngs)
        self.trust = linear(d, c, rngs=rngs, zero=True)
        self.before = nnx.List([ConvBlock(e, cond_width=d, rngs=rngs) for _ in range(config.num_local)])
        self.enter = linear(e * config.pack**2, d, rngs=rngs)
        self.place = GridEmbedding(d, rngs=rngs)
        self.action = ActionEmbedding(
            d,
            choice_sizes=config.choice_sizes,
            num_buttons=config.num_buttons,
            axis_bounds=config.axis_bounds,
            columns=config.columns,
            rngs=rngs,
        )
        self.level = nnx.Embed(config.num_levels + 1, d, rngs=rngs)
        self.step_size = nnx.Embed(num_step_sizes(config.num_levels), d, rngs=rngs)
        self.registers = nnx.Param(0.02 * jax.random.normal(rngs.params(), (2 + config.num_registers, d)))
        self.layers = nnx.List(
            [
                _Layer(config, over_time=i % config.time_every == config.time_every - 1, rngs=rngs)
                for i in range(config.num_layers)
            ]
        )
        self.memory = GatedRecurrence(d, rngs=rngs) if config.has_memory else None
        self.norm = RMSNorm(d)
        self.descend = linear(d, e * config.pack**2, rngs=rngs)
        self.after = nnx.List([ConvBlock(e, cond_width=d, rngs=rngs) for _ in range(config.num_local + 1)])
        self.leave = linear(e, cell, rngs=rngs, zero=True)
        self.weigh = linear(e, 1, rngs=rngs, zero=True) if config.weighs else None
        self.power = nnx.Param(jnp.ones((c,)))  # p: mean square of each channel, of the footage
        self.innovation = nnx.Param(jnp.ones((c,)))  # q: mean square of its change from a frame to the next
        if config.camera is not None:
            self.surprise = nnx.Param(jnp.ones((3, c)))  # q of what a glimpse shows fresh, shows old, and cannot show
            self.gaze, self.flow = Gaze(cell, e, rngs=rngs), FlowNet(config, rngs=rngs)
        over_time = tuple(bool(layer.over_time) for layer in self.layers)
        self.reader = PromptReader(config, over_time, rngs=rngs) if config.prompt is not None else None

    @property
    def hidden_dim(self) -> int:
        """Width of the hidden state that the outcome reads."""
        return 2 * self.config.width

    def remember(
        self,
        z: Float[Array, "b t n c"],
        tau: Int[Array, "b t"],
        prev_action: Float[Array, "b t a"],
        isolated: Bool[Array, " b"],
        prompt: Any = (),
        glimpse: Any = (),
    ) -> tuple[Past, Float[Array, "b t d"]]:
        """Read whole windows as the past of one another; frame t sees nothing after t.

        Args:
            z: latents, each frame at its own level.
            tau: level index of each frame.
            prev_action: the action that led into each frame; NaN = unknown.
            isolated: rows whose frames stand alone, as if each were the first of all.
            prompt: a `Prompt` of each window; () = none.
            glimpse: a `Glimpse` of each frame, for a world with a camera.

        Returns:
            What `predict` wants, and the hidden state that the outcome heads read.
        """
        before_tau = jnp.pad(tau[:, :-1], ((0, 0), (1, 0))) * ~isolated[:, None]
        before = _shifted(z) * (before_tau > 0)[..., None, None, None]
        times, memories = [], []

        def over_time(attention: TimeAttention, x):
            branch, keys = attention(x, isolated)
            times.append(keys)
            return branch

        def recall(memory: GatedRecurrence, x):
            branch, state = memory(x, isolated)
            memories.append(state)
            return branch

        x, _ = self._embed(z, Levels(tau, jnp.zeros_like(tau)), prev_action, before, before_tau, glimpse)
        heard = self.hear(prompt, z.shape[0])
        x = self._through(x, over_time, recall, heard)
        return Past(before, before_tau, isolated, tuple(times), tuple(memories), heard, glimpse), self._hidden(x)

    def predict(
        self, z: Float[Array, "b t n c"], levels: Levels, prev_action: Float[Array, "b t a"], past: Past
    ) -> Float[Array, "b t n c"]:
        """Predict the clean latents of all frames of windows at once, each as the present of its own past.

        Args:
            z: latents, each frame at its own level.
            levels: level and step size of each frame.
            prev_action: the action that led into each frame; NaN = unknown.
            past: what `remember` gave of the same windows.
        """
        times, memories = iter(past.times), iter(past.memories)
        x, local = self._embed(z, levels, prev_action, past.z, past.tau, past.glimpse)
        x = self._through(
            x,
            lambda attention, x: attention.beside(x, next(times), past.isolated),
            lambda memory, x: memory.step(x, next(memories))[0],
            past.prompt,
        )
        return self._clean(x, local)

    def hear(self, prompt: Any, batch: int) -> Any:
        """Read a `Prompt`, () = none, for use as `Cache.prompt`; () where the world reads none.

        Raises:
            ValueError: a prompt for a world that reads none.
        """
        if self.reader is None:
            if jax.tree.leaves(prompt):
                raise ValueError("this world reads no prompts, got one; leave it out.")
            return ()
        return self.reader.read(prompt if jax.tree.leaves(prompt) else self.reader.config.nothing(batch))

    def empty_cache(self, batch: int, prompt: Any = ()) -> Cache:
        """Make the cache of streams that have seen nothing; `prompt` is a `Prompt` of each, () = none."""
        config = self.config
        times = [layer.attention for layer in self.layers if layer.over_time]
        memory = jnp.zeros((batch, config.num_tokens, config.width)) if config.has_memory else ()
        return Cache(
            jnp.zeros((batch,), jnp.int32),
            jnp.zeros((batch, NUM_BEFORE, config.num_latents, config.token_dim)),
            tuple(time.empty(batch, config.num_tokens) for time in times),
            memory,
            self.hear(prompt, batch),
            () if config.camera is None else empty_view(batch, config.camera),
        )

    def step(
        self,
        z: Float[Array, "b n c"],
        levels: Levels,
        prev_action: Float[Array, "b a"],
        cache: Cache,
        glimpse: Any = (),
    ):
        """Predict the clean latents of the present frame of streams; the cache is only read.

        `levels` holds indices `[b]`, `glimpse` is the present frame's. Equals the last frame of `predict` on the whole
        stream.

        Returns:
            z_hat `[b n c]`, the hidden state `[b d]`, and what `commit` wants.
        """
        before_tau = jnp.where(cache.count > 0, self.config.past_level, 0)
        times, memories, fresh = iter(cache.time), [], []

        def over_time(attention: TimeAttention, x):
            branch, keys = attention.step(x, next(times), cache.count)
            fresh.append(keys)
            return branch

        def recall(memory: GatedRecurrence, x):
            branch, state = memory.step(x, cache.memory)
            memories.append(state)
            return branch

        x, local = self._embed(z, levels, prev_action, cache.z, before_tau, glimpse)
        x = self._through(x, over_time, recall, cache.prompt)
        z_hat = self._clean(x, local)
        return z_hat, self._hidden(x), (tuple(fresh), memories[0] if memories else ())

    def commit(self, z_past: Float[Array, "b n c"], fresh, cache: Cache) -> Cache:
        """Make the present frame part of the past.

        `z_past` is the frame at the level of the past, and `fresh` came from `step` on just that.
        """
        keys, memory = fresh
        times = [layer.attention for layer in self.layers if layer.over_time]
        kept = tuple(t.keep(past, kv, cache.count) for t, past, kv in zip(times, cache.time, keys, strict=True))
        z = jnp.concatenate([z_past[:, None], cache.z[:, :-1]], 1)
        return Cache(cache.count + 1, z, kept, memory, cache.prompt, cache.view)

    def _embed(self, z, levels: Levels, prev_action, before, before_tau, glimpse):
        """Give the tokens `[b *t m d]`, and the local path's state for `_clean`."""
        config = self.config
        level = self.level(levels.tau) + self.step_size(levels.step)
        action = self.action(prev_action).astype(level.dtype)
        cond = level + action
        tau, before_tau = (i[..., None, None] / config.num_levels for i in (levels.tau, before_tau))
        last, last_tau, innovation, told = self._prior(before, before_tau, glimpse)
        power, innovation = jax.lax.stop_gradient((self.power[...], innovation))
        fuse = partial(known, z, tau, last, last_tau)
        start = fuse(power, innovation)
        seen = (start.gain + self.trust(level)[..., None, :].astype(jnp.float32)) * start.news
        pictures = (seen, *jnp.moveaxis(before, -3, 0), *([last] if told else []))
        cells = self.see(jnp.concatenate([*(unpack(x, config.grid, config.pack) for x in pictures), *told], -1))
        for block in self.before:
            cells = block(cells, cond)
        place = self.place(*config.grid).reshape((1,) * levels.tau.ndim + (config.num_latents, -1))
        latents = self.enter(pack_cells(cells, config.pack)) + place + cond[..., None, :]
        heads = jnp.broadcast_to(self.registers[...], (*levels.tau.shape, *self.registers.shape))
        heads = heads.at[..., 0, :].add(action).at[..., 1, :].add(level)
        tokens = jnp.concatenate([heads.astype(latents.dtype), latents], axis=-2)
        return tokens, _Local(cells, cond, fuse, (before_tau > 0).astype(jnp.float32), power, innovation)

    def _prior(self, before, before_tau, glimpse):
        """What the next frame is like, at which level, its mean square distance, and what the local path is told."""
        if self.config.camera is None:
            return before[..., 0, :, :], before_tau, self.innovation[...], ()
        is_known = (before_tau > 0).astype(jnp.float32)
        seen = shares(glimpse, is_known)
        change = expected_change(seen, self.surprise[...], self.config)
        return glimpse.z * is_known, is_known, change, (seen[..., :2],)

    def _through(self, x, over_time: Callable, recall: Callable, heard: Any) -> Float[Array, "b *t m d"]:
        angles = self._angles()
        for i, layer in enumerate(self.layers):
            x = x + (over_time(layer.attention, x) if layer.over_time else layer.attention(x, angles))
            if self.reader is not None and not layer.over_time:
                x = x + self.reader(i, x, heard)
            if self.memory is not None and i == len(self.layers) // 2:
                x = x + recall(self.memory, x)
            x = x + layer.feed_forward(x)
        return self.norm(x)

    def _clean(self, x, local: _Local) -> Float[Array, "b *t n c"]:
        config, power, innovation = self.config, local.power, local.innovation
        cells = local.cells + unpack(self.descend(x[..., self._num_heads :, :]), config.grid, config.pack)
        for block in self.after:
            cells = block(cells, local.cond)
        residual = pack_cells(self.leave(cells), config.pack).astype(jnp.float32)
        if self.weigh is not None:
            weight = jnp.exp(jnp.clip(self.weigh(cells).astype(jnp.float32), -MOST_WEIGHT, MOST_WEIGHT))
            weight = pack_cells(jnp.repeat(weight, config.token_dim // config.pack**2, -1), config.pack)
            innovation = weight * like(innovation, weight)
            power = jnp.where(local.follows > 0, 1.0, weight) * like(power, weight)
        start = local.fuse(power, innovation)
        return start.prior + start.gain * start.news + start.deviation * residual

    def _hidden(self, x) -> Float[Array, "b *t d"]:
        parts = x[..., : self._num_heads, :], x[..., self._num_heads :, :]
        return jnp.concatenate([part.mean(-2) for part in parts], -1).astype(jnp.float32)

    @property
    def _num_heads(self) -> int:
        return self.config.num_tokens - self.config.num_latents

    def _angles(self) -> Float[np.ndarray, "m f"]:
        config = self.config
        return grid_angles(*config.grid, self._num_heads, config.head_dim)


def _shifted(z: Float[Array, "b t n c"]) -> Float[Array, "b t k n c"]:
    """Give the NUM_BEFORE frames before each frame, zeros where there are none."""
    ages = range(1, NUM_BEFORE + 1)
    return jnp.stack([jnp.pad(z, ((0, 0), (age, 0), (0, 0), (0, 0)))[:, : z.shape[1]] for age in ages], axis=2)
