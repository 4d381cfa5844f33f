"""The two stages: frames into a tokenizer, then latents into dynamics and outcome; each judged on held-out footage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import UInt8

from worldsim.data.dataset import Columns, ShuffledIndex, Windows
from worldsim.dynamics import Dynamics, DynamicsConfig
from worldsim.generation import Model, Sampler, free_run, split_keys, watch
from worldsim.metrics import crps, psnr
from worldsim.nn.params import merge, split
from worldsim.outcome import Outcome, OutcomeConfig
from worldsim.pictures import strip
from worldsim.tokenizer import Tokenizer, TokenizerConfig, balanced_weight
from worldsim.train.glimpses import Glimpser, Latents
from worldsim.train.loop import Budget, Stage
from worldsim.train.presets import Preset
from worldsim.train.prompts import WindowPrompts
from worldsim.train.statistics import latent_statistics
from worldsim.train.steps import dynamics_loss, make_step, tokenizer_loss
from worldsim.types import ActionSpec, Batch, fold_keys, frame_to_obs, obs_to_frame

CONTEXT, HORIZON, NUM_CLIPS, MEMBERS = 8, 16, 32, 4
ENCODE_BATCH = 256
Show = Callable[[int, UInt8[np.ndarray, "y x c"]], None]


def new_tokenizer(size: tuple[int, int], preset: Preset, columns: Columns, seed: int) -> Tokenizer:
    """Make an untrained tokenizer that paints the footage's mean picture."""
    tokenizer = Tokenizer(TokenizerConfig(size=size, **preset.tokenizer), rngs=nnx.Rngs(seed))
    mean = _pixel_statistics(columns)[0]
    tokenizer.mean_picture[...] = jnp.asarray(mean.mean((0, 1), keepdims=True) if tokenizer.config.free else mean)
    return tokenizer


def new_dynamics(tokenizer: TokenizerConfig, spec: ActionSpec, preset: Preset, seed: int) -> tuple[Dynamics, Outcome]:
    """Make untrained dynamics and outcome for a tokenizer's latents and a game's actions."""
    config = dynamics_config(tokenizer, spec, preset)
    dynamics = Dynamics(config, rngs=nnx.Rngs(seed + 1))
    outcome = Outcome(OutcomeConfig(**preset.outcome), d_in=dynamics.hidden_dim, rngs=nnx.Rngs(seed + 2))
    return dynamics, outcome


def dynamics_config(tokenizer: TokenizerConfig, spec: ActionSpec, preset: Preset) -> DynamicsConfig:
    """Fit a preset's dynamics to latents and actions."""
    return DynamicsConfig(
        grid=tokenizer.grid,
        token_dim=tokenizer.token_dim,
        pack=tokenizer.pack,
        choice_sizes=tuple(len(c.labels) for c in spec.choices),
        num_buttons=len(spec.buttons),
        axis_bounds=tuple((x.low, x.high) for x in spec.axes),
        **preset.dynamics,
    )


def tokenizer_stage(
    graph: nnx.GraphDef, train: Columns, held: Columns, preset: Preset, budget: Budget, seed: int, show: Show
) -> Stage:
    """Learn to code and to paint single frames; judged on held-out frames by what `fidelity` says."""
    config = preset.tokenizer_stage
    statistics = _pixel_statistics(train)
    mean, variance = (jnp.asarray(x) for x in statistics)
    order = ShuffledIndex(len(train.obs), config.batch_size, seed)
    rows = np.linspace(0, len(held.obs) - 1, min(ENCODE_BATCH, len(held.obs))).astype(int)
    real = held.obs[rows]

    @jax.jit
    def reconstruct(params, obs):
        tokenizer = merge(graph, params)
        return frame_to_obs(tokenizer.decode(tokenizer.encode(obs_to_frame(obs))))

    def judge(params, step: int) -> tuple[float, str]:
        other = np.asarray(reconstruct(params, real))
        show(step, strip([real[None], other[None]]))
        return fidelity(real, other, statistics), f"reconstruction {psnr(real, other).mean():.1f} dB"

    return Stage(
        "tokenizer",
        config,
        budget,
        config.batch_size,
        make_step(tokenizer_loss(graph, mean, variance), ema=config.ema),
        lambda step: train.obs[order.at(step)],
        judge,
        num_evaluations=preset.num_evaluations,
    )


def encode_footage(tokenizer: Tokenizer, train: Columns, held: Columns, *, keep_statistics: bool = False) -> Latents:
    """Code all frames, and set the tokenizer's statistics: the mean of every place, the deviation of all latents.

    The statistics of a trained world are kept: its dynamics speak in their units.
    """
    graph, params = split(tokenizer)
    encode = jax.jit(lambda params, obs: merge(graph, params).encode(obs_to_frame(obs)))

    def run(obs: np.ndarray) -> np.ndarray:
        padded = np.concatenate([obs, np.repeat(obs[-1:], -len(obs) % ENCODE_BATCH, 0)])
        parts = [np.asarray(encode(params, x)) for x in np.split(padded, len(padded) // ENCODE_BATCH)]
        return np.concatenate(parts)[: len(obs)]

    if keep_statistics:
        return Latents(run(train.obs), run(held.obs))
    old_mean, old_std = np.asarray(tokenizer.latent_mean[...]), np.asarray(tokenizer.latent_std[...])
    latents = Latents(run(train.obs) * old_std + old_mean, run(held.obs) * old_std + old_mean)
    mean, std = latent_statistics([latents.train], is_free=tokenizer.config.free)
    tokenizer.latent_mean[...], tokenizer.latent_std[...] = jnp.asarray(mean), jnp.float32(std)
    return Latents((latents.train - mean) / std, (latents.held - mean) / std)


def dynamics_stage(
    graphs: tuple[nnx.GraphDef, nnx.GraphDef],
    tokenizer: Tokenizer,
    data: tuple[Columns, Columns],
    latents: Latents,
    preset: Preset,
    budget: Budget,
    seed: int,
    show: Show,
    *,
    prompts: WindowPrompts | None = None,
    judge_first: bool = False,
    glimpser: Glimpser | None = None,
) -> Stage:
    """Learn what comes next; judged by the fidelity of 16 free-running frames of held-out footage.

    `glimpser` dreams the glimpses of the training footage anew, `preset.dreams` times.
    """
    config = preset.dynamics_stage
    train, held = data
    windows = Windows(train, preset.frames)
    order = ShuffledIndex(len(windows), config.batch_size, seed)
    source, glimpses = on_device(latents.train), on_device(latents.glimpses)
    sampler = Sampler(num_denoise_steps=preset.num_denoise_steps or 4)
    judge = free_running_judge(graphs[0], tokenizer, data, latents, sampler, show)

    def renew(params: dict, which: int) -> None:
        nonlocal glimpses
        assert glimpser is not None
        glimpses = on_device(glimpser(params["dynamics"], which))

    def batch(step: int) -> Batch:
        ids = order.at(step)
        shown = windows.batch(ids, obs=source)
        if glimpses:
            shown = glimpses.batch(shown, windows.rows(ids)[0])
        return shown if prompts is None else shown._replace(prompt=prompts.at(step, windows, ids))

    return Stage(
        "dynamics",
        config,
        budget,
        config.batch_size * preset.frames,
        make_step(dynamics_loss(graphs, preset), ema=config.ema),
        batch,
        judge,
        bootstrap_from=preset.bootstrap_from,
        num_evaluations=preset.num_evaluations,
        judge_first=judge_first,
        renew=renew,
        num_renewals=0 if glimpser is None else preset.dreams,
    )


def fidelity(
    real: UInt8[np.ndarray, "*b h w c"], other: UInt8[np.ndarray, "*b h w c"], statistics: tuple[np.ndarray, np.ndarray]
) -> float:
    """PSNR in dB with the pixel weights of the tokenizer's loss, by which weights are chosen; the mean over frames.

    Plain PSNR cannot certify a ball: it preferred weights that painted Pong's ball faint by 0.5 dB. The mean is taken
    of the frames' decibels, at most 50, and not of their errors: a ball in the wrong place costs twice what a lost one
    costs, so the frames that are wrong anyway would choose weights that paint none.
    """
    seen, painted = obs_to_frame(real), obs_to_frame(other)
    weight = balanced_weight(seen, painted, statistics[0], statistics[1], weight=1.0)
    error = jnp.square(seen - painted).mean(-1, keepdims=True)
    frames = (weight * error).sum((-3, -2, -1)) / weight.sum((-3, -2, -1)) / 4
    return float(-10 * jnp.log10(jnp.maximum(frames, 1e-5)).mean())


def best_num_denoise_steps(
    graph: nnx.GraphDef, params: dict, tokenizer: Tokenizer, data: tuple[Columns, Columns], latents: Latents
) -> int:
    """Find the number of denoising steps, of 4, 2 and 1, with which a trained world foretells held-out footage best.

    The score is CRPS (`worldsim.metrics`) of MEMBERS dreams of each clip. PSNR would be a mistake here: the mean of all
    that could come scores best by it, so it chooses one step, under which whatever is uncertain fades away.
    """
    scores = {}
    for num_steps in (1, 2, 4):
        dream, future, _ = held_out_dreams(graph, tokenizer, data[1], latents, Sampler(num_denoise_steps=num_steps))
        members = np.stack([dream(params, seed)[0] for seed in range(MEMBERS)]).astype(np.float32)
        scores[num_steps] = float(crps(members, future.astype(np.float32)).mean())
    return min(scores, key=scores.__getitem__)


def free_running_judge(
    graph: nnx.GraphDef,
    tokenizer: Tokenizer,
    data: tuple[Columns, Columns],
    latents: Latents,
    sampler: Sampler,
    show: Show,
) -> Callable[[dict, int], tuple[float, str]]:
    """Compare dreamed frames of held-out footage with what came, and with the last frame."""
    statistics = _pixel_statistics(data[0])
    dream, future, last = held_out_dreams(graph, tokenizer, data[1], latents, sampler)
    copy = float(psnr(future, np.broadcast_to(last, future.shape)).mean())

    def judge(params, step: int) -> tuple[float, str]:
        dreamt, painted = dream(params, 0)
        show(step, strip([future, painted, dreamt], num_columns=min(8, future.shape[1])))
        note = f"free-running {psnr(future, dreamt).mean():.1f} dB, copy-last {copy:.1f}"
        return fidelity(future, dreamt, statistics), note

    return judge


def held_out_dreams(
    graph: nnx.GraphDef, tokenizer: Tokenizer, held: Columns, latents: Latents, sampler: Sampler
) -> tuple[Callable[[dict, int], tuple[np.ndarray, np.ndarray]], np.ndarray, np.ndarray]:
    """Dream 16 frames from 8 of each of 32 clips of held-out footage, and decode them.

    Returns:
        A function of parameters and a seed that gives the dreamed frames and the reconstructed ones, the frames that
        came `[b t h w c]`, and the last known frames `[b 1 h w c]`; all uint8.
    """
    context, horizon = _fitting(held)
    windows = Windows(held, context + horizon, min_real=context + horizon)
    ids = np.linspace(0, len(windows) - 1, min(NUM_CLIPS, len(windows))).astype(int)
    real, seen = windows.batch(ids), windows.batch(ids, obs=latents.held)
    token_graph, token_params = split(tokenizer)

    @jax.jit
    def run(params, token_params, keys):
        model = Model(merge(token_graph, token_params), merge(graph, params["dynamics"]))
        keys_past, keys_dream = split_keys(keys, 2)
        action = jnp.asarray(real.prev_action)
        cache = model.dynamics.empty_cache(len(ids))
        z, obs = jnp.asarray(seen.obs), jnp.asarray(real.obs[:, :context])
        cache, _ = watch(model, cache, z[:, :context], action[:, :context], keys_past, obs=obs)
        _, frames = free_run(model, cache, action[:, context:], keys_dream, sampler)
        return frames, frame_to_obs(model.tokenizer.decode(z[:, context:]))

    def dream(params: dict, seed: int) -> tuple[np.ndarray, np.ndarray]:
        dreamt, painted = run(params, token_params, fold_keys(jax.random.key(seed), len(ids)))
        return np.asarray(dreamt), np.asarray(painted)

    return dream, real.obs[:, context:], real.obs[:, context - 1 : context]


def _fitting(held: Columns) -> tuple[int, int]:
    """Shorten context and horizon where held-out episodes are shorter than both."""
    longest = held.longest
    if longest < 3:
        raise ValueError(f"held-out episodes want at least 3 frames, the longest has {longest}; record longer ones.")
    context = min(CONTEXT, max(1, longest // 3))
    return context, min(HORIZON, longest - context)


def _pixel_statistics(columns: Columns, limit: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """Mean picture and variance of each pixel, in frame units, from evenly spaced frames."""
    rows = np.linspace(0, len(columns.obs) - 1, min(limit, len(columns.obs))).astype(int)
    frames = columns.obs[rows].astype(np.float32) / 127.5 - 1
    return frames.mean(0), frames.var(0)


def on_device(arrays: Any, limit_bytes: int = 2**34) -> Any:
    """Keep arrays beside the accelerator where there is one and they fit."""
    size = sum(x.nbytes for x in jax.tree.leaves(arrays))
    return arrays if jax.default_backend() == "cpu" or size > limit_bytes else jax.tree.map(jnp.asarray, arrays)
