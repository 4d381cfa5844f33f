"""`render_mode="human"`: a window with the world in it, at the world's pace."""

import time

import numpy as np
import pytest

from tests.env.fake import SIZE, FakeSimulator, make_vec
from worldsim.env import WorldEnv
from worldsim.env.window import SIDE, tile


def test_many_worlds_lie_in_a_grid():
    frames = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1) * np.ones((5, 2, 3, 3), np.uint8)
    grid = tile(frames)
    assert grid.shape == (4, 9, 3)
    assert grid[::2, ::3, 0].tolist() == [[0, 1, 2], [3, 4, 0]]


def test_without_pygame_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("worldsim.env.window.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install \"worldsim-jax\[human\]\""):
        WorldEnv(FakeSimulator(), render_mode="human")


@pytest.fixture
def pygame(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    return pytest.importorskip("pygame")


def shown(pygame):
    return pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)


@pytest.mark.parametrize("obs_type", ["pixels", "latent"])
def test_the_window_shows_the_present_frame(pygame, obs_type):
    env, twin = WorldEnv(FakeSimulator(), render_mode="human", obs_type=obs_type), WorldEnv(FakeSimulator())
    for play in (lambda e: e.reset(seed=0), lambda e: e.step(1)):
        play(env)
        picture = shown(pygame)
        factor = picture.shape[0] // SIZE[0]
        np.testing.assert_array_equal(picture[::factor, ::factor], play(twin)[0])
    assert max(picture.shape) >= SIDE and env.render() is None
    env.close()
    assert not pygame.display.get_init()
    env.close()


def test_it_keeps_the_worlds_pace(pygame):
    env = WorldEnv(FakeSimulator(), render_mode="human")
    env.reset(seed=0)
    env.step(0)
    start = time.perf_counter()
    for _ in range(3):
        env.step(0)
    assert time.perf_counter() - start >= 0.9 * 3 / FakeSimulator.fps
    env.close()


def test_a_batch_shares_one_window(pygame):
    envs = make_vec(4, render_mode="human")
    obs, _ = envs.reset(seed=0)
    picture = shown(pygame)
    factor = picture.shape[0] // (2 * SIZE[0])
    np.testing.assert_array_equal(picture[::factor, ::factor], tile(obs))
    assert envs.render() is None
    envs.close()
    assert not pygame.display.get_init()
