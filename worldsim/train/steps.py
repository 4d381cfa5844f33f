"""One step of training, as pure functions of (state, batch, key): losses, optimizer, moving average."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from worldsim.diffusion.loss import bootstrap_target, noisy_input, x_loss
from worldsim.diffusion.schedule import Levels, draw_coarse_levels, draw_levels, step_index
from worldsim.dynamics import Dynamics
from worldsim.nn.params import merge
from worldsim.outcome import Outcome, outcome_loss
from worldsim.tokenizer import Tokenizer, balanced_weight, reconstruction_loss
from worldsim.train.presets import Preset
from worldsim.types import Batch, obs_to_frame

WEIGHT_DECAY = 0.1  # of kernels, a unit of rate: without it they grew until, after 4,000 steps, one step was too far
FURTHEST = 10.0  # no latent is that far: a guess beyond it must not become a target, or a past, and be followed
Loss = Callable[..., tuple[Float[Array, ""], dict[str, Array]]]


class TrainState(NamedTuple):
    """What changes in training, and is saved."""

    params: Any
    ema: Any
    opt_state: Any


def make_optimizer() -> optax.GradientTransformation:
    """Muon for matrices and Adam for the rest, at rate one; the step scales the update by the schedule's rate."""
    muon = optax.contrib.muon(1.0, adam_learning_rate=0.1, consistent_rms=0.2, muon_weight_dimension_numbers=_matrices)
    return optax.chain(optax.clip_by_global_norm(1.0), muon)


def init_state(params: Any) -> TrainState:
    """Begin training from parameters."""
    return TrainState(params, jax.tree.map(jnp.copy, params), make_optimizer().init(params))


def make_step(loss: Loss, *, ema: float) -> Callable:
    """Compile `step(state, batch, key, rate, **static) -> (state, scalars)`; the old state's memory is reused."""
    optimizer = make_optimizer()

    def step(state: TrainState, batch: Any, key: PRNGKeyArray, rate: Float[Array, ""], bootstrap: bool = False):
        grad = jax.value_and_grad(loss, has_aux=True)
        (value, scalars), gradient = grad(state.params, batch, key, bootstrap)
        update, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        decay = jax.tree_util.tree_map_with_path(
            lambda path, p: 1 - rate * WEIGHT_DECAY * (_is_kernel(path, p) and not _is_fitted(path)), state.params
        )
        params = jax.tree.map(lambda p, u, keep: keep * p + rate * u, state.params, update, decay)
        average = jax.tree.map(lambda e, p: ema * e + (1 - ema) * p, state.ema, params)
        return TrainState(params, average, opt_state), scalars | {"loss": value}

    return jax.jit(step, static_argnames="bootstrap", donate_argnums=0)


def tokenizer_loss(graph: nnx.GraphDef, mean: Float[Array, "h w c"], variance: Float[Array, "h w c"]) -> Loss:
    """Make the tokenizer's loss on uint8 frames `[b h w c]`."""

    def loss(params, obs, key, bootstrap):
        tokenizer: Tokenizer = merge(graph, params)
        frame = obs_to_frame(obs)
        painted = tokenizer.decode(tokenizer.encode(frame))
        weight = balanced_weight(frame, painted, mean, variance, weight=tokenizer.config.rarity_weight)
        return reconstruction_loss(frame, painted, weight), {}

    return loss


def dynamics_loss(graphs: tuple[nnx.GraphDef, nnx.GraphDef], preset: Preset) -> Loss:
    """Make the loss of dynamics and outcome on a Batch of latents; params has "dynamics" and "outcome"."""

    def loss(params, batch: Batch, key, bootstrap: bool):
        dynamics: Dynamics = merge(graphs[0], params["dynamics"])
        outcome: Outcome = merge(graphs[1], params["outcome"])
        config = dynamics.config
        num_levels = config.num_levels
        key_levels, key_coarse, key_noise, key_past, key_own, key_single, key_action = jax.random.split(key, 7)
        b, t = batch.mask.shape
        isolated = jax.random.bernoulli(key_single, preset.single_share, (b,))
        hidden_action = jax.random.bernoulli(key_action, preset.action_dropout, (b, 1, 1))
        action = jnp.where(hidden_action | isolated[:, None, None], jnp.nan, batch.prev_action)
        frozen: Dynamics = merge(graphs[0], jax.lax.stop_gradient(params["dynamics"]))

        z = batch.obs if isinstance(batch.seen, tuple) else batch.seen
        seen = Levels(jnp.full((b, t), config.past_level), jnp.zeros((b, t), jnp.int32))
        own = round(b * preset.own_past_share) if bootstrap and config.camera is None else 0
        if own:  # a camera's past comes with the batch
            prompt = jax.tree.map(lambda x: x[-own:], batch.prompt)
            guess = own_past(frozen, z[-own:], seen.tau[-own:], action[-own:], isolated[-own:], key_own, prompt)
            z = jnp.concatenate([z[:-own], guess])
        z_past = noisy_input(key_past, z, seen, num_levels=num_levels)
        past, hidden = dynamics.remember(z_past, seen.tau, action, isolated, batch.prompt, batch.glimpse)

        rows = round(b * preset.bootstrap_share) if bootstrap else 0
        coarse = draw_coarse_levels(key_coarse, (rows, t), num_levels=num_levels)
        fine = draw_levels(
            key_levels,
            (b - rows, t),
            num_levels=num_levels,
            pure_share=preset.pure_share,
            whole=preset.num_denoise_steps == 1,
        )
        levels = Levels(*(jnp.concatenate(pair) for pair in zip(coarse, fine, strict=True)))
        z_tau = noisy_input(key_noise, batch.obs, levels, num_levels=num_levels)
        target = batch.obs
        if rows:
            past_of_rows = jax.lax.stop_gradient(jax.tree.map(lambda x: x[:rows], past))
            bent = bootstrap_target(
                lambda z, levels: frozen.predict(z, levels, action[:rows], past_of_rows),
                z_tau[:rows],
                coarse,
                num_levels=num_levels,
            )
            target = jnp.concatenate([jnp.clip(bent, -FURTHEST, FURTHEST), batch.obs[rows:]])
        z_hat = dynamics.predict(z_tau, levels, action, past)
        denoising = x_loss(z_hat, target, batch.mask) / jax.lax.stop_gradient(dynamics.innovation[...]).mean()
        knows = (batch.mask & ~isolated[:, None]).at[:, 0].set(False).astype(jnp.float32)
        result = outcome_loss(*outcome(hidden), batch.reward, batch.terminated, knows, outcome.config)
        return denoising + preset.outcome_weight * result, {"denoising": denoising, "outcome": result}

    return loss


def own_past(
    dynamics: Dynamics,
    z: Float[Array, "b t n c"],
    tau: Int[Array, "b t"],
    action: Float[Array, "b t a"],
    isolated: Bool[Array, " b"],
    key: PRNGKeyArray,
    prompt: Any = (),
) -> Float[Array, "b t n c"]:
    """Replace frames by what the dynamics make of the frames before them in one step, all but the first two.

    Trained with such a past, the dynamics learn to go on from frames that are not quite right, as their own are.
    """
    num_levels = dynamics.config.num_levels
    key_past, key_noise = jax.random.split(key)
    z_past = noisy_input(key_past, z, Levels(tau, jnp.zeros_like(tau)), num_levels=num_levels)
    past, _ = dynamics.remember(z_past, tau, action, isolated, prompt)
    whole_way = Levels(jnp.zeros_like(tau), jnp.full_like(tau, step_index(1, num_levels)))
    guess = dynamics.predict(jax.random.normal(key_noise, z.shape, z.dtype), whole_way, action, past)
    is_known = (jnp.arange(z.shape[1]) < 2)[None, :, None, None]
    return jax.lax.stop_gradient(jnp.where(is_known, z, jnp.clip(guess, -FURTHEST, FURTHEST)))


def _matrices(params: Any) -> Any:
    """Tell Muon which parameters are maps between widths: the kernels, and nothing else."""

    def dimensions(path, leaf):
        is_map = _is_kernel(path, leaf)
        return optax.contrib.MuonDimensionNumbers(tuple(range(leaf.ndim - 1)), leaf.ndim - 1) if is_map else None

    return jax.tree_util.tree_map_with_path(dimensions, params)


def _is_fitted(path: tuple) -> bool:
    """Whether a parameter was fitted before, takes no gradient and must not fade."""
    return any(getattr(key, "key", None) in ("gaze", "flow") for key in path)


def _is_kernel(path: tuple, leaf: Any) -> bool:
    return getattr(path[-1], "key", None) == "kernel" and leaf.ndim >= 2
