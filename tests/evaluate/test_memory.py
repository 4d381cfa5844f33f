import numpy as np
import pytest

from tests.evaluate import toy
from tests.evaluate.replay import Frozen, Replay, record_columns
from tests.evaluate.trials import trial
from worldsim.data.dataset import load_columns
from worldsim.evaluate.metrics.looks import nearest_look
from worldsim.evaluate.metrics.memory import AGES, CONTEXT, find_query, measure_memory
from worldsim_envs import memory_cards

HOW = {"num_windows": 16, "seed": 0, "batch_size": 8}


@pytest.fixture(scope="module")
def cards():
    return record_columns("memory-cards", 8)


class Forgetful(Replay):
    """Remembers what it saw for `span` frames; shows a random face of what it saw longer ago."""

    def __init__(self, columns, meta, span):
        super().__init__(columns, meta)
        self.span, self.rng = span, np.random.default_rng(0)

    def dream(self, rows, last):
        up = self.columns.state[rows][:, :, 2::4] > 0.5
        faces = self.columns.state[rows][:, :, 3::4].astype(int)
        guess = self.rng.integers(len(memory_cards.COLOURS), size=(len(rows), 1, 16))
        old = (np.arange(rows.shape[1]) >= self.span)[None, :, None]
        faces = np.where(old, guess, faces)
        return np.array([[memory_cards.draw(*frame) for frame in zip(*film)] for film in zip(faces, up)])


def test_the_game_played_back_remembers_all(cards):
    numbers = measure_memory(trial(Replay(*cards), *cards, **HOW))
    assert numbers["recall"] == numbers["recall_real"] == numbers["memory_score"] == 1
    assert numbers["recall_chance"] == 1 / 8 and numbers["num_windows"] == 16
    ages = [age for age in AGES if f"num_age_{age}" in numbers]
    assert len(ages) >= 4 and all(numbers[f"recall_age_{age}"] == 1 for age in ages)
    assert sum(numbers[f"num_age_{age}"] for age in ages) == numbers["num_queries"] >= 50


def test_a_world_that_forgets_at_once_guesses(cards):
    numbers = measure_memory(trial(Forgetful(*cards, span=0), *cards, **{**HOW, "num_windows": 64}))
    spread = np.sqrt(1 / 8 * 7 / 8 / numbers["num_queries"])
    assert numbers["recall"] == pytest.approx(1 / 8, abs=3 * spread)
    assert abs(numbers["memory_score"]) < 4 * spread
    assert numbers["recall_real"] == 1


def test_a_world_of_short_memory_knows_what_is_recent_only(cards):
    numbers = measure_memory(trial(Forgetful(*cards, span=24), *cards, **HOW))
    assert numbers["recall_age_16"] == 1  # the context ends at most 8 frames after it showed a card
    assert numbers["recall_age_64"] < 0.4 and numbers["recall_age_136"] < 0.4
    assert 1 / 8 < numbers["recall"] < 1


def test_a_still_world_turns_up_nothing(cards):
    numbers = measure_memory(trial(Frozen(*cards), *cards, **HOW))
    assert numbers["recall"] == numbers["recall_copy_last"] == 0
    assert numbers["memory_score"] == pytest.approx(-1 / 7)


def test_a_query_is_the_first_showing_after_the_context_of_what_the_context_showed_and_hid():
    shown = np.zeros((5, CONTEXT + 8), bool)
    shown[0, [1, 2, CONTEXT + 3, CONTEXT + 6]] = True  # asked
    shown[1, [CONTEXT + 3]] = True  # never seen before
    shown[2, [2]] = True  # never shown again
    shown[3, [CONTEXT - 1, CONTEXT + 3]] = True  # not hidden before the dream begins
    shown[4, [CONTEXT - 2, CONTEXT]] = True  # hidden for one frame
    when, age = find_query(shown)
    np.testing.assert_array_equal(when, [CONTEXT + 3, 0, 0, 0, CONTEXT])
    np.testing.assert_array_equal(age, [CONTEXT + 1, 0, 0, 0, 2])


def test_the_look_is_that_of_the_box_at_the_place_and_none_off_the_screen():
    frames = np.zeros((3, 8, 8, 3), np.uint8)
    frames[:, 2:5, 4:8] = (200, 0, 0)
    places = np.array([[5.5, 3], [1.5, 3], [np.nan, np.nan]], np.float32) / 8
    look = nearest_look(frames, places, (3.0, 4.0), np.array([[0, 0, 0], [200.0, 0, 0]]))
    np.testing.assert_array_equal(look, [1, 0, -1])


def test_footage_without_faces_or_with_too_few_queries_says_why(cards, tmp_path):
    footage = toy.footage(tmp_path / "footage", episodes=2)
    numbers = measure_memory(trial(toy.Perfect(), load_columns(footage, range(2)), footage.meta, **HOW))
    assert numbers["recall"] is None and "no object with a face" in numbers["reason"]
    columns, meta = cards
    hidden = columns.state.copy()
    hidden[:, 2::4] = 0
    numbers = measure_memory(trial(Replay(*cards), columns._replace(state=hidden), meta, **HOW))
    assert numbers["recall"] is None and numbers["num_queries"] == 0 and "needs 16 queries" in numbers["reason"]


def test_faces_without_ground_truth_are_refused(cards):
    columns, meta = cards
    objects = {"card0": {**meta.objects["card0"], "faces": {**meta.objects["card0"]["faces"], "shown": "open"}}}
    lying = type(meta)(**{**vars(meta), "objects": objects})
    with pytest.raises(ValueError, match="expected ground truth card0_open"):
        measure_memory(trial(Replay(*cards), columns, lying, **HOW))


def test_the_same_seed_gives_the_same_numbers(cards):
    first, second = (measure_memory(trial(Forgetful(*cards, span=24), *cards, **HOW)) for _ in range(2))
    assert first == second
