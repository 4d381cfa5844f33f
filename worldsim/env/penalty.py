"""Rewards that avoid what the model does not know: less a share of the uncertainty that each dreamed frame reports.

>>> env = UncertaintyPenalty(gymnasium.make("worldsim/pong-v0", num_denoise_steps=2), scale=0.1)
>>> envs = VectorUncertaintyPenalty(gymnasium.make_vec("worldsim/pong-v0", num_envs=8, num_denoise_steps=2), scale=0.1)

`JaxWorldEnv` has no wrappers and takes `uncertainty_penalty` in their place.
Source: MOPO, Yu et al. 2020, arXiv:2005.13239.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv, VectorWrapper


class UncertaintyPenalty(gym.Wrapper, RecordConstructorArgs):
    """Reward less `scale` times `info["uncertainty"]`, as in MOPO (Yu et al. 2020).

    Its `reset` raises a ValueError where nothing reports uncertainty: in a game, or with one denoising step a frame.
    """

    def __init__(self, env: gym.Env, scale: float):
        RecordConstructorArgs.__init__(self, scale=scale)
        super().__init__(env)
        self.scale = scale

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Begin anew."""
        obs, info = self.env.reset(**kwargs)
        _check_reported(info)
        return obs, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step, and take the penalty off the reward."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, float(reward) - self.scale * info["uncertainty"], terminated, truncated, info


class VectorUncertaintyPenalty(VectorWrapper):
    """`UncertaintyPenalty` of many worlds; a step that only resets a world costs nothing."""

    def __init__(self, env: VectorEnv, scale: float):
        super().__init__(env)
        self.scale = scale

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Begin anew, all worlds or some."""
        obs, info = self.env.reset(**kwargs)
        _check_reported(info)
        return obs, info

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step, and take the penalties off the rewards."""
        obs, reward, terminated, truncated, info = self.env.step(actions)
        for part in (info, info.get("final_info", {})):  # the latter of worlds reset in this step: SAME_STEP
            if "uncertainty" in part:
                reward = reward - self.scale * np.where(part["_uncertainty"], part["uncertainty"], 0.0)
        return obs, reward, terminated, truncated, info


def _check_reported(info: Mapping[str, Any]) -> None:
    """Check by the info of a reset that steps will report uncertainty."""
    count = int(np.max(info.get("num_denoise_steps", 0)))
    if count < 2:
        got = f"one with num_denoise_steps={count}" if count else "another environment"
        raise ValueError(f"expected a world of two denoising steps or more for an uncertainty penalty, got {got}.")
