"""Uncertainty: are the dreams of a world as uncertain as their errors require?

From one context and the recorded actions the world dreams MEMBERS futures of HORIZON frames, each with its own noise,
and they are held against the frame that was recorded (the scores are defined below; pixels are in [0, 1]). A world may
be unsure in two ways: its dreams differ from each other, and it reports it (`StepOutput.uncertainty`).

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

Rank correlations (Spearman) over recorded frames; a constant uncertainty scores 0.
- `spearman_spread`: spread of the dreams with the error of their mean.
- `spearman_uncertainty`: what the world reports, mean over the dreams, with their root-mean-square error.
- `.._same_step`: the mean over steps of the correlation at one and the same step; without the easy part, that errors
  grow with time. `.._1`: at the first step, before errors of earlier frames come in.

`worldsim.evaluate.metrics.foreign` measures whether the world notices frames that are not of its game.

Members x_1 .. x_M are draws of what could come, y is what came; every value (a channel of a pixel) stands by itself.

CRPS, the score of both at once, is in `worldsim.metrics`.

Coverage. If the ensemble is right, y is like one more member, so its rank among M + 1 values is uniform. Pixels tie
often, and a value that ties could have any rank of the tie: rank / (M + 1) is spread evenly over [below / (M + 1),
(below + equal + 1) / (M + 1)] (Czado, Gneiting and Held, "Predictive model assessment for count data", 2009). Coverage
is the fraction of this stretch inside the central interval [(1 - p) / 2, (1 + p) / 2]: in the mean exactly p for a
right ensemble of any kind, also for one that is certain and right; 0 where y lies outside all members. The latter
requires the outermost ranks to lie outside the interval, M + 1 >= 2 / (1 - p): 19 members for 90 %.

Spread-skill ratio = sqrt((M + 1) / M mean s^2) / sqrt(mean (y - mean x)^2), with s^2 the unbiased variance of the
members: 1 = calibrated, below = over-confident (Fortin et al., "Why should ensemble spread match the RMSE of the
ensemble mean?", 2014). It compares second moments only: a fair coin for a biased one passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64, Shaped, UInt8

from worldsim import metrics
from worldsim.evaluate.fitted.motion import differs
from worldsim.evaluate.metric import Metric, Numbers
from worldsim.evaluate.trial import CONTEXT, Measurement, Trial

HORIZON = 16
MEMBERS = 19  # the fewest of which a 90 % interval can be read
LEVELS = (50, 80, 90)
MAX_WINDOWS = 32  # of 19 dreams each
_NOTHING = 1e-9  # a ratio of nothing to nothing is 1
MIN_WINDOWS = 8  # for a correlation at one step
METRICS = (
    Metric("crps_skill", "higher", "CRPS skill, 19 dreams", chance=0.0, perfect=1.0, headline=12),
    Metric("crps*", "lower", perfect=0.0),
    Metric("coverage_90", label="fraction that 90 % intervals hold", chance=0.0, perfect=0.9, headline=15),
    Metric(
        "spearman_uncertainty_1",
        "higher",
        "reported uncertainty with the error of the next frame, Spearman",
        chance=0.0,
        perfect=1.0,
        headline=18,
    ),
    Metric("spearman_*", "higher", chance=0.0, perfect=1.0),
)


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
    uncertainty: np.ndarray  # as the world reports, mean over the dreams


def measure_uncertainty(trial: Trial) -> Numbers:
    """Measure calibration on up to 32 windows, as each is dreamed 19 times.

    Returns:
        Numbers as the module docstring names them, None with a reason where they cannot be measured; under "curves"
        one value a frame.

    Raises:
        ValueError: footage too short, or an uncertainty that is not a number.
    """
    rows = trial.windows(CONTEXT + HORIZON, MAX_WINDOWS)
    parts = [
        score_window(trial.held_out.obs[ids], *e) for ids, e in zip(rows, dream_ensembles(trial, rows), strict=True)
    ]
    scores = Scores(*(np.stack(part) for part in zip(*parts, strict=True)))
    return {**_dream_numbers(scores), **_correlations(scores), "num_windows": len(rows), "num_members": MEMBERS}


def dream_ensembles(
    trial: Trial, rows: Int64[np.ndarray, "n t"]
) -> Iterator[tuple[UInt8[np.ndarray, "m horizon h w c"], Float[np.ndarray, "m horizon"]]]:
    """Dream every window MEMBERS times under the recorded actions; give its frames and the reported uncertainties."""
    frames: list[np.ndarray] = []
    reported: list[np.ndarray] = []
    for ids, count, key in trial.batches(np.repeat(rows, MEMBERS, 0)):
        out = trial.rollout(ids, key)
        frames.extend(np.asarray(out.obs)[:count])
        reported.extend(np.asarray(out.uncertainty)[:count])
        while len(frames) >= MEMBERS:
            yield np.stack(frames[:MEMBERS]), np.stack(reported[:MEMBERS])
            del frames[:MEMBERS], reported[:MEMBERS]


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


def coverage(
    members: Shaped[np.ndarray, "m ..."], truth: Shaped[np.ndarray, "..."], level: float
) -> Float[np.ndarray, "..."]:
    """Fraction 0..1 in which the central interval that should hold `level` of all cases holds each value.

    Raises:
        ValueError: too few members for the level.
    """
    tail = (1 - level) / 2
    places, least = len(members) + 1, int(np.ceil(1 / tail - 1e-9)) - 1
    if len(members) < least:
        raise ValueError(f"expected at least {least} members, got {len(members)}.")
    below, equal = (compare(members, truth).sum(0) for compare in (np.less, np.equal))
    edge = round(tail * places, 9)
    inside = np.minimum(below + equal + 1, places - edge) - np.maximum(below, edge)
    return np.asarray(np.clip(inside / (equal + 1), 0, 1))


def spread_skill(variance: float, squared_error: float, num_members: int) -> float:
    """Ratio of spread to skill, from the mean unbiased variance and the mean squared error of the ensemble mean."""
    spread = np.sqrt((num_members + 1) / num_members * variance)
    return float((spread + _NOTHING) / (np.sqrt(squared_error) + _NOTHING))


def _dream_numbers(scores: Scores) -> Numbers:
    """CRPS, coverage and spread-skill over all windows and frames, and their curves."""
    total, still = float(scores.crps.mean()), float(scores.crps_copy_last.mean())
    result: Numbers = {"crps": total, "crps_copy_last": still, "crps_skill": None}
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


def _correlations(scores: Scores) -> Numbers:
    """Rank correlations of spread and of the reported uncertainty with the errors that they predict."""
    pairs = {"spread": (scores.spread, scores.mean_error), "uncertainty": (scores.uncertainty, scores.dream_error)}
    result: Numbers = {"uncertainty_mean": float(scores.uncertainty.mean())}
    for name, (reported, error) in pairs.items():
        steps = [_correlation(*pair) for pair in zip(reported.T, error.T)] if len(reported) >= MIN_WINDOWS else [None]
        known = [step for step in steps if step is not None]
        result[f"spearman_{name}"] = _correlation(reported.ravel(), error.ravel())
        result[f"spearman_{name}_same_step"] = float(np.mean(known)) if known else None
        result[f"spearman_{name}_1"] = steps[0]
    if len(scores.crps) < MIN_WINDOWS:
        result["spearman_reason"] = f"a correlation at one step needs {MIN_WINDOWS} windows, got {len(scores.crps)}"
    elif np.ptp(scores.dream_error) == 0:
        result["spearman_reason"] = f"the error of every frame is {scores.dream_error.flat[0]:g}: nothing to predict"
    if np.ptp(scores.uncertainty) == 0:
        result["uncertainty_reason"] = f"the world reports {scores.uncertainty.flat[0]:g} of every frame"
    return result


def _correlation(reported: Float[np.ndarray, " n"], error: Float[np.ndarray, " n"]) -> float | None:
    """Rank correlation; 0 where the uncertainty is always the same, None where the error is."""
    if np.ptp(error) == 0:
        return None
    found = metrics.spearman(reported, error)
    return 0.0 if found is None else found


def _unit(obs: np.ndarray) -> np.ndarray:
    return obs.astype(np.float32) / 255


MEASUREMENT = Measurement(section="uncertainty", metrics=METRICS, measure=measure_uncertainty)
