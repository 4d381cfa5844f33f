"""Memory: is a thing that was seen, hidden and uncovered again what it was?

An object of the footage may say {"faces": {"shown": "up", "face": "face", "colours": [[r, g, b], ...], "hidden": [r, g,
b]}}: the ground truth `o_up` is 1 while its face shows, `o_face` is the number of the face, and the box of the object
has the mean colour of that number, or the hidden one. The world gets CONTEXT recorded frames and dreams on for up to
HORIZON more under the recorded actions. A query is the first frame of a dream that shows, by the ground truth, the
face of an object that the context showed and then hid. Its age is the number of frames since the context showed it
last. Later showings are no queries: by then the dream has shown a face itself. The answer is the face whose
colour is nearest to that of the object's box in the dream.

- `recall`: fraction of queries with the right answer.
- `recall_chance`: that of a guess, one in the number of faces.
- `recall_copy_last`: that of a film that stands still, where every object is hidden.
- `recall_real`: that of the recorded frames, which is 1 where faces differ enough.
- `memory_score` = (recall - chance) / (real - chance): 0 for a guess, 1 for the game.
- `recall_age_16`: recall of queries of an age of 9 to 16 frames; so for the other AGES. Left out where none is.
- `num_queries`, `num_age_16`, `num_windows`: how many there were. Only windows with a query are dreamed.

With fewer than LEAST queries: None, and the reason.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from worldsim.data.meta import FootageMeta
from worldsim.evaluate.metric import Metric, Numbers, not_measured
from worldsim.evaluate.metrics.looks import box_size, nearest_look, state_columns
from worldsim.evaluate.trial import CONTEXT, Measurement, Trial, all_windows

HORIZON = 128
LEAST_HORIZON = 8
LEAST = 16
AGES = (4, 8, 16, 32, 64, 136)
METRICS = (
    Metric("memory_score", "higher", "memory of hidden faces", chance=0.0, perfect=1.0, headline=21),
    Metric("recall", "higher", chance="recall_chance", perfect="recall_real"),
    Metric("recall_*", "higher"),
)
_nothing = partial(not_measured, keys=("recall", "memory_score"))


class Card(NamedTuple):
    """An object with a face that is hidden at times."""

    name: str
    columns: list[int]  # of x, y, whether it is shown, and its face, in the state
    size: tuple[float, float]  # height, width in pixels
    looks: np.ndarray  # float [k + 1 c], of the faces and, last, of a hidden one


def measure_memory(trial: Trial) -> Numbers:
    """Measure recall on windows with a query; None, with a reason, where there are too few."""
    columns, cards = trial.held_out, find_cards(trial.reference.meta)
    if columns.state is None or not cards:
        return _nothing("the footage has no object with a face that is hidden at times")
    longest = columns.longest
    if longest < CONTEXT + LEAST_HORIZON:
        return _nothing(f"no episode has {CONTEXT + LEAST_HORIZON} frames, the longest has {longest}")
    rows = all_windows(columns, min(CONTEXT + HORIZON, longest))
    shown = np.stack([find_query(columns.state[rows, card.columns[2]] > 0.5)[0] for card in cards], -1)  # [n cards]
    with_query = np.flatnonzero((shown > 0).any(-1))
    rows = rows[np.random.default_rng([trial.seed, 13]).permutation(with_query)[: trial.options.num_windows]]
    answers: list[np.ndarray] = []
    for ids, count, key in trial.batches(rows):
        dream, obs = trial.dream(ids, key), columns.obs[ids[:count]]
        still = np.repeat(obs[:, CONTEXT - 1 : CONTEXT], dream.shape[1], 1)
        films = dream[:count], obs[:, CONTEXT:], still
        answers += [_answer(films, columns.state[ids[:count]], card) for card in cards]
    return _summary(np.concatenate(answers) if answers else np.zeros((0, 5)), len(rows))


def find_cards(meta: FootageMeta) -> list[Card]:
    """The objects that the footage gives faces."""
    cards = []
    for name, info in meta.objects.items():
        if "faces" in info:
            faces = info["faces"]
            where = state_columns(meta, name, ("x", "y", faces["shown"], faces["face"]))
            looks = np.array([*faces["colours"], faces["hidden"]], np.float64)
            cards.append(Card(name, where, box_size(meta, name, info), looks))
    return cards


def find_query(shown: Bool[np.ndarray, "n t"]) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Find the query of each window about one object.

    Returns:
        The frame that shows it again, 0 where there is no query, and the age.
    """
    context, dream = shown[:, :CONTEXT], shown[:, CONTEXT:]
    hidden_at_the_end = ~context[:, -1]
    first = CONTEXT + dream.argmax(1)
    last = CONTEXT - 1 - context[:, ::-1].argmax(1)
    is_query = hidden_at_the_end & context.any(1) & dream.any(1)
    return np.where(is_query, first, 0), np.where(is_query, first - last, 0)


def _answer(films: tuple[np.ndarray, ...], state: np.ndarray, card: Card) -> np.ndarray:
    """One row a query: age, chance, and whether the dream, the record and the still film are right."""
    when, age = find_query(state[:, :, card.columns[2]] > 0.5)
    window = np.flatnonzero(when)
    now = state[window, when[window]]
    places, face = now[:, card.columns[:2]], now[:, card.columns[3]]
    right = [
        nearest_look(film[window, when[window] - CONTEXT], places, card.size, card.looks) == face for film in films
    ]
    chance = np.full(len(window), 1 / (len(card.looks) - 1))
    return np.stack([age[window], chance, *right], -1).astype(np.float64)


def _summary(answers: np.ndarray, num_windows: int) -> Numbers:
    counts = {"num_queries": len(answers), "num_windows": num_windows}
    if len(answers) < LEAST:
        return _nothing(f"needs {LEAST} queries, got {len(answers)}") | counts
    age, (chance, free, real, still) = answers[:, 0], answers[:, 1:].mean(0).tolist()
    result = {"recall": free, "recall_chance": chance, "recall_copy_last": still, "recall_real": real}
    result["memory_score"] = (free - chance) / (real - chance) if real > chance else None
    for low, high in zip((0, *AGES[:-1]), AGES):
        of_age = (age > low) & (age <= high)
        if of_age.any():
            result[f"recall_age_{high}"] = float(answers[of_age, 2].mean())
            counts[f"num_age_{high}"] = int(of_age.sum())
    return result | counts


MEASUREMENT = Measurement(section="memory", metrics=METRICS, measure=measure_memory)
