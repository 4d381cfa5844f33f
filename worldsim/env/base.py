"""What all forms of a learned world share: the model, the spaces of one world, the step, the checks of what comes in.

The contract is that of Gymnasium 1.x, for games and dreams alike (docs/env-contract.md; `check_world_env` checks it):

- an observation is uint8 `[h w c]`, or latents float32 `[n d]`, and each array returned is the caller's own;
- `terminated` is the verdict of the outcome head; the horizon is `truncated` and nothing else, so that a value function
  bootstraps past it;
- the same seed, options and actions give the same bits on the same machine;
- an action outside the space is a `ValueError` and a step without a reset a `ResetNeeded`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from gymnasium.error import ResetNeeded
from jaxtyping import Bool, Float, UInt8

from worldsim.env.initial import InitialStates, draw_initial, encode_initial, keys_of_seeds, noise_keys
from worldsim.env.spaces import action_rows, action_space, observation_space
from worldsim.env.window import Window, check_window
from worldsim.initial import InitialContext, read_frames
from worldsim.model.modules import count_params
from worldsim.simulator import Simulator
from worldsim.types import SimState
from worldsim.world import World, load_world

RENDER_MODES = ("rgb_array", "human")
WorldLike = str | os.PathLike | World | Simulator
"""The name or path of a bundle, a prompt, a `World` or a `Simulator`."""


def simulator_of(world: WorldLike, num_denoise_steps: int | None = None, noise_scale: float | None = None) -> Simulator:
    """Return the simulator of a world; settings that are None stay as they are."""
    given = {"num_denoise_steps": num_denoise_steps, "noise_scale": noise_scale}
    settings = {name: value for name, value in given.items() if value is not None}
    if isinstance(world, Simulator):
        return Simulator.from_world(world.world, **settings) if settings else world
    return Simulator.from_world(
        world if isinstance(world, World) else load_world(world, count_params=count_params), **settings
    )


class BaseWorldEnv:
    """Learned worlds with one step for all of them; the forms add the calls of their interface.

    Args:
        world: the name or path of a bundle, a prompt, a `World` or a `Simulator`.
        horizon: frames after which an episode is truncated; None = never.
        num_denoise_steps: model passes a frame; None = as the simulator has it.
        noise_scale: how much the dream varies; 0 = the same each time, None = as the simulator has it.
        obs_type: "pixels", uint8 [h w c]; or "latent", float32 [n d], what the model dreams in: no decoder runs.
        render_mode: None, "rgb_array", or "human" for a window.
    """

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 15}

    def __init__(
        self,
        world: WorldLike = "jump",
        *,
        horizon: int | None = 1000,
        num_denoise_steps: int | None = None,
        noise_scale: float | None = None,
        obs_type: str = "pixels",
        render_mode: str | None = None,
    ):
        if horizon is not None and horizon < 1:
            raise ValueError(f"expected a number of frames above 0 or None for horizon, got {horizon}.")
        if render_mode not in (None, *RENDER_MODES):
            raise ValueError(f"expected None, 'rgb_array' or 'human' for render_mode, got {render_mode!r}.")
        if render_mode == "human":
            check_window()
        self.simulator, self.render_mode = simulator_of(world, num_denoise_steps, noise_scale), render_mode
        self.metadata = {**self.metadata, "render_fps": self.simulator.fps}
        self.single_action_space = action_space(self.simulator.action_spec)
        self.single_observation_space = space = observation_space(self.simulator, obs_type)
        self._horizon = np.inf if horizon is None else horizon
        self._decode = obs_type == "pixels"
        self._window = Window("worldsim", float(self.simulator.fps)) if render_mode == "human" else None
        self._state: SimState | None = None
        self._obs: np.ndarray = np.zeros((1, *space.low.shape), space.dtype)  # [b ...]
        self._num_steps = np.full(1, -1)  # [b], frames since the reset; -1 before the first

    @cached_property
    def _initial(self) -> InitialStates:
        """The bundle's initial contexts, encoded when the first of them is needed."""
        return encode_initial(self.simulator, self._decode)

    def _reset_worlds(self, seeds: Sequence[int], initial: InitialContext | None = None) -> tuple[SimState, np.ndarray]:
        """Return the first state and observation of one world a seed."""
        keys = keys_of_seeds(seeds)
        if initial is None:
            state, obs = draw_initial(self._initial, keys)
        else:
            how = {"batch_size": len(seeds), "initial": initial, "decode": self._decode}
            state, obs = self.simulator.reset(noise_keys(keys), **how)
        return state, np.array(obs)

    def _step_worlds(
        self, action: object, batch_shape: tuple[int, ...], over: Bool[np.ndarray, " b"] | None = None
    ) -> tuple[Float[np.ndarray, " b"], Bool[np.ndarray, " b"], Bool[np.ndarray, " b"], Float[np.ndarray, " b"]]:
        """Take one step in every world; return reward, terminated, truncated and uncertainty.

        Raises:
            ValueError: the action is not in the action space.
            ResetNeeded: before the first reset, and for worlds that are `over`.
        """
        rows = action_rows(self.simulator.action_spec, action, batch_shape).reshape(len(self._num_steps), -1)
        if self._state is None or (over is not None and over.any()):
            which = "" if over is None else f": worlds {np.flatnonzero(over)}"
            raise ResetNeeded(f"expected a reset() before the first step and after the last of an episode{which}.")
        self._state, out = self.simulator.step(self._state, jnp.asarray(rows), decode=self._decode)
        self._obs, self._num_steps = np.array(out.obs), self._num_steps + 1
        terminated = np.array(out.terminated)
        truncated = ~terminated & (np.array(out.truncated) | (self._num_steps >= self._horizon))
        return np.array(out.reward), terminated, truncated, np.array(out.uncertainty)

    def _pictures(self) -> UInt8[np.ndarray, "b h w c"]:
        """Return the present observations as pictures: latents are decoded, pixels copied."""
        return np.array(self._obs if self._decode else self.simulator.decode(self._obs))

    def _show(self) -> None:
        if self._window is not None:
            self._window.show(self._pictures())

    def _close_window(self) -> None:
        if self._window is not None:
            self._window.close()

    def _initial_of(self, options: Mapping[str, object] | None) -> InitialContext | None:
        """Return the `initial` of the options of a reset, its frames as `[b t h w c]`; None where they have none.

        Raises:
            ValueError: an unknown option, or frames or actions that do not fit this world.
        """
        options = dict(options or {})
        initial = options.pop("initial", None)
        if options or not isinstance(initial, InitialContext | None):
            got = ", ".join(map(str, options)) or type(initial).__name__
            raise ValueError(f'expected options={{"initial": InitialContext}} or none for a reset, got {got}.')
        if initial is None or initial.obs is None:
            return initial
        obs = initial.obs[None] if initial.obs.ndim == 3 else initial.obs
        sim, count = self.simulator, len(self._num_steps)
        given = replace(initial, obs=obs)
        given.batch_size(count)
        frames, actions = read_frames(given, sim.size, sim.action_spec, count)
        return replace(initial, obs=frames, actions=actions)


def next_seed(rng: np.random.Generator, seed: int | None) -> int:
    """Return the seed of an episode: the caller's, or one drawn from the generator."""
    return int(rng.integers(2**32)) if seed is None else seed
