"""A first-frame model: trained in a stage of its own, shipped in the bundle, sampled once."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.worlds import COLOURS, RECIPE, land_footage
from worldsim.initial import InitialContext, read_text
from worldsim.model import first_frame
from worldsim.model.generate import Model, Sampler, bind
from worldsim.model.modules import build_graphs, read_configs
from worldsim.simulator import Simulator
from worldsim.train import Init, fit
from worldsim.types import obs_to_frame
from worldsim.world import load_world

FIRST_FRAME = dataclasses.replace(
    RECIPE,
    first_frame=dataclasses.replace(RECIPE.dynamics, width=32, num_layers=1, num_local=0, local_width=8),
    first_frame_fraction=0.8,
    tokenizer_fraction=0.15,
    single_frame_fraction=0.0,
    num_denoise_steps=1,
    float16=True,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("first-frame")
    footage = land_footage(folder / "footage")
    return fit([footage.path], folder / "run", preset=FIRST_FRAME, num_train_steps=700), folder


def test_words_choose_what_a_world_begins_with(trained):
    sim = Simulator.from_world(load_world(trained[1] / "run" / "world"))
    for name, colour in COLOURS.items():
        _, obs = sim.reset(jax.random.key(0), batch_size=8, initial=InitialContext.from_text(f"{name}, day"))
        nearest = np.argmin([np.abs(np.median(obs, (1, 2)) - c).sum(-1) for c in COLOURS.values()], 0)
        assert (np.array(list(COLOURS))[nearest] == name).mean() > 0.7, (name, np.median(obs, (1, 2)), colour)


def test_frames_fit_their_own_words_best(trained):
    model, prompt = modules(trained[0])
    frames = np.stack([np.full((16, 16, 3), colour, np.uint8) for colour in COLOURS.values()])
    frames[:, :, 4:8] = (200, 220, 240)
    z = model.tokenizer.encode(obs_to_frame(frames))
    keys = jax.random.split(jax.random.key(0), 3)
    fit_of = jax.jit(lambda words: first_frame.prompt_fit(model.first_frame, words, z, keys))
    fits = [fit_of(read_text(f"{name}, day", prompt, 3)) for name in COLOURS]
    np.testing.assert_array_equal(np.argmax(fits, 0), np.arange(3), err_msg=str(np.array(fits)))


def test_what_a_world_begins_with_is_the_best_of_several(trained, monkeypatch):
    model, prompt = modules(trained[0])
    words, keys, same = read_text("sea, night", prompt, 6), jax.random.split(jax.random.key(1), 6), jax.random.key(2)

    def mean_fit(num: int) -> float:
        monkeypatch.setattr(first_frame, "CANDIDATES", num)
        z = jax.jit(lambda keys: first_frame.draw_first_frame(model, words, keys, Sampler()))(keys)
        return float(first_frame.prompt_fit(model.first_frame, words, z, jnp.repeat(same[None], 6)).mean())

    assert mean_fit(8) > mean_fit(1)


def test_worlds_begin_without_their_neighbours(trained):
    model, prompt = modules(trained[0])
    keys = jax.random.split(jax.random.key(3), 2)
    draw = jax.jit(lambda words, keys: first_frame.draw_first_frame(model, words, keys, Sampler()))
    both, alone = draw(read_text("sea", prompt, 2), keys), draw(read_text("sea", prompt, 1), keys[1:])
    np.testing.assert_allclose(both[1:], alone, atol=1e-3)
    assert np.abs(both[0] - both[1]).max() > 1e-2


def modules(world) -> tuple[Model, Any]:
    """The modules of a world, and how it reads prompts."""
    configs = read_configs(world.card.config)
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), world.params)
    return bind(build_graphs(configs, world.params), params), configs.dynamics.prompt


def test_a_first_frame_model_is_stored_small_and_reads_what_the_dynamics_read(trained):
    world = load_world(trained[1] / "run" / "world")
    for part in ("dynamics", "outcome", "first_frame"):
        assert {leaf.dtype for leaf in jax.tree.leaves(world.params[part])} == {np.dtype(np.float16)}, "half the space"
    assert {leaf.dtype for leaf in jax.tree.leaves(world.params["tokenizer"])} == {np.dtype(np.float32)}
    configs = read_configs(world.card.config)
    assert configs.first_frame is not None
    assert configs.first_frame.prompt == configs.dynamics.prompt and configs.first_frame.width == 32
    assert configs.first_frame.grid == configs.dynamics.grid and configs.first_frame.camera is None


def test_going_on_keeps_the_first_frame_model(trained):
    world, folder = trained
    more = fit([folder / "footage"], folder / "more", preset=FIRST_FRAME, num_train_steps=2, init=world)
    for a, b in zip(*(jax.tree.leaves(w.params["first_frame"]) for w in (world, more)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_prompt_encoder_alone_trains_on(trained):
    world, folder = trained
    more = fit(
        [folder / "footage"],
        folder / "first",
        preset=FIRST_FRAME,
        num_train_steps=20,
        init=Init(world, ("first_frame/prompt_encoder",)),
    )
    for part in ("tokenizer", "dynamics", "outcome"):
        for a, b in zip(*(jax.tree.leaves(w.params[part]) for w in (world, more)), strict=True):
            np.testing.assert_array_equal(a, b)
    for name, before in world.params["first_frame"].items():
        pairs = zip(jax.tree.leaves(before), jax.tree.leaves(more.params["first_frame"][name]), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs) == (name != "prompt_encoder"), name
    assert (folder / "first" / "first_frame").is_dir() and not (folder / "first" / "dynamics").exists()
    assert more.card.config == world.card.config
    assert more.card.training["init"]["weights"] == world.card.weights.sha256


def test_a_first_frame_model_that_is_not_there_does_not_go_on(trained, tmp_path):
    with pytest.raises(ValueError, match="some of dynamics, first_frame"):
        fit([trained[1] / "footage"], tmp_path / "run", preset=FIRST_FRAME, init=Init(trained[0], ("prompts",)))
    with pytest.raises(ValueError, match="first-frame model that reads prompts"):
        fit(
            [trained[1] / "footage"],
            tmp_path / "run",
            init=Init(without_model(trained[0]), ("first_frame/prompt_encoder",)),
        )


def without_model(world):
    config = {k: v for k, v in world.card.config.items() if k != "first_frame"}
    card = dataclasses.replace(world.card, config=config)
    return dataclasses.replace(world, card=card, params={k: v for k, v in world.params.items() if k != "first_frame"})


def test_a_bundle_without_its_first_frame_model_is_refused(trained):
    world = trained[0]
    bad = dataclasses.replace(world, params={k: v for k, v in world.params.items() if k != "first_frame"})
    with pytest.raises(ValueError, match="first_frame"):
        Simulator.from_world(bad)
