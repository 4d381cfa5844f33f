"""Free outcome: does a dream pay, and is it over, in the frames in which the game did and was?

`worldsim.evaluate.metrics.outcome` asks after recorded frames; here the world gets CONTEXT of them and dreams on for
HORIZON more under the recorded actions, so that what kills or pays has to be kept in the picture and brought to the
player. All frames of all windows are ranked together:

- `reward_free_ap`: average precision with which the size of the dream's reward ranks the frames in which the game paid.
- `termination_free_ap`: that of the dream's probability of the end, for the frames in which the game was over.
- `.._free_base_rate`: what a constant answer scores; `.._free_positives`: frames of the kind. Without one the average
  precision is None, and there is a reason.

More windows than of other measurements are drawn, as ends are rare.
"""

from __future__ import annotations

import numpy as np

from worldsim.evaluate.metric import Metric, Numbers, not_measured
from worldsim.evaluate.metrics.outcome import ranked
from worldsim.evaluate.trial import CONTEXT, Measurement, Trial, draw_windows

HORIZON = 16
MORE = 4
METRICS = (
    Metric("reward_free_ap", "higher", chance="reward_free_base_rate", perfect=1.0),
    Metric(
        "termination_free_ap",
        "higher",
        "termination in dreams of 16 frames, average precision",
        chance="termination_free_base_rate",
        perfect=1.0,
    ),
)


def measure_free_outcome(trial: Trial) -> Numbers:
    """Rank the frames of free dreams by reward and by the probability of the end."""
    columns, length = trial.held_out, CONTEXT + HORIZON
    if columns.longest < length:
        return not_measured(f"no episode has {length} frames", ["termination_free_ap"], "termination_free")
    rows, rewards, ends = draw_windows(columns, length, MORE * trial.options.num_windows, trial.seed), [], []
    for ids, count, key in trial.batches(rows):
        out = trial.rollout(ids, key)
        if out.reward is None or out.termination_probability is None:
            return not_measured("the world predicts no outcomes", ["termination_free_ap"], "termination_free")
        rewards.append(np.asarray(out.reward, np.float64)[:count])
        ends.append(np.asarray(out.termination_probability, np.float64)[:count])
    measured = rows[:, CONTEXT:]
    return {
        **ranked("reward_free", np.abs(np.concatenate(rewards)).ravel(), columns.reward[measured].ravel() != 0),
        **ranked("termination_free", np.concatenate(ends).ravel(), columns.terminated[measured].ravel()),
        "num_free_frames": measured.size,
    }


MEASUREMENT = Measurement(section="outcome", metrics=METRICS, measure=measure_free_outcome)
