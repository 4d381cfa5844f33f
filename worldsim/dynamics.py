"""The denoiser of the next latent frame, given past latents and actions.

A block-causal transformer, one block of tokens a frame: [action, level, registers, latents]. Layers attend over space;
every `time_every`-th attends over time instead. Generation keeps the past in a ring cache, so that a frame costs a few
passes over one block, whatever the length of the past.

The output starts from what is known without learning. If a latent moves by N(0, q) a frame, and the previous frame is
seen at level tau', then Bayes' rule gives the next one a prior N(m, s) and, with the noisy view z_tau, a posterior:

    m = tau' z' / (tau'^2 + (1 - tau')^2)          s = min(q + (1 - tau')^2 / (tau'^2 + (1 - tau')^2), 1)
    mean = m + k (z_tau - tau m)                   k = tau s / (tau^2 s + (1 - tau)^2)
    variance = s (1 - tau)^2 / (tau^2 s + (1 - tau)^2)

and the network gives the residual in units of the posterior deviation: z_hat = mean + sqrt(variance) F. An untrained
network copies the last frame and denoises as a Kalman filter does; F has unit scale at every level, as in EDM (Karras
et al. 2022, arXiv 2206.00364, table 1), of which this is the case with a past.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from einops import repeat
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
    """The denoiser: whole windows by calling it, streams by `step` and `commit`."""

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
        self.innovation = nnx.Param(jnp.ones((c,)))  # q: mean squared change of each channel a frame, of the footage

    @property
    def hidden_dim(self) -> int:
        """Width of the hidden state that the outcome reads."""
        return 2 * self.config.width

    def __call__(
        self,
        z: Float[Array, "b t n c"],
        levels: Levels,
        prev_action: Float[Array, "b t a"],
        isolated: Bool[Array, " b"],
    ) -> tuple[Float[Array, "b t n c"], Float[Array, "b t d"]]:
        """Predict clean latents of all frames of windows at once; frame t sees nothing after t.

        Args:
            z: latents, each frame at its own level.
            levels: level and step size of each frame.
            prev_action: the action that led into each frame; NaN = unknown.
            isolated: rows whose frames stand alone, as if each were the first of all.

        Returns:
            z_hat and the hidden state that the outcome heads read.
        """
        past = jnp.pad(z[:, :-1], ((0, 0), (1, 0), (0, 0), (0, 0)))
        past_tau = jnp.pad(levels.tau[:, :-1], ((0, 0), (1, 0))) * ~isolated[:, None]
        past = past * (past_tau > 0)[..., None, None]
        x = self._embed(z, past, levels, prev_action)
        angles = self._angles()
        for i, layer in enumerate(self.layers):
            x = x + (layer.attention(x, isolated) if layer.over_time else layer.attention(x, angles))
            if self.memory is not None and i == len(self.layers) // 2:
                x = x + self.memory(x, isolated)
            x = x + layer.feed_forward(x)
        return self._finish(x, z, past, levels.tau, past_tau)

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

        `levels` holds indices `[b]`. Equals the last frame of calling the model on the whole stream.

        Returns:
            z_hat `[b n c]`, the hidden state `[b d]`, and what `commit` wants.
        """
        one = Levels(levels.tau[:, None], levels.step[:, None])
        past_tau = jnp.where(cache.count > 0, self.config.past_level, 0)[:, None]
        past = cache.z[:, None]
        x = self._embed(z[:, None], past, one, prev_action[:, None])[:, 0]
        angles, fresh, memory, times = self._angles(), [], cache.memory, iter(cache.time)
        for i, layer in enumerate(self.layers):
            if layer.over_time:
                branch, kv = layer.attention.step(x, next(times), cache.count)
                fresh.append(kv)
                x = x + branch
            else:
                x = x + layer.attention(x, angles)
            if self.memory is not None and i == len(self.layers) // 2:
                branch, memory = self.memory.step(x, cache.memory)
                x = x + branch
            x = x + layer.feed_forward(x)
        z_hat, hidden = self._finish(x[:, None], z[:, None], past, one.tau, past_tau)
        return z_hat[:, 0], hidden[:, 0], (tuple(fresh), memory)

    def commit(self, z_past: Float[Array, "b n c"], fresh, cache: Cache) -> Cache:
        """Make the present frame part of the past.

        `z_past` is the frame at the level of the past, and `fresh` came from `step` on just that.
        """
        keys, memory = fresh
        times = [layer.attention for layer in self.layers if layer.over_time]
        kept = tuple(t.keep(past, kv, cache.count) for t, past, kv in zip(times, cache.time, keys, strict=True))
        return Cache(cache.count + 1, z_past, kept, memory)

    def _embed(self, z, past, levels: Levels, prev_action):
        b, t = levels.tau.shape
        level = self.level(levels.tau) + self.step_size(levels.step)
        action = self.action(prev_action).astype(level.dtype)
        latents = self.enter(z) + self.enter_past(past) + self.place(*self.config.grid)[None, None]
        latents = latents + (level + action)[:, :, None]
        heads = repeat(self.registers[...], "r d -> b t r d", b=b, t=t)
        heads = heads.at[:, :, 0].add(action).at[:, :, 1].add(level)
        return jnp.concatenate([heads.astype(latents.dtype), latents], axis=2)

    def _finish(self, x, z, past, tau_index, past_tau_index):
        x = self.norm(x)
        extra = self.config.num_tokens - self.config.num_latents
        residual = self.leave(x[:, :, extra:]).astype(jnp.float32)
        tau, past_tau = (i[..., None, None] / self.config.num_levels for i in (tau_index, past_tau_index))
        mean, deviation = _posterior(z, tau, past, past_tau, jax.lax.stop_gradient(self.innovation[...]))
        hidden = jnp.concatenate([x[:, :, :extra].mean(2), x[:, :, extra:].mean(2)], -1)
        return mean + deviation * residual, hidden.astype(jnp.float32)

    def _angles(self) -> Float[np.ndarray, "m f"]:
        config = self.config
        return grid_angles(*config.grid, config.num_tokens - config.num_latents, config.head_dim)


def _posterior(z, tau, past, past_tau, innovation):
    """Fuse the noisy view with the previous frame; the module docstring has the equations."""
    power = past_tau**2 + (1 - past_tau) ** 2
    prior_mean = past_tau * past / power
    innovation = innovation.reshape((1,) * (z.ndim - 1) + (-1,))
    prior = jnp.minimum(innovation + (1 - past_tau) ** 2 / power, 1.0)
    total = tau**2 * prior + (1 - tau) ** 2
    mean = prior_mean + tau * prior / total * (z - tau * prior_mean)
    return mean, jnp.sqrt(prior / total) * (1 - tau)
