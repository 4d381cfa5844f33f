"""Foreign footage: does the world notice pictures that are not of its game?

The world gets eight frames, takes a step and reports how unsure it is of the next (`StepOutput.uncertainty`): once
after frames of its own game, once after frames of something else. AUROC is the chance that it is less sure of the
latter; .5 = no difference, 0 = it is surer of what it never saw. Actions are unknown on both sides, so that only the
pictures differ.

`auroc_foreign` is that number, and `foreign` names the something else: another game, where its frames are given
(they are brought to this world's size), or else the mean over three corruptions of the game's own frames:
`auroc_shuffled` (64 tiles in another order, the same in all frames of a clip), `auroc_inverted` (every colour turned
into its opposite) and `auroc_noise` (every value at random). The noise that the world draws is the same on all sides.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from einops import rearrange
from jaxtyping import Float, UInt8
from PIL import Image

from worldsim import metrics
from worldsim.data.dataset import Columns
from worldsim.evaluate.metric import Metric, Numbers
from worldsim.evaluate.trial import CONTEXT, Measurement, Trial, draw_windows
from worldsim.initial import InitialContext

MAX_CONTEXTS = 64  # a side
TILES = 8  # along each side of a frame
METRICS = (
    Metric("auroc_foreign", "higher", "foreign frames recognised, AUROC", chance=0.5, perfect=1.0, headline=19),
    Metric("auroc_*", "higher", chance=0.5, perfect=1.0),
)


def measure_foreign(trial: Trial) -> Numbers:
    """Measure how well the world's uncertainty separates its own contexts, at most 64, from foreign ones."""
    own, other = trial.held_out.obs[trial.windows(CONTEXT, MAX_CONTEXTS)], trial.reference.foreign
    if other is not None:
        kind, foreign = "another game", {"auroc_foreign": _of_another_game(other, trial)}
    else:
        rng = np.random.default_rng([trial.seed, 13])
        kind = "corrupted frames of the same game"
        foreign = {f"auroc_{name}": corrupt(own, rng) for name, corrupt in CORRUPTIONS.items()}
    on_own = uncertainty_after(trial, own)
    result: Numbers = {"foreign": kind, "num_own_contexts": len(own)}
    for name, obs in foreign.items():
        on_foreign = uncertainty_after(trial, obs)
        is_foreign = np.arange(len(on_own) + len(on_foreign)) >= len(on_own)
        result[name] = metrics.auroc(np.concatenate([on_own, on_foreign]), is_foreign)
        result["num_foreign_contexts"] = len(on_foreign)
    return {"auroc_foreign": float(np.mean([result[name] for name in foreign])), **result}


def uncertainty_after(trial: Trial, obs: UInt8[np.ndarray, "n t h w c"]) -> Float[np.ndarray, " n"]:
    """The reported uncertainty of the frame that follows each context, with all actions unknown."""
    sim, reported = trial.sim, []
    for ids, count, key in trial.batches(np.arange(len(obs))[:, None]):
        prompt = obs[ids[:, 0]]
        unknown = np.full((*prompt.shape[:2], sim.action_spec.size), np.nan, np.float32)
        state, _ = sim.reset(key, initial=InitialContext.frames(prompt, unknown))
        _, out = sim.step(state, unknown[:, 0])
        reported.append(np.asarray(out.uncertainty)[:count])
    return np.concatenate(reported)


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


def _of_another_game(other: Columns, trial: Trial) -> UInt8[np.ndarray, "n t h w c"]:
    if (longest := other.longest) < CONTEXT:
        raise ValueError(
            f"expected footage of another game with an episode of {CONTEXT} frames, the longest has {longest}."
        )
    count = min(trial.options.num_windows, MAX_CONTEXTS)
    return fit(other.obs[draw_windows(other, CONTEXT, count, trial.seed)], trial.sim.size)


MEASUREMENT = Measurement(section="uncertainty", metrics=METRICS, measure=measure_foreign)
