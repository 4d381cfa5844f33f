"""Outcome: does the world know when there is a reward, and when it is over?

The world sees recorded frames and says after each what came with it. `reward_ap` is the average precision with which
the size of the foretold reward ranks the frames with a reward (of either sign), `termination_ap` that of the
probability of the end. A constant answer scores the base rate, which stands beside it.

Ranks say nothing of size, so calibration is measured too, on the same frames:

- `termination_brier`: mean of (p - e)^2, with e = 1 where it ended, and `termination_brier_skill` = 1 - that over the
  same of always saying the base rate: 1 = certain and right, 0 = knows only how often, below 0 = misleads (Brier,
  "Verification of forecasts expressed in terms of probability", 1950).
- `termination_calibration_error`: frames in BINS groups of equal size by p; mean over groups of
  |mean p - share that ended|, 0..1 (Naeini et al. 2015, with equal counts).
- `reward_bias`: mean foretold reward minus the mean real one, a frame; `reward_mean` is the latter.
- `reward_absolute_error`, and `.._of_mean`: that of always saying the mean.

What a whole dream pays is asked by `worldsim.evaluate.returns`.

Stretches of an episode overlap by the context, so that a frame is judged once and with at least that many before it.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float

from worldsim import metrics
from worldsim.data.dataset import Columns
from worldsim.evaluate.dreams import CONTEXT, batches
from worldsim.simulator import Simulator

LENGTH = 64
BINS = 10


def measure_outcome(
    sim: Simulator, columns: Columns, *, num_windows: int, seed: int, batch_size: int = 32
) -> dict[str, Any]:
    """Measure reward and termination on up to `num_windows` stretches; None, with a reason, where neither occurs."""
    starts, stops = _stretches(columns.bounds)
    pick = np.random.default_rng([seed, 11]).permutation(len(starts))[:num_windows]
    rows = np.minimum(starts[pick, None] + np.arange(LENGTH), stops[pick, None] - 1)
    fresh = np.diff(rows, axis=1, prepend=-1) > 0  # not the filling at the end of an episode
    first = np.isin(
        starts[pick], columns.bounds[:-1]
    )  # frames at an episode's start have no longer context to wait for
    fresh &= np.arange(LENGTH) >= np.where(first, 1, CONTEXT)[:, None]
    rewards, ends = [], []
    for number, (ids, count) in enumerate(batches(rows, batch_size)):
        key = jax.random.fold_in(jax.random.key(seed), number)
        reward, end = sim.teacher_forced_outcome(columns.obs[ids], columns.prev_action[ids], key)
        rewards.append(np.asarray(reward, np.float64)[:count])
        ends.append(np.asarray(end)[:count])
    judged = rows[fresh]
    foretold, end = np.concatenate(rewards)[fresh], np.concatenate(ends)[fresh].astype(np.float64)
    if not (np.isfinite(foretold).all() and np.isfinite(end).all()):
        raise ValueError("the world gave NaN or infinity as reward or termination of recorded frames.")
    real, ended = columns.reward[judged].astype(np.float64), columns.terminated[judged]
    return {
        **_ranked("reward", np.abs(foretold), real != 0),
        **_reward_calibration(foretold, real),
        **_ranked("termination", end, ended),
        **_termination_calibration(end, ended),
        "num_frames": len(judged),
    }


def _reward_calibration(foretold: Float[np.ndarray, " n"], real: Float[np.ndarray, " n"]) -> dict[str, float]:
    return {
        "reward_mean": float(real.mean()),
        "reward_bias": float((foretold - real).mean()),
        "reward_absolute_error": float(np.abs(foretold - real).mean()),
        "reward_absolute_error_of_mean": float(np.abs(real.mean() - real).mean()),
    }


def _termination_calibration(said: Float[np.ndarray, " n"], ended: Bool[np.ndarray, " n"]) -> dict[str, Any]:
    base = float(ended.mean())
    brier, of_base = float(np.square(said - ended).mean()), base * (1 - base)
    groups = np.array_split(np.argsort(said, kind="stable"), min(BINS, len(said)))
    errors = [abs(said[g].mean() - ended[g].mean()) * len(g) for g in groups]
    return {
        "termination_brier": brier,
        "termination_brier_skill": 1 - brier / of_base if of_base > 0 else None,
        "termination_calibration_error": float(sum(errors) / len(said)),
    }


def _stretches(bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First rows of all stretches, and one past the last row of the episode of each."""
    starts, stops = [], []
    for begin, stop in zip(bounds[:-1], bounds[1:]):
        own = np.arange(begin, max(stop - CONTEXT, begin + 1), LENGTH - CONTEXT)
        starts.append(own)
        stops.append(np.full(len(own), stop))
    return np.concatenate(starts), np.concatenate(stops)


def _ranked(name: str, score: np.ndarray, positive: np.ndarray) -> dict[str, Any]:
    count = int(positive.sum())
    result: dict[str, Any] = {
        f"{name}_ap": metrics.average_precision(score, positive),
        f"{name}_positives": count,
        f"{name}_base_rate": float(positive.mean()) if len(positive) else 0.0,
    }
    if not count:
        result[f"{name}_reason"] = f"no {name} in the {len(positive)} held-out frames that were judged"
    return result
