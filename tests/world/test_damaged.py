"""What is damaged, forged or of another kind is not taken for a bundle."""

import hashlib
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from tests.world.bundles import change_card
from worldsim.world import list_worlds, load_world

DEEP = json.loads("[" * 200 + "]" * 200)


def rehash(folder, name, raw):
    """Change a file and its hash in the card, as somebody would who means harm."""
    (folder / f"{name}.safetensors").write_bytes(raw)
    change_card(folder, lambda card: card[name].update(sha256=hashlib.sha256(raw).hexdigest()))


def forge(arrays, dtype="F32"):
    """Bytes of a safetensors file with these (name, shape), whatever they are."""
    header, offset = {}, 0
    for name, shape in arrays:
        size = int(np.prod(shape)) * 4
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(offset)


@pytest.mark.parametrize("key", ["schema_version", "action_spec", "licence", "weights", "initial_contexts"])
def test_a_missing_key_of_the_card_is_named(bundle, key):
    change_card(bundle, lambda card: card.pop(key))
    with pytest.raises(ValueError, match=key):
        load_world(bundle)


@pytest.mark.parametrize(
    "key, value",
    [
        ("schema_version", 99),
        ("training_set", {}),
        ("config", {"tokenizer": 1, "dynamics": {}, "outcome": {}}),
        ("fps", "fast"),
        ("fps", 0),
        ("size", [8]),
        ("size", [8, -1]),
        ("size", [8, 2**40]),
        ("prompts", [1]),
        ("config", {}),
        ("name", 3),
        ("action_spec", {"choices": 1}),
        ("weights", 1),
    ],
)
def test_a_wrong_value_in_the_card_is_named(bundle, key, value):
    change_card(bundle, lambda card: card.update({key: value}))
    with pytest.raises(ValueError, match=key):
        load_world(bundle)


def test_a_bundle_of_the_older_schema_is_refused_with_the_command_that_migrates_it(bundle):
    change_card(bundle, lambda card: card.update(schema_version=1))
    with pytest.raises(ValueError, match="expected 2 for schema_version, got 1; .* experiments/migrate_bundle.py"):
        load_world(bundle)


@pytest.mark.parametrize("raw", [b"[1]", b"{", b"\xff\xfe", b" " * (2**24 + 1)])
def test_metrics_that_are_no_json_object_are_refused(bundle, raw):
    (bundle / "metrics.json").write_bytes(raw)
    with pytest.raises(ValueError, match="metrics.json"):
        load_world(bundle)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[1]", b"[" * 100_000, b" " * (2**20 + 1)])
def test_a_card_that_is_not_json_is_refused(bundle, raw):
    (bundle / "card.json").write_bytes(raw)
    with pytest.raises(ValueError, match="card.json"):
        load_world(bundle)


@pytest.mark.parametrize("name", ["card.json", "weights.safetensors", "initial_contexts.safetensors"])
def test_a_missing_file_is_named(bundle, name):
    (bundle / name).unlink()
    with pytest.raises(ValueError, match=name if name != "card.json" else "no world"):
        load_world(bundle)


@pytest.mark.parametrize("name", ["weights.safetensors", "initial_contexts.safetensors"])
def test_a_flipped_byte_is_found(bundle, name):
    raw = bytearray((bundle / name).read_bytes())
    raw[-3] ^= 1
    (bundle / name).write_bytes(raw)
    with pytest.raises(ValueError, match="sha256"):
        load_world(bundle)


@pytest.mark.parametrize("length", [2**60, 2**64 - 1, 10**9])
def test_an_over_large_header_is_refused_before_it_is_read(bundle, length):
    rehash(bundle, "weights", struct.pack("<Q", length) + b"{}")
    with pytest.raises(ValueError, match="header"):
        load_world(bundle)


@pytest.mark.parametrize("raw", [b"", b"1234567", struct.pack("<Q", 2) + b"[]", forge([("a", [2])])[:-1]])
def test_a_truncated_weights_file_is_refused(bundle, raw):
    rehash(bundle, "weights", raw)
    with pytest.raises(ValueError, match="weights.safetensors"):
        load_world(bundle)


@pytest.mark.parametrize(
    "arrays, dtype, message",
    [
        ([("tokenizer/k", [3])], "F32", "23 parameters, the shapes make 3"),
        ([("tokenizer/k", [23])], "F32", "parts"),
        ([("tokenizer", [20]), ("dynamics", [2]), ("outcome", [1])], "F32", "parts"),
        ([("../../etc/passwd", [23])], "F32", "array name"),
        ([("a", [22]), ("a/b", [1])], "F32", "through another|twice"),
        ([("tokenizer/k", [23])], "I32", "I32"),
    ],
)
def test_weights_that_are_not_those_of_the_card_are_refused(bundle, arrays, dtype, message):
    rehash(bundle, "weights", forge(arrays, dtype))
    change_card(bundle, lambda card: card["weights"].update(dtype="float32"))
    with pytest.raises(ValueError, match=message):
        load_world(bundle)


def test_weights_of_another_dtype_than_the_card_says_are_refused(bundle):
    change_card(bundle, lambda card: card["weights"].update(dtype="bfloat16"))
    with pytest.raises(ValueError, match="dtype bfloat16"):
        load_world(bundle)


@pytest.mark.parametrize("name", ["card.json", "weights.safetensors", "initial_contexts.safetensors", "metrics.json"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link out", "link to itself"])
def test_what_is_no_plain_file_is_never_opened(bundle, name, kind):
    file = bundle / name
    file.rename(bundle.parent / "elsewhere")
    targets = {"device": "/dev/zero", "link out": bundle.parent / "elsewhere", "link to itself": name}
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        file.symlink_to(targets[kind])
    with pytest.raises(ValueError, match=name if name != "card.json" else "card.json|no world"):
        load_world(bundle)


@pytest.mark.parametrize("has_hash", [True, False])
def test_weights_larger_than_the_config_implies_are_refused_by_their_length(bundle, monkeypatch, has_hash):
    os.truncate(bundle / "weights.safetensors", 2**32)
    change_card(
        bundle, lambda card: card["weights"].update({"num_params": 2**30} | ({} if has_hash else {"sha256": ""}))
    )
    read, opened = Path.read_bytes, []
    monkeypatch.setattr(Path, "read_bytes", lambda path: opened.append(path.name) or read(path))
    with pytest.raises(ValueError, match="expected at most .* bytes for .*weights.safetensors, got 4294967296"):
        load_world(bundle, count_params=lambda card: 23)
    assert opened == ["card.json"]


@pytest.mark.parametrize(
    "change", [{"weights": {"num_params": [1]}}, {"training": {"minutes": 10**400}}, {"fps": 1e-9}, {"limits": DEEP}]
)
def test_a_card_that_cannot_be_shown_leaves_the_other_worlds_listed(bundle, tmp_path, monkeypatch, change):
    from tests.world.bundles import make_world
    from worldsim.world import save_world

    save_world(make_world("jump"), tmp_path / "jump")
    monkeypatch.setattr("worldsim.places.SHIPPED", (tmp_path,))
    monkeypatch.chdir(tmp_path)
    change_card(bundle, lambda card: card.update(change))
    assert [card.name for card in list_worlds().values()] == ["jump"]
