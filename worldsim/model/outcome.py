"""Reward and termination of the frame just reached, from the dynamics' hidden state.

The reward is a classification that keeps its magnitude: two-hot over bins that are even in symlog space (DreamerV3,
Hafner et al. 2023, arXiv 2301.04104, equations 9 to 11). Termination is a logit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Bool, Float, PyTree

from worldsim.nn.layers import linear, rms_norm
from worldsim.schema import Range, check


@dataclass(frozen=True, kw_only=True)
class OutcomeConfig:
    """The shape of the outcome heads."""

    hidden: Annotated[int, Range(1, 8192)] = 128
    """Width of the hidden layer."""
    num_bins: Annotated[int, Range(3, 1023)] = 41
    """Reward bins; odd, so that zero has one of its own."""
    limit: Annotated[float, Range(0.1, 20)] = 6.0
    """Largest |symlog reward| that has a bin: 6 is a reward of about 400."""

    def __post_init__(self):
        check(self)
        if self.num_bins % 2 == 0:
            raise ValueError(f"num_bins must be odd, got {self.num_bins}.")


def symlog(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """sign(x) log(1 + |x|)."""
    return jnp.sign(x) * jnp.log1p(jnp.abs(x))


def symexp(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The inverse of `symlog`."""
    return jnp.sign(x) * jnp.expm1(jnp.abs(x))


def two_hot(value: Float[Array, "*n"], config: OutcomeConfig) -> Float[Array, "*n bins"]:
    """Share a reward among the two bins beside it, so that their mean in symlog space is the reward."""
    width = 2 * config.limit / (config.num_bins - 1)
    place = (jnp.clip(symlog(value), -config.limit, config.limit) + config.limit) / width
    distance = jnp.abs(place[..., None] - jnp.arange(config.num_bins).reshape((1,) * place.ndim + (-1,)))
    return jnp.maximum(1 - distance, 0)


class Outcome(nnx.Module):
    """Two heads on one hidden layer, which reads the dynamics' hidden state.

    The last `d_summary` of its `d_in` numbers are the prior's summary of the frame, where it has one. The heads may be
    trained on that alone (`of_summary`), and at first they read nothing else.
    """

    def __init__(self, config: OutcomeConfig, *, d_in: int, d_summary: int = 0, rngs: nnx.Rngs):
        self.config, self.d_own = config, d_in - d_summary
        self.in_proj = linear(self.d_own, config.hidden, rngs=rngs, zero=d_summary > 0)
        self.summary_proj: PyTree = linear(d_summary, config.hidden, rngs=rngs) if d_summary else None
        self.bias = nnx.Param(jnp.zeros((config.hidden,)))
        self.out_proj = nnx.Linear(
            config.hidden, config.num_bins + 1, kernel_init=nnx.initializers.zeros, bias_init=_start, rngs=rngs
        )

    def __call__(self, hidden: Float[Array, "*n d"]) -> tuple[Float[Array, "*n bins"], Float[Array, "*n"]]:
        """Return logits over reward bins and the logit of termination."""
        x = self.in_proj(rms_norm(hidden[..., : self.d_own])).astype(jnp.float32)
        if self.summary_proj is not None:
            x = x + self.summary_proj(rms_norm(hidden[..., self.d_own :])).astype(jnp.float32)
        x = nnx.silu(x + self.bias[...].reshape((1,) * (x.ndim - 1) + (-1,)))
        out = self.out_proj(x)
        return out[..., :-1], out[..., -1]

    def of_summary(self, summary: Float[Array, "*n e"]) -> tuple[Float[Array, "*n bins"], Float[Array, "*n"]]:
        """Return the same logits where nothing but the prior's summary is known."""
        return self(jnp.concatenate([jnp.zeros((*summary.shape[:-1], self.d_own)), summary.astype(jnp.float32)], -1))

    def read(self, hidden: Float[Array, "*n d"]) -> tuple[Float[Array, "*n"], Float[Array, "*n"]]:
        """Return the expected reward and the probability of termination."""
        bins, end = self(hidden)
        values = symexp(jnp.linspace(-self.config.limit, self.config.limit, self.config.num_bins))
        reward = (jax.nn.softmax(bins) * values.reshape((1,) * (bins.ndim - 1) + (-1,))).sum(-1)
        return reward, jax.nn.sigmoid(end)


def outcome_loss(
    bins: Float[Array, "*n bins"],
    end: Float[Array, "*n"],
    reward: Float[Array, "*n"],
    terminated: Bool[Array, "*n"],
    weight: Float[Array, "*n"],
    config: OutcomeConfig,
) -> Float[Array, ""]:
    """Weighted mean cross-entropy of reward and termination."""
    loss = optax.softmax_cross_entropy(bins, two_hot(reward, config))
    loss += optax.sigmoid_binary_cross_entropy(end, terminated.astype(jnp.float32))
    return (weight * loss).sum() / jnp.maximum(weight.sum(), 1e-6)


def _start(key, shape, dtype=jnp.float32, out_sharding=None):
    """Start from what nearly always happens: no reward, no end."""
    middle = (shape[0] - 1) // 2
    return jnp.zeros(shape, dtype).at[middle].set(5.0).at[-1].set(-5.0)
