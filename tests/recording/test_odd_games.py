"""Games as people bring them: recorded as they were played, or refused with what helps."""

import dataclasses
import time

import gymnasium as gym
import numpy as np
import pytest

import worldsim
from tests.contracts import odd_envs
from worldsim.data.inspect import drop_bad
from worldsim.data.store import Footage, FootageWriter
from worldsim.recording.game import Game
from worldsim.recording.pictures import PictureReader, find_picture, propose_size
from worldsim.recording.record import record

ODD = "tests.contracts.odd_envs:worldsim_odd"


def test_switches_are_recorded_as_the_game_saw_them(tmp_path):
    footage = record(f"{ODD}/Switches-v0", tmp_path / "f", num_frames=200)
    action = np.concatenate([footage[i].action for i in range(len(footage))])
    reward = np.concatenate([footage[i].reward for i in range(len(footage))])
    np.testing.assert_array_equal(action.sum(1), reward)
    assert set(np.unique(action)) == {0.0, 1.0} and 0.2 < action.mean() < 0.8


@pytest.mark.filterwarnings("ignore:episode")
def test_pictures_that_change_their_size_are_refused_with_the_size_to_ask_for(tmp_path):
    with pytest.raises(ValueError, match=r"as its first was, got 32x32; --size 28 32"):
        record(f"{ODD}/Growing-v0", tmp_path / "f", num_frames=100)
    footage = record(f"{ODD}/Growing-v0", tmp_path / "g", num_frames=60, size=(28, 32))
    assert {footage[i].obs.shape[1:] for i in range(len(footage))} == {(28, 32, 3)}


@pytest.mark.filterwarnings("ignore:episode")
def test_an_episode_that_raises_is_left_out_and_the_others_keep_their_numbers(tmp_path):
    with pytest.warns(RuntimeWarning, match="physics diverged.*left out"):
        footage = record(f"{ODD}/Raising-v0", tmp_path / "f", num_frames=300, seed=1)
    names = [int(e.name) for e in footage.episodes]
    assert footage.num_frames >= 300 and names == sorted(names) and names[-1] >= len(names)
    with pytest.warns(RuntimeWarning):
        first = record(f"{ODD}/Raising-v0", tmp_path / "g", num_frames=100, seed=1)
        assert first.num_frames < footage.num_frames
        on = record(f"{ODD}/Raising-v0", tmp_path / "g", num_frames=300, seed=1)
    assert on.digest() == footage.digest()


@pytest.mark.filterwarnings("ignore:episode")
@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("AlwaysRaising", RuntimeError, "the physics diverged; 0 whole episodes are kept"),
        ("NotANumber", ValueError, "expected a finite reward from .*, got nan"),
        ("TwoRewards", ValueError, "expected one number for the reward"),
        ("OldGym", ValueError, "got 4 values; an environment of the old Gym"),
    ],
)
def test_a_game_that_cannot_be_recorded_says_why(tmp_path, kind, error, words):
    with pytest.raises(error, match=words):
        record(f"{ODD}/{kind}-v0", tmp_path / "f", num_frames=60)


def test_a_reward_of_one_number_is_a_reward(tmp_path):
    assert record(f"{ODD}/Rich-v0", tmp_path / "f", num_frames=40)[0].reward[0] == 1000


def test_what_a_game_forks_off_keeps_nobody_waiting(tmp_path):
    start = time.monotonic()
    record(f"{ODD}/Leaves-v0", tmp_path / "f", num_frames=40, env_kwargs={"sleep_s": 100.0})
    assert time.monotonic() - start < 60


def test_large_pictures_are_scaled_where_no_size_is_asked_for(tmp_path):
    footage = record(f"{ODD}/Large-v0", tmp_path / "f", num_frames=10)
    assert footage.meta.size == (64, 96) and footage.meta.recorder["own_size"] == [400, 600]
    assert propose_size(96, 128) == (96, 128) and propose_size(210, 160) == (96, 72)


class Local(odd_envs.Odd):
    """Of this module, and registered nowhere."""


@pytest.mark.parametrize("source", [Local(), Local, lambda num=3: Local()], ids=["object", "class", "function"])
def test_environments_and_functions_that_make_them_are_recorded(tmp_path, source):
    footage = worldsim.record(source, tmp_path / "f", num_frames=30)
    assert footage.num_frames >= 30 and footage[0].obs[3, 0, 0, 0] == 15


def test_an_id_that_only_this_process_knows_is_recorded(tmp_path):
    class Hidden(odd_envs.Odd):
        """Inside of a function, as in a notebook."""

    gym.register("worldsim_odd/Hidden-v0", entry_point=Hidden)
    assert (
        worldsim.record("worldsim_odd/Hidden-v0", tmp_path / "f", num_frames=30).meta.game == "worldsim_odd/Hidden-v0"
    )


def test_an_environment_that_cannot_be_pickled_asks_for_a_function(tmp_path):
    env = Local()
    env.lock = (i for i in range(3))
    with pytest.raises(ValueError, match="Give a function that makes it"):
        record(env, tmp_path / "f", num_frames=10)


def box(*shape: int, dtype=np.uint8, high: float = 255) -> gym.spaces.Box:
    return gym.spaces.Box(0, high, shape, dtype)


@pytest.mark.parametrize(
    ("space", "reader"),
    [
        (box(32, 32, 3), PictureReader()),
        (box(84, 84), PictureReader()),
        (box(84, 84, 1), PictureReader()),
        (box(32, 32, 4), PictureReader()),
        (box(3, 32, 48), PictureReader(None, True)),
        (box(32, 32, 3, dtype=np.float32, high=1), PictureReader(None, False, 255.0)),
        (box(32, 32, 3, dtype=np.float32), PictureReader()),
        (gym.spaces.Dict({"view": box(32, 32, 3), "speed": box(1, high=9)}), PictureReader("view")),
        (box(4, high=9), None),
        (box(4, 84, 84), None),
        (box(10, 10, dtype=np.float32, high=1), None),
    ],
)
def test_pictures_are_found_where_they_are_plain_to_see(space, reader):
    assert find_picture(space) == reader
    if reader is not None:
        shown = reader.read(space.sample())
        assert shown.dtype == np.uint8 and shown.ndim == 3 and shown.shape[2] == 3
        assert shown.shape[1] == 48 if reader.is_channels_first else shown.shape[0] in (32, 84)


def test_what_may_be_two_things_is_asked_about():
    two = gym.spaces.Dict({"left": box(32, 32, 3), "right": box(32, 32, 3)})
    with pytest.raises(ValueError, match="left, right; choose one by --obs-key"):
        find_picture(two)
    assert find_picture(two, "right") == PictureReader("right")
    with pytest.raises(ValueError, match="expected one of left, right"):
        find_picture(two, "up")
    with pytest.raises(ValueError, match="say --channels last"):
        find_picture(box(3, 32, 3))
    assert find_picture(box(3, 32, 3), channels="first") == PictureReader(None, True)


def test_floats_are_rounded_to_bytes_and_grey_is_repeated():
    half = PictureReader(scale=255.0).read(np.full((2, 2, 3), 0.5, np.float32))
    np.testing.assert_array_equal(half, np.full((2, 2, 3), 128))
    np.testing.assert_array_equal(PictureReader().read(np.eye(2, dtype=np.uint8))[..., 2], np.eye(2))


def test_a_board_is_drawn_where_the_game_can_draw_it():
    assert Game(f"{ODD}/Board-v0").reset(0).obs.shape == (32, 32, 3)


def test_episodes_that_do_not_fit_are_never_listed_and_bad_ones_can_be_dropped(toy_footage, tmp_path):
    path = tmp_path / "f"
    with FootageWriter(path, toy_footage.meta) as writer:
        for i in range(4):
            writer.add(toy_footage[i])
        episode = toy_footage[4]
        with FootageWriter(tmp_path / "g", dataclasses.replace(toy_footage.meta, size=(4, 12))) as other:
            part, summary = other.write(episode._replace(obs=episode.obs[:, :4]))
            part = part.rename(tmp_path / "part")
        with pytest.raises(ValueError, match=r"expected the layout of uint8 .*obs, got another"):
            writer.commit(part, summary, seed=None, policy="unknown")
    shard = next(p for p in (path / "episodes/000001/obs").rglob("*") if p.is_file() and p.name != "zarr.json")
    shard.write_bytes(shard.read_bytes()[:-20])
    assert list(drop_bad(path)) == ["000001"]
    footage = Footage.open(path)
    assert [e.name for e in footage.episodes] == ["000000", "000002", "000003"] and footage[1].obs.dtype == np.uint8
    with FootageWriter(path, footage.meta) as writer:
        assert writer.add(toy_footage[4]).name == "000004"
    assert drop_bad(path) == {}
