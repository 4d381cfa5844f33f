"""Footage of strangers: only plain files are opened, and nothing is unpacked that its description does not say."""

import json
import os

import pytest

from worldsim.data.inspect import summarize
from worldsim.data.store import Footage


def change_json(file, change):
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))


def sharding(layout):
    return layout["codecs"][0]["configuration"]


@pytest.mark.parametrize("name", ["footage.json", "episodes.jsonl", "episodes/000000/obs/zarr.json", "CHUNK"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "sparse"])
def test_what_is_no_plain_file_of_a_fitting_size_is_never_opened(write_footage, name, kind):
    path, _ = write_footage(20)
    file = path / name.replace("CHUNK", "episodes/000000/obs/c/0/0/0/0")
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to("/dev/zero")
    elif kind == "folder":
        file.mkdir()
    else:
        file.touch()
        os.truncate(file, 2**33)
    with pytest.raises(ValueError, match="expected (a plain file|at most)"):
        Footage.open(path)[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x["chunk_grid"]["configuration"].update(chunk_shape=[2**20, 2**10, 6, 3]),
        lambda x: sharding(x).update(chunk_shape=[2**20, 8, 6, 3]),
        lambda x: sharding(x)["codecs"].pop(1),
        lambda x: sharding(x)["codecs"].insert(0, {"name": "transpose", "configuration": {"order": [3, 2, 1, 0]}}),
        lambda x: x.update(codecs=sharding(x)["codecs"]),
        lambda x: x.update(data_type="float64"),
        lambda x: x.update(chunk_key_encoding={"name": "v2"}),
        lambda x: x.update(codecs=7),
        lambda x: x.pop("chunk_grid"),
    ],
)
def test_a_layout_that_could_unpack_to_anything_is_refused_before_it_is_opened(write_footage, monkeypatch, change):
    path, _ = write_footage(20)
    change_json(path / "episodes/000000/obs/zarr.json", change)
    monkeypatch.setattr("worldsim.data.episode.ts", None)
    with pytest.raises(ValueError, match="expected the layout of uint8"):
        Footage.open(path).read_clip(0, 0, 3)


@pytest.mark.parametrize("length", [1e400, 1e9, 2**40, "20", True, None, [20]])
def test_a_length_that_no_episode_has_is_refused(write_footage, length):
    path, _ = write_footage(20)
    change_json(path / "episodes.jsonl", lambda x: x.update(length=length))
    (path / "episodes.jsonl").write_text((path / "episodes.jsonl").read_text() + "\n")
    with pytest.raises(ValueError, match="episodes.jsonl line 1 is damaged .*length"):
        Footage.open(path)


@pytest.mark.parametrize("label", [7, None, ["up"]])
def test_a_label_that_is_no_text_is_refused(write_footage, label):
    path, _ = write_footage(20)
    change_json(path / "footage.json", lambda x: x["action_spec"]["choices"][0]["labels"].__setitem__(0, label))
    with pytest.raises(ValueError, match=r"expected text for action_spec.choices\[0\].labels\[0\]"):
        summarize(Footage.open(path))


@pytest.mark.parametrize(
    "text", ["[" * 10**5, '{"episode": 0, "text": ' + "[" * 10**5, '{"episode": 1e400, "text": "x"}']
)
def test_captions_that_are_deep_or_no_numbers_are_a_value_error_of_their_line(write_footage, text):
    from worldsim.data.captions import read_captions

    path, _ = write_footage(20)
    (path / "captions.jsonl").write_text(text)
    with pytest.raises(ValueError, match="captions.jsonl line 1"):
        read_captions(path, [21])
