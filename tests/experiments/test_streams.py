"""Streams are cut where games end: no picture lost, no step across episodes, whatever the size of the chunks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import StreamCutter, StreamRows

from tests.data.footage_factory import assert_same_episode
from worldsim.data.store import Episode

ENDS = st.sampled_from(["terminated", "truncated"])
STREAM = st.lists(st.tuples(st.integers(1, 9), ENDS, st.integers(0, 3)), max_size=4)  # steps, end, rows of waiting


def _play(rng, num_steps, end):
    """An episode whose every value is drawn, so that no two rows are alike."""
    flags = {
        name: np.arange(num_steps) == (num_steps - 1 if name == end else -1) for name in ("terminated", "truncated")
    }
    obs = rng.integers(0, 256, (num_steps + 1, 2, 2, 3), dtype=np.uint8)
    action, reward = rng.normal(size=(num_steps, 1)), rng.normal(size=num_steps)
    return Episode(obs, action.astype(np.float32), reward.astype(np.float32), flags["terminated"], flags["truncated"])


def _stream(rng, plan, length):
    """The rows of one stream that plays a plan and then one more episode, and the episodes that should come of it."""
    rows, whole, rest = [], [], []
    for num_steps, end, waiting in [*plan, (length, "", 0)]:
        episode = _play(rng, num_steps, end)
        junk = rng.normal(size=1).astype(np.float32), np.float32(9)
        for _ in range(waiting if rows else 0):
            rows.append((episode.obs[0] // 2, *junk, True, False))
        rows.append((episode.obs[0], *junk, False, False))
        rows += zip(episode.obs[1:], *episode[1:5], strict=True)
        if len(rows) <= length and end:
            whole.append(episode)
        elif (left := num_steps - max(len(rows) - length, 0)) > 0:
            rest = [Episode(episode.obs[: left + 1], *(x[:left].copy() for x in episode[1:5]))]
            rest[0].truncated[-1] = True
        if len(rows) >= length:
            break
    return StreamRows(*(np.stack(column) for column in zip(*rows[:length], strict=True))), whole, rest


@settings(max_examples=60, deadline=None)
@given(st.lists(STREAM, min_size=1, max_size=3), st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**16))
def test_every_episode_comes_out_as_it_was_played(plans, length, chunk, seed):
    rng = np.random.default_rng(seed)
    streams = [_stream(rng, plan, length) for plan in plans]
    rows = StreamRows(*(np.stack(column, 1) for column in zip(*(s[0] for s in streams), strict=True)))
    cutter, found = StreamCutter(len(plans)), []
    for start in range(0, length, chunk):
        found += cutter.push(StreamRows(*(x[start : start + chunk] for x in rows)))
    wanted = [episode for _, whole, _ in streams for episode in whole]
    assert len(found) == len(wanted)
    for episode in wanted:
        same = [other for other in found if np.array_equal(other.obs, episode.obs)]
        assert len(same) == 1
        assert_same_episode(episode, same[0])
    rest = cutter.rest()
    assert len(rest) == sum(len(left) for *_, left in streams)
    for episode, other in zip((e for *_, left in streams for e in left), rest, strict=True):
        assert_same_episode(episode, other)
    assert cutter.num_steps == sum(len(e.reward) for e in found + rest)


def test_the_last_picture_belongs_to_the_episode_that_ended():
    obs = np.arange(4, dtype=np.uint8)[:, None, None, None, None]
    terminated = np.array([False, True, False, False])[:, None]
    values = np.zeros((4, 1), np.float32)
    cutter = StreamCutter(1)
    (first,) = cutter.push(StreamRows(obs, values[..., None], values, terminated, np.zeros((4, 1), bool)))
    assert first.obs.ravel().tolist() == [0, 1] and first.terminated.tolist() == [True]
    (second,) = cutter.rest()
    assert second.obs.ravel().tolist() == [2, 3] and second.truncated.tolist() == [True]


def test_rows_of_another_number_of_streams_are_refused():
    values = np.zeros((4, 2), np.float32)
    rows = StreamRows(np.zeros((4, 2, 1, 1, 3), np.uint8), values[..., None], values, values > 0, values > 0)
    with pytest.raises(ValueError, match="got"):
        StreamCutter(3).push(rows)
