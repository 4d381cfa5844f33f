"""The bar game of tests/worlds.py as an environment that can be recorded."""

from __future__ import annotations

import gymnasium as gym
import numpy as np

from tests.worlds import SIZE

ID = "tests.contracts.bar_env:worldsim_test/Bar-v0"


class Bar(gym.Env):
    """A white bar of four columns that the action moves by four pixels; 1 point where it stands at the left."""

    metadata = {"render_modes": [], "render_fps": 10}

    def __init__(self):
        self.observation_space = gym.spaces.Box(0, 255, (*SIZE, 3), np.uint8)
        self.action_space = gym.spaces.Discrete(3)

    def _obs(self) -> np.ndarray:
        obs = np.full((*SIZE, 3), 30, np.uint8)
        obs[:, 4 * self.place : 4 * self.place + 4] = (200, 220, 240)
        return obs

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = int(self.np_random.integers(4))
        return self._obs(), {}

    def step(self, action):
        self.place = (self.place + (0, -1, 1)[action]) % 4
        return self._obs(), float(self.place == 0), False, False, {}


gym.register("worldsim_test/Bar-v0", entry_point=Bar)
