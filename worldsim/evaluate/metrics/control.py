"""Control: does the world do what the actions say?

Three dreams of 16 frames from one context and one noise: under the recorded actions, under uniformly random ones, and
under those of another window. Errors are squared, in [0, 1], and counted only where a recorded frame differs from the
last context frame by more than 16/255 in some channel, since the rest is right by standing still.

`action_following` is the fraction of windows in which the recorded actions do better than the random ones; an error
within 1e-8 of the other counts one half, so a world that ignores its actions scores .5. (The definition is that of the
public benchmark tinywmcraft.) `action_shuffle_ratio` is the mean error under another window's actions over that under
the right ones: 1 = ignored.

`worldsim.evaluate.metrics.opposite` measures whether opposite actions lead apart, `worldsim.evaluate.metrics.inverse`
whether the action can be recognised in the dream.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from worldsim.evaluate.fitted.motion import differs
from worldsim.evaluate.metric import Metric, Numbers, not_measured
from worldsim.evaluate.trial import CONTEXT, Measurement, Trial, always

HORIZON = 16
ACTION_FOLLOWING = Metric(
    "action_following", "higher", "action following", chance=0.5, perfect=1.0, digits=3, headline=8
)
METRICS = (ACTION_FOLLOWING, Metric("action_shuffle_ratio", "higher", chance=1.0))


def measure_control(trial: Trial) -> Numbers:
    """Measure action following; None, with a reason, where the footage has no actions."""
    columns, rows = trial.held_out, trial.windows(CONTEXT + HORIZON)
    if np.isnan(columns.prev_action[rows[:, 1:]]).any():
        return not_measured("the footage has frames whose action is not known", ["action_following"])
    rng = np.random.default_rng([trial.seed, 7])
    errors = []
    others = np.roll(rows, 1, axis=0)[:, CONTEXT:]
    for both, count, key in trial.batches(np.concatenate([rows, others], 1)):
        ids = both[:, : CONTEXT + HORIZON]
        obs, actions = columns.obs[ids], columns.prev_action[ids]
        guessed, swapped = actions.copy(), actions.copy()
        guessed[:, CONTEXT:] = trial.sim.action_spec.sample(rng, (len(ids), HORIZON))
        swapped[:, CONTEXT:] = columns.prev_action[both[:, CONTEXT + HORIZON :]]
        dreams = [trial.dream(ids, key, choice) for choice in (actions, guessed, swapped)]
        errors.append([changed_error(obs, dream)[:count] for dream in dreams])
    true, random, shuffled = np.concatenate(errors, axis=1)
    result: Numbers = {"action_following": action_following(true, random), "num_windows": len(rows)}
    if len(rows) < 2:
        return result | not_measured("another window's actions need 2 windows, got 1", ["action_shuffle_ratio"])
    return result | {"action_shuffle_ratio": float((shuffled.mean() + 1e-12) / (true.mean() + 1e-12))}


def changed_error(
    real: UInt8[np.ndarray, "b t h w c"], dream: UInt8[np.ndarray, "b horizon h w c"]
) -> Float[np.ndarray, " b"]:
    """Mean squared error of each dream on the changed pixels, all channels summed; 0 where nothing changed."""
    target = real[:, CONTEXT : CONTEXT + dream.shape[1]]
    changed = differs(target, real[:, CONTEXT - 1 : CONTEXT])
    squared = np.square(np.subtract(target, dream, dtype=np.float64) / 255).sum(-1)
    return (squared * changed).sum((1, 2, 3)) / np.maximum(changed.sum((1, 2, 3)), 1)


def action_following(true_error: Float[np.ndarray, " n"], random_error: Float[np.ndarray, " n"]) -> float:
    """Fraction of windows whose error is lower under the true actions; a tie counts one half."""
    tie = np.abs(true_error - random_error) <= 1e-8
    return float(np.where(tie, 0.5, true_error < random_error).mean())


MEASUREMENT = Measurement(section="control", metrics=METRICS, measure=measure_control, applies=always)
