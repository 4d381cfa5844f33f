"""Irreversible events: does what is broken stay broken, and does it break when it is broken?

An object of the footage may say {"irreversible": {"column": "broken", "before": [r, g, b], "after": [r, g, b]}}: the
ground truth `o_broken` goes from 0 to 1 once and never back, and the object's box has the one mean colour before and
the other after. The world sees CONTEXT frames and dreams up to HORIZON more under the recorded actions; an object is
looked at where and while the ground truth has it on the screen (`o_x`, `o_y` not NaN), and looks like the nearer
colour.

- `false_revert_rate`: share of windows in which a thing that was seen broken in the context looks whole in any dreamed
  frame.
- `false_revert_frames`: the share of frames of such things in which they look whole: flicker counts little here.
- `false_break_rate`: share of windows in which a thing that stays whole throughout looks broken in any dreamed frame.
- `break_recall`: of the things that are broken in the dreamed part, the share that look so in the last frame that shows
  them. A world that never changes anything has no false reverts, and 0 here.
- `..._real`: the same of the recorded frames, which says what the parser errs.
- `num_revert_windows`, `num_intact_windows`, `num_breaks`: what each is a share of. With fewer than LEAST it is None,
  and `<name>_reason` says so.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, UInt8

from worldsim.data.dataset import Columns
from worldsim.data.meta import FootageMeta
from worldsim.evaluate.dreams import CONTEXT, batches, draw_windows, free_run
from worldsim.evaluate.looks import box_size, nearest_look, state_columns
from worldsim.simulator import Simulator

HORIZON = 56
LEAST_HORIZON = 8
LEAST = 4
NUMBERS = ("false_revert_rate", "false_break_rate", "break_recall")


class Thing(NamedTuple):
    """An object that changes once."""

    name: str
    columns: list[int]  # of x, y and whether it is changed, in the state
    size: tuple[float, float]  # height, width in pixels
    looks: np.ndarray  # float [2 c], before and after


def measure_irreversible(
    sim: Simulator, columns: Columns, meta: FootageMeta, *, num_windows: int, seed: int, batch_size: int = 32
) -> dict[str, Any]:
    """Measure false reverts on up to `num_windows` windows; None, with a reason, where nothing breaks.

    Raises:
        ValueError: the footage says that something is irreversible, and its ground truth is missing or goes back.
    """
    things = find_things(meta)
    if columns.state is None or not things:
        return _nothing("the footage has no object that it calls irreversible")
    for thing in things:
        _check_never_back(thing, columns)
    longest = columns.longest
    if longest < CONTEXT + LEAST_HORIZON:
        return _nothing(f"no episode has {CONTEXT + LEAST_HORIZON} frames, the longest has {longest}")
    rows = draw_windows(columns, min(CONTEXT + HORIZON, longest), num_windows, seed)
    parts = []
    for number, (ids, count) in enumerate(batches(rows, batch_size)):
        key = jax.random.fold_in(jax.random.key(seed), number)
        obs = columns.obs[ids]
        dream = free_run(sim, obs, columns.prev_action[ids], key)[:count]
        parts.append(_judge(obs[:count, CONTEXT:], dream, columns.state[ids[:count]], things))
    return _summary({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


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


def _judge(
    real: UInt8[np.ndarray, "b t h w c"],
    dream: UInt8[np.ndarray, "b t h w c"],
    state: Float[np.ndarray, "b l s"],
    things: list[Thing],
) -> dict[str, np.ndarray]:
    """What became of each thing in each window, `[b things]` or `[b t things]`."""
    truth = np.stack([state[:, :, thing.columns] for thing in things], 2)  # [b l things 3]
    changed, seen = truth[..., 2] > 0.5, np.asarray(np.isfinite(truth[..., :2]).all(-1))
    later = seen[:, CONTEXT:]
    judged = np.asarray(later.any(1))
    result = {
        "was_seen_broken": np.asarray((changed & seen)[:, :CONTEXT].any(1)) & judged,
        "stays_whole": ~changed[:, -1] & judged,
        "breaks": ~changed[:, CONTEXT - 1] & np.asarray((changed[:, CONTEXT:] & later).any(1)),
        "seen": later,
    }
    for name, frames in (("free", dream), ("real", real)):
        looks = [nearest_look(frames, state[:, CONTEXT:, t.columns[:2]], t.size, t.looks) for t in things]
        result[name] = np.stack(looks, -1)  # 0 whole, 1 broken, -1 not seen
    return result


def _summary(seen: dict[str, np.ndarray]) -> dict[str, Any]:
    broken, whole, breaks = (seen[name] for name in ("was_seen_broken", "stays_whole", "breaks"))
    with_broken, with_whole = np.asarray(broken.any(1)), np.asarray(whole.any(1))  # windows
    counts = {
        "num_revert_windows": int(with_broken.sum()),
        "num_intact_windows": int(with_whole.sum()),
        "num_breaks": int(breaks.sum()),
    }
    result: dict[str, Any] = {}
    for ending, looks in (("", seen["free"]), ("_real", seen["real"])):
        reverts, frames = (looks == 0).any(1) & broken, seen["seen"] & broken[:, None]
        result |= {
            f"false_revert_rate{ending}": _share(reverts.any(1), with_broken),
            f"false_revert_frames{ending}": _share(looks == 0, frames),
            f"false_break_rate{ending}": _share(((looks == 1).any(1) & whole).any(1), with_whole),
            f"break_recall{ending}": _share(_last_seen(looks) == 1, breaks),
        }
    of = {"false_revert": "num_revert_windows", "false_break": "num_intact_windows", "break_recall": "num_breaks"}
    for start, name in of.items():
        if counts[name] < LEAST:
            result |= {key: None for key in result if key.startswith(start)}
            result[f"{start}_reason"] = f"wants {LEAST} of {name}, got {counts[name]}"
    return result | counts


def _share(hits: Bool[np.ndarray, "*n"], of: Bool[np.ndarray, "*n"]) -> float | None:
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


def _nothing(reason: str) -> dict[str, Any]:
    return {name: None for name in NUMBERS} | {"false_revert_reason": reason}
