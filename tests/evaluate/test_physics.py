import numpy as np
import pytest

from tests.evaluate import toy
from tests.evaluate.replay import Frozen, Replay, Static, record_columns
from tests.evaluate.trials import trial
from worldsim.data.dataset import load_columns
from worldsim.evaluate.metrics.irreversible import measure_irreversible
from worldsim.evaluate.metrics.physics import UNITS, find_balls, measure_velocity, soft_centroids, stay_where_seen
from worldsim_envs import phyworld, vases

SCENES = ("uniform", "collision", "parabola")
HOW = {"num_windows": 8, "seed": 0, "batch_size": 5}
MORE = {"num_windows": 24, "seed": 0, "batch_size": 16}


@pytest.fixture(scope="module")
def recorded():
    return {scene: record_columns(f"phyworld-{scene}", 8) for scene in SCENES}


@pytest.fixture(scope="module")
def broken():
    return record_columns("vases", 6)


class Drawn(Replay):
    """Knows the true places, bends them and draws the balls there."""

    def dream(self, rows, last):
        balls = find_balls(self.meta)
        now = rows[:, :1] - 1
        places, start = (self.columns.state[r][:, :, balls.places].astype(float) for r in (rows, now))
        radii = self.columns.state[rows][:, :, balls.radii].astype(float)
        seconds = np.arange(1, rows.shape[1] + 1)[:, None] / self.fps
        bent = self.bend(np.nan_to_num(places, nan=9), start, seconds)
        half = 0.5 / phyworld.NATIVE  # from places counted in pixels to places on the square
        colours = [tuple(int(c) for c in colour) for colour in balls.colours]
        films = [
            [phyworld.draw((p + half) * UNITS, r * UNITS, self.size, colours) for p, r in zip(*film)]
            for film in zip(bent, radii)
        ]
        return np.array(films)

    def bend(self, places, start, seconds):
        return places


class TooFast(Drawn):
    """Velocities are half as large again."""

    def bend(self, places, start, seconds):
        return start + 1.5 * (places - start)


class HalfGravity(Drawn):
    """Falls at half the acceleration."""

    def bend(self, places, start, seconds):
        lift = 0.5 * phyworld.GRAVITY * (seconds**2) / 2 / UNITS
        shape = places.shape[:-1]
        return places - np.stack([np.zeros(shape), np.broadcast_to(lift[None], shape)], -1)


def measure_physics(own):
    return measure_velocity(own) | measure_irreversible(own)


def world(kind, footage):
    made = kind(*footage)
    made.meta = footage[1]
    return made


@pytest.mark.parametrize("scene", SCENES)
def test_the_game_played_back_errs_as_the_parser_does_and_a_still_world_by_the_speed(scene, recorded):
    columns, meta = recorded[scene]
    best = measure_velocity(trial(world(Replay, recorded[scene]), columns, meta, **HOW))
    assert best["velocity_error"] == best["velocity_error_floor"] < 0.05
    assert best["num_windows"] == 8 and best["num_velocities"] > 100
    worst = measure_velocity(trial(world(Frozen, recorded[scene]), columns, meta, **HOW))
    assert worst["velocity_error"] == pytest.approx(worst["velocity_error_copy_last"], rel=1e-6)
    assert worst["velocity_error"] > 1 and worst["velocity_error_floor"] == best["velocity_error_floor"]
    assert best["ball_lost"] == worst["ball_lost"] == 0
    assert ("other_velocity_error" in best) == (scene == "collision")


def test_a_world_that_is_too_fast_errs_by_half_the_speed(recorded):
    columns, meta = recorded["uniform"]
    numbers = measure_velocity(trial(world(Drawn, recorded["uniform"]), columns, meta, **HOW))
    assert numbers["velocity_error"] == pytest.approx(numbers["velocity_error_floor"], abs=0.005)
    slow = columns.state[columns.bounds[:-1], meta.state_names.index("ball_vx")] * UNITS < 2.2  # stay in the picture
    starts = columns.bounds[:-1][slow]
    some = columns._replace(
        **{
            k: np.concatenate([getattr(columns, k)[s : s + 16] for s in starts])
            for k in ("obs", "prev_action", "state")
        },
        bounds=np.arange(len(starts) + 1) * 16,
    )
    footage = (some, meta)
    numbers = measure_velocity(trial(world(TooFast, footage), some, meta, **HOW))
    assert numbers["velocity_error"] == pytest.approx(numbers["velocity_error_copy_last"] / 2, rel=0.1)


def test_a_world_of_half_the_gravity_errs_by_half_the_velocity_it_adds(recorded):
    columns, meta = recorded["parabola"]
    numbers = measure_velocity(trial(world(HalfGravity, recorded["parabola"]), columns, meta, **HOW))
    floor = numbers["velocity_error_floor"]
    # g/2 times the mean time of the velocities that are counted, a second or so
    assert 0.8 < numbers["velocity_error"] < 2 and numbers["velocity_error"] > 20 * floor
    straight = measure_velocity(trial(world(Drawn, recorded["parabola"]), columns, meta, **HOW))
    assert straight["velocity_error"] < 2 * floor


def test_a_world_that_loses_the_ball_says_so_and_errs_by_the_speed(recorded):
    columns, meta = recorded["uniform"]
    empty = np.full((64, 64, 3), 255, np.uint8)
    lost = Static(columns, meta, empty)
    numbers = measure_velocity(trial(lost, columns, meta, **HOW))
    assert numbers["ball_lost"] == 1
    assert numbers["velocity_error"] == pytest.approx(numbers["velocity_error_copy_last"])


def test_faint_noise_hardly_moves_a_centroid():
    colours = np.array([phyworld.COLOURS["ball"], phyworld.COLOURS["other"]], float)
    place = np.array([[2.03, 7.11], [6.4, 3.3]])
    picture = phyworld.draw(place, np.array([0.7, 1.5]), (64, 64), tuple(phyworld.COLOURS.values())).astype(int)
    noisy = picture + np.random.default_rng(0).normal(0, 8, picture.shape)
    frames = np.clip(np.round([[picture, noisy]]), 0, 255).astype(np.uint8)
    found, area = soft_centroids(frames, np.full((64, 64, 3), 255.0), colours)
    np.testing.assert_allclose(found[0, 0] * 64 + 0.5, place * 6.4, atol=0.05)
    np.testing.assert_allclose(found[0, 1] * 64 + 0.5, place * 6.4, atol=0.12)
    np.testing.assert_allclose(area[0, 0], np.pi * (6.4 * np.array([0.7, 1.5])) ** 2, rtol=0.03)


def test_a_ball_that_is_gone_stays_where_it_was_seen():
    places = np.array([[0.1, 0.2], [np.nan, np.nan], [0.3, 0.4], [np.nan, np.nan]])[None, :, None]
    np.testing.assert_array_equal(stay_where_seen(places)[0, :, 0, 0], [0.1, 0.1, 0.3, 0.3])


def test_footage_without_balls_or_events_has_no_physics_and_says_why(tmp_path):
    footage = toy.footage(tmp_path / "footage", episodes=2)
    columns = load_columns(footage, range(2))
    numbers = measure_physics(trial(toy.Perfect(), columns, footage.meta, **HOW))
    assert numbers["velocity_error"] is None and "no object" in numbers["velocity_reason"]
    assert numbers["false_revert_rate"] is None and "irreversible" in numbers["false_revert_reason"]


def test_too_few_windows_are_none_and_say_how_many(recorded):
    columns, meta = recorded["uniform"]
    numbers = measure_velocity(trial(world(Replay, recorded["uniform"]), columns, meta, num_windows=2, seed=0))
    assert numbers["velocity_error"] is None and numbers["num_windows"] == 2
    assert "needs 4 windows" in numbers["velocity_reason"]


def test_a_parser_that_errs_as_much_as_a_still_film_gives_no_number(recorded):
    columns, meta = recorded["uniform"]
    grey = columns._replace(obs=np.random.default_rng(0).integers(0, 255, columns.obs.shape, np.uint8))
    numbers = measure_velocity(trial(world(Replay, (grey, meta)), grey, meta, **HOW))
    assert numbers["velocity_error"] is None and "the parser errs" in numbers["velocity_reason"]


class Reverting(Replay):
    """Puts whole vases back from the tenth dreamed frame on."""

    def dream(self, rows, last):
        frames = super().dream(rows, last)
        for top, left in vases.CORNERS:
            box = np.s_[:, 10:, top : top + vases.HEIGHT, left : left + vases.WIDTH]
            covered = (frames[box] == vases.CURTAIN).all(-1, keepdims=True)
            frames[box] = np.where(covered, frames[box], vases.SPRITES[False])
        return frames


def test_what_is_broken_stays_broken_in_the_game_and_not_in_a_reverting_world(broken):
    columns, meta = broken
    best = measure_irreversible(trial(Replay(*broken), columns, meta, **MORE))
    assert best["false_revert_rate"] == best["false_break_rate"] == best["false_revert_frames"] == 0
    assert best["break_recall"] == best["break_recall_real"] == 1
    assert best["num_revert_windows"] >= 8 and best["num_breaks"] >= 8
    worst = measure_irreversible(trial(Reverting(*broken), columns, meta, **MORE))
    assert worst["false_revert_rate"] == 1 and worst["false_revert_rate_real"] == 0
    assert 0.5 < worst["false_revert_frames"] < 1
    assert worst["break_recall"] == worst["false_break_rate"] == 0


def test_a_still_world_breaks_nothing_and_one_that_shows_shards_breaks_all(broken):
    columns, meta = broken
    still = measure_irreversible(trial(Frozen(*broken), columns, meta, **MORE))
    assert still["break_recall"] == 0
    shards = Static(columns, meta, vases.draw(np.ones(6, bool), 100))
    numbers = measure_irreversible(trial(shards, columns, meta, **MORE))
    assert numbers["false_revert_rate"] == 0 and numbers["break_recall"] == 1
    assert numbers["false_break_rate"] == 1


def test_too_few_broken_things_are_none_and_say_so(broken):
    columns, meta = broken
    numbers = measure_irreversible(trial(Replay(*broken), columns, meta, num_windows=2, seed=0))
    assert numbers["false_revert_rate"] is None and "needs 4" in numbers["false_revert_reason"]


def test_an_irreversible_thing_that_goes_back_is_refused(broken):
    columns, meta = broken
    state = columns.state.copy()
    where = meta.state_names.index("vase2_broken")
    state[10, where], state[11, where] = 1, 0
    with pytest.raises(ValueError, match="vase2 irreversible.*goes back in row 11"):
        measure_irreversible(trial(Replay(*broken), columns._replace(state=state), meta, **MORE))


def test_the_same_seed_gives_the_same_numbers(recorded, broken):
    for footage in (recorded["collision"], broken):
        first, second = (measure_physics(trial(Replay(*footage), *footage, **HOW)) for _ in range(2))
        assert first == second
