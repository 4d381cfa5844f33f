"""The parts of the demo around training, on the bar game and a world of random weights."""

import numpy as np
import pytest

from experiments import demo
from tests.worlds import bar_footage, change, random_world
from worldsim.data.store import Footage
from worldsim.simulator import Simulator
from worldsim.video import read_prompt


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(demo, "CONTEXT", 4)
    monkeypatch.setattr(demo, "CLIP_LEN", 5)


def test_the_clips_show_real_and_dream_of_the_same_clips(tmp_path):
    footage = bar_footage(tmp_path / "footage", 3)
    world = change(random_world(), held_out_episodes=(footage.episodes[2].name,))
    demo.write_clips(tmp_path, footage, Simulator.from_world(world), None)
    video = read_prompt(tmp_path / "clips.mp4")
    assert len(video) == 5
    real, dream = video[:, 18:, : 16 * demo.ZOOM], video[:, 18:, -16 * demo.ZOOM :]
    assert ((real > 150).mean() - 0.25) < 0.02  # the bar covers a quarter of each recorded picture
    assert abs(real.astype(int) - dream).mean() > 10


def test_the_video_shows_the_game_beside_the_world_that_a_planner_plays(tmp_path, monkeypatch):
    bright = demo.Played(np.full((7, 16, 16, 3), 250, np.uint8), 2.0, 1)
    monkeypatch.setattr(demo, "play_game", lambda size, num_frames: bright)
    monkeypatch.setattr(demo, "PLAY_S", 0.7)
    numbers = demo.write_played(tmp_path, Simulator.from_world(random_world()))
    video = read_prompt(tmp_path / "video.mp4")
    assert len(video) == numbers["frames"] == 7 and (tmp_path / "video.gif").stat().st_size > 0
    assert video[:, 20:, : 16 * demo.ZOOM - 2].min() > 200 and video[:, 20:, -16 * demo.ZOOM :].min() < 200
    assert np.isfinite(numbers["planner"]["reward"]) and len(numbers["random"]) == demo.NUM_RANDOM
    assert numbers["scripted_player_in_the_game"] == {"reward": 2.0, "num_ends": 1}


def test_playing_stops_at_the_time_that_it_has():
    world = Simulator.from_world(random_world())
    assert len(demo.play_world(world, lambda state: world.action_spec.noop, 5, limit_s=0.0).obs) == 1


def test_the_scripted_player_plays_the_game():
    pytest.importorskip("pyxel")
    height, width = 24, 32
    played = demo.play_game((height, width), 40)
    assert played.obs.shape == (40, height, width, 3) and played.reward > 0
    assert (played.obs[1:] != played.obs[:-1]).any()


def test_clips_align_each_frame_with_the_action_that_led_into_it(tmp_path):
    footage = bar_footage(tmp_path / "footage", 2)
    obs, actions = demo.clips(footage, [e.name for e in footage.episodes])
    place = (obs[:, :, 0, ::4, 0] > 150).argmax(-1)
    moved = (place[:, 1:] - place[:, :-1]) % 4
    wanted = actions[:, 1:, 0] % 4
    assert ((moved == 0) == (wanted == 0)).all() and ((moved == 1) == (wanted == 2)).all()


def test_clips_want_a_held_out_episode_that_is_long_enough(tmp_path):
    with pytest.raises(ValueError, match="record more"):
        demo.clips(bar_footage(tmp_path / "footage", 2), [])


def test_recording_stops_at_the_time_that_it_has(tmp_path, monkeypatch):
    footage = bar_footage(tmp_path / "footage", 2)
    wanted = []

    def record(game, out, *, num_frames, **kwargs):
        wanted.append(num_frames)
        return footage

    monkeypatch.setattr(demo.worldsim, "record", record, raising=False)
    assert isinstance(demo.record(tmp_path, seconds=0.0), Footage)
    assert wanted == [2000]


def test_the_dream_is_stepped_as_an_environment(untrained_world):
    result = demo.use_as_environment(untrained_world, num_steps=4)
    assert result["steps"] == 4 and result["steps_per_s"] > 0


def test_a_shipped_world_of_another_version_is_left_out(monkeypatch, capsys):
    def load(name):
        raise ValueError("not of this version")

    monkeypatch.setattr(demo.worldsim, "load", load)
    monkeypatch.setattr(demo, "GAME", "jump")
    assert demo.shipped_world((48, 64)) is None and "not of this version" in capsys.readouterr().err
