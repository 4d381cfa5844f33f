"""Look away and come back: is the place that was seen still the same?

An object of the footage may say {"view": {"x": "x", "y": "y", "angle": "angle", "degrees": 90, "near": 0.5}}: these
columns of the ground truth are the pose that the picture is seen from, `degrees` is its field of view, and places that
are at most `near` apart, in their own unit, look the same. Angles are in degrees.

The world gets CONTEXT recorded frames and dreams HORIZON more under the recorded actions, or as many as the longest
episode allows. A query is a frame of the context that is out of view by the context's end, which is a field of view
or more to the side, and the first frame of the dream with its pose again, within `near` and SAME_ANGLE. So a world that
stands still does not have the answer before its eyes. Later returns are no queries: by then the dream has shown the
view itself. Of the dream's frame at the return and the one recorded there the PSNR is taken, in dB, and of others:

- `lookaway_psnr_dream`: the dreamed frame.
- `lookaway_psnr_replay`: the context's frame of that pose, which a perfect memory would show again. It is below 58.9
  where the game itself is not the same twice.
- `lookaway_psnr_tokenizer`: the same through the tokenizer and back, the best that this world can show.
- `lookaway_psnr_unrelated`: mean over UNRELATED recorded frames of the same episode that look a field of view or more
  to another side. They are of the same rooms, so a world that learned how these look but not what stood there gets
  this.
- `lookaway_psnr_blur`: the mean picture of those frames. PSNR forgives blur, so it gets more than a sharp guess.
- `lookaway_psnr_copy_last`: the last frame of the context.
- `lookaway_score` = (dream - unrelated) / (replay - unrelated): 0 for another view, 1 for the one seen. Of others too:
  `lookaway_score_blur` and `lookaway_score_copy_last` are to be beaten, `lookaway_score_tokenizer` cannot be.
- `lookaway_score_turn_90`, `_180`, `_360`: the score by how far the view turned in between, to the nearest of these;
  360 is a full circle, the others went back.
- `lookaway_score_away_12`: of queries whose pose was last seen 9 to 12 frames before; so for the other AWAY.
- `num_lookaway_queries`, `num_lookaway_turn_90`, `num_lookaway_away_12`: how many there were. Each is a window.
- `num_lookaway_returns`: recorded frames with a query; windows may have the same with other contexts.

With fewer than LEAST queries: None, and the reason. So also a score by turn or by frames away with fewer than
LEAST_PART, which is left out where there are none.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64, PRNGKeyArray, UInt8

from worldsim import metrics
from worldsim.data.dataset import Columns
from worldsim.data.meta import FootageMeta
from worldsim.evaluate.metric import Metric, Numbers, not_measured
from worldsim.evaluate.metrics.windowed import score
from worldsim.evaluate.trial import CONTEXT, Measurement, Trial, all_windows

HORIZON = 64
LEAST_HORIZON = 8
LEAST = 16
LEAST_PART = 4
SAME_ANGLE = 1.0  # degrees
UNRELATED = 16
TURNS = (90, 180, 360)  # degrees
AWAY = (8, 12, 16, 24, 32, 48, 72)  # frames
FILMS = ("dream", "replay", "unrelated", "tokenizer", "blur", "copy_last")
NO_NEARER = "a recorded view is no nearer to itself than to others"
METRICS = (
    Metric(
        "lookaway_psnr_dream",
        "higher",
        "memory of a view",
        chance="lookaway_psnr_unrelated",
        perfect="lookaway_psnr_replay",
        unit="dB",
        digits=1,
        headline=22,
    ),
    Metric("lookaway_score*", "higher", chance=0.0, perfect=1.0),
    Metric("lookaway_psnr_*", "higher"),
)
_nothing = partial(not_measured, keys=("lookaway_score",), stem="lookaway")


class View(NamedTuple):
    """What the picture is seen from."""

    columns: list[int]  # of x, y, angle in the state
    degrees: float  # field of view
    near: float  # places that look the same are at most that far apart


class Query(NamedTuple):
    """The query of each window; frames are counted from the window's first, and all are 0 where there is none."""

    seen: Int64[np.ndarray, " n"]  # frame of the context
    returned: Int64[np.ndarray, " n"]  # frame with the same pose again
    turn: Int64[np.ndarray, " n"]  # one of TURNS


def measure_lookaway(trial: Trial) -> Numbers:
    """Measure returns on windows with a query; None, with a reason, where there are too few."""
    columns, view = trial.held_out, find_view(trial.reference.meta)
    if columns.state is None or view is None:
        return _nothing("the footage does not say which columns are the pose that the picture is seen from")
    if columns.longest < CONTEXT + LEAST_HORIZON:
        return _nothing(f"no episode has {CONTEXT + LEAST_HORIZON} frames, the longest has {columns.longest}")
    rows = all_windows(columns, min(CONTEXT + HORIZON, columns.longest))
    pose = columns.state[:, view.columns].astype(np.float64)
    with_query = np.flatnonzero(find_query(pose[rows], view).returned)
    rng = np.random.default_rng([trial.seed, 17])
    rows = rows[rng.permutation(with_query)[: trial.options.num_windows]]
    quality = [np.zeros((0, len(FILMS)))]
    for ids, count, key in trial.batches(rows):
        query = find_query(pose[ids], view)
        others = [_look_elsewhere(columns, pose, view, row, rng) for row in _at(ids, query.seen).tolist()]
        quality.append(_quality(trial, ids, query, columns.obs[np.stack(others)], key)[:count])
    return _summary(np.concatenate(quality), rows, find_query(pose[rows], view))


def find_view(meta: FootageMeta) -> View | None:
    """The pose that the footage describes its pictures to be seen from, None where it describes none.

    Raises:
        ValueError: a part is missing, or the ground truth has no such column.
    """
    given = next((info["view"] for info in meta.objects.values() if "view" in info), None)
    if given is None:
        return None
    parts = ("x", "y", "angle", "degrees", "near")
    if missing := [part for part in parts if part not in given]:
        raise ValueError(f"expected {', '.join(parts)} of a view, the footage does not say {', '.join(missing)}.")
    names = [given[part] for part in parts[:3]]
    if missing := [name for name in names if name not in meta.state_names]:
        raise ValueError(
            f"expected ground truth {', '.join(missing)}, which the footage names as its view; "
            f"got {', '.join(meta.state_names[:8]) or 'none'}."
        )
    if not 0 < given["degrees"] <= 180 or given["near"] < 0:
        raise ValueError(
            f"expected a field of view of at most 180 degrees and places that are 0 or more near, got {given}."
        )
    return View([meta.state_names.index(name) for name in names], float(given["degrees"]), float(given["near"]))


def find_query(pose: Float[np.ndarray, "n t 3"], view: View) -> Query:
    """Find the first return of each window to a pose of its context that is out of view by the context's end."""
    place, angle = pose[..., :2], pose[..., 2]
    frames = np.arange(pose.shape[1])
    returned, seen, turn = (np.zeros(len(pose), np.int64) for _ in range(3))
    for c in range(CONTEXT - 1):
        off = _degrees_apart(angle, angle[:, c : c + 1])
        gone = np.abs(off[:, CONTEXT - 1]) >= view.degrees - SAME_ANGLE
        same = np.linalg.norm(place - place[:, c : c + 1], axis=-1) <= view.near
        back = same & (np.abs(off) <= SAME_ANGLE) & (frames >= CONTEXT) & gone[:, None]
        when = np.where(back.any(1), back.argmax(1), 0)
        better = (when > 0) & ((returned == 0) | (when <= returned))  # of two that are one pose the later
        returned, seen = np.where(better, when, returned), np.where(better, c, seen)
        turn = np.where(better, _turn(angle, c, when), turn)
    return Query(seen, returned, turn)


def _degrees_apart(angle: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How far one has to turn from `other` to `angle`, -180..180."""
    return (angle - other + 180) % 360 - 180


def _turn(angle: Float[np.ndarray, "n t"], start: int, when: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """Which of TURNS the view made between frame `start` and its return."""
    steps = np.nan_to_num(_degrees_apart(angle[:, 1:], angle[:, :-1]))
    turned = np.concatenate([np.zeros((len(angle), 1)), steps.cumsum(1)], 1)
    turned = np.abs(turned - turned[:, start : start + 1])
    frames = np.arange(angle.shape[1])
    farthest = np.where((frames > start) & (frames <= when[:, None]), turned, 0).max(1)
    circle = turned[np.arange(len(angle)), when] > 180
    return np.where(circle, 360, np.where(farthest < 135, 90, 180))


def _at(rows: Int64[np.ndarray, "n t"], frame: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """The row that each window has at a frame of its own."""
    return np.take_along_axis(rows, frame[:, None], 1)[:, 0]


def _look_elsewhere(
    columns: Columns, pose: Float[np.ndarray, "n 3"], view: View, row: int, rng: np.random.Generator
) -> Int64[np.ndarray, " k"]:
    """Draw rows of the same episode that look a field of view or more to another side than `row`."""
    episode = int(np.searchsorted(columns.bounds, row, side="right")) - 1
    start, stop = columns.bounds[episode : episode + 2]
    off = np.abs(_degrees_apart(pose[start:stop, 2], pose[row : row + 1, 2]))
    return start + rng.choice(np.flatnonzero(off >= view.degrees - SAME_ANGLE), UNRELATED)  # there is one: it was away


def _quality(
    trial: Trial,
    rows: Int64[np.ndarray, "b t"],
    query: Query,
    others: UInt8[np.ndarray, "b k h w c"],
    key: PRNGKeyArray,
) -> Float[np.ndarray, "b f"]:
    """The PSNR in dB of each of FILMS against the frame recorded at the return."""
    frames, dream = trial.held_out.obs, trial.dream(rows, key)
    real, replay = frames[_at(rows, query.returned)], frames[_at(rows, query.seen)][:, None]
    films = {
        "dream": dream[np.arange(len(rows)), query.returned - CONTEXT][:, None],
        "replay": replay,
        "unrelated": others,
        "tokenizer": np.asarray(trial.sim.reconstruct(replay)),
        "blur": np.round(others.mean(1, keepdims=True)).astype(np.uint8),
        "copy_last": frames[rows[:, CONTEXT - 1 : CONTEXT]],
    }
    return np.stack([_psnr(real, films[name]) for name in FILMS], -1)


def _psnr(real: np.ndarray, others: np.ndarray) -> Float[np.ndarray, " b"]:
    """The mean PSNR of several pictures `[b k h w c]` against one `[b h w c]`."""
    return metrics.psnr(np.broadcast_to(real[:, None], others.shape), others).mean(1).astype(np.float64)


def _summary(quality: Float[np.ndarray, "q f"], rows: Int64[np.ndarray, "q t"], query: Query) -> Numbers:
    num_returns = len(np.unique(_at(rows, query.returned)))
    counts = {"num_lookaway_queries": len(quality), "num_lookaway_returns": num_returns}
    if len(quality) < LEAST:
        return _nothing(f"needs {LEAST} queries, got {len(quality)}") | counts
    means = dict(zip(FILMS, quality.mean(0).tolist()))
    zero, one = means["unrelated"], means["replay"]
    if score(one, zero=zero, one=one) is None:
        return _nothing(NO_NEARER) | counts
    result: Numbers = {f"lookaway_psnr_{name}": mean for name, mean in means.items()}
    result["lookaway_score"] = score(means["dream"], zero=zero, one=one)
    result |= {f"lookaway_score_{name}": score(means[name], zero=zero, one=one) for name in FILMS[3:]}
    frames = query.returned - query.seen
    parts = {f"turn_{turn}": query.turn == turn for turn in TURNS}
    parts |= {f"away_{high}": (low < frames) & (frames <= high) for low, high in zip((0, *AWAY), AWAY)}
    for name, mine in parts.items():
        if mine.any():
            counts[f"num_lookaway_{name}"] = int(mine.sum())
            result |= _part(f"lookaway_score_{name}", quality[mine])
    return result | counts


def _part(name: str, quality: Float[np.ndarray, "q f"]) -> Numbers:
    """The score of some of the queries."""
    if len(quality) < LEAST_PART:
        return {name: None, f"{name}_reason": f"needs {LEAST_PART} queries, got {len(quality)}"}
    dream, replay, unrelated = quality.mean(0).tolist()[:3]
    value = score(dream, zero=unrelated, one=replay)
    return {name: value} if value is not None else {name: value, f"{name}_reason": NO_NEARER}


MEASUREMENT = Measurement(section="memory", metrics=METRICS, measure=measure_lookaway)
