"""Worlds of a toy game that answer wrongly, late or not at all, and worlds that fall apart as they go on.

As in `tests.evaluate.toy` a block falls by a pixel and comes in again at the top, but the action moves it by one pixel
only, between walls, and is held for a while, as in recorded footage.
"""

import jax
import numpy as np

from tests.evaluate import toy
from worldsim.data.dataset import Columns
from worldsim.types import SimState, StepOutput

LATE = 2
MOVES = np.array([0, -1, 1])
WALL = toy.SIZE - toy.BLOCK


def play(place: np.ndarray, action: np.ndarray) -> np.ndarray:
    """The next corner."""
    x = np.clip(place[..., 0] + MOVES[action.astype(int)], 0, WALL)
    return np.stack([x, (place[..., 1] + 1) % toy.SIZE], -1)


def columns(seed: int, episodes: int = 6, length: int = 100) -> Columns:
    """Recorded episodes under actions that are held for 1 to 8 frames."""
    rng = np.random.default_rng(seed)
    action = np.stack(
        [np.repeat(rng.integers(3, size=length), rng.integers(1, 9, size=length))[:length] for _ in range(episodes)]
    )
    places = [rng.integers(WALL, size=(episodes, 2))]
    for t in range(1, length):
        places.append(play(places[-1], action[:, t]))
    place = np.stack(places, 1).reshape(-1, 2)
    prev_action = action.astype(np.float32)
    prev_action[:, 0] = np.nan
    return Columns(
        obs=toy.draw(place),
        prev_action=prev_action.reshape(-1, 1),
        reward=np.zeros(len(place), np.float32),
        terminated=np.zeros(len(place), bool),
        state=toy.centre(place),
        bounds=np.arange(episodes + 1) * length,
    )


class Perfect(toy.Perfect):
    """Plays the game; the others change what it hears of the actions, or what it shows of the picture."""

    late = 0

    def reset(self, key, *, initial, batch_size=None):
        prompt, prompt_actions = initial.obs, initial.actions
        return SimState(key, (prompt[:, -1], prompt_actions[:, -LATE:]), np.zeros(len(prompt), int)), prompt[:, -1]

    def rollout(self, state, actions):
        last, recent = state.cache
        every = np.concatenate([recent, np.asarray(actions)], 1)
        heard = self.hear(every[:, LATE - self.late : every.shape[1] - self.late], state)
        place, places = toy.locate(last), []
        for t in range(heard.shape[1]):
            place = play(place, heard[:, t, 0])
            places.append(place)
        obs = toy.draw(np.stack(places, 1))
        when = state.frame_index[:, None] + 1 + np.arange(heard.shape[1])
        state = SimState(state.key, (obs[:, -1], every[:, -LATE:]), when[:, -1])
        return state, StepOutput(self.show(obs, when, last), None, None, None, None)

    def hear(self, actions, state):
        return actions

    def show(self, obs, when, last):
        return obs


class Deaf(Perfect):
    """Moves as if nobody pressed a key."""

    def hear(self, actions, state):
        return np.zeros_like(actions)


class Swapped(Perfect):
    """Goes right for left and left for right."""

    def hear(self, actions, state):
        return np.array([0, 2, 1], np.float32)[actions.astype(int)]


class Late(Perfect):
    """Answers two frames late."""

    late = LATE


class Drunk(Perfect):
    """Goes at random: the noise decides, whatever the actions are."""

    def hear(self, actions, state):
        rng = np.random.default_rng(np.asarray(jax.random.key_data(state.key)))
        return rng.integers(3, size=actions.shape).astype(np.float32)


class Stirred(Perfect):
    """Goes at random, and every action makes it another random: noise and actions decide, but not the right way."""

    def hear(self, actions, state):
        bits = np.asarray(jax.random.key_data(state.key))
        rows = [
            np.random.default_rng([*bits, i, int(a[0, 0])]).integers(3, size=a.shape) for i, a in enumerate(actions)
        ]
        return np.stack(rows).astype(np.float32)


class Frozen(Perfect):
    """Repeats the last frame."""

    def show(self, obs, when, last):
        return np.repeat(last[:, None], obs.shape[1], 1)

    def rollout(self, state, actions):
        return state, super().rollout(state, actions)[1]


class Darkening(Perfect):
    """Loses a twentieth of its light a second, until nothing is left."""

    def show(self, obs, when, last):
        light = np.clip(1 - when / (20 * self.fps), 0, 1)
        return (obs * light[..., None, None, None]).astype(np.uint8)


class Blurring(Perfect):
    """After ten seconds every pixel is the mean of the nine around it."""

    def show(self, obs, when, last):
        blurred = sum(np.roll(obs.astype(np.float32), (i, j), (2, 3)) for i in (-1, 0, 1) for j in (-1, 0, 1)) / 9
        return np.where(when[..., None, None, None] > 10 * self.fps, blurred, obs).astype(np.uint8)


class Flickering(Perfect):
    """After ten seconds every second frame is brighter by 20 grey levels, every other one darker."""

    def show(self, obs, when, last):
        sign = np.where(when > 10 * self.fps, 20 * (-1) ** when, 0)
        return np.clip(obs.astype(int) + sign[..., None, None, None], 0, 255).astype(np.uint8)
