"""What the tests of the real games share."""

import gymnasium as gym
import numpy as np
import pytest


class Seen(gym.Env):
    """A game whose ground truth has -1 in place of NaN: Gymnasium's check_env takes NaN for unequal to itself."""

    def __init__(self, env):
        self._env = env
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self.metadata, self.render_mode = env.metadata, env.render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        obs, info = self._env.reset(seed=seed, options=options)
        return obs, {**info, "state": np.nan_to_num(info["state"], nan=-1.0)}

    def step(self, action):
        *rest, info = self._env.step(action)
        return *rest, {**info, "state": np.nan_to_num(info["state"], nan=-1.0)}

    def render(self):
        return self._env.render()

    def close(self):
        self._env.close()


class Player:
    """Plays a game by labels and reads its ground truth by name."""

    def __init__(self, game, **kwargs):
        import worldsim_envs  # noqa: F401

        self.env = gym.make(f"worldsim_envs/{game}-v0", render_mode="rgb_array", **kwargs)
        self.game = self.env.unwrapped
        self.about = self.game.metadata
        self.labels = self.about["action"]["choices"][0]["labels"]

    def reset(self, seed):
        self.obs, info = self.env.reset(seed=seed)
        self.state = dict(zip(self.about["state"], info["state"].tolist()))
        return self

    def step(self, label):
        self.obs, self.reward, self.terminated, self.truncated, info = self.env.step(self.labels.index(label))
        self.state = dict(zip(self.about["state"], info["state"].tolist()))
        return self.terminated or self.truncated

    def scripted(self):
        return self.labels[int(self.game.scripted_action())]

    def place(self, name):
        """Column and row of an object's centre in native pixels."""
        height, width = self.about["native_size"]
        return self.state[f"{name}_x"] * width, self.state[f"{name}_y"] * height

    def trace(self, seed, num_steps=60):
        """All pictures and rewards of seeded random play."""
        rng = np.random.default_rng(seed)
        frames = [self.reset(seed).obs]
        for i in range(num_steps):
            if i % 4 == 0:
                label = self.labels[rng.integers(len(self.labels))]
            over = self.step(label)
            frames.append(self.obs.astype(np.float64) + self.reward)
            if over:
                break
        return np.stack(frames)


@pytest.fixture
def player():
    """A function that starts a game; all are closed after the test."""
    opened = []

    def start(game, **kwargs):
        opened.append(Player(game, **kwargs))
        return opened[-1]

    yield start
    for each in opened:
        each.env.close()


@pytest.fixture
def seen():
    """Build the game that the contract is checked on."""
    import worldsim_envs  # noqa: F401

    return lambda game, **kwargs: Seen(gym.make(f"worldsim_envs/{game}-v0", render_mode="rgb_array", **kwargs))
