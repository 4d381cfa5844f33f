"""The losses of a world, as pure functions of (parameters, batch, key)."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from worldsim.diffusion.loss import bootstrap_target, noisy_input, x_loss
from worldsim.diffusion.schedule import Levels, draw_coarse_levels, draw_levels, step_index
from worldsim.model.dynamics import NUM_BEFORE, Dynamics, WindowPast
from worldsim.model.generate import MAX_LATENT
from worldsim.model.outcome import Outcome, outcome_loss
from worldsim.model.tokenizer import Tokenizer, balanced_weight, reconstruction_loss
from worldsim.nn.params import merge
from worldsim.train.optimizer import Fixed, Loss
from worldsim.train.recipes import Recipe
from worldsim.types import Batch, obs_to_frame

FIRST_FRAME_PURE_NOISE = 0.1  # fraction of pure noise beside the uniform levels


class TrainBatch(NamedTuple):
    """Windows of latents, and what the dynamics are conditioned on."""

    windows: Batch  # `obs` are latents [b t n d]
    prompt: PyTree = ()  # `worldsim.text.prompt.Prompt` of each window, where there are captions
    prior_inputs: PyTree = ()  # what the prior reads of each frame (`worldsim.model.prior`)
    context: PyTree = ()  # latents [b t n d] that the past shows instead of `obs`: self-generated context


def tokenizer_loss(graph: nnx.GraphDef, mean: Float[Array, "h w c"], variance: Float[Array, "h w c"]) -> Loss:
    """Return the tokenizer's loss on uint8 frames `[b h w c]`."""

    def loss(params: PyTree, obs: PyTree, key: PRNGKeyArray, fixed: Fixed):
        tokenizer: Tokenizer = merge(graph, params)
        frame = obs_to_frame(obs)
        painted = tokenizer.decode(tokenizer.encode(frame))
        weight = balanced_weight(frame, painted, mean, variance, weight=tokenizer.config.rarity_weight)
        return reconstruction_loss(frame, painted, weight), {}

    return loss


def dynamics_loss(graphs: tuple[nnx.GraphDef, nnx.GraphDef], recipe: Recipe) -> Loss:
    """Return the loss of dynamics and outcome on a TrainBatch; params has "dynamics" and "outcome"."""

    def loss(params: PyTree, batch: TrainBatch, key: PRNGKeyArray, fixed: Fixed, *, bootstrap: bool):
        dynamics: Dynamics = merge(graphs[0], params["dynamics"])
        outcome: Outcome = merge(graphs[1], params["outcome"])
        frozen: Dynamics = merge(graphs[0], jax.lax.stop_gradient(params["dynamics"]))
        config, windows = dynamics.config, batch.windows
        num_levels = config.num_levels
        key_levels, key_coarse, key_noise, key_past, key_own, key_single, key_action = jax.random.split(key, 7)
        b, t = windows.mask.shape
        isolated = jax.random.bernoulli(key_single, recipe.single_frame_fraction, (b,))
        hidden_action = jax.random.bernoulli(key_action, recipe.action_dropout, (b, 1, 1))
        action = jnp.where(hidden_action | isolated[:, None, None], jnp.nan, windows.prev_action)

        z = windows.obs if isinstance(batch.context, tuple) else batch.context
        past_levels = Levels(jnp.full((b, t), config.context_tau), jnp.zeros((b, t), jnp.int32))
        own = round(b * recipe.self_generated_fraction) if bootstrap and isinstance(batch.context, tuple) else 0
        if own:
            prompt = jax.tree.map(lambda x: x[-own:], batch.prompt)
            generated = self_generated_context(
                frozen, z[-own:], past_levels.tau[-own:], action[-own:], isolated[-own:], key_own, prompt
            )
            z = jnp.concatenate([z[:-own], generated])
        z_past = noisy_input(key_past, z, past_levels, num_levels=num_levels)
        past, hidden = dynamics.remember(z_past, past_levels.tau, action, isolated, batch.prompt, batch.prior_inputs)

        rows = round(b * recipe.bootstrap_fraction) if bootstrap else 0
        coarse = draw_coarse_levels(key_coarse, (rows, t), num_levels=num_levels)
        fine = draw_levels(
            key_levels,
            (b - rows, t),
            num_levels=num_levels,
            pure_noise_fraction=recipe.pure_noise_fraction,
            one_step=recipe.num_denoise_steps == 1,
        )
        levels = Levels(*(jnp.concatenate(pair) for pair in zip(coarse, fine, strict=True)))
        z_tau = noisy_input(key_noise, windows.obs, levels, num_levels=num_levels)
        target = windows.obs
        if rows:
            past_of_rows = jax.lax.stop_gradient(jax.tree.map(lambda x: x[:rows], past))
            two_steps = bootstrap_target(
                lambda z, levels: frozen.predict(z, levels, action[:rows], past_of_rows),
                z_tau[:rows],
                coarse,
                num_levels=num_levels,
            )
            target = jnp.concatenate([jnp.clip(two_steps, -MAX_LATENT, MAX_LATENT), windows.obs[rows:]])
        z_hat = dynamics.predict(z_tau, levels, action, past)
        denoising = x_loss(z_hat, target, windows.mask) / jax.lax.stop_gradient(dynamics.change_var[...]).mean()
        follows = (windows.mask & ~isolated[:, None]).at[:, 0].set(False).astype(jnp.float32)
        bins, end = outcome(hidden)
        result = outcome_loss(bins, end, windows.reward, windows.terminated, follows, outcome.config)
        return denoising + recipe.outcome_weight * result, {"denoising": denoising, "outcome": result}

    return loss


def self_generated_context(
    dynamics: Dynamics,
    z: Float[Array, "b t n c"],
    tau: Int[Array, "b t"],
    action: Float[Array, "b t a"],
    isolated: Bool[Array, " b"],
    key: PRNGKeyArray,
    prompt: PyTree = (),
) -> Float[Array, "b t n c"]:
    """Replace all frames but the first two by one-step predictions from the frames before them.

    Trained with such a past, the dynamics learn to go on from frames that are not quite right, as their own are (Self
    Forcing, Huang et al. 2025, arXiv 2506.08009, in one step).
    """
    num_levels = dynamics.config.num_levels
    key_past, key_noise = jax.random.split(key)
    z_past = noisy_input(key_past, z, Levels(tau, jnp.zeros_like(tau)), num_levels=num_levels)
    past, _ = dynamics.remember(z_past, tau, action, isolated, prompt)
    one_step = Levels(jnp.zeros_like(tau), jnp.full_like(tau, step_index(1, num_levels)))
    generated = dynamics.predict(jax.random.normal(key_noise, z.shape, z.dtype), one_step, action, past)
    is_given = (jnp.arange(z.shape[1]) < 2)[None, :, None, None]
    return jax.lax.stop_gradient(jnp.where(is_given, z, jnp.clip(generated, -MAX_LATENT, MAX_LATENT)))


def first_frame_loss(graph: nnx.GraphDef) -> Loss:
    """Return the loss of a first-frame model on a TrainBatch of windows of one frame: the mean squared error.

    `Fixed.frozen` holds those of its parameters that are not trained.
    """

    def loss(params: PyTree, batch: TrainBatch, key: PRNGKeyArray, fixed: Fixed):
        first_frame: Dynamics = merge(graph, {**fixed.frozen, **params})
        num_levels, z = first_frame.config.num_levels, jnp.asarray(batch.windows.obs)
        key_levels, key_noise = jax.random.split(key)
        levels = draw_levels(key_levels, (len(z), 1), num_levels=num_levels, pure_noise_fraction=FIRST_FRAME_PURE_NOISE)
        z_hat = first_frame.predict(
            noisy_input(key_noise, z, levels, num_levels=num_levels),
            levels,
            jnp.full(batch.windows.prev_action.shape, jnp.nan),
            _no_past(first_frame, z, batch.prompt),
        )
        return x_loss(z_hat, z, jnp.asarray(batch.windows.mask)), {}

    return loss


def _no_past(first_frame: Dynamics, z: Float[Array, "b 1 n c"], prompt: PyTree) -> WindowPast:
    b = len(z)
    before = jnp.zeros((b, 1, NUM_BEFORE, *z.shape[2:]))
    encoded = first_frame.encode_prompt(prompt, b)
    return WindowPast(before, jnp.zeros((b, 1), jnp.int32), jnp.ones((b,), bool), (), (), encoded)
