"""Bundles come back as they were saved."""

import json
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from tests.world.bundles import make_world
from tests.worlds import random_world
from worldsim.controls import discrete
from worldsim.text.prompt import PromptConfig
from worldsim.world import Card, flatten, load_world, save_world, unflatten


def test_a_world_comes_back_bit_identical(bundle):
    world, saved = load_world(bundle), make_world()
    flat, wanted = flatten(world.params), flatten(saved.params)
    assert flat.keys() == wanted.keys()
    for name, leaf in wanted.items():
        assert flat[name].dtype == leaf.dtype
        np.testing.assert_array_equal(flat[name], np.asarray(leaf))
    for name, array in saved.initial_contexts.items():
        np.testing.assert_array_equal(world.initial_contexts[name], array)
    assert replace(world.card, weights=saved.card.weights, initial_contexts=saved.card.initial_contexts) == saved.card
    assert Card.from_json(json.loads(json.dumps(world.card.to_json()))) == world.card
    assert world.metrics == saved.metrics
    assert world.card.weights.num_params == 23
    assert world.action_spec == discrete(("noop", "up", "down"))


def test_weights_can_be_stored_in_bfloat16(tmp_path):
    save_world(make_world(), tmp_path / "half", dtype=jnp.bfloat16)
    world = load_world(tmp_path / "half")
    assert world.card.weights.dtype == "bfloat16"
    assert {x.dtype for x in flatten(world.params).values()} == {np.dtype(jnp.bfloat16)}


def test_saving_again_replaces_the_bundle_and_leaves_nothing_beside_it(bundle):
    save_world(make_world(title="Second"), bundle, extra_files={"preview.gif": b"GIF89a"})
    assert load_world(bundle).card.title == "Second"
    assert [x.name for x in bundle.parent.iterdir()] == ["pong"]
    assert (bundle / "preview.gif").read_bytes() == b"GIF89a"
    assert (bundle / "README.md").read_text().split("---\n")[2].startswith("\n# Second\n\n![")


def test_a_failed_save_leaves_the_old_bundle(bundle, monkeypatch):
    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_world(make_world(title="Second"), bundle)
    assert load_world(bundle).card.title == "A dream of pong"
    assert [x.name for x in bundle.parent.iterdir()] == ["pong"]


def test_saving_over_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="something else"):
        save_world(make_world(), tmp_path)


def test_nan_in_the_metrics_becomes_null(tmp_path):
    save_world(make_world(metrics={"psnr": float("nan"), "n": np.float32(2)}), tmp_path / "w")
    assert load_world(tmp_path / "w").metrics == {"psnr": None, "n": 2.0}


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/../b", "", "a" * 65])
def test_a_world_whose_name_is_no_plain_name_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="for a world's name, got"):
        save_world(make_world(name=name), tmp_path / "w")


@pytest.mark.parametrize("name", ["../evil.gif", "/evil.gif", ".hidden", "a/b.gif"])
def test_extra_files_stay_in_the_folder(tmp_path, name):
    with pytest.raises(ValueError, match="plain names"):
        save_world(make_world(), tmp_path / "w", extra_files={name: b""})
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda s: s | {"obs": s["obs"][:, :, :4]}, "obs: expected uint8"),
        (lambda s: s | {"obs": s["obs"].astype(np.float32)}, "obs: expected uint8"),
        (lambda s: s | {"prev_action": s["prev_action"][:, :3]}, "prev_action: expected"),
        (lambda s: {"obs": s["obs"]}, "obs and prev_action"),
    ],
)
def test_initial_contexts_of_a_wrong_size_are_refused(tmp_path, change, message):
    world = make_world()
    world = replace(world, initial_contexts=change(world.initial_contexts))
    with pytest.raises(ValueError, match=message):
        save_world(world, tmp_path / "w")
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"named_labels": np.array([[1], [3]], np.uint8)}, "a value of each attribute"),
        ({"named_labels": np.array([[1]], np.uint8)}, r"named_labels: expected uint8 \[2, 1\], got uint8 \[1, 1\]"),
        ({"named_obs": np.zeros((2, 4, 1, 1, 3), np.uint8)}, "named_obs: expected uint8"),
        ({"named_labels": None}, "expected named_labels and named_obs"),
    ],
)
def test_contexts_that_words_name_are_checked_too(tmp_path, change, message):
    words = PromptConfig(attributes=(("biome", (("desert",), ("forest",))),), known=("desert", "forest"))
    world = random_world(prompt=words)
    named = {f"named_{key}": x for key, x in world.initial_contexts.items()}
    contexts = {**world.initial_contexts, **named, "named_labels": np.array([[1], [0]], np.uint8)}
    save_world(replace(world, initial_contexts=contexts), tmp_path / "good")
    np.testing.assert_array_equal(load_world(tmp_path / "good").initial_contexts["named_labels"], [[1], [0]])
    bad = {key: x for key, x in (contexts | change).items() if x is not None}
    with pytest.raises(ValueError, match=message):
        save_world(replace(world, initial_contexts=bad), tmp_path / "bad")


def test_unflatten_undoes_flatten():
    tree = {"a": {"0": {"b": 1}, "1": 2}, "c": 3}
    assert unflatten(flatten(tree)) == tree


def test_a_card_shows_the_film_strip_that_lies_beside_it(tmp_path):
    save_world(make_world(), tmp_path / "with", extra_files={"film_strip.png": b"png"})
    save_world(make_world(), tmp_path / "without")
    assert "(film_strip.png)" in (tmp_path / "with" / "README.md").read_text()
    assert "film_strip" not in (tmp_path / "without" / "README.md").read_text()
