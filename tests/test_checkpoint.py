"""Bundles come back as they were saved, and nothing else is taken for one."""

import hashlib
import json
import signal
import struct
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from worldsim.checkpoint import open_training, restore_training, save_training
from worldsim.checkpoint.bundle import World, flatten, load_world, save_world, unflatten
from worldsim.checkpoint.card import list_worlds, read_card
from worldsim.types import discrete


def make_world(name="pong", size=(8, 12), **card) -> World:
    rng = np.random.default_rng(0)
    params = {
        "tokenizer": {"kernel": rng.normal(size=(3, 4)).astype(np.float32)},
        "dynamics": {"blocks": {0: {"scale": jnp.ones(5, jnp.bfloat16)}, 1: {"scale": np.zeros(5, np.float32)}}},
        "outcome": {"bias": np.zeros((), np.float32)},
    }
    base = {
        "schema_version": 1, "name": name, "title": f"A dream of {name}", "prompts": [name], "game": name,
        "size": list(size), "fps": 15, "action_spec": discrete(("noop", "up", "down")).to_json(), "preset": "tiny",
        "config": {"tokenizer": {}, "dynamics": {}, "outcome": {}, "sampler": {}}, "footage": {"frames": 10},
        "training": {"minutes": 1.0, "seed": 0}, "metrics": {"psnr": {"value": 20.0, "command": "worldsim eval"}},
        "licence": {"code": "MIT"}, "limits": ["forgets"],
    }  # fmt: skip
    starts = {
        "obs": rng.integers(0, 256, (2, 4, *size, 3), dtype=np.uint8),
        "prev_action": np.zeros((2, 4, 1), np.float32),
    }
    return World(card=base | card, params=params, starts=starts)


@pytest.fixture
def bundle(tmp_path):
    save_world(make_world(), tmp_path / "pong")
    return tmp_path / "pong"


def rehash(folder, name, raw):
    """Change a file and its hash in the card, as somebody would who means harm."""
    (folder / f"{name}.safetensors").write_bytes(raw)
    change_card(folder, lambda card: card[name].update(sha256=hashlib.sha256(raw).hexdigest()))


def change_card(folder, change):
    card = json.loads((folder / "card.json").read_text())
    change(card)
    (folder / "card.json").write_text(json.dumps(card))


def forge(arrays, dtype="F32"):
    """Bytes of a safetensors file with these (name, shape), whatever they are."""
    header, offset = {}, 0
    for name, shape in arrays:
        size = int(np.prod(shape)) * 4
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(offset)


def test_a_world_comes_back_bit_identical(bundle):
    world, saved = load_world(bundle), make_world()
    flat, wanted = flatten(world.params), flatten(saved.params)
    assert flat.keys() == wanted.keys()
    for name, leaf in wanted.items():
        assert flat[name].dtype == leaf.dtype
        np.testing.assert_array_equal(flat[name], np.asarray(leaf))
    for name, array in saved.starts.items():
        np.testing.assert_array_equal(world.starts[name], array)
    assert {k: world.card[k] for k in saved.card} == json.loads(json.dumps(saved.card))
    assert world.card["weights"]["num_params"] == 23
    assert world.action_spec == discrete(("noop", "up", "down"))


def test_weights_can_be_stored_in_bfloat16(tmp_path):
    save_world(make_world(), tmp_path / "half", dtype=jnp.bfloat16)
    world = load_world(tmp_path / "half")
    assert world.card["weights"]["dtype"] == "bfloat16"
    assert {x.dtype for x in flatten(world.params).values()} == {np.dtype(jnp.bfloat16)}


def test_saving_again_replaces_the_bundle_and_leaves_nothing_beside_it(bundle):
    save_world(make_world(title="Second"), bundle, extra_files={"preview.gif": b"GIF89a"})
    assert load_world(bundle).card["title"] == "Second"
    assert [x.name for x in bundle.parent.iterdir()] == ["pong"]
    assert (bundle / "preview.gif").read_bytes() == b"GIF89a"
    assert (bundle / "README.md").read_text().startswith("# Second")


def test_a_failed_save_leaves_the_old_bundle(bundle, monkeypatch):
    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_world(make_world(title="Second"), bundle)
    assert load_world(bundle).card["title"] == "A dream of pong"
    assert [x.name for x in bundle.parent.iterdir()] == ["pong"]


def test_saving_over_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="something else"):
        save_world(make_world(), tmp_path)


def test_nan_in_the_card_becomes_null(tmp_path):
    save_world(make_world(metrics={"psnr": float("nan"), "n": np.float32(2)}), tmp_path / "w")
    assert read_card(tmp_path / "w")["metrics"] == {"psnr": None, "n": 2.0}


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/../b", "", "a" * 65])
def test_a_world_whose_name_is_no_plain_name_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="name wants"):
        save_world(make_world(name=name), tmp_path / "w")


@pytest.mark.parametrize("name", ["../evil.gif", "/evil.gif", ".hidden", "a/b.gif"])
def test_extra_files_stay_in_the_folder(tmp_path, name):
    with pytest.raises(ValueError, match="plain names"):
        save_world(make_world(), tmp_path / "w", extra_files={name: b""})
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("key", ["schema_version", "action_spec", "licence", "weights", "starts"])
def test_a_missing_key_of_the_card_is_named(bundle, key):
    change_card(bundle, lambda card: card.pop(key))
    with pytest.raises(ValueError, match=key):
        load_world(bundle)


@pytest.mark.parametrize(
    "key, value",
    [
        ("schema_version", 99), ("fps", "fast"), ("fps", 0), ("size", [8]), ("size", [8, -1]), ("size", [8, 2**40]),
        ("prompts", [1]), ("config", {}), ("name", 3), ("action_spec", {"choices": 1}), ("weights", 1),
    ],
)  # fmt: skip
def test_a_wrong_value_in_the_card_is_named(bundle, key, value):
    change_card(bundle, lambda card: card.update({key: value}))
    with pytest.raises(ValueError, match="ActionSpec" if key == "action_spec" else key):
        load_world(bundle)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[1]", b"[" * 100_000, b" " * (2**20 + 1)])
def test_a_card_that_is_not_json_is_refused(bundle, raw):
    (bundle / "card.json").write_bytes(raw)
    with pytest.raises(ValueError, match="card.json"):
        load_world(bundle)


@pytest.mark.parametrize("name", ["card.json", "weights.safetensors", "starts.safetensors"])
def test_a_missing_file_is_named(bundle, name):
    (bundle / name).unlink()
    with pytest.raises(ValueError, match=name if name != "card.json" else "no world"):
        load_world(bundle)


@pytest.mark.parametrize("name", ["weights.safetensors", "starts.safetensors"])
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


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda s: s | {"obs": s["obs"][:, :, :4]}, "obs wants uint8"),
        (lambda s: s | {"obs": s["obs"].astype(np.float32)}, "obs wants uint8"),
        (lambda s: s | {"prev_action": s["prev_action"][:, :3]}, "prev_action wants"),
        (lambda s: {"obs": s["obs"]}, "obs and prev_action"),
    ],
)
def test_starts_of_a_wrong_size_are_refused(tmp_path, change, message):
    world = make_world()
    world = World(card=world.card, params=world.params, starts=change(world.starts))
    with pytest.raises(ValueError, match=message):
        save_world(world, tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_unflatten_undoes_flatten():
    tree = {"a": {"0": {"b": 1}, "1": 2}, "c": 3}
    assert unflatten(flatten(tree)) == tree


@pytest.fixture
def three_worlds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("worldsim.checkpoint.card.SHIPPED", ())
    save_world(make_world("pong-small", game="pong", prompts=["pong", "table tennis"]), "checkpoints/pong-small")
    save_world(make_world("doom-takecover", prompts=["doom", "take cover"]), "checkpoints/doom-takecover")
    save_world(make_world("jump", title="Jump from floe to floe"), "runs/monday/world")


@pytest.mark.parametrize(
    "said, meant",
    [
        ("pong", "pong-small"), ("play pong please", "pong-small"), ("Table tennis, please!", "pong-small"),
        ("doom-takecover", "doom-takecover"), ("a game of DOOM", "doom-takecover"), ("jump", "jump"),
        ("monday", "jump"), ("runs/monday", "jump"), ("runs/monday/world", "jump"), ("the one with the floe", "jump"),
    ],
)  # fmt: skip
def test_a_name_or_a_prompt_finds_its_world(three_worlds, said, meant):
    assert load_world(said).card["name"] == meant


@pytest.mark.parametrize("said", ["minecraft", "", "play a game", "../pong", "pingpong"])
def test_a_prompt_that_means_nothing_lists_what_exists(three_worlds, said):
    if said == "../pong":
        said = "../nothing"
    with pytest.raises(ValueError, match="doom-takecover, jump, pong-small"):
        load_world(said)


def test_listing_leaves_out_what_is_broken(three_worlds, tmp_path):
    (tmp_path / "checkpoints/pong-small/card.json").write_text("{")
    assert [card["name"] for card in list_worlds()] == ["doom-takecover", "jump"]
    with pytest.raises(ValueError, match="JSON"):
        load_world("pong-small")


def make_state(step: int) -> dict:
    return {
        "params": {"layers": {0: jnp.full((4, 3), step, jnp.float32), 1: jnp.full(2, step, jnp.bfloat16)}},
        "opt": (np.full(3, step, np.int64), None, {"mu": jnp.float32(step) / 3}),
        "key": jax.random.key_data(jax.random.fold_in(jax.random.key(0), step)),
        "step": step,
    }


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert np.asarray(x).dtype == np.asarray(y).dtype
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


def test_training_resumes_with_exactly_what_was_saved(tmp_path):
    manager = open_training(tmp_path / "state")
    assert restore_training(manager, make_state(0)) is None
    for step in (3, 5, 8):
        assert save_training(manager, step, make_state(step), {"minutes": step / 2})
    manager.close()
    manager = open_training(tmp_path / "state")
    assert manager.all_steps() == [5, 8]
    step, tree, meta = restore_training(manager, make_state(0))
    assert (step, meta) == (8, {"minutes": 4.0})
    assert_same(tree, make_state(8))
    manager.close()


def test_arrays_may_change_while_they_are_saved(tmp_path):
    manager = open_training(tmp_path)
    state = {"x": np.zeros(1_000_000, np.float32)}
    save_training(manager, 1, state)
    state["x"] += 1
    _, tree, _ = restore_training(manager, state)
    assert not tree["x"].any()
    manager.close()


def test_a_step_is_saved_once_and_never_backwards(tmp_path):
    manager = open_training(tmp_path)
    assert save_training(manager, 2, {"x": np.zeros(1)})
    assert not save_training(manager, 2, {"x": np.ones(1)})
    with pytest.raises(ValueError, match="above 2"):
        save_training(manager, 1, {"x": np.zeros(1)})
    manager.close()


@pytest.mark.parametrize("like", [{"x": np.zeros(4)}, {"x": np.zeros(3, np.float32)}, {"y": np.zeros(3)}])
def test_state_of_another_configuration_is_refused(tmp_path, like):
    manager = open_training(tmp_path)
    save_training(manager, 1, {"x": np.zeros(3)})
    with pytest.raises(ValueError, match="another configuration"):
        restore_training(manager, like)
    manager.close()


KILLED = """
import sys, numpy as np
from worldsim.checkpoint import open_training, save_training
manager = open_training(sys.argv[1])
for step in range(1, 10_000):
    save_training(manager, step, {"x": [np.full(1_000_000, step, np.float32)] * 4, "step": step})
    print(step, flush=True)
"""


@pytest.mark.parametrize("wait_s", [0.03, 0.2])
def test_a_kill_during_a_save_leaves_the_last_good_step(tmp_path, wait_s):
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "state")], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    while int(child.stdout.readline() or -1) < 2:
        assert child.poll() is None
    time.sleep(wait_s)
    child.send_signal(signal.SIGKILL)
    began = 2 + len(child.stdout.read().split())
    child.stdout.close()
    child.wait()
    manager = open_training(tmp_path / "state")
    like = {"x": [np.zeros(1_000_000, np.float32)] * 4, "step": 0}
    restored = restore_training(manager, like)
    assert restored is not None
    step, tree, _ = restored
    assert began - 1 <= step <= began + 1
    assert_same(tree, {"x": [np.full(1_000_000, step, np.float32)] * 4, "step": step})
    assert save_training(manager, step + 1, like)
    manager.close()
