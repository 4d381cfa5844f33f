"""Imagined rollouts of a policy, in latents: nothing is encoded or decoded."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from worldsim.agent.objective import Trajectory
from worldsim.agent.policy import ActorCritic, sample_action
from worldsim.model.generate import Model, Sampler, dream, expect, observe, split_keys, watch
from worldsim.types import fold_keys


def imagine(
    model: Model,
    actor: ActorCritic,
    z: Float[Array, "b c n d"],
    prev_action: Float[Array, "b c a"],
    key: PRNGKeyArray,
    horizon: int,
    sampler: Sampler,
    max_uncertainty: float | None = None,
) -> Trajectory:
    """Imagine `horizon` frames after recorded ones.

    Args:
        model: the world.
        actor: acts, by samples.
        z: latents of recorded frames, which fill the states of world and actor.
        prev_action: the action that led into each.
        key: of all that is drawn.
        horizon: frames to imagine.
        sampler: how frames are drawn.
        max_uncertainty: frames above it are masked; None masks none.

    Returns:
        The recorded frames and the imagined ones after them, as one trajectory without gradient.
    """
    batch, context = z.shape[:2]
    keys, keys_watch = split_keys(fold_keys(key, batch), 2)
    cache, _ = watch(model, model.dynamics.empty_cache(batch), z, prev_action, keys_watch)
    state = actor.unroll(z, prev_action)[:, -1]

    def step(carry, key_act):
        cache, keys, state = carry
        keys, keys_dream, keys_past = split_keys(keys, 3)
        row = sample_action(key_act, actor.logits(state), actor.config)
        expected = expect(model, cache, row)
        frame, spread = dream(model, cache, row, keys_dream, sampler, expected=expected)
        cache, hidden = observe(model, cache, frame, row, keys_past, expected=expected)
        reward, end = model.outcome.read(hidden)
        state = actor.step(state, actor.embed(frame, row))
        mask = jnp.ones_like(spread) if max_uncertainty is None else (spread <= max_uncertainty).astype(jnp.float32)
        return (cache, keys, state), (frame, row, reward, 1 - end, mask)

    act_keys = jax.random.split(jax.random.fold_in(key, 7), horizon)
    _, dreamed = jax.lax.scan(step, (cache, keys, state), act_keys)
    frames, rows, reward, alive, mask = (jnp.moveaxis(x, 0, 1) for x in dreamed)
    before = jnp.ones((batch, context))
    path = Trajectory(
        jnp.concatenate([z, frames], 1),
        jnp.concatenate([prev_action, rows], 1),
        jnp.concatenate([0 * before, reward], 1),
        jnp.concatenate([before, alive], 1),
        jnp.concatenate([before, mask], 1),
    )
    return jax.lax.stop_gradient(path)
