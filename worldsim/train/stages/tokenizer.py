"""The first stage: encode and paint single frames, and the statistics of the latents that come of it."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import PyTree

from worldsim.data.dataset import Columns, ShuffledIndex
from worldsim.metrics import psnr
from worldsim.model.tokenizer import Tokenizer, TokenizerConfig
from worldsim.nn.params import merge, split
from worldsim.train.evaluation import Show, fidelity, pixel_statistics
from worldsim.train.games import Game, Latents
from worldsim.train.loop import Budget, Stage
from worldsim.train.losses import tokenizer_loss
from worldsim.train.optimizer import is_kernel, make_step, muon
from worldsim.train.recipes import Recipe
from worldsim.train.statistics import latent_statistics
from worldsim.types import frame_to_obs, obs_to_frame
from worldsim.video import strip

ENCODE_BATCH = 256


def new_tokenizers(games: Sequence[Game], seed: int) -> list[Tokenizer]:
    """Return untrained tokenizers of the same weights, which paint the mean frame; one at the size of each game."""
    tokenizers = [_new_tokenizer(game.configs.tokenizer, game.data[0], seed) for game in games]
    mean = jnp.mean(jnp.stack([tokenizer.mean_picture[...] for tokenizer in tokenizers]), 0)
    for tokenizer in tokenizers:
        tokenizer.mean_picture[...] = mean
    return tokenizers


def tokenizer_stage(
    graph: nnx.GraphDef, data: tuple[Columns, Columns], recipe: Recipe, budget: Budget, seed: int, show: Show
) -> Stage:
    """Return the stage of a tokenizer; evaluated on held-out frames by `fidelity`."""
    config, (train, held) = recipe.tokenizer_stage, data
    statistics = pixel_statistics(train)
    mean, variance = (jnp.asarray(x) for x in statistics)
    order = ShuffledIndex(len(train.obs), config.batch_size, seed)
    rows = np.linspace(0, len(held.obs) - 1, min(ENCODE_BATCH, len(held.obs))).astype(int)
    real = held.obs[rows]

    @jax.jit
    def reconstruct(params, obs):
        tokenizer = merge(graph, params)
        return frame_to_obs(tokenizer.decode(tokenizer.encode(obs_to_frame(obs))))

    def evaluate(params: PyTree, step: int) -> tuple[float, str]:
        painted = np.asarray(reconstruct(params, real))
        show(step, strip([real[None], painted[None]]))
        return fidelity(real, painted, statistics), f"reconstruction {psnr(real, painted).mean():.1f} dB"

    return Stage(
        "tokenizer",
        config,
        budget,
        config.batch_size,
        make_step(tokenizer_loss(graph, mean, variance), muon(), ema=config.ema, decay=is_kernel),
        lambda step: train.obs[order.at(step)],
        evaluate,
        num_evaluations=recipe.num_evaluations,
    )


def encode_games(
    tokenizers: Sequence[Tokenizer], data: Sequence[tuple[Columns, Columns]], *, set_statistics: bool
) -> list[Latents]:
    """Encode the footage of all games, as float32 latents.

    `set_statistics` normalises them and makes the tokenizers do so: by the mean of every place and the deviation of all
    latents. The statistics of a trained world are kept: its dynamics are in their units.
    """
    latents = [encode_footage(tokenizer, columns) for tokenizer, columns in zip(tokenizers, data, strict=True)]
    if not set_statistics:
        return latents
    mean, std = latent_statistics([x.train for x in latents], size_agnostic=tokenizers[0].config.size_agnostic)
    for tokenizer in tokenizers:
        tokenizer.latent_mean[...], tokenizer.latent_std[...] = jnp.asarray(mean), jnp.float32(std)
    return [Latents((x.train - mean) / std, (x.held - mean) / std) for x in latents]


def encode_footage(tokenizer: Tokenizer, data: tuple[Columns, Columns]) -> Latents:
    """Encode all frames by a tokenizer as it is."""
    graph, params = split(tokenizer)
    encode = jax.jit(lambda params, obs: merge(graph, params).encode(obs_to_frame(obs)))

    def run(obs: np.ndarray) -> np.ndarray:
        padded = np.concatenate([obs, np.repeat(obs[-1:], -len(obs) % ENCODE_BATCH, 0)])
        parts = [np.asarray(encode(params, x)) for x in np.split(padded, len(padded) // ENCODE_BATCH)]
        return np.concatenate(parts)[: len(obs)]

    return Latents(*(run(columns.obs) for columns in data))


def _new_tokenizer(config: TokenizerConfig, columns: Columns, seed: int) -> Tokenizer:
    tokenizer = Tokenizer(config, rngs=nnx.Rngs(seed))
    mean = pixel_statistics(columns)[0]
    tokenizer.mean_picture[...] = jnp.asarray(mean.mean((0, 1), keepdims=True) if config.size_agnostic else mean)
    return tokenizer
