"""Gymnasium's own wrappers fit around a world, and around a batch of them."""

import importlib.util
import sys
from types import ModuleType

import gymnasium as gym
import numpy as np
import pytest

from tests.env.fake import SIZE, FakeSimulator, make_vec
from worldsim.video import write_video


def make(**kwargs):
    return gym.make("worldsim/World-v0", world=FakeSimulator(), **kwargs)


@pytest.fixture
def encoder(monkeypatch):
    """RecordVideo encodes by MoviePy; where it is not installed, our own writer takes that one call."""
    if importlib.util.find_spec("moviepy") is not None:
        return

    class ImageSequenceClip:
        def __init__(self, frames, fps):
            self.frames, self.fps = frames, fps

        def write_videofile(self, path, logger=None):
            write_video(path, np.stack(self.frames), fps=self.fps)

    for name in ("moviepy", "moviepy.video", "moviepy.video.io", "moviepy.video.io.ImageSequenceClip"):
        module = ModuleType(name)
        module.ImageSequenceClip = ImageSequenceClip
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("obs_type", ["pixels", "latent"])
def test_record_video_films_every_frame_of_an_episode(tmp_path, encoder, obs_type):
    env = make(render_mode="rgb_array", obs_type=obs_type)
    env = gym.wrappers.RecordVideo(gym.wrappers.TimeLimit(env, 5), tmp_path / "film", episode_trigger=lambda _: True)
    env.reset(seed=0)
    assert [env.step(1)[3] for _ in range(5)] == [False] * 4 + [True]
    assert len(env.recorded_frames) == 6 and env.recorded_frames[0].shape == (*SIZE, 3)
    env.close()
    (film,) = (tmp_path / "film").iterdir()
    assert film.suffix == ".mp4" and film.stat().st_size > 0


@pytest.mark.parametrize("obs_type", ["pixels", "latent"])
def test_frame_stack_holds_the_last_observations(obs_type):
    env = make(obs_type=obs_type)
    shape = env.observation_space.shape
    env = gym.wrappers.FrameStackObservation(env, 3)
    first, _ = env.reset(seed=0)
    assert first.shape == env.observation_space.shape == (3, *shape)
    second = env.step(1)[0]
    np.testing.assert_array_equal(second[:2], first[1:])
    assert env.observation_space.contains(second)


def test_time_limit_truncates_and_statistics_count():
    env = gym.wrappers.RecordEpisodeStatistics(make(max_episode_steps=4))
    env.reset(seed=0)
    for i in range(4):
        *_, terminated, truncated, info = env.step(1)
        assert truncated == (i == 3) and not terminated
    assert info["episode"]["l"] == 4 and info["episode"]["r"] == 4.0


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_statistics_of_a_batch(mode):
    envs = gym.wrappers.vector.RecordEpisodeStatistics(make_vec(3, lifetime=4, autoreset_mode=mode))
    envs.reset(seed=0)
    for _ in range(4):
        *_, info = envs.step(np.array([0, 1, 2]))
    assert info["episode"]["r"].tolist() == [0.0, 4.0, 8.0]


def test_others_of_the_ecosystem_fit():
    env = gym.wrappers.RescaleObservation(gym.wrappers.GrayscaleObservation(make()), np.float32(0), np.float32(1))
    obs, _ = env.reset(seed=0)
    assert obs.shape == SIZE and obs.min() >= 0 and obs.max() <= 1
    flat = gym.wrappers.FlattenObservation(make(obs_type="latent"))
    assert flat.reset(seed=0)[0].shape == flat.observation_space.shape == (SIZE[0] * SIZE[1] * 3,)
