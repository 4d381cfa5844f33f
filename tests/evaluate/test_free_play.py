"""Free play against a game that can be computed in the head."""

import numpy as np
import pytest

from tests.evaluate import toy
from worldsim.data.meta import FootageMeta
from worldsim.data.store import Footage, FootageWriter
from worldsim.evaluate import EvalOptions, evaluate, record_plays
from worldsim.evaluate.metrics.free_play import measure_free_play, return_fraction
from worldsim.evaluate.metrics.presence import measure_presence
from worldsim.evaluate.reference import open_reference
from worldsim.evaluate.trial import CONTEXT, Trial
from worldsim.recording.game import Game

SECONDS = 12.0


class Endless(toy.Perfect):
    """Pays and moves as the game does, and never says that it is over."""


class Mortal(toy.Perfect):
    """Ends after 20 frames, wherever it began."""

    def rollout(self, state, actions):
        age = np.asarray(state.frame_index)[:, None] + 1 + np.arange(actions.shape[1])
        state, out = super().rollout(state, actions)
        state = state._replace(frame_index=state.frame_index + actions.shape[1])
        return state, out._replace(terminated=age >= 20)


class Fading(toy.Perfect):
    """Loses its block after 2 seconds for good."""

    def rollout(self, state, actions):
        frames = np.asarray(state.frame_index)[:, None] + 1 + np.arange(actions.shape[1])
        state, out = super().rollout(state, actions)
        empty = toy.Blind().reconstruct(out.obs)
        obs = np.where((frames > 2 * self.fps)[..., None, None, None], empty, out.obs)
        return state._replace(frame_index=state.frame_index + actions.shape[1]), out._replace(obs=obs)


class Doubled(toy.Perfect):
    """Shows every block twice: where it is, and half a picture beside."""

    def rollout(self, state, actions):
        state, out = super().rollout(state, actions)
        beside = np.roll(out.obs, toy.SIZE // 2, -2)
        is_block = (beside == toy.COLOUR).all(-1, keepdims=True)
        return state, out._replace(obs=np.where(is_block, beside, out.obs))


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    return toy.footage(tmp_path_factory.mktemp("toy"))


def trial_of(world, footage, **options):
    how = EvalOptions(num_windows=2, seeds=(0, 1), play_seconds=SECONDS, num_plays=8, **options)
    reference = open_reference([world], footage, how)
    return Trial(sim=world, reference=reference, options=how, seed=0, horizon=16)


def measured(world, footage):
    return measure_free_play(trial_of(world, footage))


def test_the_game_itself_differs_from_the_game_in_nothing(footage):
    numbers = measured(toy.Perfect(), footage)
    assert numbers["num_recorded_plays"] == 4
    assert numbers["recorded_block_presence"] / numbers["recorded_block_presence_game"] == pytest.approx(1.0, abs=0.1)
    assert numbers["recorded_reward_per_1000"] > 50


def test_a_world_that_keeps_its_block_keeps_it(footage):
    presence = measure_presence(trial_of(toy.Perfect(), footage))
    assert presence["worst_12s"] == pytest.approx(1.0, abs=0.1)
    assert presence["block_returns"] in (None, 1.0)


def test_a_dream_that_does_not_end_is_told(footage):
    numbers = measured(Endless(), footage)
    assert numbers["recorded_ended_fraction"] == 0 and numbers["recorded_ended_fraction_game"] == 1
    assert numbers["recorded_length_seconds"] == SECONDS
    assert numbers["recorded_length_seconds_game"] == pytest.approx((96 - CONTEXT + 1) / 10)


def test_a_dream_that_ends_too_soon_is_told(footage):
    numbers = measured(Mortal(), footage)
    assert numbers["recorded_ended_fraction"] == 1 and numbers["recorded_length_seconds"] == 2.0
    assert numbers["num_recorded_frames"] == 4 * 20


def test_a_dream_that_loses_its_player_is_told(footage):
    trial = trial_of(Fading(), footage)
    numbers, presence = measure_free_play(trial), measure_presence(trial)
    assert presence["worst_12s"] == presence["block_12s"] < 0.35
    assert presence["block_returns"] == 0.0
    assert numbers["recorded_block_return_fraction"] == 0.0
    assert numbers["recorded_block_return_fraction_game"] in (None, 1.0)


def test_a_dream_with_two_players_has_none(footage):
    presence = measure_presence(trial_of(Doubled(), footage))
    assert presence["block_extra"] > 0.6 and presence["block_extra_game"] < 0.05
    assert presence["worst_12s"] < 0.4
    assert presence["block_returns"] in (None, 1.0)


def test_what_was_gone_and_was_seen_again_came_back():
    seen = np.zeros((3, 100), bool)
    seen[0, [0, 50]] = True  # comes back once; then is gone for good, with patience left
    seen[1, :97] = True  # went in the end
    seen[2, :40] = True  # the play was over by then
    looks = np.ones((3, 100), bool)
    looks[2, 42:] = False
    assert return_fraction(seen, looks, rate=8.0) == 0.5
    assert return_fraction(seen[1:], looks[1:], rate=8.0) is None


def test_plays_of_footage_of_another_game_are_refused(footage, tmp_path):
    meta = FootageMeta.from_json({**footage.meta.to_json(), "game": "other"})
    with FootageWriter(tmp_path / "wrong", meta) as writer:
        writer.add(toy.episode(0), seed=0)
    with pytest.raises(ValueError, match="game"):
        evaluate(toy.Perfect(), footage, EvalOptions(plays={"random": Footage.open(tmp_path / "wrong")}))


def test_a_game_is_played_by_each_policy(tmp_path):
    game = Game("jump")
    meta = game.meta({"seed": 0})
    game.close()
    plays = record_plays(meta, tmp_path, EvalOptions(num_plays=3, play_seconds=1.0))
    assert set(plays) == {"noisy", "random", "noop"}
    assert all(play.num_frames >= 2 * (CONTEXT + 30) for play in plays.values())
    still = plays["noop"][0].action
    assert (still == meta.action_spec.noop).all()


def test_only_what_was_asked_for_is_measured(footage):
    how = {"num_windows": 2, "seeds": (0,), "play_seconds": 2.0}
    result = evaluate(toy.Perfect(), footage, EvalOptions(only=("presence", "outcome"), **how))
    assert set(result) == {"protocol", "presence", "outcome"}
    with pytest.raises(ValueError, match="expected sections among .*presence.*, got sharp"):
        evaluate(toy.Perfect(), footage, EvalOptions(only=("sharp",), **how))
