"""Foreign footage: does the world notice pictures that are not of its game?

It sees eight frames, takes a step and says how unsure it is of the next (`StepOutput.uncertainty`): once after frames
of its own game, once after frames of something else. AUROC is the chance that it is less sure of the latter; .5 = it
cannot tell, 0 = it is surer of what it never saw. Actions are unknown on both sides, so that only pictures can tell.

`auroc_foreign` is that number, and `foreign` says what the something else is: another game, where its frames are given
(they are brought to this world's size), or else the mean over three corruptions of the game's own frames:
`auroc_shuffled` (64 tiles in another order, the same in all frames of a clip), `auroc_inverted` (every colour turned
into its opposite) and `auroc_noise` (every value at random). The noise that the world draws is the same on all sides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from einops import rearrange
from jaxtyping import Float, PRNGKeyArray, UInt8
from PIL import Image

from worldsim import metrics
from worldsim.data.dataset import Columns
from worldsim.evaluate.dreams import CONTEXT, batches, draw_windows
from worldsim.simulator import Simulator

MAX_CONTEXTS = 64  # a side
TILES = 8  # along each side of a frame


def measure_foreign(
    sim: Simulator, columns: Columns, *, num_windows: int, seed: int, batch_size: int = 32, other: Columns | None = None
) -> dict[str, Any]:
    """Measure how well the world's uncertainty tells up to `num_windows` contexts, at most 64, from foreign ones.

    Args:
        sim: the world.
        columns: recorded frames of its game.
        num_windows: contexts a side at most.
        seed: chooses contexts, noise and corruptions.
        batch_size: contexts that run together.
        other: recorded frames of another game, of any size and controls; corruptions where there are none.

    Raises:
        ValueError: footage too short, or an uncertainty that is not a number.
    """
    count, key = min(num_windows, MAX_CONTEXTS), jax.random.key(seed)
    own = columns.obs[draw_windows(columns, CONTEXT, count, seed)]
    if other is not None:
        kind, foreign = "another game", {"auroc_foreign": _of_another_game(other, count, seed, sim.size)}
    else:
        rng = np.random.default_rng([seed, 13])
        kind = "corrupted frames of the same game"
        foreign = {f"auroc_{name}": corrupt(own, rng) for name, corrupt in CORRUPTIONS.items()}
    said = uncertainty_after(sim, own, key, batch_size)
    result: dict[str, Any] = {"foreign": kind, "num_own_contexts": len(own)}
    for name, obs in foreign.items():
        theirs = uncertainty_after(sim, obs, key, batch_size)
        result[name] = metrics.auroc(np.concatenate([said, theirs]), np.arange(len(said) + len(theirs)) >= len(said))
        result["num_foreign_contexts"] = len(theirs)
    return {"auroc_foreign": float(np.mean([result[name] for name in foreign])), **result}


def uncertainty_after(
    sim: Simulator, obs: UInt8[np.ndarray, "n t h w c"], key: PRNGKeyArray, batch_size: int
) -> Float[np.ndarray, " n"]:
    """What the world says of the frame that follows each context, with all actions unknown."""
    said = []
    for number, (ids, count) in enumerate(batches(np.arange(len(obs))[:, None], batch_size)):
        prompt = obs[ids[:, 0]]
        unknown = np.full((*prompt.shape[:2], sim.action_spec.size), np.nan, np.float32)
        state, _ = sim.reset(jax.random.fold_in(key, number), prompt=prompt, prompt_actions=unknown)
        _, out = sim.step(state, unknown[:, 0])
        said.append(np.asarray(out.uncertainty)[:count])
    return np.concatenate(said)


def shuffled(obs: UInt8[np.ndarray, "n t h w c"], rng: np.random.Generator) -> UInt8[np.ndarray, "n t h w c"]:
    """Put the tiles of each clip in another order, the same in all of its frames; what does not fill a tile stays."""
    height, width = (side // TILES for side in obs.shape[2:4])
    inner = np.s_[:, :, : TILES * height, : TILES * width]
    tiles = rearrange(obs[inner], "n t (i h) (j w) c -> n t (i j) h w c", i=TILES, j=TILES)
    order = rng.permuted(np.tile(np.arange(TILES**2), (len(obs), 1)), axis=1)
    tiles = np.take_along_axis(tiles, order[:, None, :, None, None, None], 2)
    result = obs.copy()
    result[inner] = rearrange(tiles, "n t (i j) h w c -> n t (i h) (j w) c", i=TILES)
    return result


def inverted(obs: UInt8[np.ndarray, "n t h w c"], rng: np.random.Generator) -> UInt8[np.ndarray, "n t h w c"]:
    """Turn light into dark and each colour into its opposite."""
    return 255 - obs


def noise(obs: UInt8[np.ndarray, "n t h w c"], rng: np.random.Generator) -> UInt8[np.ndarray, "n t h w c"]:
    """Draw every value of every pixel at random."""
    return rng.integers(256, size=obs.shape, dtype=np.uint8)


CORRUPTIONS: dict[str, Callable[..., np.ndarray]] = {"shuffled": shuffled, "inverted": inverted, "noise": noise}


def fit(obs: UInt8[np.ndarray, "n t h w c"], size: tuple[int, int]) -> UInt8[np.ndarray, "n t y x c"]:
    """Bring frames to another height and width, by the mean of what a new pixel covers."""
    height, width = size
    if obs.shape[2:4] == (height, width):
        return obs
    flat = obs.reshape(-1, *obs.shape[2:])
    frames = [np.asarray(Image.fromarray(x).resize((width, height), Image.Resampling.BOX)) for x in flat]
    return np.stack(frames).reshape(*obs.shape[:2], height, width, obs.shape[-1])


def _of_another_game(other: Columns, count: int, seed: int, size: tuple[int, int]) -> np.ndarray:
    longest = other.longest
    if longest < CONTEXT:
        raise ValueError(f"footage of another game wants an episode of {CONTEXT} frames, the longest has {longest}.")
    return fit(other.obs[draw_windows(other, CONTEXT, count, seed)], size)
