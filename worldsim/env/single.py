"""One learned world as a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Mapping

import gymnasium as gym
import numpy as np
from jaxtyping import Shaped, UInt8

from worldsim.env.base import BaseWorldEnv, Info, next_seed


class WorldEnv(BaseWorldEnv, gym.Env):
    """One learned world as a Gymnasium environment; arguments as for `BaseWorldEnv`.

    A reset takes one of these as its options: {"start": i} begins from an initial context of the bundle, {"footage":
    DIR} from recorded frames that the seed draws, {"initial": InitialContext.frames(obs, actions)} from given ones, and
    {"state": env.snapshot()} goes on. `info` has step, start, num_denoise_steps, and of a step termination_probability
    and uncertainty, but where a frame takes one denoising step, which says nothing of it.
    """

    @property
    def observation_space(self) -> gym.spaces.Box:
        """The space of observations."""
        return self.single_observation_space

    @property
    def action_space(self) -> gym.Space:
        """The space of actions."""
        return self.single_action_space

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, object] | None = None
    ) -> tuple[Shaped[np.ndarray, "..."], dict[str, object]]:
        """Begin anew; the same seed and options give the same bits."""
        self._check_open()
        gym.Env.reset(self, seed=seed)
        option, seeds = self._read_options(options), [next_seed(self.np_random, seed)]
        self._state, self._obs, self._num_steps, self._start = self._begin(option, seeds, np.arange(1))
        self._show()
        return self._obs[0].copy(), self._item(self._info())

    def step(self, action: object) -> tuple[Shaped[np.ndarray, "..."], float, bool, bool, dict[str, object]]:
        """Dream one frame on.

        Raises:
            ValueError: the action is not in the action space.
            ResetNeeded: the episode has not begun, or is over.
            ClosedEnvironmentError: after `close`.
        """
        *outcome, info = self._step_worlds(action, ())
        reward, terminated, truncated = (x[0].item() for x in outcome)
        self._show()
        if terminated or truncated:
            self._state = None
        return self._obs[0].copy(), reward, terminated, truncated, self._item(info)

    def render(self) -> UInt8[np.ndarray, "h w c"] | None:
        """Return the present frame where render_mode is "rgb_array"; a window shows it by itself."""
        return self._pictures()[0] if self.render_mode == "rgb_array" and self._num_steps[0] >= 0 else None

    def close(self) -> None:
        """End the environment, and close its window where there is one."""
        self.closed = True
        self._close_window()

    @staticmethod
    def _item(info: Info) -> dict[str, object]:
        """Return plain values. A NaN is left out: `check_env` takes one for unequal to itself."""
        items = {name: value[0].item() for name, value in info.items()}
        return {name: item for name, item in items.items() if item == item}
