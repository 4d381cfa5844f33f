"""A world that reads: words begin it, hold as it goes on, and are guided by."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.nn.test_nn import randomised
from tests.worlds import SIZE, bar_episode, equal, random_world
from worldsim.initial import InitialContext
from worldsim.model.modules import build_graphs, read_configs
from worldsim.nn.params import merge, split
from worldsim.simulator import Simulator
from worldsim.text.prompt import PromptConfig
from worldsim.world import load_world, save_world
from worldsim.world.games import resized


@pytest.fixture(scope="module")
def sim():
    return Simulator.from_world(random_world(), num_denoise_steps=2)


LANDS = PromptConfig(
    attributes=(("biome", (("desert", "사막"), ("forest", "숲"))),),
    known=("desert", "사막", "forest", "숲"),
    num_words=4,
)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A world that reads, with random weights, as it comes out of its bundle."""
    world = random_world(prompt=LANDS)
    graph = build_graphs(read_configs(world.card.config), world.params).dynamics
    _, params = split(randomised(merge(graph, world.params["dynamics"])))
    path = tmp_path_factory.mktemp("reader") / "lands"
    save_world(dataclasses.replace(world, params={**world.params, "dynamics": params}), path)
    return Simulator.from_world(load_world(path), num_denoise_steps=1)


def test_words_begin_a_world_from_noise_and_hold_as_it_goes_on(reader):
    assert reader.config.prompt == LANDS
    key = jax.random.key(0)
    state, obs = reader.reset(key, initial=InitialContext.from_text(["desert", "a forest"]))
    same, _ = reader.reset(key, initial=InitialContext.from_text("desert"), batch_size=2)
    nothing, _ = reader.reset(key, initial=InitialContext.noise(), batch_size=2)
    assert obs.shape == (2, *SIZE, 3)
    np.testing.assert_array_equal(state.cache.z[0], same.cache.z[0])
    assert float(jnp.abs(state.cache.z - same.cache.z)[1].max()) > 1e-3
    assert float(jnp.abs(state.cache.z - nothing.cache.z).max(axis=(1, 2, 3)).min()) > 1e-3
    after, _ = reader.step(state, [0, 0])
    assert equal(after.cache.prompt, state.cache.prompt)


@pytest.fixture(scope="module")
def recaller(reader):
    """The same world with contexts that words name: two of a desert, and none of a forest."""
    episode = bar_episode(np.random.default_rng(5))
    named = {
        "named_obs": np.stack([episode.obs[i : i + 3] for i in (0, 5)]),
        "named_prev_action": np.full((2, 3, 1), np.nan, np.float32),
        "named_labels": np.array([[1], [1]], np.uint8),
    }
    contexts = {**reader.world.initial_contexts, **named}
    return Simulator.from_world(dataclasses.replace(reader.world, initial_contexts=contexts), num_denoise_steps=1)


def test_words_begin_with_a_recorded_moment_that_shows_what_they_name(recaller, reader):
    texts, key = ["desert", "a forest", "사막"], jax.random.key(3)
    state, obs = recaller.reset(key, initial=InitialContext.from_text(texts))
    ends = recaller.world.initial_contexts["named_obs"][:, -1]
    assert all((ends == np.asarray(obs[i])).all((1, 2, 3)).any() for i in (0, 2))
    generated, other = recaller.reset(key, initial=InitialContext.from_text(texts, generate=True))
    np.testing.assert_array_equal(obs[1], other[1])
    np.testing.assert_array_equal(state.cache.count, [3, 1, 3])
    np.testing.assert_array_equal(generated.cache.count, [1, 1, 1])
    drawn = [recaller.reset(jax.random.key(i), initial=InitialContext.from_text("desert"))[1] for i in range(12)]
    assert len({np.asarray(x).tobytes() for x in drawn}) == 2, "each of those that show it is drawn at times"
    assert recaller.recalls("desert") and not recaller.recalls("forest") and not reader.recalls("desert")


def test_words_stand_beside_frames_and_one_text_is_for_all(reader):
    frames = bar_episode(np.random.default_rng(0)).obs[:3]
    plain, _ = reader.reset(jax.random.key(0), initial=InitialContext.frames(frames), batch_size=2)
    told, obs = reader.reset(jax.random.key(0), initial=InitialContext.frames(frames, text="숲"), batch_size=2)
    np.testing.assert_array_equal(obs[0], frames[-1])
    np.testing.assert_array_equal(told.cache.z, plain.cache.z)
    after = [reader.step(state, [0, 0])[0].cache.z for state in (told, plain)]
    assert float(jnp.abs(after[0] - after[1]).max()) > 1e-3


def test_a_state_of_a_world_that_reads_goes_to_disk_and_back(reader, tmp_path):
    state, _ = reader.reset(jax.random.key(0), initial=InitialContext.from_text("desert"), batch_size=2)
    reader.save_state(state, tmp_path / "state")
    assert equal(state, reader.load_state(tmp_path / "state"))


def test_guidance_exaggerates_what_the_prompt_changes(reader):
    more = Simulator.from_world(reader.world, num_denoise_steps=1, guidance=3.0)
    desert = InitialContext.from_text("desert")
    one, none, three = (
        sim.reset(jax.random.key(0), initial=initial, batch_size=2)[0].cache.z
        for sim, initial in ((reader, desert), (reader, InitialContext.noise()), (more, desert))
    )
    np.testing.assert_allclose(three, none + 3 * (one - none), atol=1e-3)
    assert float(jnp.abs(one - none).max()) > 1e-2


@pytest.mark.parametrize(
    ("text", "batch_size", "message"),
    [
        ("a spaceship", None, "expected words that this world was trained on.*desert / 사막"),
        (["desert", "forest"], 3, "one for each of 3, got 2"),
        ("a desert of very many words", None, "at most 4 words"),
    ],
)
def test_texts_that_do_not_fit_are_refused(reader, text, batch_size, message):
    with pytest.raises(ValueError, match=message):
        reader.reset(jax.random.key(0), initial=InitialContext.from_text(text), batch_size=batch_size)


def test_guidance_for_a_world_that_reads_no_prompts_is_refused(sim):
    with pytest.raises(ValueError, match="a world that reads no prompts"):
        Simulator.from_world(sim.world, guidance=2.0)


def test_a_text_for_a_world_that_reads_none_is_refused(sim):
    with pytest.raises(ValueError, match="expected no text for a world that was trained without captions"):
        sim.reset(jax.random.key(0), initial=InitialContext.from_text("minecraft"))


def test_contexts_that_words_name_have_the_size_of_the_world(recaller):
    card = recaller.card
    tokenizer = card.config["tokenizer"] | {"size_agnostic": True}
    free = dataclasses.replace(card, config={**card.config, "tokenizer": tokenizer})
    size = (2 * SIZE[0], 2 * SIZE[1])
    large, contexts = resized(free, recaller.world.initial_contexts, size)
    assert large.size == size and {contexts[key].shape[2:4] for key in ("obs", "named_obs")} == {size}
