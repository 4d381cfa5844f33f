"""Irreversible events: does what is broken stay broken, and does it break when it is broken?

An object of the footage may say {"irreversible": {"column": "broken", "before": [r, g, b], "after": [r, g, b]}}: the
ground truth `o_broken` goes from 0 to 1 once and never back, and the object's box has the one mean colour before and
the other after. The world gets CONTEXT frames and dreams up to HORIZON more under the recorded actions; an object is
looked at where and while the ground truth has it on the screen (`o_x`, `o_y` not NaN), and looks like the nearer
colour.

- `false_revert_rate`: fraction of windows in which a thing that was seen broken in the context looks whole in any
  dreamed frame.
- `false_revert_frames`: the fraction of frames of such things in which they look whole: flicker counts little here.
- `false_break_rate`: fraction of windows in which a thing that stays whole throughout looks broken in any dreamed
  frame.
- `break_recall`: of the things that are broken in the dreamed part, the fraction that look so in the last frame that
  shows them. A world that never changes anything has no false reverts, and 0 here.
- `..._real`: the same of the recorded frames, the error of the parser.
- `num_revert_windows`, `num_intact_windows`, `num_breaks`: what each is a fraction of. With fewer than LEAST it is
  None, with `<name>_reason`.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from worldsim.data.dataset import Columns
from worldsim.data.meta import FootageMeta
from worldsim.evaluate.metric import Metric, Numbers, families, not_measured
from worldsim.evaluate.metrics.looks import box_size, nearest_look, state_columns
from worldsim.evaluate.trial import CONTEXT, Measurement, Pool, Trial

HORIZON = 56
LEAST_HORIZON = 8
LEAST = 4
METRICS = (
    Metric("false_revert_rate", "lower", "broken things look whole again", perfect="false_revert_rate_real"),
    Metric("break_recall", "higher", "things break when they are broken", chance=0.0, perfect="break_recall_real"),
    *families("lower", "false_revert_*", "false_break_*"),
    Metric("break_recall_*", "higher"),
)
_nothing = partial(not_measured, keys=("false_revert_rate", "false_break_rate", "break_recall"), stem="false_revert")


class Thing(NamedTuple):
    """An object that changes once."""

    name: str
    columns: list[int]  # of x, y and whether it is changed, in the state
    size: tuple[float, float]  # height, width in pixels
    looks: np.ndarray  # float [2 c], before and after


def measure_irreversible(trial: Trial) -> Numbers:
    """Measure false reverts; None, with a reason, where nothing breaks."""
    columns, things = trial.held_out, find_things(trial.reference.meta)
    if columns.state is None or not things:
        return _nothing("the footage has no object that it calls irreversible")
    for thing in things:
        _check_never_back(thing, columns)
    longest = columns.longest
    if longest < CONTEXT + LEAST_HORIZON:
        return _nothing(f"no episode has {CONTEXT + LEAST_HORIZON} frames, the longest has {longest}")
    parts = Pool()
    for ids, count, key in trial.batches(trial.windows(min(CONTEXT + HORIZON, longest))):
        dream = trial.dream(ids, key)[:count]
        parts.add(_look(columns.obs[ids[:count, CONTEXT:]], dream, columns.state[ids[:count]], things))
    return _summary(parts.parts())


def find_things(meta: FootageMeta) -> list[Thing]:
    """The objects that the footage calls irreversible."""
    things = []
    for name, info in meta.objects.items():
        if "irreversible" in info:
            change = info["irreversible"]
            looks = np.array([change["before"], change["after"]], np.float64)
            where = state_columns(meta, name, ("x", "y", change["column"]))
            things.append(Thing(name, where, box_size(meta, name, info), looks))
    return things


def _look(
    real: UInt8[np.ndarray, "b t h w c"],
    dream: UInt8[np.ndarray, "b t h w c"],
    state: Float[np.ndarray, "b l s"],
    things: list[Thing],
) -> dict[str, np.ndarray]:
    """What became of each thing in each window, `[b things]` or `[b t things]`."""
    truth = np.stack([state[:, :, thing.columns] for thing in things], 2)  # [b l things 3]
    changed, seen = truth[..., 2] > 0.5, np.asarray(np.isfinite(truth[..., :2]).all(-1))
    later = seen[:, CONTEXT:]
    measured = np.asarray(later.any(1))
    result = {
        "was_seen_broken": np.asarray((changed & seen)[:, :CONTEXT].any(1)) & measured,
        "stays_whole": ~changed[:, -1] & measured,
        "breaks": ~changed[:, CONTEXT - 1] & np.asarray((changed[:, CONTEXT:] & later).any(1)),
        "seen": later,
    }
    for name, frames in (("free", dream), ("real", real)):
        looks = [nearest_look(frames, state[:, CONTEXT:, t.columns[:2]], t.size, t.looks) for t in things]
        result[name] = np.stack(looks, -1)  # 0 whole, 1 broken, -1 not seen
    return result


def _summary(seen: dict[str, np.ndarray]) -> Numbers:
    broken, whole, breaks = (seen[name] for name in ("was_seen_broken", "stays_whole", "breaks"))
    with_broken, with_whole = np.asarray(broken.any(1)), np.asarray(whole.any(1))  # windows
    counts = {
        "num_revert_windows": int(with_broken.sum()),
        "num_intact_windows": int(with_whole.sum()),
        "num_breaks": int(breaks.sum()),
    }
    result: Numbers = {}
    for ending, looks in (("", seen["free"]), ("_real", seen["real"])):
        reverts, frames = (looks == 0).any(1) & broken, seen["seen"] & broken[:, None]
        result |= {
            f"false_revert_rate{ending}": _fraction(reverts.any(1), with_broken),
            f"false_revert_frames{ending}": _fraction(looks == 0, frames),
            f"false_break_rate{ending}": _fraction(((looks == 1).any(1) & whole).any(1), with_whole),
            f"break_recall{ending}": _fraction(_last_seen(looks) == 1, breaks),
        }
    of = {"false_revert": "num_revert_windows", "false_break": "num_intact_windows", "break_recall": "num_breaks"}
    for start, name in of.items():
        if counts[name] < LEAST:
            result |= {key: None for key in result if key.startswith(start)}
            result[f"{start}_reason"] = f"needs {LEAST} of {name}, got {counts[name]}"
    return result | counts


def _fraction(hits: Bool[np.ndarray, "*n"], of: Bool[np.ndarray, "*n"]) -> float | None:
    return float(hits[of].mean()) if of.any() else None


def _last_seen(looks: np.ndarray) -> np.ndarray:
    """The look in the last frame that shows a thing, -1 where none does; `[b t things]` -> `[b things]`."""
    last = looks.shape[1] - 1 - (looks[:, ::-1] >= 0).argmax(1)
    return np.take_along_axis(looks, last[:, None], 1)[:, 0]


def _check_never_back(thing: Thing, columns: Columns) -> None:
    assert columns.state is not None
    back = np.diff(columns.state[:, thing.columns[2]]) < 0
    back[columns.bounds[1:-1] - 1] = False  # from one episode to the next
    if back.any():
        raise ValueError(
            f"the footage calls {thing.name} irreversible, and its ground truth goes back in row "
            f"{int(back.argmax()) + 1}; take the entry out of the footage's objects, or correct the column."
        )


MEASUREMENT = Measurement(section="physics", metrics=METRICS, measure=measure_irreversible)
