"""The store gives back what it was given, and says which file is wrong when it cannot."""

import errno
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.footage_factory import assert_same_episode, make_episode, make_meta
from worldsim.data import episode as episode_module
from worldsim.data import store as store_module
from worldsim.data.store import Footage, FootageMeta, FootageWriter
from worldsim.types import Episode


@settings(max_examples=12, deadline=None)
@given(
    lengths=st.lists(st.sampled_from([1, 2, 15, 16, 17, 255, 256, 257, 600]), min_size=1, max_size=3),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    num_states=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_what_is_read_is_what_was_written(lengths, size, num_states, seed):
    rng = np.random.default_rng(seed)
    episodes = [make_episode(rng, n, size, num_states) for n in lengths]
    meta = make_meta(size, state_names=[f"s{i}" for i in range(num_states)])
    with tempfile.TemporaryDirectory() as folder:
        with FootageWriter(f"{folder}/f", meta) as writer:
            infos = [writer.add(e) for e in episodes]
        footage = Footage.open(f"{folder}/f")
        assert footage.meta == meta
        assert footage.episodes == infos
        assert footage.num_frames == sum(lengths) + len(lengths)
        for i, episode in enumerate(episodes):
            assert_same_episode(footage[i], episode)


def test_an_action_that_nobody_knows_stays_unknown(tmp_path):
    episode = make_episode(np.random.default_rng(0), 4)
    episode.action[2] = np.nan
    with FootageWriter(tmp_path / "f", make_meta()) as writer:
        writer.add(episode)
    assert np.isnan(Footage.open(tmp_path / "f")[0].action[2]).all()


def test_black_frames_and_zero_rewards_are_stored_and_not_implied(tmp_path):
    blank = Episode(
        np.zeros((20, 8, 6, 3), np.uint8), *(np.zeros(s, np.float32) for s in ((19, 1), 19)), *[np.zeros(19, bool)] * 2
    )
    with FootageWriter(tmp_path / "f", make_meta()) as writer:
        writer.add(blank)
    assert_same_episode(Footage.open(tmp_path / "f")[0], blank)
    next(p for p in (tmp_path / "f/episodes/000000/obs/c").rglob("*") if p.is_file()).unlink()
    with pytest.raises(ValueError, match="000000/obs"):
        Footage.open(tmp_path / "f")[0]


def test_a_clip_is_a_part_of_the_episode(write_footage):
    path, (episode,) = write_footage(300)
    footage = Footage.open(path)
    for start, stop in ((0, 1), (0, 301), (250, 260), (300, 301)):
        np.testing.assert_array_equal(footage.read_clip(0, start, stop), episode.obs[start:stop])
    for start, stop in ((-1, 3), (5, 5), (300, 302)):
        with pytest.raises(ValueError, match="301"):
            footage.read_clip(0, start, stop)


def test_zarr_python_reads_it(write_footage):
    path, episodes = write_footage(40, state_names=("x", "y"))
    group = zarr.open_group(path / "episodes" / "000000", mode="r")
    for name, column in zip(Episode._fields, episodes[0], strict=True):
        np.testing.assert_array_equal(group[name][:], column)


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file() and "/c" in str(p.relative_to(path)))


@pytest.mark.parametrize("damage", ["delete", "empty", "cut", "flip", "foreign"])
def test_every_damaged_file_is_named(write_footage, damage):
    path, _ = write_footage(20, 20)
    original = {f: f.read_bytes() for f in _files(path / "episodes/000000")}
    assert len(original) == 5
    for file, data in original.items():
        if damage == "delete":
            file.unlink()
        else:
            middle = len(data) // 2
            flipped = data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]
            file.write_bytes({"empty": b"", "cut": data[:-7], "flip": flipped, "foreign": b"PK\3\4" * 99}[damage])
        with pytest.raises(ValueError, match=file.relative_to(path).parts[2]) as error:
            Footage.open(path)[0]
        assert "000000" in str(error.value)
        file.write_bytes(data)
    Footage.open(path)[0]
    Footage.open(path)[1]


def test_an_episode_of_other_footage_is_noticed(write_footage):
    path, _ = write_footage(20, 20)
    shutil.rmtree(path / "episodes/000000")
    shutil.copytree(path / "episodes/000001", path / "episodes/000000")
    with pytest.raises(ValueError, match=r"000000 is not the episode of the index"):
        Footage.open(path)[0]


def test_a_missing_or_longer_episode_is_noticed(write_footage):
    path, _ = write_footage(20, 30)
    shutil.rmtree(path / "episodes/000000")
    with pytest.raises(ValueError, match="000000"):
        Footage.open(path)[0]
    shutil.copytree(path / "episodes/000001", path / "episodes/000000")
    with pytest.raises(ValueError, match=r"expected .*20.* got .*30"):
        Footage.open(path).read_columns(0, "reward")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "footage.json"),
        ("{", "footage.json"),
        ("[]", "not the footage.json of worldsim"),
        ('{"a": 1}', "not the footage.json of worldsim"),
        ('{"schema_version": 99}', "schema version 1, got 99"),
        ('{"schema_version": 1}', "missing"),
        ("\x00\x01", "footage.json"),
    ],
)
def test_a_foreign_or_damaged_description_is_named(tmp_path, content, words):
    (tmp_path / "footage.json").write_text(content)
    with pytest.raises(ValueError, match=words) as error:
        Footage.open(tmp_path)
    assert "footage.json" in str(error.value)


def test_a_folder_without_footage_is_not_footage(tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(ValueError, match="not a footage folder"):
            Footage.open(path)


@pytest.mark.parametrize("field", ["size", "action_spec", "fps", "objects", "prompts"])
def test_a_description_with_a_field_of_the_wrong_kind_is_refused(field):
    with pytest.raises(ValueError, match="wrong kind"):
        FootageMeta.from_json({**make_meta().to_json(), field: 7 if field != "fps" else "fast"})
    with pytest.raises(ValueError, match="unknown"):
        FootageMeta.from_json({**make_meta().to_json(), "surprise": 1})


def test_a_torn_last_line_is_ignored_and_repaired_by_the_next_writer(write_footage):
    path, episodes = write_footage(5, 6)
    index = path / "episodes.jsonl"
    whole = index.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in (first, first + 1, first + 40, len(whole) - 1):
        index.write_bytes(whole[:cut])
        assert len(Footage.open(path)) == 1
    with FootageWriter(path, make_meta()) as writer:
        assert not (path / "episodes/000001").exists()
        writer.add(episodes[1], seed=1, policy="test")
    assert index.read_bytes() == whole


def test_a_damaged_line_of_the_index_is_named(write_footage):
    path, _ = write_footage(5, 6)
    index = path / "episodes.jsonl"
    whole = index.read_bytes().splitlines(keepends=True)
    for line in (b"nonsense\n", b"[]\n", b"{}\n", whole[0].replace(b"000000", b"../../x"), b"\xff\n"):
        index.write_bytes(line + whole[1])
        with pytest.raises(ValueError, match=r"episodes.jsonl line 1 is damaged"):
            Footage.open(path)


@pytest.mark.parametrize(
    "other", [{"size": (8, 7)}, {"num_actions": 4}, {"game": "other"}, {"fps": 20.0}, {"state_names": ("x",)}]
)
def test_footage_of_another_world_cannot_be_added(write_footage, other):
    path, _ = write_footage(5)
    with pytest.raises(ValueError, match="cannot go on"):
        FootageWriter(path, make_meta(**other))
    assert len(Footage.open(path)) == 1


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match="not a footage folder"):
        FootageWriter(tmp_path, make_meta())
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_recording_that_died_before_its_first_file_can_begin_again(tmp_path):
    (tmp_path / "episodes").mkdir()
    (tmp_path / "footage.json.part").write_text("{")
    with FootageWriter(tmp_path, make_meta()) as writer:
        writer.add(make_episode(np.random.default_rng(0), 3))
    assert len(Footage.open(tmp_path)) == 1


def test_only_one_process_writes_a_folder(tmp_path):
    with FootageWriter(tmp_path / "f", make_meta()), pytest.raises(BlockingIOError, match="another process"):
        FootageWriter(tmp_path / "f", make_meta())


@pytest.mark.parametrize("where", ["column", "index"])
def test_no_room_on_the_disk_is_one_clear_error_and_lists_nothing_half_written(write_footage, monkeypatch, where):
    path, episodes = write_footage(5, 300)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with FootageWriter(path, make_meta()) as writer:
        with monkeypatch.context() as patch:
            if where == "column":
                patch.setattr(episode_module._Column, "_flush", full)
            else:
                patch.setattr(store_module.os, "fsync", full)
            with pytest.raises(OSError, match="no room left on the disk") as error:
                writer.add(episodes[1])
        assert error.value.errno == errno.ENOSPC
        assert len(Footage.open(path)) == 2
        writer.add(episodes[0])
    footage = Footage.open(path)
    assert [e.length for e in footage.episodes] == [6, 301, 6]
    assert sorted(p.name for p in (path / "episodes").iterdir()) == ["000000", "000001", "000002"]
    for i, j in enumerate((0, 1, 0)):
        assert_same_episode(footage[i], episodes[j])


def test_rows_of_the_wrong_shape_or_kind_are_refused(tmp_path):
    good = make_episode(np.random.default_rng(0), 3)
    bad = {
        "size": good._replace(obs=good.obs[:, :-1]),
        "dtype": good._replace(obs=good.obs.astype(np.float32)),
        "action": good._replace(action=np.zeros((3, 2), np.float32)),
        "state": good._replace(state=np.zeros((4, 1), np.float32)),
        "no step": Episode(good.obs[:1], good.action[:0], good.reward[:0], good.terminated[:0], good.truncated[:0]),
    }
    with FootageWriter(tmp_path / "f", make_meta()) as writer:
        for episode in bad.values():
            with pytest.raises(ValueError, match="expected"):
                writer.add(episode)
        assert writer.episodes == []
        assert list((tmp_path / "f/episodes").iterdir()) == []


def test_the_digest_follows_the_content(write_footage):
    digest = Footage.open(write_footage(5, 6)[0]).digest()
    assert digest == Footage.open(write_footage(5, 6, folder="same")[0]).digest()
    assert digest != Footage.open(write_footage(5, 7, folder="longer")[0]).digest()
    assert digest != Footage.open(write_footage(5, 6, folder="other", title="Other")[0]).digest()


def test_the_files_hold_no_pickle_and_the_index_is_plain_json(write_footage):
    path, _ = write_footage(5)
    (line,) = (path / "episodes.jsonl").read_text().splitlines()
    assert set(json.loads(line)) == {"name", "length", "return", "seed", "terminated", "policy", "sha256"}
    assert not [p for p in path.rglob("*") if p.suffix in (".pkl", ".pickle")]
