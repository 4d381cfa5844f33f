"""A game that can be computed in the head, and worlds of it whose scores are known beforehand.

A 5x5 block on a gradient moves 2 pixels by its action and 1 down by itself, around the edges. A reward comes when it is
in the left quarter.
"""

import numpy as np

from tests.world.bundles import make_card
from worldsim.controls import discrete
from worldsim.data.meta import FootageMeta
from worldsim.data.store import Footage, FootageWriter
from worldsim.simulator import Simulator
from worldsim.types import Episode, SimState, StepOutput
from worldsim.world import FootageSource

SIZE, BLOCK = 32, 5
SPEC = discrete(("stay", "left", "right"))
MOVES = np.array([0, -2, 2])
COLOUR = np.array([250, 240, 90], np.uint8)


def draw(place: np.ndarray) -> np.ndarray:
    """Pictures `[... h w 3]` of blocks whose upper left corner is at x, y `[... 2]`."""
    ramp = np.arange(SIZE)
    picture = np.stack(np.broadcast_arrays(40 + 2 * ramp[:, None], 60 + ramp[None], np.full((1, 1), 90)), -1)
    inside = [((ramp - place[..., axis, None]) % SIZE) < BLOCK for axis in (0, 1)]
    block = inside[1][..., :, None] & inside[0][..., None, :]
    return np.where(block[..., None], COLOUR, picture.astype(np.uint8))


def locate(picture: np.ndarray) -> np.ndarray:
    """The upper left corner of each block in pictures `[b h w 3]`."""
    block = (picture == COLOUR).all(-1)
    corners = []
    for axis in (1, 2):
        line = block.any(axis)
        corners.append((line & ~np.roll(line, 1, -1)).argmax(-1))
    return np.stack(corners, -1)


def play(place: np.ndarray, action: np.ndarray) -> np.ndarray:
    """The next corner; an action that nobody knows is none."""
    return np.stack([place[..., 0] + MOVES[np.nan_to_num(action).astype(int)], place[..., 1] + 1], -1) % SIZE


def centre(place: np.ndarray) -> np.ndarray:
    """Middle of the block as a fraction of the frame; NaN where it lies across an edge."""
    middle = (place + BLOCK / 2) / SIZE
    return np.where((place <= SIZE - BLOCK).all(-1, keepdims=True), middle, np.nan).astype(np.float32)


def episode(seed: int, length: int = 96) -> Episode:
    """One episode under random actions."""
    rng = np.random.default_rng(seed)
    action = rng.integers(3, size=length)
    place = [rng.integers(SIZE, size=2)]
    for a in action:
        place.append(play(place[-1], a))
    place = np.array(place)
    end = np.arange(length) == length - 1
    return Episode(
        obs=draw(place),
        action=action[:, None].astype(np.float32),
        reward=(place[1:, 0] < SIZE // 4).astype(np.float32),
        terminated=end,
        truncated=np.zeros(length, bool),
        state=centre(place),
    )


def footage(path, episodes: int = 8) -> Footage:
    """Some recorded episodes."""
    meta = FootageMeta(
        game="toy:Toy-v0",
        title="Toy",
        size=(SIZE, SIZE),
        fps=10.0,
        action_spec=SPEC,
        state_names=("block_x", "block_y"),
        objects={"block": {"size": [BLOCK, BLOCK], "kind": "paddle"}},
        recorder={"native_size": [SIZE, SIZE], "seed": 0},
    )
    with FootageWriter(path, meta) as writer:
        for seed in range(episodes):
            writer.add(episode(seed), seed=seed)
    return Footage.open(path)


class Perfect(Simulator):
    """Knows the rules: its dreams are the game."""

    def __init__(self):
        source = FootageSource(digest="another", recorder={"seed": 5})
        self.card = make_card("toy", (SIZE, SIZE), game="toy:Toy-v0", fps=10.0, action_spec=SPEC, footage=source)
        self.action_spec, self.size, self.fps = SPEC, (SIZE, SIZE), 10.0
        self.sampler = type("S", (), {"num_denoise_steps": 4})()

    def reset(self, key, *, initial=None, batch_size=None):
        prompt = None if initial is None else initial.obs
        last = np.repeat(draw(np.array([[3, 4]])), batch_size, 0) if prompt is None else prompt[:, -1]
        return SimState(key, last, np.zeros(len(last), np.int32)), last

    def step(self, state, action):
        obs = self.dream(state.cache, np.asarray(action)[:, None])[:, 0]
        nothing = np.zeros(len(obs))
        out = StepOutput(obs, nothing, nothing > 0, nothing > 0, nothing)
        return SimState(state.key, obs, state.frame_index + 1), out

    def rollout(self, state, actions):
        obs = self.dream(state.cache, np.asarray(actions))
        reward = self.pay(obs)
        return state._replace(cache=obs[:, -1]), StepOutput(obs, reward, None, None, np.zeros(obs.shape[:2]))

    def pay(self, obs):
        return np.stack([locate(obs[:, t])[:, 0] < SIZE // 4 for t in range(obs.shape[1])], 1).astype(np.float32)

    def dream(self, last, actions):
        place, frames = locate(last), []
        for t in range(actions.shape[1]):
            place = play(place, actions[:, t, 0])
            frames.append(draw(place))
        return np.stack(frames, 1)

    def reconstruct(self, obs):
        return obs

    def teacher_forced(self, obs, prev_action, key):
        return obs

    def teacher_forced_outcome(self, obs, prev_action, key):
        return self.pay(obs), np.zeros(obs.shape[:2], np.float32)


class Frozen(Perfect):
    """Repeats the last frame."""

    def dream(self, last, actions):
        return np.repeat(last[:, None], actions.shape[1], 1)


class Deaf(Perfect):
    """Moves as if nobody pressed a key."""

    def dream(self, last, actions):
        return super().dream(last, np.zeros_like(actions))


class Blind(Frozen):
    """Paints only the background, and predicts nothing."""

    def dream(self, last, actions):
        return self.reconstruct(super().dream(last, actions))

    def reconstruct(self, obs):
        empty = draw(np.array([0, 0]))
        empty[:BLOCK, :BLOCK] = draw(np.array([16, 16]))[:BLOCK, :BLOCK]
        return np.broadcast_to(empty, obs.shape).copy()

    def teacher_forced_outcome(self, obs, prev_action, key):
        return np.zeros(obs.shape[:2], np.float32), np.zeros(obs.shape[:2], np.float32)
