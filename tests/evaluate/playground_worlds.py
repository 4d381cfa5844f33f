"""Worlds of the playground: one that plays the game on, and others that are at fault in one thing each.

`Perfect` looks the prompt's last two frames up in the recording, so that it knows the moment, and draws what the rules
make of it. Each other world bends one rule.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from tests.evaluate.playground import (
    FACES,
    FPS,
    LEAD,
    PAID,
    PERIOD,
    SIZE,
    SPEC,
    Round,
    Scene,
    are_shown,
    ball_at,
    draw,
    find_player,
    new_round,
    walk,
)
from tests.world.bundles import make_card
from worldsim.data.store import Footage
from worldsim.simulator import Simulator
from worldsim.types import SimState, StepOutput
from worldsim.world import FootageSource


class Moment(NamedTuple):
    """What a dream goes on from; one entry a world. `number` is that of the episode, -1 where it is unknown."""

    number: np.ndarray
    when: np.ndarray
    player: np.ndarray
    last: np.ndarray  # [b h w 3]

    def of(self, rounds: Sequence[Round]) -> Round:
        """What was settled for these episodes."""
        return Round(*(np.stack([rounds[i][field] for i in self.number]) for field in range(len(Round._fields))))


class Perfect(Simulator):
    """Plays the game on, draws the coin by its odds, and says how unsure that makes it; 1 of a picture it never saw."""

    def __init__(self, recorded: Footage):
        source = FootageSource(digest="another", recorder={"seed": 5})
        self.card = make_card("playground", (SIZE, SIZE), fps=FPS, action_spec=SPEC, footage=source)
        self.action_spec, self.size, self.fps = SPEC, (SIZE, SIZE), FPS
        self.rounds = [new_round(info.seed) for info in recorded.episodes]
        frames = [recorded[i].obs for i in range(len(recorded))]
        pairs = [(i, t, film[t - 1 : t + 1]) for i, film in enumerate(frames) for t in range(1, len(film))]
        self.moments = {pair.tobytes(): (i, t) for i, t, pair in pairs}
        assert len(self.moments) == len(pairs)

    # --- the rules, and what each other world makes of them

    def hears(self, action: np.ndarray) -> np.ndarray:
        """The actions that the player follows `[b t]`."""
        return action

    def turns(self, angle: np.ndarray) -> np.ndarray:
        """How far the ball goes round, by how far it should."""
        return angle

    def recalls(self, faces: np.ndarray, showing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Faces `[b t 2]` at the showing with this number since the dream began."""
        return faces

    def believes(self, odds: np.ndarray) -> np.ndarray:
        """The chance that the coin falls right."""
        return odds

    def says(self, moment: Moment) -> np.ndarray:
        """How unsure it is `[b]`."""
        odds = self.believes(moment.of(self.rounds).odds)
        return np.where(moment.number < 0, 1.0, np.sqrt(odds * (1 - odds)))

    def shows(self, obs: np.ndarray, last: np.ndarray) -> np.ndarray:
        """The frames that it shows of those that it has thought out."""
        return obs

    def pays(self, obs: np.ndarray) -> np.ndarray:
        """The reward that came with each recorded frame."""
        return (find_player(obs) < PAID).astype(np.float32)

    # --- the contract of a simulator

    def look(self, frames: np.ndarray) -> Moment:
        """Find the moments of the recording that the last of frames `[b t h w 3]` are of."""
        number, when = np.array([self.moments.get(pair.tobytes(), (-1, 0)) for pair in frames[:, -2:]]).T
        return Moment(number, when, find_player(frames[:, -1]), frames[:, -1])

    def dream(self, moment: Moment, action: np.ndarray, rng: np.random.Generator) -> tuple[Moment, np.ndarray]:
        """Go on under actions `[b t]`."""
        own, passed = moment.of(self.rounds), np.arange(1, action.shape[1] + 1)
        when = moment.when[:, None] + passed
        angle = (own.phase + own.pace * moment.when)[:, None] + self.turns(own.pace[:, None] * passed)
        players = [moment.player]
        for a in self.hears(action).T:
            players.append(walk(players[-1], a))
        right = rng.random(when.shape) < self.believes(own.odds)[:, None]
        showing = (when[..., None] + LEAD) // PERIOD
        showing -= (moment.when[:, None, None] + LEAD) // PERIOD
        faces = self.recalls(np.broadcast_to(own.faces[:, None], showing.shape), showing, rng)
        obs = draw(Scene(ball_at(angle), np.stack(players[1:], 1), faces, are_shown(when), right))
        still = np.repeat(moment.last[:, None], len(passed), 1)
        obs = self.shows(np.where((moment.number < 0)[:, None, None, None, None], still, obs), moment.last)
        return Moment(moment.number, when[:, -1], players[-1], obs[:, -1]), obs

    def reset(self, key, *, initial, batch_size=None):
        prompt = initial.obs
        return SimState(key, self.look(prompt), np.zeros(len(prompt), np.int32)), prompt[:, -1]

    def rollout(self, state, actions):
        bits = np.asarray(jax.random.key_data(state.key))
        rng = np.random.default_rng([*bits, int(state.frame_index[0])])
        length = np.shape(actions)[1]
        said = np.repeat(self.says(state.cache)[:, None], length, 1)
        moment, obs = self.dream(state.cache, np.asarray(actions)[..., 0], rng)
        return SimState(state.key, moment, state.frame_index + length), StepOutput(obs, None, None, None, said)

    def step(self, state, action):
        state, out = self.rollout(state, np.asarray(action)[:, None])
        return state, StepOutput(out.obs[:, 0], None, None, None, out.uncertainty[:, 0])

    def reconstruct(self, obs):
        return obs

    def teacher_forced(self, obs, prev_action, key):
        before, first = obs[:, :-1].reshape(-1, *obs.shape[2:]), self.look(obs[:, :2])
        number = np.repeat(first.number, obs.shape[1] - 1)
        when = (first.when[:, None] - 1 + np.arange(obs.shape[1] - 1)).ravel()
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        _, after = self.dream(Moment(number, when, find_player(before), before), prev_action[:, 1:].reshape(-1, 1), rng)
        return np.concatenate([obs[:, :1], after.reshape(obs[:, 1:].shape)], 1)

    def teacher_forced_outcome(self, obs, prev_action, key):
        return self.pays(obs), np.zeros(obs.shape[:2], np.float32)


class Frozen(Perfect):
    """Repeats the last frame, expects nothing to happen, and is sure of it."""

    def shows(self, obs, last):
        return np.repeat(last[:, None], obs.shape[1], 1)

    def says(self, moment):
        return np.zeros(len(moment.when))

    def pays(self, obs):
        return np.zeros(obs.shape[:2], np.float32)


class Deaf(Perfect):
    """Stands as if nobody pressed a key."""

    def hears(self, action):
        return np.zeros_like(action)


class Forgetful(Perfect):
    """Shows any face once the showing that the context ended in is over; that it guesses, it knows."""

    def recalls(self, faces, showing, rng):
        drawn = rng.integers(len(FACES), size=(len(faces), showing.max() + 1, 2))
        guess = np.take_along_axis(drawn, showing, 1)
        return np.where(showing > 0, guess, faces)


class WrongPhysics(Perfect):
    """Lets the ball go back the way that it came."""

    def turns(self, angle):
        return -angle


class OverConfident(Perfect):
    """Always dreams the likelier side of the coin, and never doubts."""

    def believes(self, odds):
        return np.round(odds)

    def says(self, moment):
        return np.zeros(len(moment.when))
