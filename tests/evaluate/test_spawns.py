import numpy as np
import pytest

from tests.evaluate import toy
from tests.evaluate.trials import trial
from worldsim.data.dataset import Columns
from worldsim.evaluate.compare import Difference, describe
from worldsim.evaluate.fitted.targets import find_targets
from worldsim.evaluate.metrics.spawns import KINDS, RADIUS, find_causes, follow, measure_spawns, near, settle
from worldsim.evaluate.run import spread, write_json

HOW = {"num_frames": 256, "num_streams": 3, "seed": 0}
PASS = toy.SIZE  # frames that the block takes from the top through the bottom and back to the top
EMPTY = toy.draw(np.array([0, 0]))
EMPTY[: toy.BLOCK, : toy.BLOCK] = toy.draw(np.array([16, 16]))[: toy.BLOCK, : toy.BLOCK]


def fall(place, action):
    """The toy game with walls at the sides: the block comes and goes at the top and the bottom only."""
    x = np.clip(place[..., 0] + toy.MOVES[np.nan_to_num(action).astype(int)], 0, toy.SIZE - toy.BLOCK)
    return np.stack([x, (place[..., 1] + 1) % toy.SIZE], -1)


def record(seed: int, episodes: int = 4, length: int = 400) -> Columns:
    rng = np.random.default_rng(seed)
    action = rng.integers(3, size=(episodes, length, 1)).astype(np.float32)
    place = [rng.integers(toy.SIZE - toy.BLOCK, size=(episodes, 2))]
    for t in range(1, length):
        place.append(fall(place[-1], action[:, t, 0]))
    action[:, 0] = np.nan
    places, nothing = np.stack(place, 1).reshape(-1, 2), np.zeros(episodes * length, np.float32)
    bounds = np.arange(episodes + 1) * length
    return Columns(toy.draw(places), action.reshape(-1, 1), nothing, nothing > 0, toy.centre(places), bounds)


class Game(toy.Perfect):
    """The game itself; its children hide the block at some heights, for good or for a while."""

    def reset(self, key, *, initial=None, batch_size=None):
        state, last = super().reset(key, initial=initial)
        return state._replace(cache=(toy.locate(last), np.zeros(len(last), int))), last

    def rollout(self, state, actions):
        (place, away), frames = state.cache, []
        for t in range(actions.shape[1]):
            place = fall(place, actions[:, t, 0])
            away = self.hide(place[:, 1], away)
            frames.append(np.where((away > 0)[:, None, None, None], EMPTY, toy.draw(place)))
        out = super().rollout(state._replace(cache=frames[-1]), actions)[1]
        return state._replace(cache=(place, away)), out._replace(obs=np.stack(frames, 1))

    def hide(self, y, away):
        """Frames for which each block stays away still."""
        return away


class Losing(Game):
    def hide(self, y, away):
        return np.where(y == 13, 1, away)


class Blinking(Game):
    def hide(self, y, away):
        return np.where(y == 11, 6, np.maximum(away - 1, 0))


class Missing(Game):
    def hide(self, y, away):
        return np.isin(y, (9, 12, 13, 16, 18, 20)).astype(int)


class Ghostly(Game):
    def hide(self, y, away):
        return (y % 3 > 0).astype(int)


def measure(world, calibration, held_out, targets, *, seed, **how):
    """Measure a world with what was fitted."""
    return measure_spawns(
        trial(world, held_out, seed=seed, reference={"calibration": calibration, "targets": targets}), **how
    )


@pytest.fixture(scope="module")
def game(tmp_path_factory):
    calibration, held_out = record(0), record(1)
    meta = toy.footage(tmp_path_factory.mktemp("toy") / "footage", episodes=1).meta
    return calibration, held_out, find_targets(meta, calibration, held_out)


@pytest.fixture(scope="module")
def numbers(game):
    return {world: measure(world(), *game, **HOW) for world in (Game, Losing, Blinking, Missing, Ghostly)}


def test_the_game_itself_has_no_events_without_cause(numbers):
    own = numbers[Game]
    for kind in KINDS:
        assert own[f"{kind}_per_1000"] == own[f"{kind}_per_1000_real"] == 0
        assert own[f"block_{kind}_blind"] < 0.5
    assert own["objects_mean"] == pytest.approx(own["objects_mean_real"], abs=0.05)
    assert own["objects_mean"] > 0.8
    assert own["num_spawn_frames"] == own["num_spawn_frames_real"] == 3 * 256


def test_a_world_that_loses_its_object_has_one_loss_a_stream_and_nothing_after(numbers):
    own = numbers[Losing]
    assert own["vanish_per_1000"] == own["block_vanish_per_1000"] == 1000 * 3 / (3 * 256)
    assert own["spawn_per_1000"] == 0
    assert own["objects_mean"] < 0.2 < own["objects_mean_real"]
    assert own["curves"]["objects_block"][0] == 1 and own["curves"]["objects_block"][-1] == 0


def test_a_world_that_blinks_has_both_at_the_rate_at_which_it_blinks(numbers):
    for kind in KINDS:
        assert numbers[Blinking][f"{kind}_per_1000"] == pytest.approx(1000 / PASS, rel=0.15)
        assert numbers[Blinking][f"{kind}_per_1000_real"] == 0


@pytest.mark.parametrize("world", [Missing, Ghostly])
def test_one_or_two_frames_that_miss_it_or_one_that_sees_it_are_no_event(numbers, world):
    assert numbers[world]["spawn_per_1000"] == 0
    assert numbers[world]["vanish_per_1000"] <= (1000 * 3 / (3 * 256) if world is Ghostly else 0)  # it is lost once
    assert numbers[world]["objects_mean"] == pytest.approx(numbers[Game]["objects_mean"] * (world is Missing), abs=0.1)


def test_an_object_is_there_after_two_sightings_and_gone_after_three_misses():
    def there(seen):
        return "".join("?-+"[x + 1] for x in settle(np.array([s == "x" for s in seen])))

    assert there("..x..x...x.xx..xx...x.") == "??????" + "-" * 5 + "+" * 6 + "-" * 5
    assert there("x") == "?" and there("..xx") == "??++"


def test_events_lie_where_it_was_seen_first_and_last_and_those_of_the_context_do_not_count():
    x = np.array([1, 2, 3, np.nan, np.nan, np.nan, 7, 8, 9, 10, np.nan, np.nan, np.nan])
    places = np.stack([x, 0 * x], -1)[None]
    track = follow(places)
    assert track.events["spawn"].tolist() == [[7, 0]] and track.events["vanish"].tolist() == [[3, 0], [10, 0]]
    late = follow(places, start=5)
    assert late.events["spawn"].tolist() == [[7, 0]] and late.events["vanish"].tolist() == [[10, 0]]
    assert late.there.tolist() == [[False] + [True] * 4 + [False] * 3]


def test_causes_are_learned_from_the_truth_and_reach_eight_pixels(game):
    causes = find_causes(game[0], game[2]["block"])
    assert causes.events["spawn"][:, 1].max() < 6 and causes.events["vanish"][:, 1].min() > 58
    assert len(causes.events["spawn"]) == pytest.approx(4 * 400 / PASS, abs=4)
    there = np.zeros((1, 2))
    assert near(np.array([[RADIUS, 0], [RADIUS + 0.1, 0]]), there).tolist() == [True, False]
    assert near(there, np.zeros((0, 2))).tolist() == [False]


def test_where_the_game_has_such_events_everywhere_nothing_can_be_told(game):
    calibration, held_out, targets = game
    state = calibration.state.copy()
    state[np.arange(len(state)) % 7 < 3] = np.nan
    numbers = measure(Game(), calibration._replace(state=state), held_out, targets, **HOW)
    assert numbers["vanish_per_1000"] is numbers["block_vanish_per_1000"] is numbers["vanish_per_1000_real"] is None
    assert "of the object's places" in numbers["block_vanish_reason"] and "everywhere" in numbers["vanish_reason"]


def test_what_cannot_be_measured_says_why(game):
    calibration, held_out, targets = game
    numbers = measure(Game(), calibration._replace(state=None), held_out, targets, **HOW)
    assert numbers["spawn_per_1000"] is None and "no single object with ground truth" in numbers["spawn_reason"]
    assert measure(Game(), calibration, held_out, {}, **HOW)["vanish_reason"] == numbers["vanish_reason"]
    many = {"fruit": targets["block"]._replace(columns=np.array([[0, 1], [0, 1]]))}
    assert measure(Game(), calibration, held_out, many, **HOW)["spawns_skipped"] == "fruit (2 that look alike)"
    both = measure(Game(), calibration, held_out, {**targets, **many}, **HOW)
    assert both["spawn_per_1000"] == 0 and both["spawns_skipped"] == "fruit (2 that look alike)"
    short = held_out._replace(bounds=np.arange(0, 1601, 20))
    assert "the longest has 20" in measure(Game(), calibration, short, targets, **HOW)["vanish_reason"]
    with pytest.raises(ValueError, match="1 stream of 16 frames, got num_streams=3 and num_frames=15"):
        measure(Game(), *game, seed=0, num_frames=15, num_streams=3)


def test_short_episodes_give_as_many_recorded_frames(game):
    calibration, held_out, targets = game
    short = held_out._replace(bounds=np.arange(0, 1601, 40))
    numbers = measure(Game(), calibration, short, targets, **HOW)
    assert 768 <= numbers["num_spawn_frames_real"] < 768 + 32


def test_the_same_seed_gives_the_same_numbers_and_they_can_be_written(game, numbers, tmp_path):
    assert measure(Blinking(), *game, **HOW) == numbers[Blinking]
    other = measure(Blinking(), *game, **{**HOW, "seed": 1})
    assert other != numbers[Blinking]
    write_json(spread([numbers[Blinking], other]), tmp_path / "metrics.json")


def test_fewer_is_better():
    row = Difference(5.0, 1.0, -4.0, -5.0, -3.0, 5, False)
    assert (
        describe("spawns", "ball_spawn_per_1000", row)
        == describe("spawns", "vanish_per_1000", row)
        == "B is lower: better"
    )
