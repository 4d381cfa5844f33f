"""Outcome: does the world predict when there is a reward, and when it is over?

The world gets recorded frames and predicts after each what came with it. `reward_ap` is the average precision with
which the size of the predicted reward ranks the frames with a reward (of either sign), `termination_ap` that of the
probability of the end. A constant answer scores the base rate, which stands beside it.

Ranks do not show size, so calibration is measured too, on the same frames:

- `termination_brier`: mean of (p - e)^2, with e = 1 where it ended, and `termination_brier_skill` = 1 - that over the
  same of always saying the base rate: 1 = certain and right, 0 = as good as the base rate, below 0 = misleads (Brier,
  "Verification of forecasts expressed in terms of probability", 1950).
- `termination_calibration_error`: frames in BINS groups of equal size by p; mean over groups of
  |mean p - fraction that ended|, 0..1 (Naeini et al. 2015, with equal counts).
- `reward_bias`: mean predicted reward minus the mean real one, a frame; `reward_mean` is the latter.
- `reward_absolute_error`, and `.._of_mean`: that of always saying the mean.

`worldsim.evaluate.metrics.returns` measures what a whole dream pays.

Stretches of an episode overlap by the context, so that a frame is measured once and with at least that many before it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from worldsim import metrics
from worldsim.evaluate.metric import Metric, Numbers
from worldsim.evaluate.trial import CONTEXT, Measurement, Trial, always

LENGTH = 64
BINS = 10
REWARD_AP = Metric(
    "reward_ap", "higher", "reward, average precision", chance="reward_base_rate", perfect=1.0, headline=11
)
TERMINATION_AP = Metric(
    "termination_ap", "higher", "termination, average precision", chance="termination_base_rate", perfect=1.0
)
METRICS = (
    REWARD_AP,
    TERMINATION_AP,
    Metric("termination_brier_skill", "higher", "termination, Brier skill", chance=0.0, perfect=1.0),
    Metric("termination_brier", "lower", perfect=0.0),
    Metric("termination_calibration_error", "lower", perfect=0.0),
    Metric("reward_absolute_error*", "lower", perfect=0.0),
)


def measure_outcome(trial: Trial) -> Numbers:
    """Measure reward and termination on up to `num_windows` stretches; None, with a reason, where neither occurs."""
    columns = trial.held_out
    starts, stops = _stretches(columns.bounds)
    pick = np.random.default_rng([trial.seed, 11]).permutation(len(starts))[: trial.options.num_windows]
    rows = np.minimum(starts[pick, None] + np.arange(LENGTH), stops[pick, None] - 1)
    fresh = np.diff(rows, axis=1, prepend=-1) > 0  # not the filling at the end of an episode
    first = np.isin(starts[pick], columns.bounds[:-1])  # an episode's first frames have no longer context to wait for
    fresh &= np.arange(LENGTH) >= np.where(first, 1, CONTEXT)[:, None]
    rewards, ends = [], []
    for ids, count, key in trial.batches(rows):
        reward, end = trial.sim.teacher_forced_outcome(columns.obs[ids], columns.prev_action[ids], key)
        rewards.append(np.asarray(reward, np.float64)[:count])
        ends.append(np.asarray(end)[:count])
    measured = rows[fresh]
    predicted, end = np.concatenate(rewards)[fresh], np.concatenate(ends)[fresh].astype(np.float64)
    if not (np.isfinite(predicted).all() and np.isfinite(end).all()):
        raise ValueError("the world gave NaN or infinity as reward or termination of recorded frames.")
    real, ended = columns.reward[measured].astype(np.float64), columns.terminated[measured]
    return {
        **ranked("reward", np.abs(predicted), real != 0),
        "reward_mean": float(real.mean()),
        "reward_bias": float((predicted - real).mean()),
        "reward_absolute_error": float(np.abs(predicted - real).mean()),
        "reward_absolute_error_of_mean": float(np.abs(real.mean() - real).mean()),
        **ranked("termination", end, ended),
        **_termination_calibration(end, ended),
        "num_frames": len(measured),
    }


def _termination_calibration(predicted: Float[np.ndarray, " n"], ended: Bool[np.ndarray, " n"]) -> Numbers:
    base = float(ended.mean())
    brier, of_base = float(np.square(predicted - ended).mean()), base * (1 - base)
    groups = np.array_split(np.argsort(predicted, kind="stable"), min(BINS, len(predicted)))
    errors = [abs(predicted[g].mean() - ended[g].mean()) * len(g) for g in groups]
    return {
        "termination_brier": brier,
        "termination_brier_skill": 1 - brier / of_base if of_base > 0 else None,
        "termination_calibration_error": float(sum(errors) / len(predicted)),
    }


def _stretches(bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First rows of all stretches, and one past the last row of the episode of each."""
    starts, stops = [], []
    for begin, stop in zip(bounds[:-1], bounds[1:]):
        own = np.arange(begin, max(stop - CONTEXT, begin + 1), LENGTH - CONTEXT)
        starts.append(own)
        stops.append(np.full(len(own), stop))
    return np.concatenate(starts), np.concatenate(stops)


def ranked(name: str, score: np.ndarray, positive: np.ndarray) -> Numbers:
    """How well a score ranks the frames of a kind, how many these are, and their fraction."""
    count = int(positive.sum())
    result: Numbers = {
        f"{name}_ap": metrics.average_precision(score, positive),
        f"{name}_positives": count,
        f"{name}_base_rate": float(positive.mean()) if len(positive) else 0.0,
    }
    if not count:
        result[f"{name}_reason"] = f"no {name} in the {len(positive)} held-out frames that were measured"
    return result


MEASUREMENT = Measurement(section="outcome", metrics=METRICS, measure=measure_outcome, applies=always)
