"""What both Gymnasium forms of a world share: the model, the spaces of one world, the checks of what comes in."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import jax
import numpy as np

from worldsim.checkpoint import World, load_world
from worldsim.env.spaces import action_space, observation_space
from worldsim.env.starts import Starts, begin, keys_of_seeds, stream_keys, watch_starts
from worldsim.env.window import Window, check_window
from worldsim.simulator import Simulator
from worldsim.types import ActionSpec, SimState

RENDER_MODES = ("rgb_array", "human")


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
        obs_type: str,
        render_mode: str | None,
    ):
        if horizon is not None and horizon < 1:
            raise ValueError(f"horizon wants a number of frames above 0 or None, got {horizon}.")
        if render_mode not in (None, *RENDER_MODES):
            raise ValueError(f"render_mode wants None, 'rgb_array' or 'human', got {render_mode!r}.")
        if render_mode == "human":
            check_window()
        self.sim = simulator_of(world, num_denoise_steps, noise_scale)
        self.action_spec: ActionSpec = self.sim.action_spec
        self.horizon = np.inf if horizon is None else horizon
        self.action_space = action_space(self.action_spec)
        self.observation_space = observation_space(self.sim, obs_type)
        self.decode = obs_type == "pixels"
        self.window = Window("worldsim", float(self.sim.fps)) if render_mode == "human" else None

    @cached_property
    def starts(self) -> Starts:
        """The starts of the bundle, watched when the first of them is wanted."""
        return watch_starts(self.sim, self.decode)

    def reset(self, seeds: Sequence[int], prompt: Any = None, prompt_actions: Any = None) -> tuple[SimState, Any]:
        """Begin one world a seed: (state, obs)."""
        keys = keys_of_seeds(seeds)
        if prompt is None:
            return _begin(self.starts, keys)
        return self.sim.reset(
            stream_keys(keys), batch_size=len(seeds), prompt=prompt, prompt_actions=prompt_actions, decode=self.decode
        )

    def pictures(self, obs: np.ndarray) -> np.ndarray:
        """Observations as pictures uint8 [b h w c]: latents are painted, pixels copied."""
        return obs.copy() if self.decode else np.array(self.sim.decode(obs))

    def show(self, obs: np.ndarray) -> None:
        """Show observations in the window, where there is one."""
        if self.window is not None:
            self.window.show(self.pictures(obs))

    def close(self) -> None:
        """Close the window."""
        if self.window is not None:
            self.window.close()

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
        frames, wanted = np.asarray(prompt), self.sim.world.starts["obs"].shape[2:]
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


def next_seed(rng: np.random.Generator, seed: int | None) -> int:
    """The seed of an episode: the caller's, or drawn by what is left of the last one."""
    return int(rng.integers(2**32)) if seed is None else seed


_begin = jax.jit(begin)
