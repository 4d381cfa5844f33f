"""Learned worlds as Stable-Baselines3 calls them (extra `sb3`): its `VecEnv` is older than Gymnasium's interface.

>>> envs = gymnasium.make_vec("worldsim/pong-v0", num_envs=8, autoreset_mode="SAME_STEP")
>>> PPO("CnnPolicy", WorldVecEnv(envs))

Worlds of mixed controls need `axis_bins`: Stable-Baselines3 knows no Dict of actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from jaxtyping import Bool, Float, Shaped
from stable_baselines3.common.vec_env import VecEnv


class WorldVecEnv(VecEnv):
    """A `WorldVectorEnv` with autoreset SAME_STEP, wrapped or not, as a `VecEnv`.

    Raises:
        ValueError: another autoreset mode.
    """

    def __init__(self, envs: VectorEnv):
        mode = envs.metadata["autoreset_mode"]
        if mode is not AutoresetMode.SAME_STEP:
            raise ValueError(f"expected autoreset_mode SAME_STEP for a VecEnv, got {mode.name}.")
        self.envs: Any = envs  # WorldVectorEnv has methods that Gymnasium's interface has not
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self) -> Shaped[np.ndarray, "b ..."]:
        """Begin all worlds, with the seeds and options that were set."""
        options = self._options[0] if self._options and self._options[0] else None
        obs, info = self.envs.reset(seed=list(self._seeds), options=options)
        self.reset_infos = _split(info, self.num_envs)
        self._reset_seeds()
        self._reset_options()
        return obs

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions."""
        self.actions = actions

    def step_wait(
        self,
    ) -> tuple[Shaped[np.ndarray, "b ..."], Float[np.ndarray, " b"], Bool[np.ndarray, " b"], list[dict[str, Any]]]:
        """Step; a world that is over says its last observation, and whether it was only the horizon."""
        obs, reward, terminated, truncated, info = self.envs.step(self.actions)
        done, infos = terminated | truncated, _split(info, self.num_envs)
        for i in np.flatnonzero(done):
            infos[i]["terminal_observation"] = infos[i].pop("final_obs")
            infos[i]["TimeLimit.truncated"] = bool(truncated[i])
        return obs, reward.astype(np.float32), done, infos

    def close(self) -> None:
        """Close the worlds."""
        self.envs.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of the batch, once for each world."""
        return [self.envs.unwrapped.get_attr(attr_name)[i] for i in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of the batch; the worlds share it."""
        self.envs.unwrapped.set_attr(attr_name, [value] * self.num_envs)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Call a method of the batch; one result for each world."""
        results = self.envs.unwrapped.call(method_name, *method_args, **method_kwargs)
        return [results[i] for i in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """No world is wrapped by itself."""
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Return the present frames."""
        return self.envs.render() or [None] * self.num_envs


def _split(info: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Return the info of each world, of a batch's."""
    parts: list[dict[str, Any]] = [{} for _ in range(count)]
    for name, values in info.items():
        if name.startswith("_"):
            continue
        values = _split(values, count) if isinstance(values, dict) else values
        for i in np.flatnonzero(info[f"_{name}"]):
            parts[i][name] = values[i]
    return parts
