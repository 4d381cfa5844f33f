"""The compiled programs of simulators: one set in the process for all worlds of one shape and sampler.

Weights are arguments of a program, so a second simulator of the same configs compiles nothing.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from worldsim.model.first_frame import draw_first_frame, unknown_actions
from worldsim.model.generate import Model, Sampler, bind, dream, expect, observe, render, split_keys, watch
from worldsim.model.modules import Configs, graphs_of
from worldsim.types import SimState, StepOutput, fold_keys, frame_to_obs, obs_to_frame


class Programs(NamedTuple):
    """Jitted functions whose first argument are the parameters of a world."""

    reset: Any
    generate: Any
    step: Any
    rollout: Any
    teacher_forced: Any
    outcome: Any
    decode: Any
    reconstruct: Any


@lru_cache(maxsize=16)  # a set holds tens of megabytes of code
def programs_of(configs: Configs, sampler: Sampler, horizon: int | None) -> Programs:
    """Return the programs of all simulators of these configs."""
    graphs = graphs_of(configs)[0]
    return Programs(
        jax.jit(partial(_reset, graphs)),
        jax.jit(partial(_generate, graphs, sampler)),
        jax.jit(partial(_step, graphs, sampler, horizon), static_argnames="decode"),
        jax.jit(partial(_rollout, graphs, sampler, horizon)),
        jax.jit(partial(_teacher_forced, graphs, sampler)),
        jax.jit(partial(_teacher_forced_outcome, graphs)),
        jax.jit(partial(_decode, graphs)),
        jax.jit(partial(_reconstruct, graphs)),
    )


def _reset(graphs, params, keys, obs, prev_action, prompt):
    model: Model = bind(graphs, params)
    keys, keys_watch = split_keys(keys, 2)
    z = model.tokenizer.encode(obs_to_frame(obs))
    cache = model.dynamics.empty_cache(obs.shape[0], prompt)
    cache, _ = watch(model, cache, z, prev_action, keys_watch, obs=obs)
    return SimState(keys, cache, jnp.zeros((obs.shape[0],), jnp.int32)), z[:, -1]


def _generate(graphs, sampler, params, keys, prompt):
    model = bind(graphs, params)
    batch = keys.shape[0]
    keys, keys_dream, keys_past = split_keys(keys, 3)
    z = draw_first_frame(model, prompt, keys_dream, sampler)
    unknown = unknown_actions(model.dynamics.config, batch)
    cache, _ = observe(model, model.dynamics.empty_cache(batch, prompt), z, unknown, keys_past)
    return SimState(keys, cache, jnp.zeros((batch,), jnp.int32)), z


def _step(
    graphs, sampler, horizon, params, state: SimState, action, scale=None, decode=True
) -> tuple[SimState, StepOutput]:
    model = bind(graphs, params)
    sampler = sampler if scale is None else sampler._replace(noise_scale=scale)
    keys, keys_dream, keys_past = split_keys(state.key, 3)
    expected = expect(model, state.cache, action)
    z, spread = dream(model, state.cache, action, keys_dream, sampler, expected=expected)
    cache, hidden = observe(model, state.cache, z, action, keys_past, expected=expected)
    reward, end = model.outcome.read(hidden)
    index = state.frame_index + 1
    late = index >= horizon if horizon is not None else jnp.zeros_like(index, bool)
    obs = render(model, cache, z) if decode else z
    return SimState(keys, cache, index), StepOutput(obs, reward, end > 0.5, late, spread, end)


def _rollout(graphs, sampler, horizon, params, state: SimState, actions) -> tuple[SimState, StepOutput]:
    def step(state, action):
        return _step(graphs, sampler, horizon, params, state, action)

    state, out = jax.lax.scan(step, state, jnp.moveaxis(actions, 1, 0))
    return state, jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), out)


def _teacher_forced(graphs, sampler, params, obs, prev_action, key):
    model = bind(graphs, params)
    truth = model.tokenizer.encode(obs_to_frame(obs))

    def step(carry, frame):
        cache, keys = carry
        z, action, real = frame
        keys, keys_dream, keys_past = split_keys(keys, 3)
        expected = expect(model, cache, action)
        z_hat, _ = dream(model, cache, action, keys_dream, sampler, expected=expected)
        dreamt, _ = observe(model, cache, z_hat, action, keys_past, expected=expected)
        cache, _ = observe(model, cache, z, action, keys_past, expected=expected, real=real)
        return (cache, keys), render(model, dreamt, z_hat)

    start = (model.dynamics.empty_cache(obs.shape[0]), fold_keys(key, obs.shape[0]))
    _, frames = jax.lax.scan(step, start, jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), (truth, prev_action, obs)))
    return jnp.moveaxis(frames, 0, 1).at[:, 0].set(obs[:, 0])


def _teacher_forced_outcome(graphs, params, obs, prev_action, key):
    model = bind(graphs, params)
    z = model.tokenizer.encode(obs_to_frame(obs))
    keys = fold_keys(key, obs.shape[0])
    _, hidden = watch(model, model.dynamics.empty_cache(obs.shape[0]), z, prev_action, keys, obs=obs)
    return model.outcome.read(hidden)


def _decode(graphs, params, z):
    return frame_to_obs(bind(graphs, params).tokenizer.decode(z))


def _reconstruct(graphs, params, obs):
    model = bind(graphs, params)
    return frame_to_obs(model.tokenizer.decode(model.tokenizer.encode(obs_to_frame(obs))))
