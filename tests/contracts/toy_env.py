"""A game in pure numpy whose pictures tell the truth: the frame after action a is filled with the value a."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import gymnasium as gym
import numpy as np

H, W = 8, 12


class Toy(gym.Env):
    """Frame t + 1 has the action of step t in pixel 0, the step in pixel 1 and noise of the seed elsewhere.

    Args:
        num_actions: of its Discrete space.
        mean_len: an episode ends after 1 to 2 * mean_len steps, drawn at reset.
        crash_once: the process kills itself at step 3 if the file named by WORLDSIM_TEST_CRASH_FILE exists,
            and deletes it first.
        always_crash: the process kills itself at step 3 whenever it gets there.
    """

    metadata = {"render_modes": [], "render_fps": 10}

    def __init__(self, num_actions: int = 5, mean_len: int = 20, crash_once: bool = False, always_crash: bool = False):
        self.observation_space = gym.spaces.Box(0, 255, (H, W, 3), np.uint8)
        self.action_space = gym.spaces.Discrete(num_actions)
        self.mean_len, self.crash_once, self.always_crash = mean_len, crash_once, always_crash

    def _obs(self, action: int) -> np.ndarray:
        obs = self.np_random.integers(0, 256, (H, W, 3), dtype=np.uint8)
        obs[0, 0], obs[0, 1] = action, self.t % 256
        return obs

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.end = 0, int(self.np_random.integers(1, 2 * self.mean_len + 1))
        return self._obs(0), {}

    def step(self, action):
        self.t += 1
        self._maybe_crash()
        return self._obs(action), float(action == 1), self.t >= self.end, False, {}

    def _maybe_crash(self) -> None:
        file = Path(os.environ.get("WORLDSIM_TEST_CRASH_FILE", "none"))
        if self.t == 3 and self.crash_once and file.exists():
            file.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.t == 3 and self.always_crash:
            os.kill(os.getpid(), signal.SIGKILL)


class Mixed(Toy):
    """The same with every kind of control at once, and pictures only from render()."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, render_mode: str | None = None):
        super().__init__()
        self.render_mode = render_mode
        self.observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
        self.action_space = gym.spaces.Dict(
            {
                "look": gym.spaces.Box(-10, 10, (2,), np.float32),
                "keys": gym.spaces.MultiBinary(2),
                "hands": gym.spaces.Tuple((gym.spaces.Discrete(3, start=-1), gym.spaces.MultiDiscrete([2, 4]))),
            }
        )

    def reset(self, *, seed=None, options=None):
        self.picture, info = super().reset(seed=seed)
        return np.zeros(2, np.float32), info

    def step(self, action):
        assert self.action_space.contains(action), action
        self.picture, *rest = super().step(int(action["hands"][0]) + 1)
        return np.zeros(2, np.float32), *rest

    def render(self):
        return self.picture


class Blind(Toy):
    """The same without pictures."""

    def __init__(self):
        super().__init__()
        self.observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)


_HERE = "tests.contracts.toy_env"
gym.register("worldsim_test/Blind-v0", entry_point=f"{_HERE}:Blind")
gym.register("worldsim_test/Toy-v0", entry_point=f"{_HERE}:Toy", max_episode_steps=30)
gym.register("worldsim_test/Crash-v0", entry_point=f"{_HERE}:Toy", kwargs={"always_crash": True, "mean_len": 50})
gym.register("worldsim_test/Mixed-v0", entry_point=f"{_HERE}:Mixed")
gym.register("worldsim_test/CrashOnce-v0", entry_point=f"{_HERE}:Toy", kwargs={"crash_once": True})
