"""A world that runs: pure reset, step and rollout on an immutable state.

    world = worldsim.load("pong")
    state, obs = world.reset(jax.random.key(0), batch_size=8)
    state, out = world.step(state, action)

A step is `dream`, `observe` and `render` of `worldsim.model.generate`, compiled by `worldsim.programs`. `reset` and
`step` are pure: `jax.lax.scan` over `step` is a rollout, a kept state a save point; the same key,
initial context and actions give the same bits on the same machine.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, UInt8

from worldsim import backend
from worldsim.history import arrays_to_state, state_to_arrays
from worldsim.initial import InitialContext, ResetKeys, draw_contexts, find_named, read_frames, read_text, reset_keys
from worldsim.model.dynamics import DynamicsConfig
from worldsim.model.generate import Sampler
from worldsim.model.modules import build_graphs, check_configs, count_params, graphs_of, read_configs
from worldsim.nn.params import merge
from worldsim.programs import Programs, programs_of
from worldsim.types import AnyArray, ArrayLike, SimState, StepOutput, fold_keys
from worldsim.world import World, load_arrays, load_world, save_arrays


def load(
    name: str | os.PathLike, *, game: str | None = None, size: tuple[int, int] | None = None, **sampler: Any
) -> Simulator:
    """Load a world by path, by name or by prompt, ready to run.

    Args:
        name: a bundle folder, the name of a shipped or local world, or words such as "play pong".
        game: which game of a world of several; by default the one that is named behind a # ("arcade#pong") or by the
            words, or its first.
        size: height and width of the frames, for a world that is of any size; its own by default.
        sampler: `num_denoise_steps`, `noise_scale`, `guidance` and `horizon` of `Simulator.from_world`.

    Raises:
        ValueError: no such world, or its bundle is damaged.
        TypeError: a setting that no sampler has.

    Example:
        >>> world = worldsim.load("pong", num_denoise_steps=2)
    """
    known = ("num_denoise_steps", "noise_scale", "guidance", "horizon")
    if unknown := ", ".join(name for name in sampler if name not in known):
        raise TypeError(f"expected game, size, {', '.join(known)} for the settings of a world, got {unknown}.")
    return Simulator.from_world(load_world(name, game=game, size=size, count_params=count_params), **sampler)


class Simulator:
    """A world and the settings of its sampler. Holds no state of any stream: that is `SimState`."""

    def __init__(self, world: World, sampler: Sampler, horizon: int | None):
        self.world, self.sampler, self.horizon = world, sampler, horizon
        self.card = world.card
        self.action_spec = world.action_spec
        self.size: tuple[int, int] = world.card.size
        self.fps: float = world.card.fps
        self._configs = read_configs(world.card.config)
        check_configs(self._configs, world.card)
        self.config: DynamicsConfig = self._configs.dynamics
        build_graphs(self._configs, world.params)  # refuses parameters that are not theirs

    @property
    def params(self) -> dict[str, Any]:
        """The parameters as float32, on the device.

        Raises:
            RuntimeError: this process was forked from one that runs JAX.
        """
        backend.prepare()
        return self._params

    @cached_property
    def _params(self) -> dict[str, Any]:
        with jax.ensure_compile_time_eval():  # arrays, also where the first use is inside a program of the caller
            return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), self.world.params)

    @cached_property
    def _programs(self) -> Programs:
        return programs_of(self._configs, self.sampler, self.horizon)

    def __getstate__(self) -> dict[str, Any]:
        return {name: x for name, x in vars(self).items() if name not in ("_params", "_programs")}

    @classmethod
    def from_world(
        cls,
        world: World,
        *,
        num_denoise_steps: int | None = None,
        noise_scale: float | None = None,
        guidance: float = 1.0,
        horizon: int | None = None,
    ) -> Simulator:
        """Make a simulator of a bundle.

        Args:
            world: the bundle.
            num_denoise_steps: K, a power of two; fewer are faster. The card's by default.
            noise_scale: deviation of the noise that frames are drawn from: 1 as trained, less for tamer dreams.
            guidance: how far a prompt is followed: 1 as trained, more to exaggerate it, at twice the cost.
            horizon: frames after which `truncated` is set; never by default.
        """
        settings, dynamics = world.card.sampler, world.card.config["dynamics"]
        steps = settings.num_denoise_steps if num_denoise_steps is None else num_denoise_steps
        scale = settings.noise_scale if noise_scale is None else noise_scale
        levels = dynamics["num_levels"]
        for name, value in (("noise_scale", scale), ("guidance", guidance)):
            if not isinstance(value, (int, float)):
                raise TypeError(f"expected a number for {name}, got {value!r}.")
        if horizon is not None and (not isinstance(horizon, int) or horizon < 1):
            raise ValueError(f"expected a number of frames above 0 or None for horizon, got {horizon!r}.")
        if not isinstance(steps, int) or steps < 1 or levels % steps:
            raise ValueError(f"expected a power of two in 1..{levels} for num_denoise_steps, got {steps!r}.")
        if not 0 <= scale <= 10:
            raise ValueError(f"expected 0..10 for noise_scale, got {scale}.")
        if not 0 <= guidance <= 20 or (guidance != 1 and not dynamics.get("prompt")):
            raise ValueError(f"expected 0..20 for guidance, and 1 for a world that reads no prompts, got {guidance}.")
        return cls(world, Sampler(steps, float(scale), float(guidance)), horizon)

    def reset(
        self,
        key: PRNGKeyArray | Key[Array, " b"],
        *,
        batch_size: int | None = None,
        initial: InitialContext | None = None,
        decode: bool = True,
    ) -> tuple[SimState, UInt8[Array, "b h w c"] | Float[Array, "b n d"]]:
        """Begin worlds.

        Args:
            key: of `jax.random.key`; decides which recorded context is drawn, and all noise to come. Or `[b]`, the key
                of each world.
            batch_size: number of worlds; by default that of the initial frames or texts, or 1.
            initial: what the worlds begin from; a recorded context of the bundle by default.
            decode: return the frame; False returns its latents.

        Returns:
            The state, and the last frame of the context or the generated first frame.

        Raises:
            ValueError: initial frames of another size, dtype or length than their actions; words that the world does
                not know, or a text for a world that reads none.
            TypeError: what is no key, or no `InitialContext`.
        """
        initial = InitialContext.recorded() if initial is None else initial
        if not isinstance(initial, InitialContext):
            raise TypeError(
                "expected an InitialContext for initial, such as InitialContext.from_text('snow') or "
                f"InitialContext.frames(obs), got {type(initial).__name__}."
            )
        batch = initial.batch_size(batch_size)
        prompt = read_text(initial.text, self.config.prompt, batch)
        keys = reset_keys(key, batch)
        contexts = self.world.initial_contexts
        if initial.is_generated:
            named = find_named(contexts, prompt, keys.context) if initial.may_recall else np.full(batch, -1)
            return self._reset_by_text(keys, prompt, named, decode)
        if initial.obs is None:
            obs, actions = draw_contexts(contexts, keys.context, batch)
        else:
            obs, actions = read_frames(initial, self.size, self.action_spec, batch)
        state, z = self._programs.reset(self.params, keys.worlds, obs, actions, prompt)
        return state, jnp.asarray(obs[:, -1]) if decode else z

    def step(
        self,
        state: SimState,
        action: ArrayLike,
        *,
        noise_scale: ArrayLike | None = None,
        decode: bool = True,
        params: Any = None,
    ) -> tuple[SimState, StepOutput]:
        """Take one step in every world.

        Args:
            state: of `reset` or `step`; it stays valid, so keeping it is saving the game.
            action: integers `[b]` for a world of one choice, or rows `[b a]` of the ActionSpec. Values from the host
                are checked; JAX arrays, as inside `jit`, are clipped to the legal range.
            noise_scale: float32 `[b]`, the deviation of each world's noise for this step; the simulator's by default.
            decode: paint the frame; False leaves the decoder out, and `obs` is the frame's latents float32 `[b n d]`.
            params: the simulator's `params` as an argument of a jitted program of yours, in which its own would be
                constants.

        Returns:
            The next state and what came of it. `terminated` is the outcome head's verdict at probability 0.5.
        """
        _check_state(state)
        scale = None if noise_scale is None else jnp.asarray(noise_scale, jnp.float32)
        if scale is not None and scale.shape != state.frame_index.shape:
            raise ValueError(f"expected shape {state.frame_index.shape} for noise_scale, got {scale.shape}.")
        params = self.params if params is None else params
        return self._programs.step(params, state, self._rows(action, state.frame_index.shape), scale, decode=decode)

    def rollout(self, state: SimState, actions: ArrayLike) -> tuple[SimState, StepOutput]:
        """Take t steps by one scan: actions `[b t]` or `[b t a]`, outputs with leading `[b t]`."""
        _check_state(state)
        if len(shape := np.shape(actions)) < 2 or 0 in shape:
            raise ValueError(f"expected at least one step of actions [b t] or [b t a], got shape {shape}.")
        rows = self._rows(actions, (state.frame_index.shape[0], shape[1]))
        return self._programs.rollout(self.params, state, rows)

    def decode(self, z: Float[AnyArray, "*b n d"]) -> UInt8[Array, "*b h w c"]:
        """Decode latents, as `step` and `reset` return them with `decode=False`."""
        return self._programs.decode(self.params, z)

    def reconstruct(self, obs: UInt8[AnyArray, "b t h w c"]) -> UInt8[Array, "b t h w c"]:
        """Send frames through the tokenizer and back: the ceiling of what this world can paint."""
        return self._programs.reconstruct(self.params, obs)

    def teacher_forced(
        self, obs: UInt8[AnyArray, "b t h w c"], prev_action: Float[AnyArray, "b t a"], key: PRNGKeyArray
    ) -> UInt8[Array, "b t h w c"]:
        """Predict each frame from the true frames before it; the first is given back as it came."""
        return self._programs.teacher_forced(self.params, obs, prev_action, key)

    def teacher_forced_outcome(
        self, obs: UInt8[AnyArray, "b t h w c"], prev_action: Float[AnyArray, "b t a"], key: PRNGKeyArray
    ) -> tuple[Float[Array, "b t"], Float[Array, "b t"]]:
        """Read expected reward and probability of termination off true frames."""
        return self._programs.outcome(self.params, obs, prev_action, key)

    def save_state(self, state: SimState, path: str | os.PathLike) -> None:
        """Write a state to one file, to go on from in another process."""
        _check_state(state)
        save_arrays(state_to_arrays(state) | {"world": np.frombuffer(self.identity.encode(), np.uint8)}, path)

    def load_state(self, path: str | os.PathLike) -> SimState:
        """Read a state of this world.

        Raises:
            ValueError: the file is no state, or one of another world.
        """
        arrays = load_arrays(path)
        origin = arrays.pop("world", np.zeros(0)).tobytes()
        graph, batch = graphs_of(self._configs)[0].dynamics, next(iter(np.shape(arrays.get("0", ()))), 0)
        like = jax.eval_shape(lambda: _empty_state(graph, self.world.params["dynamics"], batch))
        try:
            state = arrays_to_state(arrays, like)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        if origin != self.identity.encode():
            came = origin[:200].decode(errors="replace") or "no name"
            raise ValueError(f"expected a state of {self.identity} in {path}, got one of {came!r}.")
        return state

    @property
    def identity(self) -> str:
        """What tells the states of this world from those of others of the same shapes."""
        return f"{self.card.name}, game {self.card.game}, weights {self.card.weights.sha256 or 'unsaved'}"

    def recalls(self, text: str) -> bool:
        """Tell whether `InitialContext.from_text` begins from a recorded context of the bundle for this text.

        Raises:
            ValueError: words that the world does not know, or a world that reads none.
        """
        prompt = read_text(text, self.config.prompt, 1)
        return bool(find_named(self.world.initial_contexts, prompt, jax.random.key(0))[0] >= 0)

    def _reset_by_text(
        self, keys: ResetKeys, prompt: Any, named: Int[np.ndarray, " b"], decode: bool
    ) -> tuple[SimState, UInt8[Array, "b h w c"] | Float[Array, "b n d"]]:
        """Begin from named contexts of the bundle, and where there is none (-1) from generated frames."""
        is_named, contexts = named >= 0, self.world.initial_contexts
        if is_named.any():
            obs, actions = (contexts[key][named] for key in ("named_obs", "named_prev_action"))
            state, z = self._programs.reset(self.params, keys.worlds, obs, actions, prompt)
            began = state, jnp.asarray(obs[:, -1]) if decode else z
            if is_named.all():
                return began
        state, z = self._programs.generate(self.params, keys.worlds, prompt)
        generated = state, self.decode(z) if decode else z
        if not is_named.any():
            return generated
        return jax.tree.map(lambda x, y: _by_world(is_named, x, y), began, generated)

    def _rows(self, action: Any, batch_shape: tuple[int, ...]) -> Any:
        if not isinstance(action, jax.Array):
            return self.action_spec.rows(action, batch_shape=batch_shape)
        rows = action[..., None] if action.ndim == len(batch_shape) else action
        if rows.shape != (*batch_shape, self.action_spec.size):
            raise ValueError(f"expected shape {(*batch_shape, self.action_spec.size)} for action, got {action.shape}.")
        low, high = (x.reshape((1,) * len(batch_shape) + x.shape) for x in self.action_spec.bounds)
        return jnp.clip(rows.astype(jnp.float32), low, high)


def _by_world(choice: Bool[np.ndarray, " b"], chosen: Array, other: Array) -> Array:
    """Take the rows of `chosen` for the worlds of `choice`, and of `other` for the rest."""
    return jnp.where(choice.reshape(-1, *[1] * (chosen.ndim - 1)), chosen, other)


def _check_state(state: object) -> None:
    if not isinstance(state, SimState):
        raise TypeError(f"expected a SimState, as reset and step return it, for state, got {type(state).__name__}.")


def _empty_state(graph: nnx.GraphDef, params: Any, batch: int) -> SimState:
    keys, index = jax.random.key_data(fold_keys(jax.random.key(0), batch)), jnp.zeros((batch,), jnp.int32)
    return SimState(keys, merge(graph, params).empty_cache(batch), index)
