"""Outcome: does the world know when there is a reward, and when it is over?

The world sees recorded frames and says after each what came with it. `reward_ap` is the average precision with which
the size of the foretold reward ranks the frames with a reward (of either sign), `termination_ap` that of the
probability of the end. A constant answer scores the base rate, which stands beside it.

Stretches of an episode overlap by the context, so that a frame is judged once and with at least that many before it.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from worldsim import metrics
from worldsim.data.dataset import Columns
from worldsim.evaluate.dreams import CONTEXT, batches
from worldsim.simulator import Simulator

LENGTH = 64


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
        rewards.append(np.abs(np.asarray(reward))[:count])
        ends.append(np.asarray(end)[:count])
    judged = rows[fresh]
    return {
        **_ranked("reward", np.concatenate(rewards)[fresh], columns.reward[judged] != 0),
        **_ranked("termination", np.concatenate(ends)[fresh], columns.terminated[judged]),
        "num_frames": len(judged),
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
