"""What evaluation does with footage and worlds that it cannot measure: an error or a marked gap, no smaller sample."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.evaluate import toy, toy_control
from tests.evaluate.trials import trial
from worldsim.data.dataset import load_columns
from worldsim.data.store import Footage, FootageWriter
from worldsim.evaluate.fitted.inverse import fit_inverse
from worldsim.evaluate.metrics.control import measure_control
from worldsim.evaluate.metrics.inverse import measure_inverse
from worldsim.evaluate.metrics.uncertainty import measure_uncertainty
from worldsim.evaluate.options import EvalOptions
from worldsim.evaluate.run import evaluate, spread
from worldsim.evaluate.trial import CONTEXT, draw_windows, rollout
from worldsim.types import SimState
from worldsim.world import FootageSource

QUICK = EvalOptions(num_windows=4, seeds=(0,), quick=True, with_objects=False)


@pytest.fixture(scope="module")
def footage(tmp_path_factory) -> Footage:
    return toy.footage(tmp_path_factory.mktemp("toy") / "footage", episodes=3)


@pytest.fixture(scope="module")
def columns(footage):
    return load_columns(footage, range(len(footage)))


def rewrite(footage: Footage, path, *, length: int | None = None, **changes) -> Footage:
    """The same footage under another description, or with its episodes cut."""
    stop = None if length is None else length - 1
    with FootageWriter(path, dataclasses.replace(footage.meta, **changes)) as writer:
        for number in range(len(footage)):
            episode = footage[number]
            parts = {"obs": episode.obs[:length], "state": episode.state[:length]}
            parts |= {name: getattr(episode, name)[:stop] for name in ("action", "reward", "terminated", "truncated")}
            writer.add(type(episode)(**parts), seed=number)
    return Footage.open(path)


def named(game: str) -> toy.Perfect:
    world = toy.Perfect()
    world.card = dataclasses.replace(world.card, game=game)
    return world


class Broken(toy.Perfect):
    """Gives something that is no number from the third frame on, in the first of the dreams."""

    name, value = "uncertainty", np.nan

    def rollout(self, state: SimState, actions):
        state, out = super().rollout(state, actions)
        said = np.zeros(out.obs.shape[:2])
        said[0, 2:] = self.value
        return state, out._replace(**{self.name: said})


class BrokenReward(Broken):
    name, value = "reward", np.inf


def test_footage_of_another_game_is_refused(footage):
    with pytest.raises(ValueError, match="in its game: expected pong, got toy:Toy-v0"):
        evaluate(named("pong"), footage, QUICK)
    for world in (named("toy:Toy-v0"), toy.Perfect()):
        assert evaluate(world, footage, QUICK)["protocol"]["game"] == "toy:Toy-v0"


def test_footage_of_another_pace_is_refused(footage, tmp_path):
    fast = rewrite(footage, tmp_path / "fast", fps=30.0)
    with pytest.raises(ValueError, match="in its fps: expected 10.0, got 30.0"):
        evaluate(toy.Perfect(), fast, QUICK)


@pytest.mark.parametrize(("world", "name"), [(Broken, "uncertainty"), (BrokenReward, "reward")])
def test_a_world_that_gives_nan_is_refused_with_the_frame(world, name, footage, columns):
    said = f"NaN or infinity as {name} in 1 of 4 dreams, first in frame 3 of"
    with pytest.raises(ValueError, match=said):
        evaluate(world(), footage, QUICK)
    with pytest.raises(ValueError, match=f"infinity as {name} in 1 of"):
        measure_uncertainty(trial(world(), columns, num_windows=2, seed=0))


def test_a_reward_that_is_no_number_on_recorded_frames_is_refused(footage):
    class Lost(toy.Perfect):
        def teacher_forced_outcome(self, obs, prev_action, key):
            return np.full(obs.shape[:2], np.nan, np.float32), np.zeros(obs.shape[:2], np.float32)

    with pytest.raises(ValueError, match="NaN"):
        evaluate(Lost(), footage, QUICK)


def test_pictures_that_are_no_pixels_are_refused(columns):
    class Floats(toy.Perfect):
        def rollout(self, state, actions):
            state, out = super().rollout(state, actions)
            return state, out._replace(obs=out.obs / 255)

    rows = draw_windows(columns, CONTEXT + 16, 2, seed=0)
    with pytest.raises(ValueError, match="expected uint8 frames from the world, got float64"):
        rollout(Floats(), columns.obs[rows[:, :CONTEXT]], columns.prev_action[rows], jax.random.key(0))


def test_footage_with_a_single_window_gives_gaps_with_reasons(footage, tmp_path):
    one = rewrite(footage, tmp_path / "one", length=CONTEXT + 16)
    world = toy.Perfect()
    source, held_out = FootageSource(digest=one.digest()), (one.episodes[0].name,)
    world.card = dataclasses.replace(world.card, footage=source, held_out_episodes=held_out)
    numbers = evaluate(world, one, EvalOptions(num_windows=8, seeds=(0,), with_objects=False, drift_seconds=2.0))
    fidelity, control, doubt = (numbers[section] for section in ("fidelity", "control", "uncertainty"))
    assert fidelity["num_windows"] == control["num_windows"] == doubt["num_windows"] == 1
    assert fidelity["gfvd_16"] is None and "at least 2 windows, got 1" in fidelity["gfvd_reason"]
    assert fidelity["gfvd_window"] is None and "at least 2 windows" in fidelity["gfvd_window_reason"]
    assert control["action_shuffle_ratio"] is None and "need 2 windows, got 1" in control["reason"]
    assert control["inverse_accuracy_dream"] is None and control["inverse_reason"]
    assert doubt["spearman_spread_1"] is None and "needs 8 windows, got 1" in doubt["spearman_reason"]


@pytest.mark.parametrize("batch_size", [1, 3, 4])
def test_another_windows_actions_are_anothers_whatever_the_batch(columns, batch_size):
    many, few = (
        measure_control(trial(toy.Perfect(), columns, num_windows=4, seed=0, batch_size=b)) for b in (4, batch_size)
    )
    assert few["action_shuffle_ratio"] == many["action_shuffle_ratio"] > 1e6


def test_where_only_one_option_occurs_there_is_no_inverse_accuracy_and_it_says_why():
    model = fit_inverse(toy.SPEC, toy_control.columns(seed=1), num_steps=0)
    held_out = toy_control.columns(seed=2)
    still = held_out._replace(prev_action=np.where(np.isnan(held_out.prev_action), np.nan, 0).astype(np.float32))
    numbers = measure_inverse(trial(toy_control.Perfect(), still, reference={"inverse": model}, num_windows=4, seed=0))
    assert numbers["inverse_accuracy_dream"] is None and "no two known options" in numbers["inverse_reason"]


def test_a_number_that_some_seeds_lack_says_how_many_had_it():
    result = spread([{"x": 1.0, "y": 2.0}, {"x": None, "x_reason": "too few", "y": 4.0}, {"x": 3.0, "y": 6.0}])
    assert result["x"] == 2 and result["num_runs_x"] == 2 and result["x_reason"] == "too few"
    assert "num_runs_y" not in result
