"""The summary counts what is there; the sheet shows frames of the footage."""

import json

import numpy as np
import pytest

from tests.data.footage_factory import make_meta
from worldsim.controls import ActionSpec, Axis, Button, Choice
from worldsim.data.inspect import contact_sheet, summarize
from worldsim.data.store import Footage, FootageWriter
from worldsim.types import Episode


def test_the_summary_counts_what_was_written(write_footage):
    path, episodes = write_footage(5, 9)
    summary = summarize(Footage.open(path))
    actions = np.concatenate([e.action for e in episodes])[:, 0].astype(int)
    rewards = np.concatenate([e.reward for e in episodes])
    assert summary["actions"] == {"action": {str(i): int((actions == i).sum()) for i in range(3)}}
    assert summary["reward"]["nonzero"] == 14
    assert summary["reward"]["total"] == pytest.approx(rewards.sum(), rel=1e-5)
    assert (summary["episodes"], summary["frames"], summary["terminated"], summary["truncated"]) == (2, 16, 2, 0)
    assert summary["bytes_on_disk"] == sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    json.dumps(summary)


def test_buttons_axes_and_unknown_actions_are_counted(tmp_path):
    spec = ActionSpec(
        choices=(Choice(name="c", labels=("a", "b"), keys=((), ())),),
        buttons=(Button(name="fire"),),
        axes=(Axis(name="x"),),
    )
    action = np.array([[0, 1, 0.5], [1, 1, -0.5], [1, 0, 0], [np.nan] * 3], np.float32)
    obs = np.zeros((5, 8, 6, 3), np.uint8)
    with FootageWriter(tmp_path / "f", make_meta(action_spec=spec)) as writer:
        writer.add(Episode(obs, action, np.zeros(4, np.float32), np.zeros(4, bool), np.zeros(4, bool)))
    summary = summarize(Footage.open(tmp_path / "f"))
    assert summary["actions_unknown"] == 1
    assert summary["actions"]["c"] == {"a": 1, "b": 2}
    assert summary["actions"]["fire"] == {"down": 2, "up": 1}
    assert summary["actions"]["x"]["low"] == -0.5


def test_footage_without_episodes_has_a_summary_and_no_sheet(tmp_path):
    FootageWriter(tmp_path / "f", make_meta()).close()
    footage = Footage.open(tmp_path / "f")
    assert summarize(footage)["frames"] == 0
    with pytest.raises(ValueError, match="got none"):
        contact_sheet(footage)


def test_the_sheet_shows_frames_from_first_to_last(write_footage):
    path, episodes = write_footage(5, 9)
    sheet = contact_sheet(Footage.open(path), rows=2, columns=3)
    assert sheet.shape == (2 * 10 - 2, 3 * 8 - 2, 3)
    np.testing.assert_array_equal(sheet[:8, :6], episodes[0].obs[0])
    np.testing.assert_array_equal(sheet[-8:, -6:], episodes[1].obs[-1])
    with pytest.raises(ValueError, match="at least one row"):
        contact_sheet(Footage.open(path), rows=0)
