"""Windows, splits and order, as properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldsim.data.dataset import Columns, ShuffledIndex, Windows, load_columns, split_episodes
from worldsim.data.store import Footage


def columns_of(lengths: list[int]) -> Columns:
    """Columns whose pictures are their own row number."""
    bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    n = int(bounds[-1])
    obs = np.arange(n, dtype=np.uint8)[:, None, None, None]
    action = np.arange(n, dtype=np.float32)[:, None]
    action[bounds[:-1]] = np.nan
    return Columns(obs, action, np.ones(n, np.float32), np.ones(n, bool), None, bounds)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(1, 8), st.data())
def test_windows_cover_every_start_and_never_cross_an_episode(lengths, length, data):
    min_real = data.draw(st.integers(1, length))
    columns = columns_of(lengths)
    if max(lengths) < min_real:
        with pytest.raises(ValueError, match=f"at least {min_real} frames for windows, got at most {max(lengths)}"):
            Windows(columns, length, min_real)
        return
    windows = Windows(columns, length, min_real)
    rows, mask = windows.rows(np.arange(len(windows)))
    assert rows.shape == mask.shape == (len(windows), length)
    starts = [b + i for b, n in zip(columns.bounds, lengths) for i in range(n - min_real + 1)]
    assert rows[:, 0].tolist() == starts
    episode = np.searchsorted(columns.bounds, rows, side="right") - 1
    assert (episode == episode[:, :1]).all()
    assert (mask.sum(1) >= min_real).all()
    steps = np.diff(rows, axis=1)
    assert (steps[mask[:, 1:]] == 1).all()
    assert (steps[~mask[:, 1:]] == 0).all()
    padded = ~mask.all(1)
    assert (rows[padded, -1] == columns.bounds[episode[padded, 0] + 1] - 1).all()


def test_padding_tells_nothing():
    batch = Windows(columns_of([3]), 5).batch([1])
    assert batch.mask.tolist() == [[True, True, False, False, False]]
    assert np.isnan(batch.prev_action[0, 2:]).all()
    assert not batch.reward[0, 2:].any()
    assert not batch.terminated[0, 2:].any()
    assert batch.obs[0, :, 0, 0, 0].tolist() == [1, 2, 2, 2, 2]


def test_other_arrays_can_take_the_place_of_pictures():
    windows = Windows(columns_of([6, 4]), 3)
    latents = np.arange(10, dtype=np.float32)[:, None, None] * np.ones((1, 2, 4), np.float32)
    ids = np.array([0, 2, 6])
    batch = windows.batch(ids, obs=latents)
    assert batch.obs.shape == (3, 3, 2, 4)
    np.testing.assert_array_equal(batch.obs[..., 0, 0], windows.batch(ids).obs[..., 0, 0, 0])
    with pytest.raises(ValueError, match="obs of 10 frames, got 9"):
        windows.batch(ids, obs=latents[:9])


@pytest.mark.parametrize("ids", [[-1], [8], [[0]]])
def test_windows_that_there_are_not_are_refused(ids):
    windows = Windows(columns_of([6, 4]), 3)
    assert len(windows) == 8
    with pytest.raises(ValueError, match="within 0..7"):
        windows.rows(ids)


@pytest.mark.parametrize("min_real", [0, 4])
def test_min_real_must_fit_the_window(min_real):
    with pytest.raises(ValueError, match="within 1..3, the length"):
        Windows(columns_of([9]), 3, min_real)


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 5))
def test_every_item_comes_once_an_epoch(num_items, batch_size, seed):
    index = ShuffledIndex(num_items, batch_size, seed)
    steps = -(-3 * num_items // batch_size)
    seen = np.concatenate([index.at(s) for s in range(steps)])[: 3 * num_items].reshape(3, num_items)
    for epoch in seen:
        assert sorted(epoch) == list(range(num_items))


@given(st.lists(st.integers(0, 200), min_size=1, max_size=20))
def test_the_order_is_a_pure_function_of_the_step(steps):
    index = ShuffledIndex(37, 8, 1)
    for step in steps:
        np.testing.assert_array_equal(index.at(step), ShuffledIndex(37, 8, 1).at(step))


def test_epochs_and_seeds_have_orders_of_their_own():
    index = ShuffledIndex(50, 50, 0)
    assert index.at(0).tolist() != index.at(1).tolist()
    assert index.at(0).tolist() != ShuffledIndex(50, 50, 1).at(0).tolist()
    with pytest.raises(ValueError, match="at least one"):
        ShuffledIndex(0, 4, 0)


@pytest.mark.parametrize("lengths", [(5, 6), (5,) * 20, (200, 5, 5), (3, 100, 100, 100)])
def test_a_split_is_disjoint_complete_and_the_same_each_time(write_footage, lengths):
    footage = Footage.open(write_footage(*lengths)[0])
    for share in (0.01, 0.1, 0.5, 0.99):
        train, evaluation = split_episodes(footage, share)
        assert train and evaluation
        assert sorted(train + evaluation) == list(range(len(lengths)))
        assert split_episodes(footage, share) == (train, evaluation)
    held = sum(footage.episodes[i].length for i in split_episodes(footage, 0.5)[1])
    assert abs(held - footage.num_frames / 2) <= max(lengths) + 1


def test_a_split_needs_two_episodes(write_footage):
    with pytest.raises(ValueError, match="at least 2 episodes in .*, got 1"):
        split_episodes(Footage.open(write_footage(5)[0]))
    with pytest.raises(ValueError, match="between 0 and 1"):
        split_episodes(Footage.open(write_footage(5, 5, folder="two")[0]), 1.0)


def test_columns_are_the_episodes_end_to_end_by_arrival(write_footage):
    path, episodes = write_footage(4, 7, 5, state_names=("x",))
    columns = load_columns(Footage.open(path), [2, 0])
    assert columns.bounds.tolist() == [0, 6, 11]
    for start, e in ((0, episodes[2]), (6, episodes[0])):
        rows = slice(start, start + len(e.obs))
        np.testing.assert_array_equal(columns.obs[rows], e.obs)
        np.testing.assert_array_equal(columns.state[rows], e.state)
        np.testing.assert_array_equal(columns.prev_action[rows][1:], e.action)
        np.testing.assert_array_equal(columns.reward[rows][1:], e.reward)
        np.testing.assert_array_equal(columns.terminated[rows][1:], e.terminated)
        assert np.isnan(columns.prev_action[start]).all()
        assert columns.reward[start] == 0
        assert not columns.terminated[start]
    with pytest.raises(ValueError, match="at least one episode"):
        load_columns(Footage.open(path), [])


def test_the_action_of_a_frame_is_the_one_that_led_to_it(toy_footage):
    """Golden: the toy game paints the action it was given into the frame that it leads to."""
    columns = load_columns(toy_footage, range(len(toy_footage)))
    windows = Windows(columns, 6)
    batch = windows.batch(ShuffledIndex(len(windows), len(windows), 0).at(0))
    painted = batch.obs[..., 0, 0, 0].astype(np.float32)
    known = ~np.isnan(batch.prev_action[..., 0])
    np.testing.assert_array_equal(batch.prev_action[..., 0][known], painted[known])
    assert len(np.unique(painted[known])) == 5
    first = batch.mask & (batch.obs[..., 0, 1, 0] == 0)  # the toy paints the step too
    np.testing.assert_array_equal(known, batch.mask & ~first)
    np.testing.assert_array_equal(batch.reward[known], (painted[known] == 1).astype(np.float32))
