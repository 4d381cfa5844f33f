"""Captions say what is so, in many wordings, and bad ones are named by file and line."""

import json

import numpy as np
import pytest

from tests.data.footage_factory import make_episode, make_meta
from worldsim.data.captions import Captioner, caption, check_attributes, read_captions, read_labels
from worldsim.data.dataset import load_columns
from worldsim.data.store import Footage, FootageMeta, FootageWriter

ATTRIBUTES = {
    "biome": {"en": ["plains", "desert"], "ko": ["평원", "사막"]},
    "time": {"en": ["day", "night"], "ko": ["낮", "밤"]},
    "looking_at": {"en": ["none", "tree"], "ko": ["없음", "나무"]},
    "event": {"en": ["nothing", "dug"], "ko": ["없음", "블록을 캤다"]},
    "mood": {"en": ["calm", "wild"]},
}
NAMES = tuple(ATTRIBUTES)


def captions(labels, count=200, **settings):
    rng = np.random.default_rng(0)
    return [caption(labels, ATTRIBUTES, ["Luanti"], rng, **settings) for _ in range(count)]


@pytest.mark.parametrize(("language", "words"), [("en", ["desert", "night", "tree"]), ("ko", ["사막", "밤", "나무"])])
def test_a_long_caption_says_all_that_is_kept_in_several_wordings(language, words):
    labels = {"biome": 1, "time": 1, "looking_at": 1}
    texts = captions(labels, language=language, keep=1.0)
    assert all(word in text.lower() for text in texts for word in words)
    assert len(set(texts)) > 100


def test_short_captions_are_shorter_and_things_are_left_out():
    labels = {"biome": 1, "time": 1, "looking_at": 1, "event": 1, "mood": 1}
    short, long = captions(labels, is_long=False), captions(labels)
    assert np.mean([len(x) for x in short]) < 0.7 * np.mean([len(x) for x in long])
    for word in ("desert", "night", "tree", "dug", "wild"):
        assert 0 < sum(word in text for text in long) < len(long), word


def test_nothing_is_not_spoken_of_and_captions_never_lie():
    for language in ("en", "ko"):
        text = " ".join(captions({"biome": 0, "looking_at": 0, "event": 0}, language=language, keep=1.0)).lower()
        for word in ("desert", "사막", "tree", "none", "nothing", "없음", "dug", "{", "["):
            assert word not in text


def test_korean_particles_follow_the_last_consonant():
    text = " ".join(captions({"biome": 0, "looking_at": 1}, language="ko", keep=1.0))
    assert "나무가 있다" in text and "나무를 본다" in text and "평원이다" in text
    text = " ".join(captions({"biome": 1, "looking_at": 1}, language="ko", keep=1.0))
    assert "사막이다" in text and "나무이 있다" not in text


def test_the_same_generator_gives_the_same_caption_and_an_unknown_language_is_refused():
    assert captions({"biome": 1, "time": 0}) == captions({"biome": 1, "time": 0})
    with pytest.raises(ValueError, match="en, ko"):
        captions({"biome": 1}, language="fr")


def test_labels_that_are_unknown_are_left_out():
    assert read_labels(np.array([1, np.nan, 7, -1, 0], np.float32), NAMES, ATTRIBUTES) == {"biome": 1, "mood": 0}


@pytest.mark.parametrize(
    "bad",
    [{"sky": {"en": ["a"]}}, {"biome": {"ko": ["평원"]}}, {"biome": {"en": ["a"], "ko": []}}, {"mood": {"en": []}}],
)
def test_attributes_that_cannot_be_are_refused_by_name(bad):
    with pytest.raises(ValueError, match=f"for attribute '{next(iter(bad))}'"):
        check_attributes(bad, NAMES)


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    path = tmp_path_factory.mktemp("captions") / "footage"
    rng = np.random.default_rng(0)
    with FootageWriter(path, make_meta(state_names=NAMES, attributes=ATTRIBUTES, title="Luanti")) as writer:
        for biome in (0, 1):
            episode = make_episode(rng, 9, num_states=len(NAMES))
            episode.state[:] = (biome, 0, 1, 0, 1)
            episode.state[4, 3] = 1
            writer.add(episode)
    return Footage.open(path)


def test_a_window_is_captioned_by_what_it_shows_and_what_happened_in_it(footage):
    captioner = Captioner(footage, load_columns(footage, [0, 1]), [0, 1])
    rng = np.random.default_rng(0)
    drawn = [captioner.draw(np.arange(12, 18), rng) for _ in range(50)]
    assert {x.labels["biome"] for x in drawn} == {1}
    assert {x.labels["event"] for x in drawn} == {0, 1}, "it was dug at row 14, and not before it"
    assert any("desert" in x.text.lower() for x in drawn) and any("사막" in x.text for x in drawn)


def test_own_captions_are_used_where_they_belong(footage, tmp_path):
    meta = FootageMeta.from_json({k: v for k, v in footage.meta.to_json().items() if k != "attributes"})
    with FootageWriter(tmp_path / "own", meta) as writer:
        for i in (0, 1):
            writer.add(footage[i])
    own = Footage.open(tmp_path / "own")
    lines = [{"episode": 1, "start": 2, "stop": 5, "text": "붉은 노을"}, {"episode": 0, "text": "a calm plain"}]
    (own.path / "captions.jsonl").write_text("\n".join(json.dumps(x) for x in lines) + "\n\n", encoding="utf-8")
    captioner = Captioner(own, load_columns(own, [1, 0]), [1, 0])
    rng = np.random.default_rng(0)
    drawn = {row: captioner.draw(np.array([row]), rng).text for row in (1, 2, 4, 5, 10, 19)}
    assert drawn == {1: "", 2: "붉은 노을", 4: "붉은 노을", 5: "", 10: "a calm plain", 19: "a calm plain"}


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"episode": 0}',
        '{"episode": 9, "text": "x"}',
        '{"episode": 0, "text": " "}',
        '{"episode": 0, "start": 3, "stop": 3, "text": "x"}',
        '{"episode": 0, "stop": 11, "text": "x"}',
        '{"episode": true, "text": "x"}',
        '{"episode": 0, "text": "x", "until": 4}',
    ],
)
def test_a_bad_line_of_captions_is_named(tmp_path, line):
    (tmp_path / "captions.jsonl").write_text('{"episode": 0, "text": "fine"}\n' + line + "\n")
    with pytest.raises(ValueError, match="captions.jsonl line 2: "):
        read_captions(tmp_path, [10])


def test_the_description_keeps_attributes_and_older_footage_its_hash(footage):
    assert FootageMeta.from_json(footage.meta.to_json()).attributes == ATTRIBUTES
    assert "attributes" not in make_meta().to_json() and FootageMeta.from_json(make_meta().to_json()).attributes == {}
