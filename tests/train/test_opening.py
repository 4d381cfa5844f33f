"""A network of its own for the first frame: learned in a stage, shipped in the bundle, asked once."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.worlds import COLOURS, PRESET, land_footage
from worldsim import opening
from worldsim.checkpoint import load_world
from worldsim.generation import Model, Sampler, bind
from worldsim.modules import build_graphs, read_configs
from worldsim.simulator import Simulator
from worldsim.start import read_text
from worldsim.train import fit
from worldsim.types import obs_to_frame

OPENING = dataclasses.replace(
    PRESET,
    opening={"width": 32, "num_layers": 1, "num_local": 0, "local_width": 8},
    opening_share=0.8,
    tokenizer_share=0.15,
    single_share=0.0,
    num_denoise_steps=1,
    half=True,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("opening")
    footage = land_footage(folder / "footage")
    return fit(footage.path, folder / "run", preset=OPENING, num_train_steps=700), folder


def test_words_choose_what_a_world_begins_with(trained):
    sim = Simulator.from_world(load_world(trained[1] / "run" / "world"))
    for name, colour in COLOURS.items():
        _, obs = sim.reset(jax.random.key(0), batch_size=8, prompt=f"{name}, day")
        nearest = np.argmin([np.abs(np.median(obs, (1, 2)) - c).sum(-1) for c in COLOURS.values()], 0)
        assert (np.array(list(COLOURS))[nearest] == name).mean() > 0.7, (name, np.median(obs, (1, 2)), colour)


def test_frames_fit_their_own_words_best(trained):
    model, prompt = modules(trained[0])
    frames = np.stack([np.full((16, 16, 3), colour, np.uint8) for colour in COLOURS.values()])
    frames[:, :, 4:8] = (200, 220, 240)
    z = model.tokenizer.encode(obs_to_frame(frames))
    keys = jax.random.split(jax.random.key(0), 3)
    fits = [opening.fit(model.opening, read_text(f"{name}, day", prompt, 3), z, keys) for name in COLOURS]
    np.testing.assert_array_equal(np.argmax(fits, 0), np.arange(3), err_msg=str(np.array(fits)))


def test_what_a_world_begins_with_is_the_best_of_several(trained, monkeypatch):
    model, prompt = modules(trained[0])
    words, keys, same = read_text("sea, night", prompt, 6), jax.random.split(jax.random.key(1), 6), jax.random.key(2)

    def mean_fit(num: int) -> float:
        monkeypatch.setattr(opening, "CANDIDATES", num)
        z = jax.jit(lambda keys: opening.begin(model, words, keys, Sampler()))(keys)
        return float(opening.fit(model.opening, words, z, jnp.repeat(same[None], 6)).mean())

    assert mean_fit(8) > mean_fit(1)


def test_worlds_begin_without_their_neighbours(trained):
    model, prompt = modules(trained[0])
    keys = jax.random.split(jax.random.key(3), 2)
    both = opening.begin(model, read_text("sea", prompt, 2), keys, Sampler())
    alone = opening.begin(model, read_text("sea", prompt, 1), keys[1:], Sampler())
    np.testing.assert_allclose(both[1:], alone, atol=1e-3)
    assert np.abs(both[0] - both[1]).max() > 1e-2


def modules(world) -> tuple[Model, Any]:
    """The modules of a world, and how it reads prompts."""
    configs = read_configs(world.card["config"])
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), world.params)
    return bind(build_graphs(configs, world.params), params), configs.dynamics.prompt


def test_an_opening_is_shipped_small_and_reads_what_the_dynamics_read(trained):
    world = load_world(trained[1] / "run" / "world")
    for part in ("dynamics", "outcome", "opening"):
        assert {leaf.dtype for leaf in jax.tree.leaves(world.params[part])} == {np.dtype(np.float16)}, "half the space"
    assert {leaf.dtype for leaf in jax.tree.leaves(world.params["tokenizer"])} == {np.dtype(np.float32)}
    configs = read_configs(world.card["config"])
    assert configs.opening is not None
    assert configs.opening.prompt == configs.dynamics.prompt and configs.opening.width == 32
    assert configs.opening.grid == configs.dynamics.grid and configs.opening.camera is None


def test_going_on_keeps_the_opening(trained):
    world, folder = trained
    more = fit(folder / "footage", folder / "more", preset=OPENING, num_train_steps=2, init=world)
    for a, b in zip(*(jax.tree.leaves(w.params["opening"]) for w in (world, more)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_only_what_words_mean_goes_on(trained):
    world, folder = trained
    more = fit(folder / "footage", folder / "first", preset=OPENING, num_train_steps=20, init=world, only_words=True)
    for part in ("tokenizer", "dynamics", "outcome"):
        for a, b in zip(*(jax.tree.leaves(w.params[part]) for w in (world, more)), strict=True):
            np.testing.assert_array_equal(a, b)
    for name, before in world.params["opening"].items():
        pairs = zip(jax.tree.leaves(before), jax.tree.leaves(more.params["opening"][name]), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs) == (name != "reader"), name
    assert (folder / "first" / "opening").is_dir() and not (folder / "first" / "dynamics").exists()
    assert more.card["config"] == world.card["config"]
    assert more.card["training"]["init"]["weights"] == world.card["weights"]["sha256"]


def test_an_opening_that_is_not_there_does_not_go_on(trained, tmp_path):
    with pytest.raises(ValueError, match="init"):
        fit(trained[1] / "footage", tmp_path / "run", preset=OPENING, only_words=True)
    with pytest.raises(ValueError, match="has no opening"):
        fit(trained[1] / "footage", tmp_path / "run", init=without_opening(trained[0]), only_words=True)


def without_opening(world):
    card = {**world.card, "config": {k: v for k, v in world.card["config"].items() if k != "opening"}}
    return dataclasses.replace(world, card=card, params={k: v for k, v in world.params.items() if k != "opening"})


def test_a_bundle_without_its_opening_is_refused(trained):
    world = trained[0]
    bad = dataclasses.replace(world, params={k: v for k, v in world.params.items() if k != "opening"})
    with pytest.raises(ValueError, match="opening"):
        Simulator.from_world(bad)
