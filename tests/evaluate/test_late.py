"""Late control: a world may obey at first and forget its keys, or its player, some seconds on."""

import jax
import numpy as np
import pytest

from tests.evaluate import toy, toy_control
from tests.evaluate.trials import trial
from worldsim.evaluate.divergence import HORIZON, LOOK, Divergence, dream_opposites
from worldsim.evaluate.fitted.opposite import fit_opposite_actions
from worldsim.evaluate.fitted.targets import Target
from worldsim.evaluate.fitted.templates import fit_detector
from worldsim.evaluate.metrics.late import late_numbers, measure_late
from worldsim.evaluate.metrics.opposite import measure_opposite
from worldsim.evaluate.trial import CONTEXT

SECONDS = 6  # after which a fault sets in: between the two ages of the test


class Forgetting(toy_control.Perfect):
    """Obeys for six seconds, and then moves as if nobody pressed a key."""

    def hear(self, actions, state):
        when = state.frame_index[:, None] + 1 + np.arange(actions.shape[1])
        return np.where((when > SECONDS * self.fps)[..., None], 0, actions)


class Losing(toy_control.Perfect):
    """Its player is gone after six seconds; what else there is goes on."""

    def show(self, obs, when, last):
        empty = toy.Blind().reconstruct(obs)
        return np.where((when > SECONDS * self.fps)[..., None, None, None], empty, obs)


class Over(toy_control.Perfect):
    """Says after six seconds that the game is over."""

    def rollout(self, state, actions):
        when = state.frame_index[:, None] + 1 + np.arange(actions.shape[1])
        state, out = super().rollout(state, actions)
        return state, out._replace(terminated=when > SECONDS * self.fps)


class Noisy(toy_control.Perfect):
    """Shows its noise, and remembers in `seen` by which keys it was asked, and from which picture."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def rollout(self, state, actions):
        self.seen.append((np.asarray(jax.random.key_data(state.key)).tolist(), state.cache[0].copy()))
        return super().rollout(state, actions)


@pytest.fixture(scope="module")
def recorded():
    return toy_control.columns(seed=1), toy_control.columns(seed=2)


@pytest.fixture(scope="module")
def answers(recorded):
    calibration, held_out = recorded
    opposites = fit_opposite_actions(toy.SPEC, calibration, {})

    def ask(world):
        how = {"num_windows": 8, "batch_size": 8, "reference": {"opposite_actions": opposites}}
        asked = trial(world, held_out, **how)
        return measure_opposite(asked) | measure_late(asked)

    worlds = [getattr(toy_control, name)() for name in ("Perfect", "Deaf", "Swapped", "Drunk", "Frozen")]
    return {type(world).__name__: ask(world) for world in [*worlds, Forgetting(), Losing(), Over()]}


def test_in_the_game_itself_the_keys_always_do_the_same(answers):
    numbers = answers["Perfect"]
    assert numbers["late_4s"] == numbers["late_10s"] == numbers["late_shown_real"] == 1
    assert numbers["late_4s_divergence"] == numbers["late_10s_divergence"] == 1
    assert numbers["num_late_4s"] == numbers["num_late_10s"] == 8


@pytest.mark.parametrize("world", ["Deaf", "Drunk", "Frozen"])
def test_a_world_that_ignores_its_actions_does_so_late_too(answers, world):
    numbers = answers[world]
    assert numbers["late_4s"] == numbers["late_10s"] == numbers["late_4s_divergence"] == 0


def test_a_world_with_left_and_right_swapped_has_them_swapped_late_too(answers):
    assert answers["Swapped"]["late_10s_divergence"] == 1 and answers["Swapped"]["late_10s"] == 0


@pytest.mark.parametrize("world", ["Forgetting", "Losing"])
def test_a_world_that_forgets_its_keys_or_loses_its_player_is_told_by_the_later_test_alone(answers, world):
    numbers = answers[world]
    assert numbers["opposite_direction"] == numbers["late_4s"] == 1
    assert numbers["late_10s"] == numbers["late_10s_divergence"] == 0


def test_a_dream_that_the_world_calls_over_does_not_count(answers):
    numbers = answers["Over"]
    assert numbers["late_4s"] == 1 and numbers["num_late_4s"] == 8
    assert numbers["late_10s"] is None and "all 8 dreams over" in numbers["late_10s_reason"]


@pytest.mark.parametrize(("over_at", "num"), [(LOOK[0] - 1, 0), (LOOK[0] + 1, 8)])
def test_a_key_that_kills_before_the_player_is_looked_for_does_not_count(recorded, over_at, num):
    class Deadly(toy_control.Perfect):
        def rollout(self, state, actions):
            state, out = super().rollout(state, actions)
            over = np.zeros(actions.shape[:2], bool)
            if actions.shape[1] == HORIZON:  # of the opposite actions alone
                over[:, over_at - 1 :] = True
            return state, out._replace(terminated=over)

    calibration, held_out = recorded
    reference = {"opposite_actions": fit_opposite_actions(toy.SPEC, calibration, {})}
    numbers = measure_late(trial(Deadly(), held_out, num_windows=8, batch_size=8, reference=reference))
    assert numbers["num_late_4s"] == numbers["num_late_10s"] == num


def test_what_the_player_moves_is_looked_for_in_late_dreams(recorded):
    calibration, held_out = recorded
    detector = fit_detector(calibration.obs[::4], calibration.state[::4, None], (5.0, 5.0), num_templates=8)
    assert detector is not None
    opposites = fit_opposite_actions(
        toy.SPEC, calibration, {"block": Target(np.array([[0, 1]]), "paddle", detector, {})}
    )
    how = {"num_windows": 8, "batch_size": 8, "reference": {"opposite_actions": opposites}}
    perfect, losing = (measure_late(trial(world, held_out, **how)) for world in (toy_control.Perfect(), Losing()))
    assert perfect["late_10s"] > 0.7
    assert losing["late_4s"] > 0.7 and losing["late_10s"] == losing["late_10s_shown"] == 0


def test_a_player_that_the_dream_shows_less_often_than_the_game_counts_as_lost(recorded):
    opposites = fit_opposite_actions(toy.SPEC, recorded[0], {})
    [direction] = opposites.directions
    assert direction is not None
    way = direction.unit * 3
    gaps = np.array([way, way, -way, *[[np.nan, np.nan]] * 5])
    found = Divergence(np.ones((3, 8, 16)), gaps, np.zeros(8, bool), np.zeros(8, int))
    for shown_real, late in ((0.25, 2 / 3), (0.75, 1 / 3)):
        assert late_numbers("late", opposites, found, shown_real)["late"] == pytest.approx(late)
    lost = found._replace(gaps=np.full((8, 2), np.nan))
    assert late_numbers("late", opposites, lost, 0.5)["late"] == 0
    assert "neither" in late_numbers("late", opposites, lost, 0.0)["late_reason"]


def test_both_actions_begin_from_one_picture_by_one_noise_and_again_by_another(recorded):
    calibration, held_out = recorded
    world = Noisy()
    opposites = fit_opposite_actions(toy.SPEC, calibration, {})
    asked = trial(world, held_out, num_windows=2, reference={"opposite_actions": opposites})
    dream_opposites(asked, asked.windows(CONTEXT), ages=(30,))
    (play, _), *tests = world.seen
    keys, pictures = zip(*tests)
    assert keys[0] == keys[1] == play and keys[2] == keys[3] != play
    assert all(np.array_equal(picture, pictures[0]) for picture in pictures)


class TwoWays(Noisy):
    """Obeys one of two pairs of keys, and says by which keys it was asked."""

    def hear(self, actions, state):
        self.asked = getattr(self, "asked", [])
        self.asked.append(actions)
        return actions


def test_a_dream_goes_on_by_the_keys_that_were_recorded_after_its_context(recorded):
    calibration, held_out = recorded
    world = TwoWays()
    asked = trial(
        world, held_out, num_windows=2, reference={"opposite_actions": fit_opposite_actions(toy.SPEC, calibration, {})}
    )
    rows = asked.windows(CONTEXT + 30)
    dream_opposites(asked, rows, ages=(20, 30))
    long = [x for x in world.asked if x.shape[1] in (20, 10)]
    np.testing.assert_array_equal(long[0], held_out.prev_action[rows[:, CONTEXT : CONTEXT + 20]])
    np.testing.assert_array_equal(long[1], held_out.prev_action[rows[:, CONTEXT + 20 :]])


def test_a_pair_that_the_world_may_ignore_gives_way_to_one_that_moves_something(recorded):
    calibration, held_out = recorded
    found = fit_opposite_actions(toy.SPEC, calibration, {})
    still = found.pairs[0]._replace(second=found.pairs[0].first, name="nothing")
    both = found._replace(pairs=(still, found.pairs[0]), directions=found.directions * 2)
    asked = trial(toy_control.Perfect(), held_out, num_windows=4, reference={"opposite_actions": both})
    rows = asked.windows(CONTEXT)
    [one], [two] = (dream_opposites(asked, rows, num_pairs=n) for n in (1, 2))
    assert one.pair.tolist() == [0, 1, 0, 1] and two.pair.tolist() == [1, 1, 1, 1]
    assert two.is_apart.all() and not one.is_apart[::2].any()
