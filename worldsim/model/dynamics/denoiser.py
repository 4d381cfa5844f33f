"""The denoiser of the next latent frame, given past latents and actions.

Two paths. A block-causal transformer, one block of tokens a frame: [action, level, registers, latents]. Layers attend
over space; every `time_every`-th attends over time instead. Beside it a local path of convolutions over the cells that
the tokens pack reads the present and the last NUM_BEFORE frames: it moves what moves, and the transformer adds what
happens elsewhere and happened before. Both start from a Kalman filter (`worldsim.diffusion.prior`) of the noisy frame
and a prior of it (`worldsim.model.prior`).

Generation keeps the past in a ring cache, so that a frame costs a few passes over one block, whatever the length of the
past. Training does the same for all frames of a window at once: `remember` reads each frame as the past, nearly clean,
and `predict` each as the present, at any level, attending to the past's versions of the frames before it. A prompt is
encoded once, for a stream or a window.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from worldsim.diffusion.prior import Posterior, posterior
from worldsim.diffusion.schedule import Levels, num_step_sizes
from worldsim.model.camera.prior import WarpPrior
from worldsim.model.config import NUM_BEFORE, DynamicsConfig
from worldsim.model.dynamics.cache import Cache, WindowPast
from worldsim.model.dynamics.layer import Layer
from worldsim.model.dynamics.prompt import PromptEncoder
from worldsim.model.forecast import ForecastPrior
from worldsim.model.prior import CopyLast
from worldsim.nn.attention import TimeAttention, grid_angles
from worldsim.nn.embedding import ActionEmbedding, GridEmbedding
from worldsim.nn.layers import RMSNorm, like, linear
from worldsim.nn.local import ConvBlock, conv, pack_cells, unpack
from worldsim.nn.recurrence import GatedRecurrence

MAX_LOG_VARIANCE = 6.0  # of the predicted variance, relative to the mean over the footage


class _Local(NamedTuple):
    """The local path between its two halves, before and after the transformer."""

    cells: Float[Array, "b *t y x e"]
    cond: Float[Array, "b *t d"]  # level and action
    fuse: Callable[[Array, Array], Posterior]  # (power, change_var) -> the noisy frame fused with its prior
    has_past: Float[Array, "b *t 1 1"]
    power: Float[Array, "..."]
    change_var: Float[Array, "..."]


def prior_type(config: DynamicsConfig) -> type[CopyLast] | type[ForecastPrior] | type[WarpPrior]:
    """Return the kind of prior of dynamics: a warp where there is a camera, else a forecast or a copy of the last."""
    if config.camera is not None:
        return WarpPrior
    return CopyLast if config.forecast is None else ForecastPrior


class Dynamics(nnx.Module):
    """The denoiser: whole windows by `remember` and `predict`, streams by `step` and `commit`."""

    def __init__(self, config: DynamicsConfig, *, rngs: nnx.Rngs):
        self.config = config
        d, c, e = config.width, config.token_dim, config.local_width
        cell_dim = c // config.pack**2
        make_prior = prior_type(config)
        self.conv_in = conv((1 + NUM_BEFORE) * cell_dim + make_prior.num_features(config), e, rngs=rngs)
        self.input_gain = linear(d, c, rngs=rngs, zero=True)
        block = partial(ConvBlock, e, cond_width=d, separable=bool(config.local_separable), rngs=rngs)
        self.before = nnx.List([block() for _ in range(config.num_local)])
        self.in_proj = linear(e * config.pack**2, d, rngs=rngs)
        self.pos_embed = GridEmbedding(d, rngs=rngs)
        self.action = ActionEmbedding(d, config.controls, rngs=rngs)
        self.level = nnx.Embed(config.num_levels + 1, d, rngs=rngs)
        self.step_size = nnx.Embed(num_step_sizes(config.num_levels), d, rngs=rngs)
        self.registers = nnx.Param(0.02 * jax.random.normal(rngs.params(), (2 + config.num_registers, d)))
        over_time = tuple(i % config.time_every == config.time_every - 1 for i in range(config.num_layers))
        self.layers = nnx.List([Layer(config, over_time=x, rngs=rngs) for x in over_time])
        self.memory = GatedRecurrence(d, rngs=rngs) if config.has_memory else None
        self.norm = RMSNorm(d)
        self.to_cells = linear(d, e * config.pack**2, rngs=rngs)
        self.after = nnx.List([block() for _ in range(config.num_local + 1)])
        self.out_proj = linear(e, cell_dim, rngs=rngs, zero=True)
        self.variance_proj = linear(e, 1, rngs=rngs, zero=True) if config.predicts_variance else None
        self.power = nnx.Param(jnp.ones((c,)))  # p: mean square of each channel, of the footage
        self.change_var = nnx.Param(jnp.ones((c,)))  # q: mean square of its change from a frame to the next
        self.prior: PyTree = make_prior(config, rngs=rngs)
        self.prompt_encoder = PromptEncoder(config, over_time, rngs=rngs) if config.prompt is not None else None

    @property
    def hidden_dim(self) -> int:
        """Width of the hidden state that the outcome reads: of tokens, and of the prior's summary."""
        return 2 * self.config.width + self.summary_dim

    @property
    def summary_dim(self) -> int:
        """Width of the prior's summary, the end of the hidden state; 0 = it has none."""
        return prior_type(self.config).summary_dim(self.config)

    def remember(
        self,
        z: Float[Array, "b t n c"],
        tau: Int[Array, "b t"],
        prev_action: Float[Array, "b t a"],
        isolated: Bool[Array, " b"],
        prompt: PyTree = (),
        prior_inputs: PyTree = (),
    ) -> tuple[WindowPast, Float[Array, "b t d"]]:
        """Read whole windows as the past of one another; frame t attends to nothing after t.

        Args:
            z: latents, each frame at its own level.
            tau: level index of each frame.
            prev_action: the action that led into each frame; NaN = unknown.
            isolated: rows whose frames stand alone, as if each were the first of all.
            prompt: a `Prompt` of each window; () = none.
            prior_inputs: what the prior reads of each frame, for a world with a camera.

        Returns:
            The past that `predict` attends to, and the hidden state that the outcome heads read.
        """
        before_tau = jnp.pad(tau[:, :-1], ((0, 0), (1, 0))) * ~isolated[:, None]
        before = _shifted(z, self.config.num_before) * (before_tau > 0)[..., None, None, None]
        times, memories = [], []

        def over_time(attention: TimeAttention, x):
            branch, keys = attention(x, isolated)
            times.append(keys)
            return branch

        def recall(memory: GatedRecurrence, x):
            branch, state = memory(x, isolated)
            memories.append(state)
            return branch

        level = self._tau(before_tau)
        looked = self.prior.look(before, level, prev_action, prior_inputs)
        prior_inputs, summary = jax.lax.stop_gradient((looked, self.prior.summary(before, level, prev_action, looked)))
        x, _ = self._embed(z, Levels(tau, jnp.zeros_like(tau)), prev_action, before, before_tau, prior_inputs)
        encoded = self.encode_prompt(prompt, z.shape[0])
        x = self._transform(x, over_time, recall, encoded)
        past = WindowPast(before, before_tau, isolated, tuple(times), tuple(memories), encoded, prior_inputs)
        return past, self._hidden(x, summary)

    def predict(
        self, z: Float[Array, "b t n c"], levels: Levels, prev_action: Float[Array, "b t a"], past: WindowPast
    ) -> Float[Array, "b t n c"]:
        """Predict the clean latents of all frames of windows at once, each as the present of its own past.

        Args:
            z: latents, each frame at its own level.
            levels: level and step size of each frame.
            prev_action: the action that led into each frame; NaN = unknown.
            past: of the same windows, from `remember`.
        """
        times, memories = iter(past.times), iter(past.memories)
        x, local = self._embed(z, levels, prev_action, past.z, past.tau, past.prior)
        x = self._transform(
            x,
            lambda attention, x: attention.beside(x, next(times), past.isolated),
            lambda memory, x: memory.step(x, next(memories))[0],
            past.prompt,
        )
        return self._clean(x, local)

    def encode_prompt(self, prompt: PyTree, batch: int) -> PyTree:
        """Encode a `Prompt`, () = none, for use as `Cache.prompt`; () where the world reads none.

        Raises:
            ValueError: a prompt for a world that reads none.
        """
        if self.prompt_encoder is None:
            if jax.tree.leaves(prompt):
                raise ValueError("expected no prompt for a world that reads none, got one; leave it out.")
            return ()
        encoder = self.prompt_encoder
        return encoder.encode(prompt if jax.tree.leaves(prompt) else encoder.config.nothing(batch))

    def empty_cache(self, batch: int, prompt: PyTree = ()) -> Cache:
        """Return the cache of streams without frames; `prompt` is a `Prompt` of each, () = none."""
        config = self.config
        times = [layer.attention for layer in self.layers if layer.over_time]
        memory = jnp.zeros((batch, config.num_tokens, config.width)) if config.has_memory else ()
        return Cache(
            jnp.zeros((batch,), jnp.int32),
            jnp.zeros((batch, config.num_before, config.num_latents, config.token_dim)),
            tuple(time.empty(batch, config.num_tokens) for time in times),
            memory,
            self.encode_prompt(prompt, batch),
            self.prior.empty_state(batch),
        )

    def look(self, cache: Cache, prev_action: Float[Array, "b a"], prior_inputs: PyTree = ()) -> PyTree:
        """Let the prior look at the past of streams, once for all that is asked of the present frame.

        Returns:
            The `prior_inputs` of `step`, of a frame that is known.
        """
        return self.prior.look(cache.z, self._tau(self._before_tau(cache)), prev_action, prior_inputs)

    def draw(self, cache: Cache, prev_action: Float[Array, "b a"], looked: PyTree, keys: Key[Array, " b"]) -> PyTree:
        """Draw what enters the present frame by chance; returns the `prior_inputs` of `step`, of a frame to come."""
        return self.prior.draw(cache.z, self._tau(self._before_tau(cache)), prev_action, looked, keys)

    def step(
        self,
        z: Float[Array, "b n c"],
        levels: Levels,
        prev_action: Float[Array, "b a"],
        cache: Cache,
        prior_inputs: PyTree = (),
    ) -> tuple[Float[Array, "b n c"], Float[Array, "b d"], PyTree]:
        """Predict the clean latents of the present frame of streams; the cache is only read.

        `levels` holds indices `[b]`, `prior_inputs` are those of `look`. Equals the last frame of `predict` on the
        whole stream.

        Returns:
            z_hat `[b n c]`, the hidden state `[b d]`, and the layers' states for `commit`.
        """
        before_tau = self._before_tau(cache)
        times, memories, states = iter(cache.time), [], []

        def over_time(attention: TimeAttention, x):
            branch, keys = attention.step(x, next(times), cache.count)
            states.append(keys)
            return branch

        def recall(memory: GatedRecurrence, x):
            branch, state = memory.step(x, cache.memory)
            memories.append(state)
            return branch

        x, local = self._embed(z, levels, prev_action, cache.z, before_tau, prior_inputs)
        x = self._transform(x, over_time, recall, cache.prompt)
        z_hat = self._clean(x, local)
        summary = self.prior.summary(cache.z, self._tau(before_tau), prev_action, prior_inputs)
        return z_hat, self._hidden(x, summary), (tuple(states), memories[0] if memories else ())

    def commit(self, z_past: Float[Array, "b n c"], states: PyTree, cache: Cache) -> Cache:
        """Append the present frame to the past; the state of the prior stays.

        `z_past` is the frame at level `context_tau`, and `states` are those of `step` on just that.
        """
        keys, memory = states
        times = [layer.attention for layer in self.layers if layer.over_time]
        kept = tuple(t.keep(past, kv, cache.count) for t, past, kv in zip(times, cache.time, keys, strict=True))
        z = jnp.concatenate([z_past[:, None], cache.z[:, :-1]], 1)
        return Cache(cache.count + 1, z, kept, memory, cache.prompt, cache.prior)

    def _embed(self, z, levels: Levels, prev_action, before, before_tau, prior_inputs):
        """Return the tokens `[b *t m d]`, and the local path's state for `_clean`."""
        config = self.config
        level = self.level(levels.tau) + self.step_size(levels.step)
        action = self.action(prev_action).astype(level.dtype)
        cond = level + action
        tau, before_tau = self._tau(levels.tau), self._tau(before_tau)
        prior = self.prior(before, before_tau, prior_inputs, self.change_var[...])
        power, change_var = jax.lax.stop_gradient((self.power[...], prior.variance))
        fuse = partial(posterior, z, tau, prior.mean, prior.tau)
        start = fuse(power, change_var)
        noisy = (start.gain + self.input_gain(level)[..., None, :].astype(jnp.float32)) * start.innovation
        frames = (noisy, *jnp.moveaxis(before[..., :NUM_BEFORE, :, :], -3, 0))
        cells = [unpack(x, config.grid, config.pack) for x in frames]
        cells = self.conv_in(jnp.concatenate([*cells, *prior.features], -1))
        for block in self.before:
            cells = block(cells, cond)
        place = self.pos_embed(*config.grid).reshape((1,) * levels.tau.ndim + (config.num_latents, -1))
        latents = self.in_proj(pack_cells(cells, config.pack)) + place + cond[..., None, :]
        prefix = jnp.broadcast_to(self.registers[...], (*levels.tau.shape, *self.registers.shape))
        prefix = prefix.at[..., 0, :].add(action).at[..., 1, :].add(level)
        tokens = jnp.concatenate([prefix.astype(latents.dtype), latents], axis=-2)
        return tokens, _Local(cells, cond, fuse, (before_tau > 0).astype(jnp.float32), power, change_var)

    def _transform(self, x, over_time: Callable, recall: Callable, prompt: PyTree) -> Float[Array, "b *t m d"]:
        config = self.config
        angles = grid_angles(*config.grid, self._num_prefix, config.head_dim)
        for i, layer in enumerate(self.layers):
            x = x + (over_time(layer.attention, x) if layer.over_time else layer.attention(x, angles))
            if self.prompt_encoder is not None and not layer.over_time:
                x = x + self.prompt_encoder(i, x, prompt)
            if self.memory is not None and i == len(self.layers) // 2:
                x = x + recall(self.memory, x)
            x = x + layer.feed_forward(x)
        return self.norm(x)

    def _clean(self, x, local: _Local) -> Float[Array, "b *t n c"]:
        config, power, change_var = self.config, local.power, local.change_var
        cells = local.cells + unpack(self.to_cells(x[..., self._num_prefix :, :]), config.grid, config.pack)
        for block in self.after:
            cells = block(cells, local.cond)
        residual = pack_cells(self.out_proj(cells), config.pack).astype(jnp.float32)
        if self.variance_proj is not None:
            log_variance = self.variance_proj(cells).astype(jnp.float32)
            factor = jnp.exp(jnp.clip(log_variance, -MAX_LOG_VARIANCE, MAX_LOG_VARIANCE))
            factor = pack_cells(jnp.repeat(factor, config.token_dim // config.pack**2, -1), config.pack)
            change_var = factor * like(change_var, factor)
            power = jnp.where(local.has_past > 0, 1.0, factor) * like(power, factor)
        start = local.fuse(power, change_var)
        return start.prior + start.gain * start.innovation + start.std * residual

    def _hidden(self, x, summary: tuple[Array, ...]) -> Float[Array, "b *t d"]:
        parts = x[..., : self._num_prefix, :], x[..., self._num_prefix :, :]
        return jnp.concatenate([*(part.mean(-2) for part in parts), *summary], -1).astype(jnp.float32)

    def _tau(self, index: Int[Array, "*b"]) -> Float[Array, "*b 1 1"]:
        return index[..., None, None] / self.config.num_levels

    def _before_tau(self, cache: Cache) -> Int[Array, " b"]:
        return jnp.where(cache.count > 0, self.config.context_tau, 0)

    @property
    def _num_prefix(self) -> int:
        """Tokens before the latents: action, level, registers."""
        return self.config.num_tokens - self.config.num_latents


def _shifted(z: Float[Array, "b t n c"], num_before: int) -> Float[Array, "b t k n c"]:
    """Return the frames before each frame, latest first, zeros where there are none."""
    ages = range(1, num_before + 1)
    return jnp.stack([jnp.pad(z, ((0, 0), (age, 0), (0, 0), (0, 0)))[:, : z.shape[1]] for age in ages], axis=2)
