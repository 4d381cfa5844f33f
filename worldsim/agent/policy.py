"""A recurrent actor-critic on the world's latents.

    x_t = silu(W z_t) + E(a_t-1),   h_t = GRU(h_t-1, x_t),   pi(. | h_t): a categorical each control,   v(h_t): two-hot

The latents of a frame are read flat, so a 64x64 world costs one matrix of 4096 x width. The critic is a classification
over bins that are even in symlog space, as the reward head is (DreamerV3, arXiv 2301.04104, equations 9 to 11).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from worldsim.controls.kinds import MAX_CONTROLS
from worldsim.model.outcome import OutcomeConfig, symexp
from worldsim.nn.embedding import ActionEmbedding, Controls
from worldsim.nn.layers import linear, rms_norm
from worldsim.schema import Range, check

VALUE = OutcomeConfig(num_bins=63, limit=7.0)


@dataclass(frozen=True, kw_only=True)
class PolicyConfig:
    """Shape of an actor-critic."""

    num_latents: Annotated[int, Range(1, 4096)]
    token_dim: Annotated[int, Range(1, 16384)]
    choice_sizes: tuple[Annotated[int, Range(1, 4096)], ...]
    num_buttons: Annotated[int, Range(0, 1024)] = 0
    axis_values: tuple[tuple[float, ...], ...] = ()
    """The values that the policy chooses from on each axis, rising."""
    width: Annotated[int, Range(1, 8192)] = 192

    def __post_init__(self):
        check(self)
        if len(self.sizes) > MAX_CONTROLS:
            raise ValueError(f"expected at most {MAX_CONTROLS} controls for an agent, got {len(self.sizes)}.")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of options of each control: choices, two for each button, the values of each axis."""
        return (*self.choice_sizes, *(2,) * self.num_buttons, *(len(values) for values in self.axis_values))


class ActorCritic(nnx.Module):
    """A policy and its critic on one recurrent state `[b d]`."""

    def __init__(self, config: PolicyConfig, *, rngs: nnx.Rngs):
        self.config = config
        d = config.width
        self.z_proj = linear(config.num_latents * config.token_dim, d, rngs=rngs)
        bounds = tuple((values[0], values[-1]) for values in config.axis_values)
        self.embed_action = ActionEmbedding(d, Controls(config.choice_sizes, config.num_buttons, bounds), rngs=rngs)
        self.cell = nnx.GRUCell(d, d, rngs=rngs)
        self.actor_head = nnx.Linear(d, sum(config.sizes), kernel_init=nnx.initializers.zeros, rngs=rngs)
        self.value_hidden = nnx.Linear(d, d, rngs=rngs)
        self.value_head = nnx.Linear(d, VALUE.num_bins, kernel_init=nnx.initializers.zeros, rngs=rngs)

    def initial_state(self, batch: int) -> Float[Array, "b d"]:
        """Return the state before the first frame."""
        return jnp.zeros((batch, self.config.width))

    def embed(self, z: Float[Array, "*b n c"], prev_action: Float[Array, "*b a"]) -> Float[Array, "*b d"]:
        """Embed frames and the actions that led into them, without the past."""
        flat = z.reshape((*z.shape[:-2], -1))
        return nnx.silu(rms_norm(self.z_proj(flat)).astype(jnp.float32)) + self.embed_action(prev_action)

    def step(self, state: Float[Array, "b d"], x: Float[Array, "b d"]) -> Float[Array, "b d"]:
        """Return the state after one more embedded frame."""
        return self.cell(state, x)[0]

    def unroll(self, z: Float[Array, "b t n c"], prev_action: Float[Array, "b t a"]) -> Float[Array, "b t d"]:
        """Return the states of whole windows, from the initial state."""
        xs = jnp.moveaxis(self.embed(z, prev_action), 1, 0)

        def step(state, x):
            state = self.step(state, x)
            return state, state

        return jnp.moveaxis(jax.lax.scan(step, self.initial_state(z.shape[0]), xs)[1], 0, 1)

    def logits(self, state: Float[Array, "*b d"]) -> Float[Array, "*b l"]:
        """Return log-probabilities of the options of all controls, one after another."""
        raw = self.actor_head(state)
        return jnp.concatenate([jax.nn.log_softmax(part) for part in _parts(raw, self.config)], -1)

    def value_logits(self, state: Float[Array, "*b d"]) -> Float[Array, "*b bins"]:
        """Return logits over the bins of the discounted return."""
        return self.value_head(nnx.silu(self.value_hidden(state)))


def value_of(logits: Float[Array, "*b bins"]) -> Float[Array, "*b"]:
    """Return the expected discounted return."""
    bins = symexp(jnp.linspace(-VALUE.limit, VALUE.limit, VALUE.num_bins))
    return (jax.nn.softmax(logits) * bins.reshape((1,) * (logits.ndim - 1) + (-1,))).sum(-1)


def sample_action(key: PRNGKeyArray, logits: Float[Array, "b l"], config: PolicyConfig) -> Float[Array, "b a"]:
    """Sample action rows; never the mode, since a policy trained in dreams gets stuck in it."""
    keys = jax.random.split(key, len(config.sizes))
    columns = [jax.random.categorical(k, part) for k, part in zip(keys, _parts(logits, config))]
    first = len(columns) - len(config.axis_values)
    axes = [jnp.asarray(values)[index] for values, index in zip(config.axis_values, columns[first:])]
    return jnp.stack([*(index.astype(jnp.float32) for index in columns[:first]), *axes], -1)


def log_prob(logits: Float[Array, "*b l"], rows: Float[Array, "*b a"], config: PolicyConfig) -> Float[Array, "*b"]:
    """Return the log-probability of rows, an axis at the nearest of its values; 0 for an unknown action."""
    known, first = jnp.nan_to_num(rows), len(config.sizes) - len(config.axis_values)
    axes = [_nearest(known[..., first + i], values) for i, values in enumerate(config.axis_values)]
    index = jnp.concatenate([known[..., :first].astype(jnp.int32), *(x[..., None] for x in axes)], -1)
    parts = _parts(logits, config)
    each = [jnp.take_along_axis(part, index[..., i : i + 1], -1)[..., 0] for i, part in enumerate(parts)]
    return jnp.where(jnp.isnan(rows).any(-1), 0.0, sum(each))


def entropy(logits: Float[Array, "*b l"], config: PolicyConfig) -> Float[Array, "*b"]:
    """Return the entropy of all controls together, in nats."""
    return sum((-(jnp.exp(part) * part).sum(-1) for part in _parts(logits, config)), jnp.zeros(logits.shape[:-1]))


def _nearest(x: Float[Array, "*b"], values: tuple[float, ...]) -> Int[Array, "*b"]:
    return jnp.abs(x[..., None] - jnp.asarray(values).reshape((1,) * x.ndim + (-1,))).argmin(-1)


def _parts(logits: Float[Array, "*b l"], config: PolicyConfig) -> list[Array]:
    return jnp.split(logits, np.cumsum(config.sizes)[:-1].tolist(), axis=-1)
