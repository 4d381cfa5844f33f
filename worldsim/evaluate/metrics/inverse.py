"""Inverse dynamics: can the action be recognised from two frames of a dream as well as from two recorded frames?

The inverse model of `worldsim.evaluate.fitted.inverse`, trained on recorded frames for calibration, gets other frames:

- `inverse_accuracy_real`: balanced accuracy on held-out recorded windows: the mean over options of the fraction that is
  recognised, and over the columns of the action. Below 1 where the picture does not show it, such as at a wall.
- `inverse_accuracy_reconstruction`: the same through the tokenizer and back: what the dream's picture can still show.
- `inverse_accuracy_dream`: on dreams of 16 frames from the same contexts under the actions of another window, so that
  nothing about the action can be guessed from the scene: a world that ignores its actions scores the chance.
- `inverse_accuracy_chance`: 1 over the number of options, mean over columns.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from worldsim.evaluate.fitted.inverse import MIN_EXAMPLES, Inverse, guess_actions
from worldsim.evaluate.metric import Metric, Numbers, not_measured
from worldsim.evaluate.trial import CONTEXT, Measurement, Trial

HORIZON = 16
METRICS = (
    Metric(
        "inverse_accuracy_dream",
        "higher",
        "actions recognised in the dream by an inverse model",
        chance="inverse_accuracy_chance",
        perfect="inverse_accuracy_real",
        headline=16,
    ),
)
_nothing = partial(not_measured, keys=("inverse_accuracy_dream",), stem="inverse")


def measure_inverse(trial: Trial) -> Numbers:
    """Run the inverse model on recorded and dreamed frames.

    Returns:
        The numbers; None, with a reason, where there is no model or an action is not known.
    """
    inverse, columns = trial.reference.inverse, trial.held_out
    if inverse is None:
        return _nothing(f"no choice or button has two options with {MIN_EXAMPLES} recorded frames each for calibration")
    rows = trial.windows(CONTEXT + HORIZON)
    if np.isnan(columns.prev_action[rows[:, 1:]]).any():
        return _nothing("the footage has frames whose action is not known")
    if len(rows) < 2:
        return _nothing("another window's actions need 2 windows, got 1")
    guesses: dict[str, list[np.ndarray]] = {"real": [], "reconstruction": [], "dream": []}
    foreign = np.roll(rows, 1, axis=0)[:, CONTEXT:]
    for ids, count, key in trial.batches(np.concatenate([rows, foreign], 1)):
        own, others = ids[:, : CONTEXT + HORIZON], ids[:, CONTEXT + HORIZON :]
        obs, actions = columns.obs[own], columns.prev_action[own]
        actions[:, CONTEXT:] = columns.prev_action[others]
        dream = trial.dream(own, key, actions)
        films = {"real": obs, "reconstruction": np.asarray(trial.sim.reconstruct(obs))}
        films["dream"] = np.concatenate([obs[:, :CONTEXT], dream], 1)
        for name, film in films.items():
            guesses[name].append(guess_actions(inverse, film[:count, CONTEXT - 1 :]))
    recorded, given = columns.prev_action[rows[:, CONTEXT:]], columns.prev_action[foreign]
    result: Numbers = {"num_inverse_pairs": recorded.shape[0] * recorded.shape[1]}
    for name, parts in guesses.items():
        truth = given if name == "dream" else recorded
        accuracy, chance = _accuracy(inverse, truth, np.concatenate(parts))
        result |= {f"inverse_accuracy_{name}": accuracy, "inverse_accuracy_chance": chance}
    if result["inverse_accuracy_dream"] is None:
        result["inverse_reason"] = f"no two known options of a choice or button occur in the {len(rows)} windows"
    return result


def balanced_accuracy(truth: np.ndarray, guess: np.ndarray) -> float:
    """The mean over the values that occur of the fraction that is recognised."""
    return float(np.mean([(guess[truth == value] == value).mean() for value in np.unique(truth)]))


def _accuracy(inverse: Inverse, truth: np.ndarray, guess: np.ndarray) -> tuple[float | None, float | None]:
    """Balanced accuracy and its chance, mean over the columns that show at least two options."""
    accuracies, chances = [], []
    for i, (column, known) in enumerate(zip(inverse.columns, inverse.options)):
        here = np.isin(truth[..., column], known)
        values = np.unique(truth[..., column][here])
        if len(values) >= 2:
            accuracies.append(balanced_accuracy(truth[..., column][here], guess[..., i][here]))
            chances.append(1 / len(known))
    return (float(np.mean(accuracies)), float(np.mean(chances))) if accuracies else (None, None)


MEASUREMENT = Measurement(section="control", metrics=METRICS, measure=measure_inverse)
