"""Words are read by their parts, known labels are found in them, and strangers' words are answered."""

import numpy as np
import pytest

from worldsim.text.prompt import PromptConfig, split_words

CONFIG = PromptConfig(
    attributes=(
        ("biome", (("plains", "평원"), ("sunflower plains", "해바라기 평원"), ("desert", "사막"))),
        ("looking_at", (("none", "없음"), ("stone", "돌"))),
        ("held", (("none", "없음"), ("stone", "돌"), ("torch", "횃불"))),
    ),
    known=("plains", "평원", "desert", "사막", "stone", "돌", "torch", "횃불", "luanti"),
    num_words=6,
)


def grams(word):
    row = CONFIG.read([word], [{}]).words[0, 0]
    return set(row[row > 0].tolist())


def test_words_are_split_without_case_punctuation_and_width():
    assert split_words("Savanna, at_DUSK! 해질녘의 ＴＲＥＥ 3") == ["savanna", "at", "dusk", "해질녘의", "tree", "3"]


@pytest.mark.parametrize(("word", "like", "unlike"), [("평원에서", "평원", "사막"), ("deserts", "desert", "forest")])
def test_forms_of_a_word_share_parts_and_other_words_do_not(word, like, unlike):
    assert len(grams(word) & grams(like)) >= 2 and len(grams(word) & grams(unlike)) <= 1


def test_no_prompt_is_zeros_and_labels_count_from_one():
    prompt = CONFIG.read(["", "desert at dusk"], [{}, {"biome": 2, "sky": 1}])
    assert not prompt.words[0].any() and not prompt.labels[0].any()
    np.testing.assert_array_equal(prompt.words[1].any(-1), [True, True, True, False, False, False])
    np.testing.assert_array_equal(prompt.labels[1], [3, 0, 0])


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Desert at dusk", {"biome": 2}),
        ("the sunflower plains", {"biome": 1}),
        ("해바라기 평원에서 횃불을 든 채", {"biome": 1, "held": 2}),
        ("사막의 밤", {"biome": 2}),
        ("holding a torch", {"held": 2}),
        ("stone", {}),  # ahead or in hand?
        ("torchlight", {}),
    ],
)
def test_labels_are_found_in_what_people_write(text, labels):
    assert CONFIG.find_labels(text) == labels


@pytest.mark.parametrize("text", ["desert", "a desert of glass", "deserts", "평원에서", "LUANTI!"])
def test_one_known_word_is_enough(text):
    assert CONFIG.read_texts([text]).words.any()


@pytest.mark.parametrize("text", ["", "...", "spaceship", "우주선", "the", "des"])
def test_unknown_prompts_are_told_what_exists(text):
    with pytest.raises(
        ValueError, match="expected words that this world was trained on.*desert / 사막.*looking at: .*stone"
    ):
        CONFIG.read_texts(["desert", text])


def test_a_prompt_that_is_too_long_is_refused_and_a_caption_is_cut():
    with pytest.raises(ValueError, match="at most 6 words in a prompt, got 7"):
        CONFIG.read_texts(["desert " * 7])
    np.testing.assert_array_equal(CONFIG.read(["desert " * 7], [{}]).words, CONFIG.read(["desert " * 6], [{}]).words)


def test_what_is_known_is_offered_where_there_are_no_attributes():
    with pytest.raises(ValueError, match="It reads lake, sky"):
        PromptConfig(known=("lake", "sky")).read_texts(["spaceship"])


@pytest.mark.parametrize("bad", [{"num_words": 0}, {"num_buckets": 1}, {"attributes": (("biome", ((),)),)}])
def test_prompts_that_cannot_be_are_refused(bad):
    with pytest.raises(ValueError, match="num_words|num_buckets|attributes"):
        PromptConfig(**bad)
