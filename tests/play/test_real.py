"""The real game beside its dream: the same keys, its own process, and no harm where it fails."""

import dataclasses
from contextlib import closing

import numpy as np
import pytest

from worldsim.controls import ActionSpec
from worldsim.play import frames
from worldsim.play.archive import Archive
from worldsim.play.messages import Command
from worldsim.play.player import Player
from worldsim.play.stepper import Stepper
from worldsim.recording.real import RealGame


@pytest.fixture(scope="module")
def jump():
    pytest.importorskip("pyxel")
    from worldsim.world import find_world, load_world

    return Stepper(load_world(find_world("jump")), 1)


@pytest.fixture
def game(jump):
    game = RealGame(jump.card)
    yield game
    game.close()


@pytest.fixture
def player(jump, tmp_path):
    with closing(Archive(tmp_path)) as archive, closing(Player(jump, archive, 0)) as player:
        yield player


def play(player, row, count):
    for _ in range(count):
        request = player.request(row)
        player.advance(request, player.stepper.step([request])[0])


def test_the_real_game_runs_under_the_same_keys_and_the_dream_goes_on_from_it(jump, game, player):
    player.do(Command("record", {"on": True}))
    play(player, jump.spec.noop, 3)
    player.take_real(game)
    assert player.flags & frames.BEGUN and (player.now.result.obs == player.real.now.obs).all()
    first = player.real.now.obs
    play(player, np.array([2], np.float32), 12)
    assert (player.real.now.obs != first).any()
    player.do(Command("sync"))
    assert (player.now.result.obs == player.real.now.obs).all()
    player.close()
    sources = {recorded.source: recorded.frames for recorded in player.recorded}
    assert sources["game"] == 13
    assert player.real is None and player.notes == []


def test_a_game_that_dies_is_dropped_with_a_note_and_the_dream_goes_on(jump, game, player):
    player.take_real(game)
    game._process.kill()
    game._process.wait()
    play(player, jump.spec.noop, 2)
    assert player.real is None and player.now.age == 2
    assert "died" in player.notes[0][1]


def test_a_game_of_other_controls_is_refused(jump):
    choice = dataclasses.replace(jump.spec.choices[0], labels=("noop", "left", "east"))
    other = ActionSpec(choices=(choice,))
    with pytest.raises(ValueError, match="differs from the world in its controls"):
        RealGame(dataclasses.replace(jump.card, action_spec=other))


def test_a_game_that_is_not_there_is_refused(jump):
    with pytest.raises(ValueError, match="there is no game 'jumpp'"):
        RealGame(dataclasses.replace(jump.card, game="jumpp"))
