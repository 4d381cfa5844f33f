"""What all forms of a learned world share: the model, the spaces of one world, the step, the checks of what comes in.

The contract is that of Gymnasium 1.x, for games and dreams alike (docs/env-contract.md; `check_world_env` checks it):

- an observation is uint8 `[h w c]`, or latents float32 `[n d]`, and each array returned is the caller's own;
- `terminated` is the verdict of the outcome head; the horizon is `truncated` and nothing else, so that a value function
  bootstraps past it;
- the same seed, options and actions give the same bits on the same machine;
- an action outside the space is a `ValueError` and a step without a reset a `ResetNeeded`.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from jaxtyping import Bool, Float, Int, Shaped, UInt8

from worldsim import backend
from worldsim.env.initial import InitialStates, draw_initial, encode_initial, keys_of_seeds, noise_keys
from worldsim.env.spaces import action_rows, action_space, observation_space
from worldsim.env.window import Window, check_window
from worldsim.history import to_device, to_host
from worldsim.initial import InitialContext, read_clip, read_frames
from worldsim.model.modules import count_params
from worldsim.places import FIRST
from worldsim.simulator import Simulator
from worldsim.types import SimState
from worldsim.world import World, load_world

RENDER_MODES = ("rgb_array", "human")
WorldLike = str | os.PathLike | World | Simulator
"""The name or path of a bundle, a prompt, a `World` or a `Simulator`."""
NOWHERE = -1  # `info["start"]` of an episode that began from no initial context of the bundle


class Snapshot(NamedTuple):
    """The state of an environment, to go on from by `reset(options={"state": snapshot})`; plain arrays to pickle."""

    world: SimState  # of numpy arrays
    obs: Shaped[np.ndarray, "b ..."]
    num_steps: Int[np.ndarray, " b"]
    start: Int[np.ndarray, " b"]
    origin: str  # which world it is of


def simulator_of(world: WorldLike, num_denoise_steps: int | None = None, noise_scale: float | None = None) -> Simulator:
    """Return the simulator of a world; settings that are None stay as they are."""
    given = {"num_denoise_steps": num_denoise_steps, "noise_scale": noise_scale}
    settings = {name: value for name, value in given.items() if value is not None}
    if isinstance(world, Simulator):
        return Simulator.from_world(world.world, **settings) if settings else world
    return Simulator.from_world(
        world if isinstance(world, World) else load_world(world, count_params=count_params), **settings
    )


OPTIONS: dict[str, tuple[type, ...]] = {
    "initial": (InitialContext,),
    "start": (int, np.integer, np.ndarray, list, tuple),
    "footage": (str, os.PathLike),
    "state": (Snapshot,),
}
"""What `options` of a reset may hold: an `InitialContext`; the number of one of the bundle's, for all worlds or one a
world; a folder of footage, from which the seed draws; a `Snapshot`."""
Option = tuple[str, Any]
Info = dict[str, Shaped[np.ndarray, " b"]]


class BaseWorldEnv:
    """Learned worlds with one step for all of them; the forms add the calls of their interface.

    Args:
        world: the name or path of a bundle, a prompt, a `World` or a `Simulator`.
        horizon: frames after which an episode is truncated; None = never.
        num_denoise_steps: model passes a frame; None = as the simulator has it.
        noise_scale: how much the dream varies; 0 = the same each time, None = as the simulator has it.
        obs_type: "pixels", uint8 [h w c]; or "latent", float32 [n d], what the model dreams in: no decoder runs.
        render_mode: None, "rgb_array", or "human" for a window.
        axis_bins: None, or into how many even values axes are cut; all controls are then one MultiDiscrete.
    """

    closed = False
    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 15}

    def __init__(
        self,
        world: WorldLike = FIRST,
        *,
        horizon: int | None = 1000,
        num_denoise_steps: int | None = None,
        noise_scale: float | None = None,
        obs_type: str = "pixels",
        render_mode: str | None = None,
        axis_bins: int | None = None,
        **unknown: object,
    ):
        refuse_unknown(unknown, BaseWorldEnv)
        if horizon is not None and horizon < 1:
            raise ValueError(f"expected a number of frames above 0 or None for horizon, got {horizon}.")
        if render_mode not in (None, *RENDER_MODES):
            raise ValueError(f"expected None, 'rgb_array' or 'human' for render_mode, got {render_mode!r}.")
        if render_mode == "human":
            check_window()
        self.simulator, self.render_mode = simulator_of(world, num_denoise_steps, noise_scale), render_mode
        self.metadata = {**self.metadata, "render_fps": self.simulator.fps}
        self._is_blind = self.simulator.sampler.num_denoise_steps == 1  # one step says nothing of its uncertainty
        self.axis_bins = axis_bins
        self.single_action_space = action_space(self.simulator.action_spec, axis_bins)
        self.single_observation_space = space = observation_space(self.simulator, obs_type)
        self._horizon = np.inf if horizon is None else horizon
        self._decode = obs_type == "pixels"
        self._window = Window("worldsim", float(self.simulator.fps)) if render_mode == "human" else None
        self._state: SimState | None = None
        self._obs: np.ndarray = np.zeros((1, *space.low.shape), space.dtype)  # [b ...]
        self._num_steps, self._start = np.full(1, -1), np.full(1, NOWHERE)  # [b]; -1 steps before the first reset

    @cached_property
    def _initial(self) -> InitialStates:
        """The bundle's initial contexts, encoded when the first of them is needed."""
        backend.prepare()
        return encode_initial(self.simulator, self._decode)

    def __getstate__(self) -> dict[str, Any]:
        state = {name: x for name, x in vars(self).items() if name not in ("_initial", "default_params")}
        return state | {"_state": None if self._state is None else to_host(self._state)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._state = None if self._state is None else to_device(self._state)

    def snapshot(self) -> Snapshot:
        """Return the present state of all worlds, to go on from by `reset(options={"state": snapshot})`."""
        if self._state is None:
            raise ResetNeeded("expected a running episode for a snapshot; call reset() first.")
        state = to_host(self._state)
        return Snapshot(state, self._obs.copy(), self._num_steps.copy(), self._start.copy(), self.simulator.identity)

    def _begin(
        self, option: Option, seeds: Sequence[int], worlds: Int[np.ndarray, " n"]
    ) -> tuple[SimState, Shaped[np.ndarray, "n ..."], Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """Return state, observation, number of steps and start of some worlds, each from a seed of its own."""
        backend.prepare()
        kind, value = option
        steps = np.zeros(len(worlds), np.int64)
        if kind == "state":
            world, obs, steps, start = jax.tree.map(lambda x: x[worlds], value[:-1])
            return to_device(world), obs, steps, start
        keys = keys_of_seeds(seeds)
        if kind in ("recorded", "start"):
            index = None if kind == "recorded" else jnp.asarray(value[worlds])
            state, obs, start = draw_initial(self._initial, keys, index)
            return state, np.array(obs), steps, np.array(start, np.int64)
        if kind == "footage":
            clips = [read_clip(value, self.simulator.card, 1, np.random.default_rng(seed)) for seed in seeds]
            initial = InitialContext.frames(*(np.stack(part) for part in zip(*clips)))
        else:
            initial = _of_worlds(value, worlds)
        how = {"batch_size": len(worlds), "initial": initial, "decode": self._decode}
        state, obs = self.simulator.reset(noise_keys(keys), **how)
        return state, np.array(obs), steps, np.full(len(worlds), NOWHERE)

    def _step_worlds(
        self, action: object, batch_shape: tuple[int, ...], over: Bool[np.ndarray, " b"] | None = None
    ) -> tuple[Float[np.ndarray, " b"], Bool[np.ndarray, " b"], Bool[np.ndarray, " b"], Info]:
        """Take one step in every world; return reward, terminated, truncated and info.

        Raises:
            ValueError: the action is not in the action space.
            ResetNeeded: before the first reset, and for worlds that are `over`.
            ClosedEnvironmentError: after `close`.
        """
        self._check_open()
        rows = action_rows(self.simulator.action_spec, action, batch_shape, self.axis_bins)
        if self._state is None or (over is not None and over.any()):
            which = "" if over is None else f": worlds {np.flatnonzero(over)}"
            raise ResetNeeded(f"expected a reset() before the first step and after the last of an episode{which}.")
        rows = rows.reshape(len(self._num_steps), -1)
        self._state, out = self.simulator.step(self._state, rows, decode=self._decode)
        out = jax.device_get(out)
        self._obs, self._num_steps = np.array(out.obs), self._num_steps + 1
        terminated = np.array(out.terminated)
        truncated = ~terminated & (out.truncated | (self._num_steps >= self._horizon))
        unsure = np.full_like(out.uncertainty, np.nan) if self._is_blind else np.array(out.uncertainty)
        outcome = {"uncertainty": unsure, "termination_probability": np.array(out.termination_probability)}
        return np.array(out.reward), terminated, truncated, self._info() | outcome

    def _info(self) -> Info:
        """Return what is known of every world after a reset."""
        steps = np.full_like(self._num_steps, self.simulator.sampler.num_denoise_steps)
        return {"step": self._num_steps.copy(), "start": self._start.copy(), "num_denoise_steps": steps}

    def _check_open(self) -> None:
        if self.closed:
            raise ClosedEnvironmentError("expected an open environment, got one after close(); make a new one.")

    def _pictures(self) -> UInt8[np.ndarray, "b h w c"]:
        """Return the present observations as pictures: latents are decoded, pixels copied."""
        return np.array(self._obs if self._decode else self.simulator.decode(self._obs))

    def _show(self) -> None:
        if self._window is not None:
            self._window.show(self._pictures())

    def _close_window(self) -> None:
        if self._window is not None:
            self._window.close()

    def _read_options(self, options: Mapping[str, object] | None) -> Option:
        """Return what the worlds begin from: one of `OPTIONS` and its checked value, of all worlds where it has any.

        Raises:
            ValueError: an unknown option or several, or frames, actions, a start or a state that do not fit this world.
        """
        options = {name: value for name, value in (options or {}).items() if value is not None}
        if not options:
            return "recorded", None
        kind, value = next(iter(options.items()))
        if len(options) > 1 or kind not in OPTIONS or not isinstance(value, OPTIONS[kind]):
            known = ", ".join(f'{{"{name}": {" or ".join(k.__name__ for k in of)}}}' for name, of in OPTIONS.items())
            got = ", ".join(f"{name}: {type(x).__name__}" for name, x in options.items())
            raise ValueError(f"expected one of {known} or none for the options of a reset, got {got}.")
        count = len(self._num_steps)
        if isinstance(value, Snapshot):
            mine = f"{self.simulator.identity}, {self._obs.dtype} {self._obs.shape}"
            if (came := f"{value.origin}, {value.obs.dtype} {value.obs.shape}") != mine:
                raise ValueError(f"expected a state of {mine}, got one of {came}.")
        elif kind == "start":
            index, limit = np.asarray(value), len(self.simulator.world.initial_contexts["obs"])
            fits = index.dtype.kind in "iu" and index.shape in ((), (count,)) and ((index >= 0) & (index < limit)).all()
            if not fits:
                raise ValueError(f"expected a whole number in 0..{limit - 1}, or one a world, for start, got {value}.")
            value = np.broadcast_to(index, (count,))
        elif isinstance(value, InitialContext):
            value = self._read_initial(value, count)
        return kind, os.fspath(value) if kind == "footage" else value  # type: ignore[arg-type]

    def _read_initial(self, initial: InitialContext, count: int) -> InitialContext:
        """Return an initial context with its frames as `[b t h w c]`; one without frames as it is."""
        if initial.obs is None:
            return initial
        given = replace(initial, obs=initial.obs[None] if initial.obs.ndim == 3 else initial.obs)
        given.batch_size(count)
        frames, actions = read_frames(given, self.simulator.size, self.simulator.action_spec, count)
        return replace(initial, obs=frames, actions=actions)


def _of_worlds(initial: InitialContext, worlds: Int[np.ndarray, " n"]) -> InitialContext:
    """Return the part of an initial context that is of some worlds."""
    if initial.obs is not None:
        initial = replace(initial, obs=initial.obs[worlds], actions=initial.actions[worlds])
    if initial.text is not None and not isinstance(initial.text, str):
        initial = replace(initial, text=[initial.text[i] for i in worlds])
    return initial


def refuse_unknown(unknown: Mapping[str, object], kind: Callable[..., object]) -> None:
    """Refuse settings that no environment has.

    Raises:
        TypeError: names them, and those that there are.
    """
    if unknown:
        known = ", ".join(name for name in inspect.signature(kind).parameters if name != "unknown")
        raise TypeError(f"expected {known} for the settings of an environment, got {', '.join(unknown)}.")


def next_seed(rng: np.random.Generator, seed: int | None) -> int:
    """Return the seed of an episode: the caller's, or one drawn from the generator."""
    return int(rng.integers(2**32)) if seed is None else seed
