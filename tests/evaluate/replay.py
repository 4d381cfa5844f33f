"""Worlds that know the footage: the real game played back, and ways to be wrong about it.

A replay finds the window among the recorded ones by the frames of the prompt and all actions, and goes on from there.
"""

import numpy as np

from worldsim.data.dataset import Columns
from worldsim.data.meta import FootageMeta
from worldsim.recording.game import Game
from worldsim.recording.policies import make_policy
from worldsim.simulator import Simulator
from worldsim.types import SimState, StepOutput


def record_columns(game: str, num_episodes: int) -> tuple[Columns, FootageMeta]:
    """Play a game under the noisy policy, and give what its footage would hold."""
    running = Game(game)
    meta = FootageMeta.from_json(running.meta({"seed": 0}).to_json())
    rows, bounds = [], [0]
    for seed in range(num_episodes):
        arrival, action = running.reset(seed), np.full(meta.action_spec.size, np.nan, np.float32)
        policy = make_policy("noisy", running.spec, np.random.default_rng(seed), running.scripted)
        rows.append((arrival.obs, action, arrival.state))
        while not arrival.truncated:
            action = policy()
            arrival = running.step(action)
            rows.append((arrival.obs, action, arrival.state))
        bounds.append(len(rows))
    running.close()
    obs, action, state = (np.stack(column) for column in zip(*rows))
    nothing = np.zeros(len(obs), np.float32)
    return Columns(obs, action, nothing, nothing > 0, state, np.array(bounds)), meta


class Replay(Simulator):
    """Plays the recorded game back: the perfect world."""

    def __init__(self, columns: Columns, meta: FootageMeta):
        self.columns, self.action_spec, self.size, self.fps = columns, meta.action_spec, meta.size, meta.fps

    def reset(self, key, *, initial, batch_size=None):
        prompt, prompt_actions = initial.obs, initial.actions
        return SimState(key, (prompt, prompt_actions), np.zeros(len(prompt), np.int32)), prompt[:, -1]

    def rollout(self, state, actions):
        prompt, known = state.cache
        every = np.concatenate([known, actions], 1)
        rows = np.array([self._find(*one) for one in zip(prompt, every)])
        future = rows[:, None] + 1 + np.arange(actions.shape[1])
        return state, StepOutput(self.dream(future, prompt[:, -1]), None, None, None, None)

    def reconstruct(self, obs):
        return obs

    def dream(self, rows, last):
        """Frames of the rows `[b t]` that the game would go on with, after frames `last`."""
        return self.columns.obs[rows]

    def _find(self, frames, actions):
        """The row of the prompt's last frame, in the window of these frames and actions."""
        length, stop = len(frames), len(self.columns.obs) - (len(actions) - len(frames))
        ends = np.flatnonzero((self.columns.obs[:stop] == frames[-1]).all((1, 2, 3)))
        for first in ends[ends >= length - 1] - length + 1:
            taken = self.columns.prev_action[first : first + len(actions)]
            seen = self.columns.obs[first : first + length]
            if np.array_equal(taken, actions, equal_nan=True) and np.array_equal(seen, frames):
                return first + length - 1
        raise AssertionError("the prompt is not of this footage")


class Frozen(Replay):
    """Repeats the last frame."""

    def dream(self, rows, last):
        return np.repeat(last[:, None], rows.shape[1], 1)


class Static(Replay):
    """Shows one picture whatever happens."""

    def __init__(self, columns, meta, picture):
        super().__init__(columns, meta)
        self.picture = picture

    def dream(self, rows, last):
        return np.broadcast_to(self.picture, (*rows.shape, *self.picture.shape)).copy()
