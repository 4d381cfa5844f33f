"""One learned world as a Gymnasium environment."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import jax.numpy as jnp
import numpy as np
from gymnasium.error import ResetNeeded

from worldsim.env.front import RENDER_MODES, Front, next_seed
from worldsim.env.spaces import action_rows
from worldsim.types import SimState


class WorldEnv(gym.Env):
    """One learned world as a Gymnasium environment.

    Args:
        world: the name or path of a bundle, a prompt, a `World` or a `Simulator`.
        horizon: frames after which an episode is truncated; None = never.
        num_denoise_steps: model passes a frame; None = as the simulator has it.
        noise_scale: how much the dream varies; 0 = the same each time, None = as the simulator has it.
        obs_type: "pixels", uint8 [h w c]; or "latent", float32 [n d], what the model dreams in: no decoder runs.
        render_mode: None, "rgb_array", or "human" for a window.

    `reset(options={"prompt": frames, "prompt_actions": actions})` starts from recorded frames, uint8 [t h w c], with
    the action that led into each of them. `info["uncertainty"]` tells how sure the model was of the frame.
    """

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 15}

    def __init__(
        self,
        world: Any = "jump",
        *,
        horizon: int | None = 1000,
        num_denoise_steps: int | None = None,
        noise_scale: float | None = None,
        obs_type: str = "pixels",
        render_mode: str | None = None,
    ):
        self._front = Front(world, horizon, num_denoise_steps, noise_scale, obs_type, render_mode)
        self.simulator, self.render_mode = self._front.sim, render_mode
        self.observation_space, self.action_space = self._front.observation_space, self._front.action_space
        self.metadata = {**self.metadata, "render_fps": self.simulator.fps}
        self._state: SimState | None = None
        self._obs: Any = None  # [1 ...]
        self._num_steps = 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        """Begin anew; the same seed and options give the same bits."""
        super().reset(seed=seed)
        prompt = self._front.prompt(options, 1)
        self._state, obs = self._front.reset([next_seed(self.np_random, seed)], *prompt)
        self._obs, self._num_steps = np.array(obs), 0
        self._front.show(self._obs)
        return self._obs[0].copy(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Dream one frame on.

        Raises:
            ValueError: the action is not in the action space.
            ResetNeeded: the episode has not begun, or is over.
        """
        rows = action_rows(self._front.action_spec, action)[None]
        if self._state is None:
            raise ResetNeeded("a world wants a reset() before its first step and after its last.")
        self._state, out = self.simulator.step(self._state, jnp.asarray(rows), decode=self._front.decode)
        self._obs, self._num_steps = np.array(out.obs), self._num_steps + 1
        self._front.show(self._obs)
        terminated = bool(out.terminated[0])
        truncated = not terminated and (bool(out.truncated[0]) or self._num_steps >= self._front.horizon)
        if terminated or truncated:
            self._state = None
        info = {"uncertainty": float(out.uncertainty[0])}
        return self._obs[0].copy(), float(out.reward[0]), terminated, truncated, info

    def render(self) -> np.ndarray | None:
        """The present frame, uint8 [h w c], where render_mode is "rgb_array"; a window shows it by itself."""
        if self.render_mode != "rgb_array" or self._obs is None:
            return None
        return self._front.pictures(self._obs)[0]

    def close(self) -> None:
        """Close the window, where there is one."""
        self._front.close()
