"""One learned world as a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Mapping

import gymnasium as gym
import numpy as np
from jaxtyping import Shaped, UInt8

from worldsim.env.base import BaseWorldEnv, next_seed


class WorldEnv(BaseWorldEnv, gym.Env):
    """One learned world as a Gymnasium environment; arguments as for `BaseWorldEnv`.

    `reset(options={"initial": InitialContext.frames(obs, actions)})` starts from recorded frames, uint8 [t h w c], with
    the action that led into each of them. `info["uncertainty"]` is the model's uncertainty of the frame.
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
        gym.Env.reset(self, seed=seed)
        initial = self._initial_of(options)
        self._state, self._obs = self._reset_worlds([next_seed(self.np_random, seed)], initial)
        self._num_steps[:] = 0
        self._show()
        return self._obs[0].copy(), {}

    def step(self, action: object) -> tuple[Shaped[np.ndarray, "..."], float, bool, bool, dict[str, object]]:
        """Dream one frame on.

        Raises:
            ValueError: the action is not in the action space.
            ResetNeeded: the episode has not begun, or is over.
        """
        reward, terminated, truncated, uncertainty = (x[0].item() for x in self._step_worlds(action, ()))
        self._show()
        if terminated or truncated:
            self._state = None
        return self._obs[0].copy(), reward, terminated, truncated, {"uncertainty": uncertainty}

    def render(self) -> UInt8[np.ndarray, "h w c"] | None:
        """Return the present frame where render_mode is "rgb_array"; a window shows it by itself."""
        return self._pictures()[0] if self.render_mode == "rgb_array" and self._num_steps[0] >= 0 else None

    def close(self) -> None:
        """Close the window, where there is one."""
        self._close_window()
