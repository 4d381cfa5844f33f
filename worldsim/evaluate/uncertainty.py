"""Uncertainty: does the world know what it does not know?

From one context and the recorded actions the world dreams MEMBERS futures of HORIZON frames, each with its own noise,
and they are held against the frame that was recorded (`worldsim.evaluate.ensemble` defines the scores; pixels are in
[0, 1]). A world may be unsure in two ways: its dreams part from each other, and it says so (`StepOutput.uncertainty`).

The dreams.
- `crps`: over all pixels; `crps_copy_last` is that of a film that repeats the last context frame, and `crps_skill` =
  1 - crps / crps_copy_last: 1 = every dream is what came, 0 = no better than a still picture.
- `crps_changed`, `crps_changed_copy_last`: where the recorded frame differs from the last context frame (as in
  `control`). Easier to read, since standing pixels dilute the other; but it looks only where something happened, so it
  favours a world that expects too much (Lerch et al., "Forecaster's dilemma", 2017). Rank worlds by `crps`.
- `coverage_50`, `_80`, `_90`: how often the central interval of the dreams holds what came; calibrated = .5, .8, .9.
  What is certain and right counts as covered, so that much of it hides a small thing of which a world is too sure.
- `spread_skill`: 1 = calibrated, 0 = always certain. It hides nothing of that kind, as errors are squared. Both are
  taken where the recorded frame or any dream differs from the last context frame: chosen by what was recorded alone, a
  right ensemble would look wrong. What the tokenizer cannot paint counts as error, and a sampler with a noise scale
  below 1 has too little spread by its own choice.

Rank correlations (Spearman) over recorded frames; constant doubt tells nothing and scores 0.
- `spearman_spread`: spread of the dreams with the error of their mean.
- `spearman_uncertainty`: what the world says, mean over the dreams, with their root-mean-square error.
- `.._same_step`: the mean over steps of the correlation at one and the same step; without the easy part, that errors
  grow with time. `.._1`: at the first step, before errors of earlier frames come in.

Foreign footage: `worldsim.evaluate.foreign` asks whether the world notices what is not of its game.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int64, PRNGKeyArray, UInt8

from worldsim import metrics
from worldsim.data.dataset import Columns
from worldsim.evaluate.dreams import CONTEXT, batches, draw_windows, dream_on
from worldsim.evaluate.ensemble import coverage, spread_skill
from worldsim.evaluate.foreign import measure_foreign
from worldsim.evaluate.motion import differs
from worldsim.simulator import Simulator

HORIZON = 16
MEMBERS = 19  # the fewest of which a 90 % interval can be read
LEVELS = (50, 80, 90)
MAX_WINDOWS = 32  # of 19 dreams each
MIN_WINDOWS = 8  # for a correlation at one step


class Scores(NamedTuple):
    """Dreams of one window against the recording; one entry a frame, of several windows `[n t]`."""

    crps: np.ndarray  # mean over pixels
    crps_copy_last: np.ndarray
    crps_changed: np.ndarray  # sum over the pixels that changed in the recording
    crps_changed_copy_last: np.ndarray
    num_changed: np.ndarray
    covered: np.ndarray  # [t levels], sum over the pixels that changed in the recording or in a dream
    variance: np.ndarray  # sum over the same pixels
    squared_error: np.ndarray  # of the mean of the dreams, sum over the same pixels
    num_moved: np.ndarray
    spread: np.ndarray  # root mean square over all pixels
    mean_error: np.ndarray  # of the mean of the dreams, root mean square over all pixels
    dream_error: np.ndarray  # of the dreams, root mean square over all pixels
    uncertainty: np.ndarray  # as the world says, mean over the dreams


def measure_uncertainty(
    sim: Simulator, columns: Columns, *, num_windows: int, seed: int, batch_size: int = 32, other: Columns | None = None
) -> dict[str, Any]:
    """Measure calibration on up to `num_windows` windows, and never more than 32, as each is dreamed 19 times.

    Args:
        sim: the world.
        columns: recorded frames of its game.
        num_windows: windows at most; for foreign footage up to 64 contexts a side.
        seed: chooses windows and noise.
        batch_size: dreams that run together.
        other: recorded frames of another game, of any size and controls.

    Returns:
        Numbers as the module docstring names them, None with a reason where they cannot be measured; under "curves"
        one value a frame.

    Raises:
        ValueError: footage too short, or an uncertainty that is not a number.
    """
    rows = draw_windows(columns, CONTEXT + HORIZON, min(num_windows, MAX_WINDOWS), seed)
    ensembles = dream_ensembles(sim, columns, rows, jax.random.key(seed), batch_size)
    parts = [score_window(columns.obs[ids], *ensemble) for ids, ensemble in zip(rows, ensembles, strict=True)]
    scores = Scores(*(np.stack(part) for part in zip(*parts, strict=True)))
    return {
        **_dream_numbers(scores),
        **_correlations(scores),
        **measure_foreign(sim, columns, num_windows=num_windows, seed=seed, batch_size=batch_size, other=other),
        "num_windows": len(rows),
        "num_members": MEMBERS,
    }


def dream_ensembles(
    sim: Simulator, columns: Columns, rows: Int64[np.ndarray, "n t"], key: PRNGKeyArray, batch_size: int
) -> Iterator[tuple[UInt8[np.ndarray, "m horizon h w c"], Float[np.ndarray, "m horizon"]]]:
    """Dream every window MEMBERS times under the recorded actions; give its frames and what the world says of each."""
    frames: list[np.ndarray] = []
    said: list[np.ndarray] = []
    for number, (ids, count) in enumerate(batches(np.repeat(rows, MEMBERS, 0), batch_size)):
        obs, actions = columns.obs[ids[:, :CONTEXT]], columns.prev_action[ids]
        state, _ = sim.reset(jax.random.fold_in(key, number), prompt=obs, prompt_actions=actions[:, :CONTEXT])
        _, out = dream_on(sim, state, actions[:, CONTEXT:])
        frames.extend(np.asarray(out.obs)[:count])
        said.extend(np.asarray(out.uncertainty)[:count])
        while len(frames) >= MEMBERS:
            yield np.stack(frames[:MEMBERS]), np.stack(said[:MEMBERS])
            del frames[:MEMBERS], said[:MEMBERS]


def score_window(
    real: UInt8[np.ndarray, "t h w c"],
    dreams: UInt8[np.ndarray, "m horizon h w c"],
    uncertainty: Float[np.ndarray, "m horizon"],
) -> Scores:
    """Hold the dreams of one window against its recorded frames."""
    last, target = real[CONTEXT - 1], real[CONTEXT : CONTEXT + dreams.shape[1]]
    changed = differs(target, last)
    moved = changed | differs(dreams, last).any(0)
    y, x = _unit(target), _unit(dreams)
    score, still = metrics.crps(x, y).mean(-1), np.abs(y - _unit(last)).mean(-1)
    error, apart = x - y, x - x[0]  # exactly nothing where dreams are right, or the same: means of equals are rounded
    variance, squared = apart.var(0, ddof=1).mean(-1), np.square(error.mean(0)).mean(-1)
    covered = [(coverage(dreams, target, level / 100).mean(-1) * moved).sum((1, 2)) for level in LEVELS]
    return Scores(
        crps=score.mean((1, 2)),
        crps_copy_last=still.mean((1, 2)),
        crps_changed=(score * changed).sum((1, 2)),
        crps_changed_copy_last=(still * changed).sum((1, 2)),
        num_changed=changed.sum((1, 2)),
        covered=np.stack(covered, -1),
        variance=(variance * moved).sum((1, 2)),
        squared_error=(squared * moved).sum((1, 2)),
        num_moved=moved.sum((1, 2)),
        spread=np.sqrt(variance.mean((1, 2))),
        mean_error=np.sqrt(squared.mean((1, 2))),
        dream_error=np.sqrt(np.square(error).mean((0, 2, 3, 4))),
        uncertainty=uncertainty.mean(0),
    )


def _dream_numbers(scores: Scores) -> dict[str, Any]:
    """CRPS, coverage and spread-skill over all windows and frames, and their curves."""
    total, still = float(scores.crps.mean()), float(scores.crps_copy_last.mean())
    result: dict[str, Any] = {"crps": total, "crps_copy_last": still, "crps_skill": None}
    if still > 0:
        result["crps_skill"] = 1 - total / still
    names = ["crps_changed", "crps_changed_copy_last"]
    changed, moved = int(scores.num_changed.sum()), int(scores.num_moved.sum())
    result |= {name: float(getattr(scores, name).sum() / changed) if changed else None for name in names}
    if not changed:
        result["changed_reason"] = "nothing changes in the recorded windows"
    covered = scores.covered.sum((0, 1))
    result |= {f"coverage_{level}": float(c / moved) if moved else None for level, c in zip(LEVELS, covered)}
    result["spread_skill"] = None
    if moved:
        variance, error = (float(x.sum() / moved) for x in (scores.variance, scores.squared_error))
        result["spread_skill"] = spread_skill(variance, error, MEMBERS)
    else:
        result["moved_reason"] = "nothing changes in the recorded windows, nor in the dreams"
    curves = {name: getattr(scores, name) for name in ("crps", "crps_copy_last", "spread", "mean_error", "uncertainty")}
    return result | {"curves": {name: [float(x) for x in curve.mean(0)] for name, curve in curves.items()}}


def _correlations(scores: Scores) -> dict[str, Any]:
    """Rank correlations of spread and of the reported uncertainty with the errors that they foretell."""
    pairs = {"spread": (scores.spread, scores.mean_error), "uncertainty": (scores.uncertainty, scores.dream_error)}
    result: dict[str, Any] = {"uncertainty_mean": float(scores.uncertainty.mean())}
    for name, (doubt, error) in pairs.items():
        steps = [_correlation(*pair) for pair in zip(doubt.T, error.T)] if len(doubt) >= MIN_WINDOWS else [None]
        known = [step for step in steps if step is not None]
        result[f"spearman_{name}"] = _correlation(doubt.ravel(), error.ravel())
        result[f"spearman_{name}_same_step"] = float(np.mean(known)) if known else None
        result[f"spearman_{name}_1"] = steps[0]
    if len(scores.crps) < MIN_WINDOWS:
        result["spearman_reason"] = f"a correlation at one step wants {MIN_WINDOWS} windows, got {len(scores.crps)}"
    elif np.ptp(scores.dream_error) == 0:
        result["spearman_reason"] = f"the error of every frame is {scores.dream_error.flat[0]:g}: nothing to foretell"
    if np.ptp(scores.uncertainty) == 0:
        result["uncertainty_reason"] = f"the world says {scores.uncertainty.flat[0]:g} of every frame"
    return result


def _correlation(doubt: Float[np.ndarray, " n"], error: Float[np.ndarray, " n"]) -> float | None:
    """Rank correlation; 0 where the doubt is always the same, None where the error is."""
    if np.ptp(error) == 0:
        return None
    found = metrics.spearman(doubt, error)
    return 0.0 if found is None else found


def _unit(obs: np.ndarray) -> np.ndarray:
    return obs.astype(np.float32) / 255
