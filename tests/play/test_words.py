"""Words that a person says: they are what a world that reads prompts dreams of, and where it begins from nothing."""

import jax
import numpy as np
import pytest

from tests.worlds import random_world
from worldsim.play import frames
from worldsim.play.archive import Archive
from worldsim.play.messages import Command
from worldsim.play.player import Player
from worldsim.play.stepper import Stepper
from worldsim.text.prompt import PromptConfig
from worldsim.world import parse_prompt, save_world

LANDS = PromptConfig(
    attributes=(("biome", (("desert", "사막"), ("forest", "숲"))),),
    known=("desert", "사막", "forest", "숲"),
    num_words=4,
)


@pytest.fixture(scope="module")
def stepper():
    return Stepper(random_world(prompt=LANDS), 1)


def start(stepper, tmp_path, prompt):
    """A player who has said something: the state, and what they were told."""
    player = Player(stepper, Archive(tmp_path), seed=1)
    player.do(Command("start", {"prompt": prompt}))
    leaves = [
        np.asarray(x) for x in jax.tree.leaves(player.now.result.state) if jax.numpy.issubdtype(x.dtype, np.floating)
    ]
    return leaves, player.notes, player.flags


def test_other_words_are_another_world(stepper, tmp_path):
    one, notes, flags = start(stepper, tmp_path, "a desert")
    other, _, _ = start(stepper, tmp_path, "숲")
    again, _, _ = start(stepper, tmp_path, "a desert")
    assert notes == [("info", "this dream begins with a generated picture")] and flags & frames.BEGUN
    assert all(np.array_equal(a, b) for a, b in zip(one, again))
    assert any(not np.array_equal(a, b) for a, b in zip(one, other))


def test_words_that_the_world_never_saw_are_refused_with_those_that_it_knows(stepper, tmp_path):
    _, notes, _ = start(stepper, tmp_path, "spaceship")
    assert notes[0][0] == "error" and "desert" in notes[0][1]


def test_a_world_without_words_begins_from_a_recorded_context(tmp_path):
    stepper = Stepper(random_world(), 1)
    _, notes, flags = start(stepper, tmp_path, "bar by night")
    assert not notes and flags & frames.BEGUN and not stepper.reads_words


def test_a_prompt_says_words_and_a_name_or_path_none(tmp_path, monkeypatch):
    save_world(random_world(), tmp_path / "runs" / "bar" / "world")
    monkeypatch.chdir(tmp_path)
    assert parse_prompt("bar") is None and parse_prompt(str(tmp_path / "runs" / "bar")) is None
    assert parse_prompt("play bar at dusk") == "play bar at dusk"
