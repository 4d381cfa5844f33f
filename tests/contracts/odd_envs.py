"""Environments as people bring them: each does one thing that a recorder may not expect."""

import os
import time

import gymnasium as gym
import numpy as np

SIDE = 32


class Odd(gym.Env):
    """Ends after `num_steps`; its picture grows lighter, its reward is 0."""

    observation_space: gym.Space = gym.spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)
    action_space: gym.Space = gym.spaces.Discrete(3)
    num_steps = 20

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.picture(), {}

    def step(self, action):
        self.t += 1
        return self.picture(), self.reward(action), self.t >= self.num_steps, False, {}

    def picture(self):
        return np.full(self.observation_space.shape, 5 * self.t, self.observation_space.dtype)

    def reward(self, action):
        return 0.0


class Switches(Odd):
    """Three switches as a Box of integers; pays for each that is on."""

    action_space = gym.spaces.Box(0, 1, (3,), np.int8)

    def reward(self, action):
        return float(action.sum())


class Growing(Odd):
    """Every other episode has lower pictures."""

    num_episodes = 0

    def reset(self, *, seed=None, options=None):
        Growing.num_episodes += 1
        return super().reset(seed=seed)

    def picture(self):
        return np.zeros((SIDE - 4 * (Growing.num_episodes % 2), SIDE, 3), np.uint8)


class Raising(Odd):
    """Raises in about one episode of five."""

    def reward(self, action):
        if self.np_random.random() < 0.01:
            raise ArithmeticError("the physics diverged")
        return 0.0


class AlwaysRaising(Odd):
    """Raises in every episode."""

    def reward(self, action):
        raise ArithmeticError("the physics diverged")


class NotANumber(Odd):
    """Pays NaN once in an episode."""

    def reward(self, action):
        return np.nan if self.t == 7 else 0.0


class Rich(Odd):
    """Pays 1000, as an array of one number."""

    def reward(self, action):
        return np.array([1000.0])


class TwoRewards(Odd):
    """Pays two numbers."""

    def reward(self, action):
        return np.zeros(2)


class OldGym(Odd):
    """Four values from a step."""

    def step(self, action):
        obs, reward, end, _, info = super().step(action)
        return obs, reward, end, info


class Leaves(Odd):
    """Leaves a child behind that sleeps on."""

    def __init__(self, sleep_s: float = 60.0):
        if os.fork() == 0:
            time.sleep(sleep_s)
            os._exit(0)


class Large(Odd):
    """Pictures as large as CartPole's."""

    observation_space = gym.spaces.Box(0, 255, (400, 600, 3), np.uint8)


class Short(Odd):
    """Episodes of five frames."""

    num_steps = 4


class Board(Odd):
    """An 8x8 board of bytes, which it can also draw."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}
    observation_space = gym.spaces.Box(0, 255, (8, 8, 3), np.uint8)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def render(self):
        return np.zeros((SIDE, SIDE, 3), np.uint8)


def register(kind: type) -> str:
    """Register an environment with this process; returns its id, with the module."""
    name = f"worldsim_odd/{kind.__name__}-v0"
    if name not in gym.registry:
        gym.register(name, entry_point=f"{__name__}:{kind.__name__}")
    return name


for _kind in (
    Switches, Growing, Raising, AlwaysRaising, NotANumber, Rich, TwoRewards, OldGym, Leaves, Large, Short, Board
):  # fmt: skip
    register(_kind)
