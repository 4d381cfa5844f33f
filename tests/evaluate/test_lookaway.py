import numpy as np
import pytest

from tests.evaluate import toy
from tests.evaluate.replay import Frozen, Replay, Static, record_columns
from tests.evaluate.trials import trial
from worldsim import metrics
from worldsim.controls import discrete
from worldsim.data.dataset import Columns, load_columns
from worldsim.data.meta import FootageMeta
from worldsim.evaluate.metrics.lookaway import CONTEXT, View, find_query, find_view, measure_lookaway

HOW = {"num_windows": 48, "seed": 0, "batch_size": 16}
VIEW = View([0, 1, 2], 90.0, 0.5)
STEP, SIZE = 22.5, 16  # degrees and pixels that a turn moves the view by and that it spans


def turns(rng):
    """Look at a place, away by 90, 180 or 360 degrees for a while, and back, again and again: 1 is left."""
    while True:
        away, side = rng.choice((4, 8, 16)), rng.choice((1, -1))
        out = min(away, 8)
        yield from [0] * rng.integers(1, 5) + [side] * out + [0] * rng.integers(0, 25)
        yield from [side if away == 16 else -side] * (away - out if away == 16 else out)


def panorama(num_episodes=8, length=240):
    """A player that turns on one spot, in front of a painted wall: each episode has its own."""
    parts, bounds = [], [0]
    for seed in range(num_episodes):
        rng = np.random.default_rng(seed)
        wall = np.repeat(np.repeat(rng.integers(256, size=(4, 32, 3), dtype=np.uint8), 4, 0), 2, 1)
        action = np.array([move for move, _ in zip(turns(rng), range(length - 1))])
        heading = np.concatenate([[0], np.cumsum(action)])
        obs = np.stack([np.roll(wall, 4 * h, 1)[:, :SIZE] for h in heading])
        state = np.stack([0 * heading, 0 * heading, STEP * heading % 360], -1).astype(np.float32)
        parts.append((obs, np.concatenate([[np.nan], action % 3]).astype(np.float32)[:, None], state))
        bounds.append(bounds[-1] + length)
    obs, action, state = (np.concatenate(column) for column in zip(*parts))
    nothing = np.zeros(len(obs), np.float32)
    meta = FootageMeta(
        game="panorama",
        title="Panorama",
        size=(SIZE, SIZE),
        fps=10.0,
        action_spec=discrete(("noop", "left", "right")),
        state_names=("x", "y", "angle"),
        recorder={},
        objects={"player": {"view": {"x": "x", "y": "y", "angle": "angle", "degrees": 90, "near": 0.5}}},
    )
    return Columns(obs, action, nothing, nothing > 0, state, np.array(bounds)), meta


@pytest.fixture(scope="module")
def wall():
    return panorama()


class Forgetful(Replay):
    """Plays the game back for `span` frames, then shows others of the episode, that look to another side."""

    def __init__(self, columns, meta, span):
        super().__init__(columns, meta)
        assert columns.state is not None
        self.span, self.rng, self.heading = span, np.random.default_rng(0), columns.state[:, 2]

    def dream(self, rows, last):
        start = self.columns.bounds[np.searchsorted(self.columns.bounds, rows, side="right") - 1]
        heading = self.heading
        guess = rows.copy()
        while (near := np.abs((heading[guess] - heading[rows] + 180) % 360 - 180) < 90).any():
            guess[near] = start[near] + self.rng.integers(240, size=near.sum())
        return self.columns.obs[np.where(np.arange(rows.shape[1]) >= self.span, guess, rows)]


def test_the_game_played_back_comes_back_to_the_same_view(wall):
    numbers = measure_lookaway(trial(Replay(*wall), *wall, **HOW))
    assert numbers["lookaway_score"] == numbers["lookaway_score_tokenizer"] == 1
    assert numbers["lookaway_psnr_dream"] == numbers["lookaway_psnr_replay"] == pytest.approx(metrics.PSNR_CEILING)
    assert numbers["lookaway_psnr_unrelated"] < 12
    assert numbers["num_lookaway_queries"] == 48 and 24 < numbers["num_lookaway_returns"] <= 48


def test_queries_are_counted_by_angle_and_by_frames_away(wall):
    numbers = measure_lookaway(trial(Replay(*wall), *wall, **HOW))
    for part, least in (("turn_", 3), ("away_", 4)):
        counts = {k.removeprefix("num_"): n for k, n in numbers.items() if k.startswith(f"num_lookaway_{part}")}
        assert sum(counts.values()) == 48 and len(counts) >= least
        for name, count in counts.items():
            score = numbers[name.replace("lookaway_", "lookaway_score_")]
            assert score == 1 if count >= 4 else score is None


def test_a_world_that_forgets_shows_any_view(wall):
    numbers = measure_lookaway(trial(Forgetful(*wall, span=0), *wall, **HOW))
    assert abs(numbers["lookaway_score"]) < 0.02
    assert all(abs(numbers[f"lookaway_score_turn_{turn}"]) < 0.05 for turn in (90, 180))


def test_a_world_of_short_memory_comes_back_from_near_only(wall):
    numbers = measure_lookaway(trial(Forgetful(*wall, span=8), *wall, **{**HOW, "num_windows": 200}))
    assert numbers["lookaway_score_away_12"] == 1
    assert numbers["lookaway_score_away_24"] < 0.1 and numbers["lookaway_score_away_32"] < 0.1


def test_a_still_world_does_not_have_the_answer_before_its_eyes(wall):
    numbers = measure_lookaway(trial(Frozen(*wall), *wall, **HOW))
    assert numbers["lookaway_psnr_dream"] == numbers["lookaway_psnr_copy_last"]
    assert numbers["lookaway_score"] == numbers["lookaway_score_copy_last"] < 0.05


def test_a_grey_world_gets_as_little_as_blur(wall):
    grey = wall[0].obs.mean((0, 1, 2)).round().astype(np.uint8) + np.zeros((SIZE, SIZE, 3), np.uint8)
    numbers = measure_lookaway(trial(Static(wall[0], wall[1], grey), *wall, **HOW))
    assert 0.02 < numbers["lookaway_score_blur"] < 0.1 and 0.02 < numbers["lookaway_score"] < 0.1


def test_a_query_is_the_first_return_to_what_the_context_shows_and_has_out_of_view_at_its_end():
    context = np.array([0, 0, 1, 2, 3, 4, 4, 4])
    heading = np.stack(
        [
            np.concatenate([context, [4, 3, 2, 1, 0, 0, 1, 0]]),  # by 90 and back: asked
            np.concatenate([context, [5, 6, 7, 6, 5, 4, 3, 2]]),  # not back yet
            np.concatenate(
                [context - 4, [1, 2, 3, 4, 4, 4, 4, 4]]
            ),  # the first pose is 90 away at the end, not met again
            np.concatenate([context, [6, 8, 10, 12, 14, 16, 16, 16]]),  # a circle
            np.concatenate([context, [6, 8, 7, 6, 4, 2, 1, 0]]),  # by 180 and back
            np.concatenate([context - 1, [3, 2, 1, 0, -1, -1, -1, -1]]),  # the same from another angle
            np.concatenate([np.minimum(context, 3), [4, 4, 3, 2, 1, 0, 0, 0]]),  # still partly in view at the end
        ]
    )
    pose = np.stack([0 * heading, 0 * heading, STEP * heading % 360], -1).astype(float)
    query = find_query(pose, VIEW)
    np.testing.assert_array_equal(query.returned, [CONTEXT + 4, 0, 0, CONTEXT + 5, CONTEXT + 7, CONTEXT + 4, 0])
    np.testing.assert_array_equal(query.seen, [1, 0, 0, 1, 1, 1, 0])
    np.testing.assert_array_equal(query.turn, [90, 0, 0, 360, 180, 90, 0])
    pose[0, CONTEXT:, 0] = 1  # not the same place
    pose[3, CONTEXT:, :2] = 0.3  # near enough
    pose[4, :, 2] = np.nan
    np.testing.assert_array_equal(find_query(pose, VIEW).returned[[0, 3, 4]], [0, CONTEXT + 5, 0])


def test_footage_without_a_pose_or_with_too_few_returns_says_why(wall, tmp_path):
    footage = toy.footage(tmp_path / "footage", episodes=2)
    numbers = measure_lookaway(trial(toy.Perfect(), load_columns(footage, range(2)), footage.meta, **HOW))
    assert numbers["lookaway_score"] is None and "does not say" in numbers["lookaway_reason"]
    columns, meta = wall
    lost = columns._replace(state=columns.state + np.arange(len(columns.obs), dtype=np.float32)[:, None])
    numbers = measure_lookaway(trial(Replay(*wall), lost, meta, **HOW))
    assert numbers["lookaway_score"] is None and numbers["num_lookaway_queries"] == 0
    assert numbers["lookaway_reason"] == "needs 16 queries, got 0"
    blank = columns._replace(obs=columns.obs * 0)
    numbers = measure_lookaway(trial(Frozen(blank, meta), blank, meta, **HOW))
    assert numbers["lookaway_score"] is None and "no nearer to itself" in numbers["lookaway_reason"]


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ({"angle": "yaw"}, "expected ground truth yaw"),
        ({"degrees": 270}, "at most 180 degrees"),
        ({"near": -1}, "0 or more near"),
        (None, "does not say y, angle, degrees, near"),
    ],
)
def test_a_view_that_cannot_be_is_refused(wall, view, message):
    columns, meta = wall
    said = meta.objects["player"]["view"]
    view = {"x": "x"} if view is None else {**said, **view}
    lying = type(meta)(**{**vars(meta), "objects": {"player": {"view": view}}})
    with pytest.raises(ValueError, match=message):
        measure_lookaway(trial(Replay(*wall), columns, lying, **HOW))


def test_the_same_seed_gives_the_same_numbers(wall):
    first, second = (measure_lookaway(trial(Forgetful(*wall, span=8), *wall, **HOW)) for _ in range(2))
    assert first == second


def test_doom_is_twice_the_same_from_one_pose_and_not_from_others():
    pytest.importorskip("vizdoom")
    pytest.importorskip("cv2")
    doom = record_columns("doom-lookaway", 3)
    assert find_view(doom[1]) == View([0, 1, 2], 90.0, 0.5)
    numbers = measure_lookaway(trial(Frozen(*doom), *doom, **HOW))
    assert numbers["lookaway_psnr_replay"] > 45 and numbers["lookaway_psnr_unrelated"] < 22
    assert abs(numbers["lookaway_score"]) < 0.15
    assert all(numbers[f"num_lookaway_turn_{turn}"] for turn in (90, 180, 360))
