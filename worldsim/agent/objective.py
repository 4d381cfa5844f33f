"""What makes a policy better, on trajectories that were dreamed or recorded.

Returns are lambda-returns with the slow critic at their ends,

    R_t = r_t+1 + gamma c_t+1 ((1 - lambda) v_t+1 + lambda R_t+1),

where c is the probability that the game goes on. A step whose frame cannot be trusted is a truncation: the return ends
there in v, and what comes after counts for nothing.

The actor's objective is either REINFORCE with the critic as baseline, the advantage scaled by the spread of the returns
(DreamerV3, arXiv 2301.04104, equations 11 and 12), or PMPO, which takes only its sign (Dreamer 4, arXiv 2509.24527,
equation 11; Abdolmaleki et al. 2024, arXiv 2410.04166): actions that did better than expected become likelier, the
others less likely, each group by its mean. Cloning is the third: the actions of the recording.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from worldsim.agent.policy import VALUE, ActorCritic, entropy, log_prob, value_of
from worldsim.outcome import two_hot

Kind = Literal["reinforce", "pmpo", "clone"]


class Trajectory(NamedTuple):
    """T frames by arrival: row t of everything but z speaks of the step that led into frame t."""

    z: Any  # [b t n c]
    prev_action: Any  # [b t a]
    reward: Any  # [b t]
    alive: Any  # [b t], probability that the game goes on after the frame
    trusted: Any  # [b t], 1 where the frame counts, 0 where it is padding or not to be believed


class Weights(NamedTuple):
    """Of the objective's parts."""

    gamma: float = 0.985
    lam: float = 0.95
    entropy: float = 1e-3
    slow: float = 1.0  # of staying near the slow critic


def lambda_returns(
    reward: Float[Array, "b t"],
    alive: Float[Array, "b t"],
    value: Float[Array, "b t"],
    trusted: Float[Array, "b t"],
    gamma: float,
    lam: float,
) -> Float[Array, "b t"]:
    """Returns of T steps; each argument speaks of the frame that a step leads to."""

    def back(ahead, now):
        reward, alive, value, trusted = now
        keep = lam * trusted
        total = reward + gamma * alive * ((1 - keep) * value + keep * ahead)
        return total, total

    columns = tuple(jnp.moveaxis(x, 1, 0) for x in (reward, alive, value, trusted))
    return jnp.moveaxis(jax.lax.scan(back, value[:, -1], columns, reverse=True)[1], 0, 1)


def actor_critic_loss(
    model: ActorCritic, slow: ActorCritic, path: Trajectory, first: int, kind: Kind, weights: Weights
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """The loss on trajectories whose frames before `first` only fill the recurrent state.

    Decisions are those at frames `first - 1 .. T - 2`; each leads into the frame after it.
    """
    here, there = slice(first - 1, -1), slice(first, None)
    state = model.over(path.z, path.prev_action)
    slow_value = jax.lax.stop_gradient(value_of(slow.value_logits(slow.over(path.z, path.prev_action))))
    trusted = path.trusted[:, there]
    returns = lambda_returns(
        path.reward[:, there], path.alive[:, there], slow_value[:, there], trusted, weights.gamma, weights.lam
    )
    # A decision counts while all before it were alive and to be believed; a recording's frames just are.
    reached = jnp.cumprod(jnp.pad(path.alive[:, there] * trusted, ((0, 0), (1, 0)))[:, :-1].at[:, 0].set(1.0), axis=1)
    reached = jax.lax.stop_gradient(reached * (trusted if kind == "clone" else 1.0))
    logits, bins = model.logits(state[:, here]), model.value_logits(state[:, here])
    value = jax.lax.stop_gradient(value_of(bins))
    rows = path.prev_action[:, there]
    chosen = log_prob(logits, rows, model.config)
    actor = _actor(kind, chosen, returns - value, returns, reached)
    spread = entropy(logits, model.config)
    target = jax.lax.stop_gradient(two_hot(returns, VALUE))
    near = jax.lax.stop_gradient(two_hot(slow_value[:, here], VALUE))
    critic = optax.softmax_cross_entropy(bins, target) + weights.slow * optax.softmax_cross_entropy(bins, near)
    total = actor + _mean(critic - (0.0 if kind == "clone" else weights.entropy) * spread, reached)
    return total, {
        "actor": actor,
        "critic": _mean(critic, reached),
        "entropy": _mean(spread, reached),
        "return": _mean(returns, reached),
        "value": _mean(value, reached),
        "reward": _mean(path.reward[:, there], reached),
        "trusted": trusted.mean(),
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
