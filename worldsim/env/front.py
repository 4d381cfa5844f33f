"""What both Gymnasium forms of a world share: the model, the spaces of one world, the checks of what comes in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import jax
import numpy as np

from worldsim.checkpoint import World, load_world
from worldsim.env.spaces import action_space
from worldsim.simulator import Simulator
from worldsim.types import ActionSpec, SimState


def simulator_of(world: Any, num_denoise_steps: int | None = None, noise_scale: float | None = None) -> Any:
    """Get the simulator of a name, path, prompt, `World` or `Simulator`; settings that are None stay as they are."""
    given = {"num_denoise_steps": num_denoise_steps, "noise_scale": noise_scale}
    settings = {name: value for name, value in given.items() if value is not None}
    if isinstance(world, (str, os.PathLike)):
        world = load_world(world)
    if not isinstance(world, World):
        if not settings:
            return world
        world = world.world
    return Simulator.from_world(world, **settings)


class Front:
    """What both Gymnasium forms share: the model, the spaces of one world, and the checks of what comes in."""

    def __init__(
        self,
        world: Any,
        horizon: int | None,
        num_denoise_steps: int | None,
        noise_scale: float | None,
        render_mode: str | None,
    ):
        if horizon is not None and horizon < 1:
            raise ValueError(f"horizon wants a number of frames above 0 or None, got {horizon}.")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode wants None or 'rgb_array', got {render_mode!r}.")
        self.sim = simulator_of(world, num_denoise_steps, noise_scale)
        self.action_spec: ActionSpec = self.sim.action_spec
        self.horizon = np.inf if horizon is None else horizon
        self.action_space = action_space(self.action_spec)
        channels = self.sim.world.starts["obs"].shape[-1]
        self.observation_space = gym.spaces.Box(0, 255, (*self.sim.size, channels), np.uint8)

    def reset(
        self, rng: np.random.Generator, num_worlds: int, prompt: Any = None, prompt_actions: Any = None
    ) -> tuple[SimState, Any]:
        """Begin `num_worlds` worlds with noise drawn from `rng`."""
        key = jax.random.key(int(rng.integers(2**32)))
        return self.sim.reset(key, batch_size=num_worlds, prompt=prompt, prompt_actions=prompt_actions)

    def prompt(self, options: Mapping | None, num_worlds: int) -> tuple[Any, Any]:
        """Check the options of a reset; return (prompt [b t h w c], prompt_actions [b t a]), each perhaps None.

        Raises:
            ValueError: an unknown option, or frames or actions that are not those of this world.
        """
        options = dict(options or {})
        prompt, actions = options.pop("prompt", None), options.pop("prompt_actions", None)
        if options:
            raise ValueError(
                f"options of a reset want prompt and prompt_actions, got {', '.join(map(str, options))} too."
            )
        if prompt is None or isinstance(prompt, str):
            if actions is not None:
                raise ValueError("prompt_actions want a prompt of frames beside them.")
            return prompt, None
        frames, wanted = np.asarray(prompt), self.observation_space.shape
        frames = frames[None] if frames.ndim == 3 else frames
        lead = frames.shape[:-3]
        fits = (
            frames.ndim in (4, 5) and frames.shape[-3:] == wanted and lead[-1] > 0 and lead[:-1] in ((), (num_worlds,))
        )
        if frames.dtype != np.uint8 or not fits:
            h, w, c = wanted
            raise ValueError(
                f"prompt wants uint8 frames [t {h} {w} {c}] in 0..255, got {frames.dtype} {list(np.shape(prompt))}; "
                "resize the frames first."
            )
        frames = np.broadcast_to(frames, (num_worlds, *frames.shape[-4:]))
        if actions is None:
            return frames, None
        rows = self.action_spec.rows(actions, batch_shape=lead)
        return frames, np.broadcast_to(rows, (num_worlds, *rows.shape[-2:]))
