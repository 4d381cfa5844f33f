"""Returns: does a dream pay what the game pays for the same actions?

The world gets CONTEXT recorded frames and dreams on for HORIZON more, or as many as episodes have, under the recorded
actions. The return is the sum of the rewards of a window: predicted ones in the dream, recorded ones in the game. No
window reaches past the end of its episode.

- `return_pearson`, `return_spearman`: correlation of both over windows, linear and of ranks; 1 = the dream separates
  good windows from bad ones, 0 = it does not, and so counts a dream that always pays the same.
- `return_dream`, `return_real`: means; `return_bias` their difference, the first minus the second.
- `return_absolute_error`, and `.._of_mean`: that of always saying the mean of the recorded returns.
- `num_return_windows`, `num_return_frames`: windows, and frames of each.

Correlations need LEAST windows and recorded returns that differ: else None, and the reason.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from jaxtyping import Float

from worldsim import metrics
from worldsim.evaluate.metric import Metric, Numbers, not_measured
from worldsim.evaluate.trial import CONTEXT, Measurement, Trial

HORIZON = 64
LEAST_HORIZON = 8
LEAST = 8
METRICS = (
    Metric("return_pearson", "higher", "returns of dream and game, correlation", chance=0.0, perfect=1.0, headline=17),
    Metric("return_spearman", "higher", chance=0.0, perfect=1.0),
    Metric("return_absolute_error*", "lower", perfect=0.0),
)
_nothing = partial(not_measured, keys=("return_pearson", "return_spearman"), stem="return")


def measure_returns(trial: Trial) -> Numbers:
    """Compare the returns of dreams with those that were recorded."""
    columns, longest = trial.held_out, trial.held_out.longest
    if longest < CONTEXT + LEAST_HORIZON:
        return _nothing(f"no episode has {CONTEXT + LEAST_HORIZON} frames, the longest has {longest}")
    horizon = min(HORIZON, longest - CONTEXT)
    rows, dreamed = trial.windows(CONTEXT + horizon), []
    for ids, count, key in trial.batches(rows):
        reward = trial.rollout(ids, key).reward
        if reward is None:
            return _nothing("the world predicts no rewards")
        dreamed.append(np.asarray(reward, np.float64)[:count].sum(1))
    dream, real = np.concatenate(dreamed), columns.reward[rows[:, CONTEXT:]].astype(np.float64).sum(1)
    return {
        **_correlations(dream, real),
        "return_dream": float(dream.mean()),
        "return_real": float(real.mean()),
        "return_bias": float(dream.mean() - real.mean()),
        "return_absolute_error": float(np.abs(dream - real).mean()),
        "return_absolute_error_of_mean": float(np.abs(real.mean() - real).mean()),
        "num_return_windows": len(rows),
        "num_return_frames": horizon,
    }


def _correlations(dream: Float[np.ndarray, " n"], real: Float[np.ndarray, " n"]) -> Numbers:
    if len(real) < LEAST:
        return _nothing(f"a correlation needs {LEAST} windows, got {len(real)}")
    if np.ptp(real) == 0:
        return _nothing(f"all {len(real)} recorded returns are {real[0]:g}")
    if np.ptp(dream) == 0:
        return {"return_pearson": 0.0, "return_spearman": 0.0}
    return {"return_pearson": float(np.corrcoef(dream, real)[0, 1]), "return_spearman": metrics.spearman(dream, real)}


MEASUREMENT = Measurement(section="outcome", metrics=METRICS, measure=measure_returns)
