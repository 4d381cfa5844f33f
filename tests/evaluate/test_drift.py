import numpy as np
import pytest

from tests.evaluate import toy_control
from tests.evaluate.trials import trial
from worldsim.evaluate.metrics.drift import STATISTICS, frame_statistics, measure_drift, real_bands
from worldsim.evaluate.run import spread, write_json

SECONDS = 40.0


def measure(world, columns, num_frames, num_streams=2, seed=0):
    """Measure streams of `num_frames` frames."""
    return measure_drift(
        trial(world, columns, seed=seed, drift_seconds=num_frames / world.fps), num_streams=num_streams
    )


@pytest.fixture(scope="module")
def columns():
    return toy_control.columns(seed=0, episodes=8, length=200)


@pytest.fixture(scope="module")
def drift(columns):
    def ask(world):
        return measure(world(), columns, num_frames=400, num_streams=2, seed=0)

    return {
        world: ask(world)
        for world in (
            toy_control.Perfect,
            toy_control.Frozen,
            toy_control.Darkening,
            toy_control.Blurring,
            toy_control.Flickering,
        )
    }


def test_the_game_itself_never_collapses(drift):
    numbers = drift[toy_control.Perfect]
    assert numbers["collapse_seconds_policy"] == numbers["collapse_seconds_still"] == numbers["num_seconds"] == SECONDS
    assert numbers["collapse_share_policy"] == numbers["collapse_share_still"] == 0
    assert numbers["outside_share_policy"] < 0.15


def test_a_frozen_world_collapses_at_once_but_may_stand_still(drift):
    numbers = drift[toy_control.Frozen]
    assert numbers["collapse_seconds_policy"] == 0
    assert numbers["collapse_motion_still"] == 0


@pytest.mark.parametrize(
    ("world", "begins", "cause"),
    [
        (toy_control.Darkening, 0, "brightness"),
        (toy_control.Blurring, 10, "sharpness"),
        (toy_control.Flickering, 10, "motion"),
    ],
)
@pytest.mark.parametrize("kind", ["policy", "still"])
def test_a_world_that_falls_apart_collapses_by_its_own_fault_and_soon_after_it_began(drift, world, begins, cause, kind):
    numbers = drift[world]
    assert numbers[f"collapse_share_{kind}"] == 1
    assert begins - 1 <= numbers[f"collapse_seconds_{kind}"] <= begins + 4
    assert numbers[f"collapse_{cause}_{kind}"] == 1


def test_the_curves_show_the_fall_and_go_into_a_report(drift, tmp_path):
    numbers = drift[toy_control.Darkening]
    curve, (low, high) = numbers["curves"]["brightness_policy"], numbers["bands"]["brightness"]
    assert len(curve) == len(numbers["curves"]["seconds"]) == 100
    assert low - 5 <= curve[0] <= high + 5 and curve[-1] < 1
    write_json(spread([numbers, numbers]), tmp_path / "metrics.json")


def test_the_statistics_of_pictures_that_are_known():
    obs = np.zeros((1, 3, 8, 8, 3), np.uint8)
    obs[0, 1] = 100
    obs[0, 2, :, ::2] = 100  # stripes: each pixel differs from two of its four neighbours by 100
    statistics = frame_statistics(obs)[0]
    np.testing.assert_allclose(statistics[0], [100, 0, 0, 100])
    np.testing.assert_allclose(statistics[1], [50, 50, 200, 50])


def test_the_bands_leave_at_most_two_percent_a_statistic_outside_and_no_episode_crosses(columns):
    bands = real_bands(columns, 10)
    assert 0 < bands.outside <= 0.02 * len(STATISTICS)
    whole = real_bands(columns._replace(bounds=columns.bounds[[0, -1]]), 10)
    motion = STATISTICS.index("motion")
    assert whole.high[motion] >= bands.high[motion]  # the cut from one episode to the next would count as motion


def test_the_length_of_a_dream_may_be_any_number_of_frames(columns):
    numbers = measure(toy_control.Perfect(), columns, num_frames=37, num_streams=1, seed=1)
    assert numbers["num_seconds"] == 3.7 and len(numbers["curves"]["contrast_still"]) == 37


def test_the_same_seed_gives_the_same_numbers(columns):
    first, second, other = (
        measure(toy_control.Perfect(), columns, num_frames=40, num_streams=1, seed=seed) for seed in (3, 3, 4)
    )
    assert first == second != other


def test_too_little_is_refused_or_told(columns):
    with pytest.raises(ValueError, match="2 seconds, 20 frames"):
        measure(toy_control.Perfect(), columns, num_frames=19)
    with pytest.raises(ValueError, match="expected 5 contexts"):
        measure(toy_control.Perfect(), columns._replace(bounds=np.array([0, 11])), num_frames=20, num_streams=5)
    short = columns._replace(bounds=np.arange(0, 91, 9))
    numbers = measure(toy_control.Perfect(), short, num_frames=20)
    assert numbers["collapse_seconds_still"] is None and "the longest has 9" in numbers["drift_reason"]


def test_a_world_that_gives_nan_is_named(columns):
    class Broken(toy_control.Perfect):
        def rollout(self, state, actions):
            state, out = super().rollout(state, actions)
            return state, out._replace(uncertainty=np.full(actions.shape[:2], np.nan))

    with pytest.raises(
        ValueError, match="frames 1 to 128 of a long dream: the world gave NaN or infinity as uncertainty in 2 of 2"
    ):
        measure(Broken(), columns, num_frames=20, num_streams=1)
