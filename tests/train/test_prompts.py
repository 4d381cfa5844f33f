"""Prompts in training: what is read is what is shown, as a pure function of the step, and a world follows it."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from tests.worlds import LANDS, RECIPE, land_footage
from worldsim.data.dataset import Windows, load_columns
from worldsim.model.dynamics import Dynamics, DynamicsConfig
from worldsim.model.generate import Model, Sampler, dream
from worldsim.model.outcome import Outcome, OutcomeConfig
from worldsim.model.tokenizer import Tokenizer, TokenizerConfig
from worldsim.nn.params import merge, split
from worldsim.text.prompt import PromptConfig
from worldsim.train.contexts import NUM_NAMED, Candidates, pick_contexts, pick_named
from worldsim.train.games import configs_of, load_games
from worldsim.train.losses import TrainBatch, dynamics_loss
from worldsim.train.optimizer import Fixed
from worldsim.train.prompts import WindowPrompts, captions_digest, frame_labels, prompt_config, read_prompts
from worldsim.types import Batch, fold_keys


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    return land_footage(tmp_path_factory.mktemp("lands") / "footage")


def window_prompts(footage, config, dropout=0.12):
    columns = load_columns(footage, [1, 3])  # a forest by day, a desert by night
    return WindowPrompts(config, footage, columns, [1, 3], dropout=dropout, seed=0), Windows(columns, 6)


def test_the_words_of_footage_are_known(footage):
    config = prompt_config(footage, PromptConfig())
    assert config is not None and {"lands", "desert", "숲", "night"} <= set(config.known)
    assert config.attributes[0] == ("biome", (("desert", "사막"), ("forest", "숲"), ("sea", "바다")))
    assert read_prompts([footage], PromptConfig()) == config and read_prompts([footage], None) is None


def test_own_captions_are_words_enough(footage, bar_folder, tmp_path):
    from worldsim.data.store import Footage, FootageWriter

    bar = Footage.open(bar_folder)
    assert read_prompts([bar], PromptConfig()) is None and not captions_digest(bar)
    with FootageWriter(tmp_path / "own", bar.meta) as writer:
        writer.add(bar[0])
    own = Footage.open(tmp_path / "own")
    (own.path / "captions.jsonl").write_text(json.dumps({"episode": 0, "text": "The bar at midnight"}))
    config = prompt_config(own, PromptConfig())
    assert config is not None and config.known == ("bar", "midnight") and captions_digest(own)


def test_windows_are_captioned_by_what_they_show_as_a_function_of_the_step(footage):
    config = prompt_config(footage, PromptConfig())
    prompts, windows = window_prompts(footage, config)
    ids = np.array([0, len(windows) - 1] * 300)
    one, again, later = (prompts.at(step, windows, ids) for step in (5, 5, 6))
    for a, b in zip(one, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (one.words != later.words).any()
    for start, biome, time in ((0, 1, 0), (1, 0, 1)):
        labels = one.labels[start::2]
        assert set(labels[:, 0]) == {0, biome + 1} and set(labels[:, 1]) == {0, time + 1}
        assert 0.3 < (labels[:, 0] > 0).mean() < 0.6, "about half of what is known is shown"
    silent = ~one.words.any((1, 2))
    assert 0.08 < silent.mean() < 0.16 and not one.labels[silent].any()


def test_footage_with_labels_in_another_order_is_read_by_its_words(footage):
    values = (("sea", "바다"), ("forest", "숲"))
    prompts, windows = window_prompts(footage, PromptConfig(attributes=(("biome", values),)), dropout=0.0)
    labels = prompts.at(0, windows, np.array([0, len(windows) - 1] * 20)).labels[:, 0]
    assert set(labels[::2]) == {0, 2} and set(labels[1::2]) == {0}, "forest is the second, desert is unknown"


def test_a_prompt_decides_what_appears_from_nothing():
    """Frames of one token that are -1 or 1, as the caption says: learned, and dreamt from noise."""
    prompt = PromptConfig(attributes=(("sky", (("dark", "어둠"), ("bright", "밝음"))),), num_words=3, num_buckets=128)
    config = DynamicsConfig(
        grid=(1, 1),
        token_dim=4,
        choice_sizes=(2,),
        width=32,
        head_dim=16,
        local_width=8,
        num_local=0,
        num_layers=1,
        window=2,
        num_registers=0,
        prompt=prompt,
    )
    sizes = TokenizerConfig(size=(4, 4), width=8, num_layers=(0, 0), patch=2, latent_channels=1)
    tokenizer = Tokenizer(sizes, rngs=nnx.Rngs(0))
    dynamics = Dynamics(config, rngs=nnx.Rngs(0))
    outcome = Outcome(
        OutcomeConfig(hidden=8), d_in=dynamics.hidden_dim, d_summary=dynamics.summary_dim, rngs=nnx.Rngs(1)
    )
    parts = {"dynamics": split(dynamics), "outcome": split(outcome)}
    preset = dataclasses.replace(RECIPE, single_frame_fraction=0.5)
    loss = dynamics_loss((parts["dynamics"][0], parts["outcome"][0]), preset)
    params, adam = {name: params for name, (_, params) in parts.items()}, optax.adam(5e-3)
    opt_state = adam.init(params)

    @jax.jit
    def step(params, opt_state, batch, key):
        update, opt_state = adam.update(
            jax.grad(lambda p: loss(p, batch, key, Fixed((), ()), bootstrap=False)[0])(params), opt_state
        )
        return optax.apply_updates(params, update), opt_state

    rng, b = np.random.default_rng(0), 32
    zeros, mask = np.zeros((b, 2), np.float32), np.ones((b, 2), bool)
    for i in range(200):
        sky = rng.integers(2, size=b)
        texts = [
            rng.choice([("dark", "a dark sky", "어둠", ""), ("bright", "a bright sky", "밝음", "")][s]) for s in sky
        ]
        said = prompt.read(texts, [{"sky": int(s)} if not text else {} for s, text in zip(sky, texts)])
        z = np.broadcast_to((2.0 * sky - 1)[:, None, None, None], (b, 2, 1, 4)).astype(np.float32)
        batch = TrainBatch(Batch(z, zeros[..., None], zeros, ~mask, mask), said)
        params, opt_state = step(params, opt_state, batch, jax.random.key(i))

    said = prompt.read(["bright", "dark", "밝음은", "어둠의", "", ""], [{}, {}, {}, {}, {"sky": 1}, {"sky": 0}])

    @jax.jit
    def begin(params, keys):
        model = merge(parts["dynamics"][0], params)
        unknown, world = jnp.full((6, 1), jnp.nan), Model(tokenizer, model)
        return dream(world, model.empty_cache(6, said), unknown, keys, Sampler(4))[0].mean((1, 2))

    drawn = np.stack([begin(params["dynamics"], fold_keys(jax.random.key(seed), 6)) for seed in range(8)])
    np.testing.assert_array_equal(np.sign(drawn), np.tile([1, -1], (8, 3)))
    clear = np.abs(drawn[:, [0, 1, 4, 5]]).mean(0)
    assert clear.min() > 0.7, "what was trained on is clear, other forms of its words less so"


def test_lands_have_a_word_for_every_value():
    from worldsim.data.captions import check_attributes

    check_attributes(LANDS, tuple(LANDS))


def test_a_bundle_keeps_contexts_of_all_that_footage_can_name(footage):
    game = load_games([footage], configs_of([footage], RECIPE), 0)[0]
    config, contexts = game.configs.dynamics.prompt, pick_contexts(game)
    shown = np.concatenate([frame_labels(config, footage, part, np.arange(len(part.obs))) for part in game.data])
    for i in range(shown.shape[1]):
        assert set(contexts["named_labels"][:, i]) >= set(shown[:, i]) - {0}, config.attributes[i]
    assert len(contexts["named_obs"]) == len(contexts["named_labels"]) <= NUM_NAMED
    assert len(np.unique(contexts["named_labels"], axis=0)) == len(contexts["named_labels"]), "none says what one says"


def test_of_many_moments_those_that_show_something_new_are_kept():
    labels = np.array([[1, 0], [1, 2], [1, 2], [2, 1], [0, 0]], np.int32)
    lively = np.array([[0, 9.0], [0, 1.0], [0, 2.0], [0, 0.0], [0, 99.0]])
    found = Candidates([], np.arange(5), lively, labels, 1)
    assert pick_named(found, 9) == [0, 3, 2], "the livelier of two that show the same, and none that shows nothing"
    assert pick_named(found, 1) == [0], "which shows nearly as much as the third, and is livelier"
