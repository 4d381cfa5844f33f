"""The optimizer, the schedule of its learning rate, and one step of training, for worlds and agents alike.

The rate of a stage may follow the clock, so the optimizers run at rate one, and the step scales their update, and the
decay of weights, by the schedule's rate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from worldsim.train.recipes import StageConfig

WEIGHT_DECAY = 0.1
"""Of kernels, per unit of rate: without it they grew until, after 4,000 steps, one step was too far."""


class TrainState(NamedTuple):
    """What changes in training, and is saved."""

    params: PyTree
    ema: PyTree
    opt_state: PyTree


class Fixed(NamedTuple):
    """Parameters that a loss reads and no gradient changes."""

    ema: PyTree  # the moving average of the trained parameters
    frozen: PyTree  # those of other modules


Loss = Callable[..., tuple[Float[Array, ""], dict[str, Array]]]
"""`loss(params, batch, key, fixed, **flags) -> (value, scalars)`, with `fixed` a `Fixed` and flags of the stage."""
Step = Callable[..., tuple[TrainState, dict[str, Array]]]
"""`step(state, batch, key, rate, **flags) -> (state, scalars)`, as `make_step` compiles it."""


def muon() -> optax.GradientTransformation:
    """Return Muon for matrices and Adam for the rest, at rate one, after clipping (Jordan et al. 2024)."""
    muon = optax.contrib.muon(1.0, adam_learning_rate=0.1, consistent_rms=0.2, muon_weight_dimension_numbers=_matrices)
    return optax.chain(optax.clip_by_global_norm(1.0), muon)


def schedule(config: StageConfig, progress: float) -> float:
    """Return the learning rate at a fraction of the stage: warmup, stable, decay (Hu et al. 2024, arXiv 2404.06395)."""
    rise = min(1.0, (progress + 1e-3) / max(config.warmup, 1e-3))
    fall = min(1.0, (1 - progress) / max(config.decay, 1e-9))
    return config.learning_rate * rise * max(fall, 0.0)


def init_state(params: PyTree, optimizer: optax.GradientTransformation | None = None) -> TrainState:
    """Return the state before the first step; Muon is the default optimizer."""
    return TrainState(params, jax.tree.map(jnp.copy, params), (optimizer or muon()).init(params))


def make_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    *,
    ema: float,
    frozen: PyTree = (),
    decay: Callable[[tuple, Array], bool] | None = None,
) -> Step:
    """Compile `step(state, batch, key, rate, **flags) -> (state, scalars)`.

    An accelerator takes the memory of the old state for the new one. On CPU both stay, so that a run that is
    interrupted while a step is computed, which there is nearly always, still has the old one to save.

    Args:
        loss: of the trained parameters.
        optimizer: at rate one.
        ema: decay of the moving average of the parameters, per step.
        frozen: parameters that the loss reads as `Fixed.frozen`.
        decay: of a parameter's path and value, whether it decays by WEIGHT_DECAY; None decays nothing.
    """

    def step(state: TrainState, frozen: PyTree, batch: PyTree, key: PRNGKeyArray, rate: Float[Array, ""], flags: tuple):
        grad = jax.value_and_grad(loss, has_aux=True)
        (value, scalars), gradient = grad(state.params, batch, key, Fixed(state.ema, frozen), **dict(flags))
        update, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = _apply(state.params, update, rate, decay)
        average = jax.tree.map(lambda e, p: ema * e + (1 - ema) * p, state.ema, params)
        return TrainState(params, average, opt_state), scalars | {"loss": value}

    donated = () if jax.default_backend() == "cpu" else (0,)
    compiled = jax.jit(step, static_argnames="flags", donate_argnums=donated)
    return lambda state, batch, key, rate, **flags: compiled(
        state, frozen, batch, key, rate, flags=tuple(sorted(flags.items()))
    )


def is_kernel(path: tuple, leaf: PyTree) -> bool:
    """Return whether a parameter is a map between widths."""
    return getattr(path[-1], "key", None) == "kernel" and leaf.ndim >= 2


def _apply(params: PyTree, update: PyTree, rate: Array, decay: Callable[[tuple, Array], bool] | None) -> PyTree:
    if decay is None:
        return jax.tree.map(lambda p, u: p + rate * u, params, update)
    keep = jax.tree_util.tree_map_with_path(lambda path, p: 1 - rate * WEIGHT_DECAY * decay(path, p), params)
    return jax.tree.map(lambda p, u, k: k * p + rate * u, params, update, keep)


def _matrices(params: PyTree) -> PyTree:
    """Return Muon's dimension numbers: kernels are matrices, and nothing else."""

    def dimensions(path, leaf):
        is_map = is_kernel(path, leaf)
        return optax.contrib.MuonDimensionNumbers(tuple(range(leaf.ndim - 1)), leaf.ndim - 1) if is_map else None

    return jax.tree_util.tree_map_with_path(dimensions, params)
