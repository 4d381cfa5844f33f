"""The loss of actor and critic, on trajectories that were imagined or recorded.

Returns are lambda-returns with the slow critic at their ends,

    R_t = r_t+1 + gamma c_t+1 ((1 - lambda) v_t+1 + lambda R_t+1),

where c is the probability that the episode continues. A step whose frame is masked is a truncation: the return ends
there in v, and later steps count for nothing.

The actor's objective is either REINFORCE with the critic as baseline, the advantage scaled by the spread of the returns
(DreamerV3, arXiv 2301.04104, equations 11 and 12), or PMPO, which takes only its sign (Dreamer 4, arXiv 2509.24527,
equation 11; Abdolmaleki et al. 2024, arXiv 2410.04166): actions that did better than expected become likelier, the
others less likely, each group by its mean. Cloning, the third, maximizes the likelihood of the recorded actions.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from worldsim.agent.policy import VALUE, ActorCritic, entropy, log_prob, value_of
from worldsim.model.outcome import two_hot

Kind = Literal["reinforce", "pmpo", "clone"]


class Trajectory(NamedTuple):
    """T frames by arrival: row t of everything but z belongs to the step that led into frame t."""

    z: Float[Array, "b t n c"]
    prev_action: Float[Array, "b t a"]
    reward: Float[Array, "b t"]
    alive: Float[Array, "b t"]  # probability that the episode continues after the frame
    mask: Float[Array, "b t"]  # 1 where the frame counts, 0 where it is padding or too uncertain


class Weights(NamedTuple):
    """Weights of the loss's parts, and the discounts of its returns."""

    gamma: float = 0.985
    lam: float = 0.95
    entropy: float = 1e-3
    slow_critic: float = 1.0  # of staying near the slow critic


def lambda_returns(
    reward: Float[Array, "b t"],
    alive: Float[Array, "b t"],
    value: Float[Array, "b t"],
    mask: Float[Array, "b t"],
    gamma: float,
    lam: float,
) -> Float[Array, "b t"]:
    """Return the lambda-returns of T steps; each argument belongs to the frame that a step leads to."""

    def back(ahead, now):
        reward, alive, value, mask = now
        keep = lam * mask
        total = reward + gamma * alive * ((1 - keep) * value + keep * ahead)
        return total, total

    columns = tuple(jnp.moveaxis(x, 1, 0) for x in (reward, alive, value, mask))
    return jnp.moveaxis(jax.lax.scan(back, value[:, -1], columns, reverse=True)[1], 0, 1)


def actor_critic_loss(
    model: ActorCritic, slow: ActorCritic, path: Trajectory, first: int, kind: Kind, weights: Weights
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Return the loss on trajectories whose frames before `first` only fill the recurrent state, and its parts.

    Decisions are those at frames `first - 1 .. T - 2`; each leads into the frame after it.
    """
    acting, arriving = slice(first - 1, -1), slice(first, None)
    state = model.unroll(path.z, path.prev_action)
    slow_value = jax.lax.stop_gradient(value_of(slow.value_logits(slow.unroll(path.z, path.prev_action))))
    mask = path.mask[:, arriving]
    returns = lambda_returns(
        path.reward[:, arriving], path.alive[:, arriving], slow_value[:, arriving], mask, weights.gamma, weights.lam
    )
    # A decision counts while all frames before it were alive and unmasked; a recorded frame counts by its own mask.
    reached = jnp.cumprod(jnp.pad(path.alive[:, arriving] * mask, ((0, 0), (1, 0)))[:, :-1].at[:, 0].set(1.0), axis=1)
    reached = jax.lax.stop_gradient(reached * (mask if kind == "clone" else 1.0))
    logits, bins = model.logits(state[:, acting]), model.value_logits(state[:, acting])
    value = jax.lax.stop_gradient(value_of(bins))
    rows = path.prev_action[:, arriving]
    chosen = log_prob(logits, rows, model.config)
    actor = _actor(kind, chosen, returns - value, returns, reached)
    spread = entropy(logits, model.config)
    target = jax.lax.stop_gradient(two_hot(returns, VALUE))
    slow_target = jax.lax.stop_gradient(two_hot(slow_value[:, acting], VALUE))
    critic = optax.softmax_cross_entropy(bins, target) + weights.slow_critic * optax.softmax_cross_entropy(
        bins, slow_target
    )
    total = actor + _mean(critic - (0.0 if kind == "clone" else weights.entropy) * spread, reached)
    return total, {
        "actor": actor,
        "critic": _mean(critic, reached),
        "entropy": _mean(spread, reached),
        "return": _mean(returns, reached),
        "value": _mean(value, reached),
        "reward": _mean(path.reward[:, arriving], reached),
        "mask": mask.mean(),
    }


def _actor(kind: Kind, chosen, advantage, returns, reached) -> Float[Array, ""]:
    if kind == "clone":
        return -_mean(chosen, reached)
    if kind == "pmpo":
        good, bad = reached * (advantage >= 0), reached * (advantage < 0)
        return 0.5 * (_mean(chosen, bad) - _mean(chosen, good))
    low, high = jnp.percentile(returns, jnp.array([5.0, 95.0]))
    scale = jnp.maximum(high - low, 0.1)
    return -_mean(chosen * jax.lax.stop_gradient(advantage / scale), reached)


def _mean(x, weight) -> Float[Array, ""]:
    return (x * weight).sum() / jnp.maximum(weight.sum(), 1e-6)
