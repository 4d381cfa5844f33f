"""What is measured of coded footage before the dynamics learn it: where latents lie, and how much of them changes."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from worldsim.data.dataset import Columns
from worldsim.dynamics import Dynamics
from worldsim.train.glimpses import Latents, surprises


def latent_statistics(
    games: Sequence[Float[np.ndarray, "_ _ c"]], *, is_free: bool
) -> tuple[Float[np.ndarray, "m c"], float]:
    """Measure the mean of every place, or of all places together where tokenizers are of no one size, and a deviation.

    Of several games each counts the same.
    """
    mean = np.mean([x.mean((0, 1) if is_free else 0, keepdims=is_free) for x in games], 0)
    mean = mean.reshape(-1, mean.shape[-1])
    energies = [np.square(x - mean) for x in games]
    second, fourth = (float(np.mean([(e**power).mean() for e in energies])) for power in (1, 2))
    return mean, max(float(np.sqrt(fourth / max(3 * second, 1e-12))), 1e-3)


def channel_statistics(
    latents: Float[np.ndarray, "n m c"], columns: Columns
) -> tuple[Float[np.ndarray, " c"], Float[np.ndarray, " c"]]:
    """Measure the mean square of each channel of latents, and that of its change from a frame to the next."""
    inside = np.ones(len(latents) - 1, bool)
    inside[columns.bounds[1:-1] - 1] = False
    change = np.square(latents[1:][inside] - latents[:-1][inside]).mean((0, 1))
    return np.square(latents).mean((0, 1)), change


def set_statistics(modules: Sequence[Dynamics], latents: Sequence[Latents], data: Sequence[Columns]) -> None:
    """Measure the mean square of each channel, and of its change from a frame to the next; at least 0.001.

    For the first dynamics, of the footage of all games, each of which counts the same. Of what is old or new in
    sight those games tell whose cameras turn.
    """
    first = modules[0]
    told = [channel_statistics(x.train, columns) for x, columns in zip(latents, data, strict=True)]
    first.power[...], first.innovation[...] = (
        jnp.asarray(np.maximum(np.mean(x, 0), 1e-3), jnp.float32) for x in zip(*told, strict=True)
    )
    looked = [(x, d.config) for x, d in zip(latents, modules, strict=True) if d.config.camera is not None]
    if not looked:
        return
    change = [surprises(x.train, x.glimpses, config) for x, config in looked if x.glimpses]
    of_turning = [x for x, (_, config) in zip(change, looked, strict=True) if config.camera and config.camera.turns]
    fresh, others = jnp.stack(change).mean(0)[:1], jnp.stack(of_turning).mean(0)[1:]
    first.surprise[...] = jnp.concatenate([fresh, others])
