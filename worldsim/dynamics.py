"""The denoiser of the next latent frame, given past latents and actions.

A block-causal transformer, one block of tokens a frame: [action, level, registers, latents]. Layers attend over space;
every `time_every`-th attends over time instead. Generation keeps the past in a ring cache, so that a frame costs a few
passes over one block, whatever the length of the past. Training does what generation does, for all frames of a window
at once: `remember` reads each frame as the past, nearly clean, and `predict` each as the present, at any level, seeing
the past's versions of the frames before it.

The output starts from what is known without learning. If a latent is N(0, p) and moves by N(0, q) a frame, and the
previous frame is seen at level tau', then Bayes' rule gives the next one a prior N(m, s) and, with the noisy view
z_tau, a posterior:

    m = tau' p z' / (tau'^2 p + (1 - tau')^2)      s = min(q + (1 - tau')^2 p / (tau'^2 p + (1 - tau')^2), p)
    mean = m + k (z_tau - tau m)                   k = tau s / (tau^2 s + (1 - tau)^2)
    variance = s (1 - tau)^2 / (tau^2 s + (1 - tau)^2)

and the network gives the residual in units of the posterior deviation: z_hat = mean + sqrt(variance) F. An untrained
network copies the last frame and denoises as a Kalman filter does; F has unit scale at every level, as in EDM (Karras
et al. 2022, arXiv 2206.00364, table 1), of which this is the case with a past.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from worldsim.diffusion.schedule import Levels, num_step_sizes
from worldsim.nn.attention import SpaceAttention, TimeAttention, grid_angles
from worldsim.nn.embedding import ActionEmbedding, GridEmbedding
from worldsim.nn.layers import RMSNorm, SwiGLU, linear
from worldsim.nn.recurrence import GatedRecurrence


@dataclass(frozen=True, kw_only=True)
class DynamicsConfig:
    """The shape of the dynamics."""

    grid: tuple[int, int]
    """Rows and columns of latent tokens."""
    token_dim: int
    """Channels of a latent token."""
    choice_sizes: tuple[int, ...] = ()
    """Number of options of each choice of the action."""
    num_buttons: int = 0
    """Number of buttons of the action."""
    axis_bounds: tuple[tuple[float, float], ...] = ()
    """Low and high of each axis of the action."""
    width: int = 96
    """Channels of a token inside the transformer."""
    num_layers: int = 4
    """Layers, each an attention and a feed-forward."""
    time_every: int = 2
    """Every how many-th layer attends over time."""
    head_dim: int = 32
    """Channels of an attention head."""
    kv_groups: int = 1
    """Query heads that share one key head."""
    num_registers: int = 2
    """Tokens of a block that stand for nothing."""
    window: int = 12
    """Past frames that a frame attends to."""
    num_sinks: int = 0
    """First frames that stay visible after they left the window."""
    has_memory: bool = False
    """Whether one gated recurrence carries what left the window."""
    num_levels: int = 16
    """Finest sampling steps, a power of two."""
    past_level: int = 14
    """Level index at which the past is held in generation."""

    def __post_init__(self):
        if self.width % (self.head_dim * self.kv_groups):
            raise ValueError(f"width must be a multiple of head_dim * kv_groups, got {self.width}.")
        if not 0 < self.past_level < self.num_levels:
            raise ValueError(f"past_level must be in 1..{self.num_levels - 1}, got {self.past_level}.")
        num_step_sizes(self.num_levels)

    @property
    def num_latents(self) -> int:
        """Latent tokens of a frame."""
        return self.grid[0] * self.grid[1]

    @property
    def num_tokens(self) -> int:
        """Tokens of a block."""
        return 2 + self.num_registers + self.num_latents


class Cache(NamedTuple):
    """What a stream keeps of its past. Every leaf has the batch first."""

    count: Int[Array, " b"]  # frames committed
    z: Float[Array, "b n c"]  # the last committed latents, at the level of the past
    time: tuple[Any, ...]  # one `Past` a time layer
    memory: Any  # [b m d], or () where there is no memory


class Past(NamedTuple):
    """What windows of footage leave for their frames to be predicted. Every leaf has the batch first."""

    z: Float[Array, "b t n c"]  # the latents before each frame
    tau: Int[Array, "b t"]  # their level index, 0 where there is nothing before
    isolated: Bool[Array, " b"]
    times: tuple[Any, ...]  # keys and values of each time layer
    memories: tuple[Any, ...]  # the state before each frame, where there is a memory


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
        self.enter = linear(c, d, rngs=rngs)
        self.enter_past = linear(c, d, rngs=rngs)
        self.place = GridEmbedding(d, rngs=rngs)
        self.action = ActionEmbedding(
            d,
            choice_sizes=config.choice_sizes,
            num_buttons=config.num_buttons,
            axis_bounds=config.axis_bounds,
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
        self.leave = linear(d, c, rngs=rngs, zero=True)
        self.power = nnx.Param(jnp.ones((c,)))  # p: mean square of each channel, of the footage
        self.innovation = nnx.Param(jnp.ones((c,)))  # q: mean square of its change from a frame to the next

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
    ) -> tuple[Past, Float[Array, "b t d"]]:
        """Read whole windows as the past of one another; frame t sees nothing after t.

        Args:
            z: latents, each frame at its own level.
            tau: level index of each frame.
            prev_action: the action that led into each frame; NaN = unknown.
            isolated: rows whose frames stand alone, as if each were the first of all.

        Returns:
            What `predict` wants, and the hidden state that the outcome heads read.
        """
        before = jnp.pad(z[:, :-1], ((0, 0), (1, 0), (0, 0), (0, 0)))
        before_tau = jnp.pad(tau[:, :-1], ((0, 0), (1, 0))) * ~isolated[:, None]
        before = before * (before_tau > 0)[..., None, None]
        times, memories = [], []

        def over_time(attention: TimeAttention, x):
            branch, keys = attention(x, isolated)
            times.append(keys)
            return branch

        def recall(memory: GatedRecurrence, x):
            branch, state = memory(x, isolated)
            memories.append(state)
            return branch

        x = self._through(self._embed(z, before, Levels(tau, jnp.zeros_like(tau)), prev_action), over_time, recall)
        return Past(before, before_tau, isolated, tuple(times), tuple(memories)), self._hidden(x)

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
        x = self._through(
            self._embed(z, past.z, levels, prev_action),
            lambda attention, x: attention.beside(x, next(times), past.isolated),
            lambda memory, x: memory.step(x, next(memories))[0],
        )
        return self._clean(x, z, past.z, levels.tau, past.tau)

    def empty_cache(self, batch: int) -> Cache:
        """Make the cache of streams that have seen nothing."""
        config = self.config
        times = [layer.attention for layer in self.layers if layer.over_time]
        memory = jnp.zeros((batch, config.num_tokens, config.width)) if config.has_memory else ()
        return Cache(
            jnp.zeros((batch,), jnp.int32),
            jnp.zeros((batch, config.num_latents, config.token_dim)),
            tuple(time.empty(batch, config.num_tokens) for time in times),
            memory,
        )

    def step(self, z: Float[Array, "b n c"], levels: Levels, prev_action: Float[Array, "b a"], cache: Cache):
        """Predict the clean latents of the present frame of streams; the cache is only read.

        `levels` holds indices `[b]`. Equals the last frame of `predict` on the whole stream.

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

        x = self._through(self._embed(z, cache.z, levels, prev_action), over_time, recall)
        z_hat = self._clean(x, z, cache.z, levels.tau, before_tau)
        return z_hat, self._hidden(x), (tuple(fresh), memories[0] if memories else ())

    def commit(self, z_past: Float[Array, "b n c"], fresh, cache: Cache) -> Cache:
        """Make the present frame part of the past.

        `z_past` is the frame at the level of the past, and `fresh` came from `step` on just that.
        """
        keys, memory = fresh
        times = [layer.attention for layer in self.layers if layer.over_time]
        kept = tuple(t.keep(past, kv, cache.count) for t, past, kv in zip(times, cache.time, keys, strict=True))
        return Cache(cache.count + 1, z_past, kept, memory)

    def _embed(self, z, before, levels: Levels, prev_action) -> Float[Array, "b *t m d"]:
        level = self.level(levels.tau) + self.step_size(levels.step)
        action = self.action(prev_action).astype(level.dtype)
        place = self.place(*self.config.grid).reshape((1,) * levels.tau.ndim + (self.config.num_latents, -1))
        latents = self.enter(z) + self.enter_past(before) + place + (level + action)[..., None, :]
        heads = jnp.broadcast_to(self.registers[...], (*levels.tau.shape, *self.registers.shape))
        heads = heads.at[..., 0, :].add(action).at[..., 1, :].add(level)
        return jnp.concatenate([heads.astype(latents.dtype), latents], axis=-2)

    def _through(self, x, over_time: Callable, recall: Callable) -> Float[Array, "b *t m d"]:
        angles = self._angles()
        for i, layer in enumerate(self.layers):
            x = x + (over_time(layer.attention, x) if layer.over_time else layer.attention(x, angles))
            if self.memory is not None and i == len(self.layers) // 2:
                x = x + recall(self.memory, x)
            x = x + layer.feed_forward(x)
        return self.norm(x)

    def _clean(self, x, z, before, tau_index, before_tau_index) -> Float[Array, "b *t n c"]:
        residual = self.leave(x[..., self._num_heads :, :]).astype(jnp.float32)
        tau, before_tau = (i[..., None, None] / self.config.num_levels for i in (tau_index, before_tau_index))
        statistics = jax.lax.stop_gradient((self.power[...], self.innovation[...]))
        mean, deviation = _posterior(z, tau, before, before_tau, *statistics)
        return mean + deviation * residual

    def _hidden(self, x) -> Float[Array, "b *t d"]:
        parts = x[..., : self._num_heads, :], x[..., self._num_heads :, :]
        return jnp.concatenate([part.mean(-2) for part in parts], -1).astype(jnp.float32)

    @property
    def _num_heads(self) -> int:
        return self.config.num_tokens - self.config.num_latents

    def _angles(self) -> Float[np.ndarray, "m f"]:
        config = self.config
        return grid_angles(*config.grid, self._num_heads, config.head_dim)


def _posterior(z, tau, before, before_tau, power, innovation):
    """Fuse the noisy view with the previous frame; the module docstring has the equations."""
    lead = (1,) * (z.ndim - 1) + (-1,)
    power, innovation = power.reshape(lead), innovation.reshape(lead)
    known = before_tau**2 * power + (1 - before_tau) ** 2
    prior_mean = before_tau * power * before / known
    prior = jnp.minimum(innovation + (1 - before_tau) ** 2 * power / known, power)
    total = tau**2 * prior + (1 - tau) ** 2
    mean = prior_mean + tau * prior / total * (z - tau * prior_mean)
    return mean, jnp.sqrt(prior / total) * (1 - tau)
