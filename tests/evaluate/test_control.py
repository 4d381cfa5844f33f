import numpy as np
import pytest

from tests.evaluate import toy, toy_control
from tests.evaluate.trials import trial
from worldsim.controls import ActionSpec, Axis, Button, Choice, discrete
from worldsim.evaluate.divergence import correlation
from worldsim.evaluate.fitted.inverse import _small, fit_inverse
from worldsim.evaluate.fitted.motion import displacement, fit_direction, held_displacements, held_stretches, shifts
from worldsim.evaluate.fitted.opposite import find_pairs, fit_opposite_actions
from worldsim.evaluate.fitted.targets import Target
from worldsim.evaluate.fitted.templates import fit_detector
from worldsim.evaluate.metrics.inverse import balanced_accuracy, measure_inverse
from worldsim.evaluate.metrics.opposite import measure_opposite


@pytest.fixture(scope="module")
def calibration():
    return toy_control.columns(seed=1)


@pytest.fixture(scope="module")
def held_out():
    return toy_control.columns(seed=2)


@pytest.fixture(scope="module")
def opposites(calibration):
    return fit_opposite_actions(toy.SPEC, calibration, {})


@pytest.fixture(scope="module")
def answers(opposites, held_out):
    def ask(world):
        return measure_opposite(
            trial(world(), held_out, reference={"opposite_actions": opposites}, num_windows=16, seed=0, batch_size=16)
        )

    names = ("Perfect", "Deaf", "Swapped", "Late", "Drunk", "Stirred", "Frozen")
    return {name: ask(getattr(toy_control, name)) for name in names}


def test_in_the_game_itself_opposites_part_at_once_and_the_right_way(answers):
    numbers = answers["Perfect"]
    assert numbers["opposite_divergence"] == numbers["opposite_direction"] == numbers["latency_frames"] == 1
    assert numbers["opposite_direction_real"] > 0.9
    assert numbers["opposite_pairs"] == "left/right" and numbers["num_directed"] == numbers["num_windows"] == 16


@pytest.mark.parametrize("world", ["Deaf", "Drunk", "Frozen"])
def test_in_a_world_that_ignores_its_actions_opposites_never_part(answers, world):
    numbers = answers[world]
    assert numbers["opposite_divergence"] == numbers["opposite_direction"] == 0
    assert numbers["latency_frames"] is None and "lead apart at no frame of 16" in numbers["latency_reason"]


def test_in_a_world_with_left_and_right_swapped_they_part_the_wrong_way(answers):
    numbers = answers["Swapped"]
    assert numbers["opposite_divergence"] == numbers["latency_frames"] == 1
    assert numbers["opposite_direction"] == 0


def test_a_world_that_answers_two_frames_late_is_late_and_otherwise_right(answers):
    numbers = answers["Late"]
    assert numbers["latency_frames"] == 1 + toy_control.LATE
    assert numbers["opposite_divergence"] == numbers["opposite_direction"] == 1


def test_a_world_whose_actions_only_stir_its_noise_does_not_pass_for_one_that_obeys(answers):
    numbers = answers["Stirred"]
    assert numbers["opposite_divergence"] < 0.3
    assert numbers["opposite_direction"] < 0.7


def test_the_place_of_the_player_tells_the_direction_where_it_is_known(calibration, held_out):
    detector = fit_detector(calibration.obs[::4], calibration.state[::4, None], (5.0, 5.0), num_templates=8)
    target = Target(np.array([[0, 1]]), "paddle", detector, {})
    opposites = fit_opposite_actions(toy.SPEC, calibration, {"scenery": target._replace(kind=None), "block": target})
    assert opposites.target is target
    for world, share in ((toy_control.Perfect, 1), (toy_control.Swapped, 0)):
        numbers = measure_opposite(
            trial(world(), held_out, reference={"opposite_actions": opposites}, num_windows=16, seed=0, batch_size=16)
        )
        assert numbers["opposite_direction"] == share and numbers["opposite_direction_by"] == "place"
        assert 0 < numbers["num_directed"] < 16  # the block is not always wholly inside the frame


def test_the_same_seed_gives_the_same_numbers(opposites, held_out):
    first, second = (
        measure_opposite(
            trial(toy_control.Stirred(), held_out, reference={"opposite_actions": opposites}, num_windows=4, seed=5)
        )
        for _ in "12"
    )
    assert first == second


def test_without_a_direction_in_the_recorded_frames_there_is_none_and_it_says_why(calibration, held_out):
    unlabelled = calibration._replace(prev_action=np.full_like(calibration.prev_action, np.nan))
    opposites = fit_opposite_actions(toy.SPEC, unlabelled, {})
    numbers = measure_opposite(
        trial(toy_control.Perfect(), held_out, reference={"opposite_actions": opposites}, num_windows=4, seed=0)
    )
    assert numbers["opposite_divergence"] == 1
    assert numbers["opposite_direction"] is None and "for calibration" in numbers["opposite_reason"]


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        (
            discrete(("noop", "turn_left", "turn_right", "FORWARD", "BACKWARD")),
            ["turn_left/turn_right", "FORWARD/BACKWARD"],
        ),
        (discrete(("NOOP", "UPLEFT", "UPRIGHT", "DOWNLEFT")), ["UPLEFT/UPRIGHT", "UPLEFT/DOWNLEFT"]),
        (discrete(("jump", "fire", "up")), ["jump/fire", "jump/up", "fire/up"]),
        (ActionSpec(buttons=(Button(name="left"), Button(name="fire"), Button(name="right"))), ["left/right"]),
        (ActionSpec(buttons=(Button(name="fire"),)), ["no fire/fire"]),
        (ActionSpec(axes=(Axis(name="mouse_x", low=-3.0, high=5.0),)), ["mouse_x low/high"]),
        (
            ActionSpec(choices=(Choice(name="a", labels=("x", "y"), keys=((), ())),), buttons=(Button(name="b"),)),
            ["x/y", "no b/b"],
        ),
    ],
)
def test_opposites_are_found_by_their_names_else_all_pairs(spec, names):
    pairs = find_pairs(spec)
    assert [pair.name for pair in pairs] == names
    for pair in pairs:
        assert not np.array_equal(spec.rows(pair.first[None], batch_shape=(1,)), pair.second[None])


@pytest.mark.parametrize("shift", [(3, 0), (-2, 1), (0, -4), (0, 0)])
def test_the_shift_of_a_sprite_and_that_of_the_whole_picture_are_found(shift):
    before = toy.draw(np.array([[12, 14], [5, 9]]))
    sprite = toy.draw(np.array([[12, 14], [5, 9]]) + shift)
    np.testing.assert_array_equal(shifts(before, sprite), [shift, shift])
    scene = np.random.default_rng(0).integers(0, 255, (2, 24, 32, 3)).astype(np.uint8)
    np.testing.assert_array_equal(shifts(scene, np.roll(scene, shift[::-1], (1, 2))), [shift, shift])


def test_the_displacement_of_a_clip_is_the_way_from_its_first_frame_to_its_last():
    places = np.array([[10, 10]]) + np.arange(9)[:, None] * np.array([1, -1])
    np.testing.assert_array_equal(displacement(toy.draw(places)[None]), [[8, -8]])


def test_stretches_hold_one_action_and_never_cross_episodes(calibration):
    rows = held_stretches(calibration, np.array([2], np.float32), np.random.default_rng(0))
    assert len(rows) > 20 and (calibration.prev_action[rows[:, 1:]] == 2).all()
    episode = np.searchsorted(calibration.bounds, rows, side="right")
    assert (episode == episode[:, :1]).all()


def test_leaps_of_the_place_are_no_movement(calibration):
    ways = held_displacements(calibration, np.array([0], np.float32), np.random.default_rng(0), np.array([0, 1]))
    np.testing.assert_allclose(ways, np.tile([0, 4], (len(ways), 1)), atol=1e-5)


def test_a_direction_is_learned_only_where_two_actions_reliably_differ():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2, 50, 2)) * [1, 20]
    direction = fit_direction(noise[0] + [3, 0], noise[1])
    assert direction is not None and direction.unit[0] > 0.99
    assert fit_direction(noise[0], noise[1]) is None
    assert fit_direction(noise[0, :4] + [90, 0], noise[1]) is None  # too few


def test_differences_that_two_noises_share_correlate():
    products = np.array([[4.0, 4, 0, 4], [9, 9, 9, 0], [6, -6, 0, 0]])
    np.testing.assert_allclose(correlation(products), [1, -1, 0, 0])


@pytest.fixture(scope="module")
def inverse(calibration):
    return fit_inverse(toy.SPEC, calibration, num_steps=150)


@pytest.fixture(scope="module")
def told(inverse, held_out):
    def ask(world):
        return measure_inverse(
            trial(world(), held_out, reference={"inverse": inverse}, num_windows=24, seed=0, batch_size=16)
        )

    return {name: ask(getattr(toy_control, name)) for name in ("Perfect", "Deaf", "Swapped", "Frozen", "Drunk")}


def test_actions_are_told_from_dreams_of_the_game_itself_as_well_as_from_recorded_frames(told):
    numbers = told["Perfect"]
    assert numbers["inverse_accuracy_chance"] == pytest.approx(1 / 3)
    assert numbers["inverse_accuracy_real"] > 0.9
    assert numbers["inverse_accuracy_reconstruction"] == numbers["inverse_accuracy_real"]
    assert numbers["inverse_accuracy_dream"] == pytest.approx(numbers["inverse_accuracy_real"], abs=0.1)
    assert numbers["num_inverse_pairs"] == 24 * 16


@pytest.mark.parametrize("world", ["Deaf", "Frozen", "Drunk"])
def test_actions_are_told_by_chance_from_dreams_that_ignore_them(told, world):
    assert told[world]["inverse_accuracy_dream"] == pytest.approx(1 / 3, abs=0.12)
    assert told[world]["inverse_accuracy_real"] == told["Perfect"]["inverse_accuracy_real"]


def test_swapped_actions_are_told_wrongly(told):
    assert told["Swapped"]["inverse_accuracy_dream"] < 0.45  # standing still is right


def test_options_that_calibration_hardly_saw_are_left_out(calibration, held_out):
    rare = calibration.prev_action.copy()
    rare[np.flatnonzero(rare[:, 0] == 2)[9:]] = 1
    model = fit_inverse(toy.SPEC, calibration._replace(prev_action=rare), num_steps=0)
    assert model is not None and list(model.options[0]) == [0, 1]
    numbers = measure_inverse(
        trial(toy_control.Perfect(), held_out, reference={"inverse": model}, num_windows=4, seed=0)
    )
    assert numbers["inverse_accuracy_chance"] == 0.5


def test_without_options_there_is_no_inverse_accuracy_and_it_says_why(inverse, calibration, held_out):
    assert fit_inverse(ActionSpec(axes=(Axis(name="x"),)), calibration) is None
    numbers = measure_inverse(
        trial(toy_control.Perfect(), held_out, reference={"inverse": None}, num_windows=4, seed=0)
    )
    assert numbers["inverse_accuracy_dream"] is None and "two options with 20" in numbers["inverse_reason"]
    unlabelled = held_out._replace(prev_action=np.full_like(held_out.prev_action, np.nan))
    numbers = measure_inverse(
        trial(toy_control.Perfect(), unlabelled, reference={"inverse": inverse}, num_windows=4, seed=0)
    )
    assert numbers["inverse_accuracy_dream"] is None and "not known" in numbers["inverse_reason"]


def test_large_pictures_are_averaged_down():
    assert _small(np.zeros((1, 48, 64, 3), np.uint8)).shape == (1, 48, 64, 3)
    assert _small(np.full((1, 96, 130, 3), 255, np.uint8)).shape == (1, 48, 65, 3)


def test_balanced_accuracy_counts_every_option_the_same():
    truth = np.array([0, 0, 0, 1])
    assert balanced_accuracy(truth, np.zeros(4)) == 0.5
