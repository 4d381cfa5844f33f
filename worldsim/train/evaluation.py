"""How stages choose their weights: reconstructions and free-running frames of held-out footage."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import PyTree, UInt8

from worldsim.data.dataset import Columns, Windows
from worldsim.metrics import crps, psnr
from worldsim.model.generate import Model, Sampler, free_run, split_keys, watch
from worldsim.model.tokenizer import Tokenizer, balanced_weight
from worldsim.nn.params import merge, split
from worldsim.train.games import Latents
from worldsim.types import CONTEXT, fold_keys, frame_to_obs, obs_to_frame
from worldsim.video import strip

HORIZON, NUM_CLIPS, NUM_MEMBERS = 16, 32, 4
Show = Callable[[int, UInt8[np.ndarray, "y x c"]], None]
Evaluate = Callable[[PyTree, int], tuple[float, str]]
Statistics = tuple[np.ndarray, np.ndarray]


def fidelity(
    real: UInt8[np.ndarray, "*b h w c"], other: UInt8[np.ndarray, "*b h w c"], statistics: Statistics
) -> float:
    """Return the PSNR in dB with the pixel weights of the tokenizer's loss, the mean over frames.

    Plain PSNR does not see small things: it preferred weights that painted Pong's ball faint by 0.5 dB. The mean is
    taken of the frames' decibels, at most 50, and not of their errors: a ball in the wrong place costs twice what a
    lost one costs, so the frames that are wrong anyway would choose weights that paint none.
    """
    expected, painted = obs_to_frame(real), obs_to_frame(other)
    weight = balanced_weight(expected, painted, statistics[0], statistics[1], weight=1.0)
    error = jnp.square(expected - painted).mean(-1, keepdims=True)
    frames = (weight * error).sum((-3, -2, -1)) / weight.sum((-3, -2, -1)) / 4
    return float(-10 * jnp.log10(jnp.maximum(frames, 1e-5)).mean())


def pixel_statistics(columns: Columns, limit: int = 4096) -> Statistics:
    """Return the mean frame and the variance of each pixel, in frame units, of evenly spaced frames."""
    rows = np.linspace(0, len(columns.obs) - 1, min(limit, len(columns.obs))).astype(int)
    frames = columns.obs[rows].astype(np.float32) / 127.5 - 1
    return frames.mean(0), frames.var(0)


def free_running(
    graph: nnx.GraphDef,
    tokenizer: Tokenizer,
    data: tuple[Columns, Columns],
    latents: Latents,
    sampler: Sampler,
    show: Show,
) -> Evaluate:
    """Return the evaluation of dynamics: the fidelity of 16 free-running frames, beside copying the last one."""
    statistics = pixel_statistics(data[0])
    dream, future, last = held_out_dreams(graph, tokenizer, data[1], latents, sampler)
    copy = float(psnr(future, np.broadcast_to(last, future.shape)).mean())

    def evaluate(params: PyTree, step: int) -> tuple[float, str]:
        dreamed, painted = dream(params, 0)
        show(step, strip([future, painted, dreamed], num_columns=min(8, future.shape[1])))
        note = f"free-running {psnr(future, dreamed).mean():.1f} dB, copy-last {copy:.1f}"
        return fidelity(future, dreamed, statistics), note

    return evaluate


def best_num_denoise_steps(
    graph: nnx.GraphDef, params: dict, tokenizer: Tokenizer, data: tuple[Columns, Columns], latents: Latents
) -> int:
    """Return the number of denoising steps, of 4, 2 and 1, that predicts held-out footage best.

    The score is CRPS (`worldsim.metrics`) of NUM_MEMBERS dreams of each clip. PSNR would be a mistake here: the mean of
    all possible futures scores best by it, so it chooses one step, under which whatever is uncertain fades away.
    """
    scores = {}
    for num_steps in (1, 2, 4):
        dream, future, _ = held_out_dreams(graph, tokenizer, data[1], latents, Sampler(num_denoise_steps=num_steps))
        members = np.stack([dream(params, seed)[0] for seed in range(NUM_MEMBERS)]).astype(np.float32)
        scores[num_steps] = float(crps(members, future.astype(np.float32)).mean())
    return min(scores, key=scores.__getitem__)


def held_out_dreams(
    graph: nnx.GraphDef, tokenizer: Tokenizer, held: Columns, latents: Latents, sampler: Sampler
) -> tuple[Callable[[dict, int], tuple[np.ndarray, np.ndarray]], np.ndarray, np.ndarray]:
    """Dream 16 frames from 8 of each of 32 clips of held-out footage, and decode them.

    Returns:
        A function of parameters and a seed that returns the dreamed frames and the reconstructed ones, the real frames
        `[b t h w c]`, and the last frames of the context `[b 1 h w c]`; all uint8.
    """
    context, horizon = _lengths(held)
    windows = Windows(held, context + horizon, min_real=context + horizon)
    ids = np.linspace(0, len(windows) - 1, min(NUM_CLIPS, len(windows))).astype(int)
    real, encoded = windows.batch(ids), windows.batch(ids, obs=latents.held)
    token_graph, token_params = split(tokenizer)
    clips = encoded.obs, real.obs[:, :context], real.prev_action

    @jax.jit
    def run(params, token_params, clips, keys):  # data are arguments: as constants, other data were another program
        model = Model(merge(token_graph, token_params), merge(graph, params["dynamics"]))
        keys_past, keys_dream = split_keys(keys, 2)
        z, obs, action = (jnp.asarray(x) for x in clips)
        cache = model.dynamics.empty_cache(len(keys))
        cache, _ = watch(model, cache, z[:, :context], action[:, :context], keys_past, obs=obs)
        _, frames = free_run(model, cache, action[:, context:], keys_dream, sampler)
        return frames, frame_to_obs(model.tokenizer.decode(z[:, context:]))

    def dream(params: dict, seed: int) -> tuple[np.ndarray, np.ndarray]:
        dreamed, painted = run(params, token_params, clips, fold_keys(jax.random.key(seed), len(ids)))
        return np.asarray(dreamed), np.asarray(painted)

    return dream, real.obs[:, context:], real.obs[:, context - 1 : context]


def _lengths(held: Columns) -> tuple[int, int]:
    """Return context and horizon, shorter where held-out episodes are shorter than both."""
    longest = held.longest
    context = min(CONTEXT, max(1, longest // 3))
    return context, min(HORIZON, longest - context)
