"""A game of chance with known odds, and worlds of it that are right or wrong about them in known ways.

At each step a coin puts a block on the left or on the right seat of its bench. On the upper bench it falls right in
ODDS of the cases, on the lower bench always; an episode stays on one bench. Nothing that is done changes anything.
"""

import jax
import numpy as np

from tests.evaluate.toy import SPEC
from worldsim.data.dataset import Columns
from worldsim.simulator import Simulator
from worldsim.types import SimState, StepOutput

SIZE, BLOCK, LENGTH = 16, 3, 40
ODDS = 0.8
SEATS, BENCHES = (2, 10), (2, 10)  # left edge of either seat, upper edge of either bench
DARK, BRIGHT = 50, 200
STEP = (BRIGHT - DARK) / 255
SHARE = 2 * BLOCK**2 / SIZE**2  # of a frame that both seats take


def draw(bench: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Pictures `[... h w 3]` of a block on bench 0 or 1, on its right seat or not."""
    ramp = np.arange(SIZE)
    top, left = np.array(BENCHES)[bench], np.array(SEATS)[right.astype(int)]
    rows, cols = (((ramp - edge[..., None]) % SIZE) < BLOCK for edge in (top, left))
    block = rows[..., :, None] & cols[..., None, :]
    return np.repeat(np.where(block, BRIGHT, DARK)[..., None], 3, -1).astype(np.uint8)


def odds(bench: np.ndarray) -> np.ndarray:
    """The chance of the right seat."""
    return np.where(bench == 0, ODDS, 1.0)


def columns(seed: int, episodes: int = 40) -> Columns:
    """Recorded episodes, every other one on the upper bench."""
    rng = np.random.default_rng([seed, 1])
    bench = np.repeat(np.arange(episodes) % 2, LENGTH)
    obs = draw(bench, rng.random(len(bench)) < odds(bench))
    action = np.zeros((len(bench), 1), np.float32)
    action[::LENGTH] = np.nan
    nothing = np.zeros(len(bench), np.float32)
    return Columns(obs, action, nothing, nothing > 0, None, np.arange(0, len(bench) + 1, LENGTH))


class Calibrated(Simulator):
    """Knows the odds, draws by them, says how wide they are, and that it knows no other pictures."""

    def __init__(self):
        self.action_spec, self.size = SPEC, (SIZE, SIZE)

    def believes(self, bench: np.ndarray) -> np.ndarray:
        """The chance of the right seat, as this world has it."""
        return odds(bench)

    def says(self, last: np.ndarray) -> np.ndarray:
        """Uncertainty of the frame after `last` `[b h w 3]`: the deviation of its coin, 1 for a strange picture."""
        belief = self.believes(_bench(last))
        benches = draw(np.array([[0], [1]]), np.array([[0, 1]])).reshape(4, 1, *last.shape[1:])
        known = (benches == last).all((2, 3, 4)).any(0)
        return np.where(known, np.sqrt(belief * (1 - belief)), 1.0)

    def reset(self, key, *, initial, batch_size=None):
        prompt, prompt_actions = initial.obs, initial.actions
        assert prompt is not None and prompt_actions.shape == (*prompt.shape[:2], SPEC.size)
        return SimState(key, prompt[:, -1], np.zeros(len(prompt), np.int32)), prompt[:, -1]

    def rollout(self, state, actions):
        rng = np.random.default_rng(np.asarray(jax.random.key_data(state.key)))
        obs = self.dream(state.cache, np.shape(actions)[1], rng)
        said = np.repeat(self.says(state.cache)[:, None], obs.shape[1], 1)
        return state, StepOutput(obs, None, None, None, said)

    def step(self, state, action):
        state, out = self.rollout(state, np.asarray(action)[:, None])
        return state, StepOutput(out.obs[:, 0], None, None, None, out.uncertainty[:, 0])

    def dream(self, last, horizon, rng):
        bench = np.repeat(_bench(last)[:, None], horizon, 1)
        return draw(bench, rng.random(bench.shape) < self.believes(bench))


class OverConfident(Calibrated):
    """Always dreams the likelier side."""

    def believes(self, bench):
        return np.round(odds(bench))


class UnderConfident(Calibrated):
    """Takes every coin for a fairer one than it is."""

    def believes(self, bench):
        return (odds(bench) + 0.5) / 2


class Anywhere(Calibrated):
    """Puts the block anywhere in the frame, at every step anew."""

    def dream(self, last, horizon, rng):
        shift = rng.integers(SIZE, size=(2, len(last), horizon))
        corner = draw(np.array(0), np.array(0))
        return np.stack([[np.roll(corner, (y, x), (0, 1)) for y, x in zip(*clip)] for clip in shift.swapaxes(0, 1)])


class Frozen(Calibrated):
    """Repeats the last frame, and is sure of it."""

    def dream(self, last, horizon, rng):
        return np.repeat(last[:, None], horizon, 1)

    def says(self, last):
        return np.zeros(len(last))


class Contrary(Calibrated):
    """Dreams well, and is sure where it should doubt."""

    def says(self, last):
        return 1 - super().says(last)


def _bench(last: np.ndarray) -> np.ndarray:
    light = last.mean((2, 3))
    return (light[:, SIZE // 2 :].mean(1) > light[:, : SIZE // 2].mean(1)).astype(int)
