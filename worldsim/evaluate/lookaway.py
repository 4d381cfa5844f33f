"""Look away and come back: is the place that was seen still the same?

An object of the footage may say {"view": {"x": "x", "y": "y", "angle": "angle", "degrees": 90, "near": 0.5}}: these
columns of the ground truth are the pose that the picture is seen from, `degrees` is its field of view, and places that
are at most `near` apart, in their own unit, look the same. Angles are in degrees.

The world sees CONTEXT recorded frames and dreams HORIZON more under the recorded actions, or as many as the longest
episode allows. A question is a frame of the context that is out of view by the context's end, which is a field of view
or more to the side, and the first frame of the dream with its pose again, within `near` and SAME_ANGLE. So a world that
stands still does not have the answer before its eyes. Later returns are no questions: by then the dream has shown the
view itself. Of the dream's frame at the return and the one recorded there the PSNR is taken, in dB, and of others:

- `lookaway_psnr_dream`: the dreamed frame.
- `lookaway_psnr_replay`: the context's frame of that pose, which a perfect memory would show again. It is below 58.9
  where the game itself is not the same twice.
- `lookaway_psnr_tokenizer`: the same through the tokenizer and back, the best that this world can show.
- `lookaway_psnr_unrelated`: mean over UNRELATED recorded frames of the same episode that look a field of view or more
  to another side. They are of the same rooms, so a world that knows how these look but not what stood there gets this.
- `lookaway_psnr_blur`: the mean picture of those frames. PSNR forgives blur, so it gets more than a sharp guess.
- `lookaway_psnr_copy_last`: the last frame of the context.
- `lookaway_score` = (dream - unrelated) / (replay - unrelated): 0 for another view, 1 for the one seen. Of others too:
  `lookaway_score_blur` and `lookaway_score_copy_last` are to be beaten, `lookaway_score_tokenizer` cannot be.
- `lookaway_score_turn_90`, `_180`, `_360`: the score by how far the view turned in between, to the nearest of these;
  360 is a full circle, the others went back.
- `lookaway_score_away_12`: of questions whose pose was last seen 9 to 12 frames before; so for the other AWAY.
- `num_lookaway_questions`, `num_lookaway_turn_90`, `num_lookaway_away_12`: how many there were. Each is a window.
- `num_lookaway_returns`: recorded frames that were asked; windows may ask the same with other contexts.

With fewer than LEAST questions: None, and the reason. So also a score by turn or by frames away with fewer than
LEAST_PART, which is left out where there are none.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int64, PRNGKeyArray, UInt8

from worldsim import metrics
from worldsim.data.dataset import Columns, Windows
from worldsim.data.meta import FootageMeta
from worldsim.evaluate.dreams import CONTEXT, batches, free_run
from worldsim.evaluate.windowed import score
from worldsim.simulator import Simulator

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


class View(NamedTuple):
    """What the picture is seen from."""

    columns: list[int]  # of x, y, angle in the state
    degrees: float  # field of view
    near: float  # places that look the same are at most that far apart


class Question(NamedTuple):
    """What each window asks; frames are counted from the window's first, and all are 0 where it asks nothing."""

    seen: Int64[np.ndarray, " n"]  # frame of the context
    asked: Int64[np.ndarray, " n"]  # frame with the same pose again
    turn: Int64[np.ndarray, " n"]  # one of TURNS


def measure_lookaway(
    sim: Simulator, columns: Columns, meta: FootageMeta, *, num_windows: int, seed: int, batch_size: int = 32
) -> dict[str, Any]:
    """Measure returns on up to `num_windows` windows with a question; None, with a reason, where there are too few.

    Raises:
        ValueError: the footage says that it knows the pose, and does not or not well enough.
    """
    view = find_view(meta)
    if columns.state is None or view is None:
        return _nothing("the footage does not say which columns are the pose that the picture is seen from")
    if columns.longest < CONTEXT + LEAST_HORIZON:
        return _nothing(f"no episode has {CONTEXT + LEAST_HORIZON} frames, the longest has {columns.longest}")
    length = min(CONTEXT + HORIZON, columns.longest)
    windows = Windows(columns, length, min_real=length)
    rows = windows.rows(np.arange(len(windows)))[0]
    pose = columns.state[:, view.columns].astype(np.float64)
    asks = np.flatnonzero(ask(pose[rows], view).asked)
    rng = np.random.default_rng([seed, 17])
    rows = rows[rng.permutation(asks)[:num_windows]]
    quality = [np.zeros((0, len(FILMS)))]
    for number, (ids, count) in enumerate(batches(rows, batch_size) if len(rows) else ()):
        key = jax.random.fold_in(jax.random.key(seed), number)
        question = ask(pose[ids], view)
        others = [_look_elsewhere(columns, pose, view, row, rng) for row in _at(ids, question.seen).tolist()]
        quality.append(_quality(sim, columns, ids, question, columns.obs[np.stack(others)], key)[:count])
    return _summary(np.concatenate(quality), rows, ask(pose[rows], view))


def find_view(meta: FootageMeta) -> View | None:
    """What the footage says about the pose that its pictures are seen from, None where it says nothing.

    Raises:
        ValueError: a part is missing, or the ground truth has no such column.
    """
    said = next((info["view"] for info in meta.objects.values() if "view" in info), None)
    if said is None:
        return None
    wanted = ("x", "y", "angle", "degrees", "near")
    if missing := [part for part in wanted if part not in said]:
        raise ValueError(f"a view wants {', '.join(wanted)}; the footage does not say {', '.join(missing)}.")
    names = [said[part] for part in wanted[:3]]
    if missing := [name for name in names if name not in meta.state_names]:
        raise ValueError(
            f"the footage says that its view is at {', '.join(names)}, and has no ground truth {', '.join(missing)}; "
            f"it has {', '.join(meta.state_names[:8]) or 'none'}."
        )
    if not 0 < said["degrees"] <= 180 or said["near"] < 0:
        raise ValueError(
            f"a view wants a field of view of at most 180 degrees and places that are 0 or more near, got {said}."
        )
    return View([meta.state_names.index(name) for name in names], float(said["degrees"]), float(said["near"]))


def ask(pose: Float[np.ndarray, "n t 3"], view: View) -> Question:
    """Find the first return of each window to a pose of its context that is out of view by the context's end."""
    place, angle = pose[..., :2], pose[..., 2]
    frames = np.arange(pose.shape[1])
    asked, seen, turn = (np.zeros(len(pose), np.int64) for _ in range(3))
    for c in range(CONTEXT - 1):
        off = _degrees_apart(angle, angle[:, c : c + 1])
        gone = np.abs(off[:, CONTEXT - 1]) >= view.degrees - SAME_ANGLE
        same = np.linalg.norm(place - place[:, c : c + 1], axis=-1) <= view.near
        back = same & (np.abs(off) <= SAME_ANGLE) & (frames >= CONTEXT) & gone[:, None]
        when = np.where(back.any(1), back.argmax(1), 0)
        better = (when > 0) & ((asked == 0) | (when <= asked))  # of two that are one pose the later
        asked, seen = np.where(better, when, asked), np.where(better, c, seen)
        turn = np.where(better, _turn(angle, c, when), turn)
    return Question(seen, asked, turn)


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
    return start + rng.choice(
        np.flatnonzero(off >= view.degrees - SAME_ANGLE), UNRELATED
    )  # the view was away: there is one


def _quality(
    sim: Simulator,
    columns: Columns,
    rows: Int64[np.ndarray, "b t"],
    question: Question,
    others: UInt8[np.ndarray, "b k h w c"],
    key: PRNGKeyArray,
) -> Float[np.ndarray, "b f"]:
    """The PSNR in dB of each of FILMS against the frame recorded at the return."""
    obs, real = columns.obs[rows], columns.obs[_at(rows, question.asked)]
    dream = free_run(sim, obs, columns.prev_action[rows], key)
    replay = columns.obs[_at(rows, question.seen)][:, None]
    films = {
        "dream": dream[np.arange(len(rows)), question.asked - CONTEXT][:, None],
        "replay": replay,
        "unrelated": others,
        "tokenizer": np.asarray(sim.reconstruct(replay)),
        "blur": np.round(others.mean(1, keepdims=True)).astype(np.uint8),
        "copy_last": obs[:, CONTEXT - 1 : CONTEXT],
    }
    return np.stack([_psnr(real, films[name]) for name in FILMS], -1)


def _psnr(real: np.ndarray, others: np.ndarray) -> Float[np.ndarray, " b"]:
    """The mean PSNR of several pictures `[b k h w c]` against one `[b h w c]`."""
    return metrics.psnr(np.broadcast_to(real[:, None], others.shape), others).mean(1).astype(np.float64)


def _summary(quality: Float[np.ndarray, "q f"], rows: Int64[np.ndarray, "q t"], question: Question) -> dict[str, Any]:
    num_returns = len(np.unique(_at(rows, question.asked)))
    counts = {"num_lookaway_questions": len(quality), "num_lookaway_returns": num_returns}
    if len(quality) < LEAST:
        return _nothing(f"wants {LEAST} questions, got {len(quality)}") | counts
    means = dict(zip(FILMS, quality.mean(0).tolist()))
    zero, one = means["unrelated"], means["replay"]
    if score(one, zero=zero, one=one) is None:
        return _nothing(NO_NEARER) | counts
    result: dict[str, Any] = {f"lookaway_psnr_{name}": mean for name, mean in means.items()}
    result["lookaway_score"] = score(means["dream"], zero=zero, one=one)
    result |= {f"lookaway_score_{name}": score(means[name], zero=zero, one=one) for name in FILMS[3:]}
    frames = question.asked - question.seen
    parts = {f"turn_{turn}": question.turn == turn for turn in TURNS}
    parts |= {f"away_{high}": (low < frames) & (frames <= high) for low, high in zip((0, *AWAY), AWAY)}
    for name, mine in parts.items():
        if mine.any():
            counts[f"num_lookaway_{name}"] = int(mine.sum())
            result |= _part(f"lookaway_score_{name}", quality[mine])
    return result | counts


def _part(name: str, quality: Float[np.ndarray, "q f"]) -> dict[str, Any]:
    """The score of some of the questions."""
    if len(quality) < LEAST_PART:
        return {name: None, f"{name}_reason": f"wants {LEAST_PART} questions, got {len(quality)}"}
    dream, replay, unrelated = quality.mean(0).tolist()[:3]
    value = score(dream, zero=unrelated, one=replay)
    return {name: value} if value is not None else {name: value, f"{name}_reason": NO_NEARER}


def _nothing(reason: str) -> dict[str, Any]:
    return {"lookaway_score": None, "lookaway_reason": reason}
