"""A world that runs: pure reset, step and rollout on an immutable state.

    world = worldsim.load("pong")
    state, obs = world.reset(jax.random.key(0), batch_size=8)
    state, out = world.step(state, action)

A step is `dream`, `observe` and `render` of `worldsim.model.generate`; worldsim/model/prior.py decodes. `reset` and
`step` are pure and compiled: `jax.lax.scan` over `step` is a rollout, a kept state a save point; the same key,
initial context and actions give the same bits on the same machine.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key, PRNGKeyArray, UInt8

from worldsim.history import arrays_to_state, state_to_arrays
from worldsim.initial import InitialContext, draw_contexts, read_frames, read_text, reset_keys
from worldsim.model.dynamics import DynamicsConfig
from worldsim.model.first_frame import draw_first_frame, unknown_actions
from worldsim.model.generate import Model, Sampler, bind, dream, observe, render, split_keys, watch
from worldsim.model.modules import build_graphs, check_configs, count_params, read_configs
from worldsim.nn.params import merge
from worldsim.types import AnyArray, ArrayLike, SimState, StepOutput, fold_keys, frame_to_obs, obs_to_frame
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

    Example:
        >>> world = worldsim.load("pong", num_denoise_steps=2)
    """
    return Simulator.from_world(load_world(name, game=game, size=size, count_params=count_params), **sampler)


class Simulator:
    """A world and the settings of its sampler. Holds no state of any stream: that is `SimState`."""

    def __init__(self, world: World, sampler: Sampler, horizon: int | None):
        self.world, self.sampler, self.horizon = world, sampler, horizon
        self.card = world.card
        self.action_spec = world.action_spec
        self.size: tuple[int, int] = world.card.size
        self.fps: float = world.card.fps
        configs = read_configs(world.card.config)
        check_configs(configs, world.card)
        self.config: DynamicsConfig = configs.dynamics
        self._graphs = build_graphs(configs, world.params)
        self.params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), world.params)
        self._reset_jit = jax.jit(partial(self._reset, self._graphs))
        self._generate_jit = jax.jit(partial(self._reset_generated, self._graphs, sampler))
        self._step_jit = jax.jit(partial(self._step, self._graphs, sampler), static_argnames="decode")
        self._rollout_jit = jax.jit(partial(self._rollout, self._graphs, sampler))
        self._teacher_jit = jax.jit(partial(self._teacher_forced, self._graphs, sampler))
        self._outcome_jit = jax.jit(partial(self._teacher_forced_outcome, self._graphs))
        self._decode_jit = jax.jit(partial(self._decode, self._graphs))
        self._reconstruct_jit = jax.jit(partial(self._reconstruct, self._graphs))

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
        if not isinstance(steps, int) or steps < 1 or levels % steps:
            raise ValueError(f"expected a power of two in 1..{levels} for num_denoise_steps, got {steps}.")
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
        """
        initial = InitialContext.recorded() if initial is None else initial
        batch = initial.batch_size(batch_size)
        prompt = read_text(initial.text, self.config.prompt, batch)
        keys = reset_keys(key, batch)
        if initial.is_generated:
            state, z = self._generate_jit(self.params, keys.worlds, prompt)
            return state, self.decode(z) if decode else z
        if initial.obs is None:
            obs, actions = draw_contexts(self.world.initial_contexts, keys.context, batch)
        else:
            obs, actions = read_frames(initial, self.size, self.action_spec, batch)
        state, z = self._reset_jit(self.params, keys.worlds, obs, actions, prompt)
        return state, jnp.asarray(obs[:, -1]) if decode else z

    def step(
        self, state: SimState, action: ArrayLike, *, noise_scale: ArrayLike | None = None, decode: bool = True
    ) -> tuple[SimState, StepOutput]:
        """Take one step in every world.

        Args:
            state: of `reset` or `step`; it stays valid, so keeping it is saving the game.
            action: integers `[b]` for a world of one choice, or rows `[b a]` of the ActionSpec. Values from the host
                are checked; JAX arrays, as inside `jit`, are clipped to the legal range.
            noise_scale: float32 `[b]`, the deviation of each world's noise for this step; the simulator's by default.
            decode: paint the frame; False leaves the decoder out, and `obs` is the frame's latents float32 `[b n d]`.

        Returns:
            The next state and what came of it. `terminated` is the outcome head's verdict at probability 0.5.
        """
        scale = None if noise_scale is None else jnp.asarray(noise_scale, jnp.float32)
        if scale is not None and scale.shape != state.frame_index.shape:
            raise ValueError(f"expected shape {state.frame_index.shape} for noise_scale, got {scale.shape}.")
        return self._step_jit(self.params, state, self._rows(action, state.frame_index.shape), scale, decode=decode)

    def rollout(self, state: SimState, actions: ArrayLike) -> tuple[SimState, StepOutput]:
        """Take t steps by one scan: actions `[b t]` or `[b t a]`, outputs with leading `[b t]`."""
        batch = state.frame_index.shape[0]
        return self._rollout_jit(self.params, state, self._rows(actions, (batch, np.shape(actions)[1])))

    def decode(self, z: Float[AnyArray, "*b n d"]) -> UInt8[Array, "*b h w c"]:
        """Decode latents, as `step` and `reset` return them with `decode=False`."""
        return self._decode_jit(self.params, z)

    def reconstruct(self, obs: UInt8[AnyArray, "b t h w c"]) -> UInt8[Array, "b t h w c"]:
        """Send frames through the tokenizer and back: the ceiling of what this world can paint."""
        return self._reconstruct_jit(self.params, obs)

    def teacher_forced(
        self, obs: UInt8[AnyArray, "b t h w c"], prev_action: Float[AnyArray, "b t a"], key: PRNGKeyArray
    ) -> UInt8[Array, "b t h w c"]:
        """Predict each frame from the true frames before it; the first is given back as it came."""
        return self._teacher_jit(self.params, obs, prev_action, key)

    def teacher_forced_outcome(
        self, obs: UInt8[AnyArray, "b t h w c"], prev_action: Float[AnyArray, "b t a"], key: PRNGKeyArray
    ) -> tuple[Float[Array, "b t"], Float[Array, "b t"]]:
        """Read expected reward and probability of termination off true frames."""
        return self._outcome_jit(self.params, obs, prev_action, key)

    def save_state(self, state: SimState, path: str | os.PathLike) -> None:
        """Write a state to one file, to go on from in another process."""
        save_arrays(state_to_arrays(state), path)

    def load_state(self, path: str | os.PathLike) -> SimState:
        """Read a state of this world.

        Raises:
            ValueError: the file is no state, or one of a world of another shape.
        """
        arrays = load_arrays(path)
        batch = next(iter(np.shape(arrays.get("0", ()))), 0)
        like = jax.eval_shape(lambda: _empty_state(self._graphs.dynamics, self.world.params["dynamics"], batch))
        try:
            return arrays_to_state(arrays, like)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    # --- compiled parts: static graphs first, then arrays

    @staticmethod
    def _reset(graphs, params, keys, obs, prev_action, prompt):
        model: Model = bind(graphs, params)
        keys, keys_watch = split_keys(keys, 2)
        z = model.tokenizer.encode(obs_to_frame(obs))
        cache = model.dynamics.empty_cache(obs.shape[0], prompt)
        cache, _ = watch(model, cache, z, prev_action, keys_watch, obs=obs)
        return SimState(keys, cache, jnp.zeros((obs.shape[0],), jnp.int32)), z[:, -1]

    @staticmethod
    def _reset_generated(graphs, sampler, params, keys, prompt):
        model = bind(graphs, params)
        batch = keys.shape[0]
        keys, keys_dream, keys_past = split_keys(keys, 3)
        z = draw_first_frame(model, prompt, keys_dream, sampler)
        unknown = unknown_actions(model.dynamics.config, batch)
        cache, _ = observe(model, model.dynamics.empty_cache(batch, prompt), z, unknown, keys_past)
        return SimState(keys, cache, jnp.zeros((batch,), jnp.int32)), z

    def _step(
        self, graphs, sampler, params, state: SimState, action, scale=None, decode=True
    ) -> tuple[SimState, StepOutput]:
        model = bind(graphs, params)
        sampler = sampler if scale is None else sampler._replace(noise_scale=scale)
        keys, keys_dream, keys_past = split_keys(state.key, 3)
        z, spread = dream(model, state.cache, action, keys_dream, sampler)
        cache, hidden = observe(model, state.cache, z, action, keys_past)
        reward, end = model.outcome.read(hidden)
        index = state.frame_index + 1
        late = index >= self.horizon if self.horizon is not None else jnp.zeros_like(index, bool)
        obs = render(model, cache, z) if decode else z
        return SimState(keys, cache, index), StepOutput(obs, reward, end > 0.5, late, spread)

    def _rollout(self, graphs, sampler, params, state: SimState, actions) -> tuple[SimState, StepOutput]:
        def step(state, action):
            return self._step(graphs, sampler, params, state, action)

        state, out = jax.lax.scan(step, state, jnp.moveaxis(actions, 1, 0))
        return state, jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), out)

    @staticmethod
    def _teacher_forced(graphs, sampler, params, obs, prev_action, key):
        model = bind(graphs, params)
        truth = model.tokenizer.encode(obs_to_frame(obs))

        def step(carry, frame):
            cache, keys = carry
            z, action, real = frame
            keys, keys_dream, keys_past = split_keys(keys, 3)
            z_hat, _ = dream(model, cache, action, keys_dream, sampler)
            dreamt, _ = observe(model, cache, z_hat, action, keys_past)
            cache, _ = observe(model, cache, z, action, keys_past, real=real)
            return (cache, keys), render(model, dreamt, z_hat)

        start = (model.dynamics.empty_cache(obs.shape[0]), fold_keys(key, obs.shape[0]))
        _, frames = jax.lax.scan(step, start, jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), (truth, prev_action, obs)))
        return jnp.moveaxis(frames, 0, 1).at[:, 0].set(obs[:, 0])

    @staticmethod
    def _teacher_forced_outcome(graphs, params, obs, prev_action, key):
        model = bind(graphs, params)
        z = model.tokenizer.encode(obs_to_frame(obs))
        keys = fold_keys(key, obs.shape[0])
        _, hidden = watch(model, model.dynamics.empty_cache(obs.shape[0]), z, prev_action, keys, obs=obs)
        return model.outcome.read(hidden)

    @staticmethod
    def _decode(graphs, params, z):
        return frame_to_obs(bind(graphs, params).tokenizer.decode(z))

    @staticmethod
    def _reconstruct(graphs, params, obs):
        model = bind(graphs, params)
        return frame_to_obs(model.tokenizer.decode(model.tokenizer.encode(obs_to_frame(obs))))

    def _rows(self, action: Any, batch_shape: tuple[int, ...]) -> Any:
        if not isinstance(action, jax.Array):
            return self.action_spec.rows(action, batch_shape=batch_shape)
        rows = action[..., None] if action.ndim == len(batch_shape) else action
        if rows.shape != (*batch_shape, self.action_spec.size):
            raise ValueError(f"expected shape {(*batch_shape, self.action_spec.size)} for action, got {action.shape}.")
        low, high = (x.reshape((1,) * len(batch_shape) + x.shape) for x in self.action_spec.bounds)
        return jnp.clip(rows.astype(jnp.float32), low, high)


def _empty_state(graph: nnx.GraphDef, params: Any, batch: int) -> SimState:
    keys, index = jax.random.key_data(fold_keys(jax.random.key(0), batch)), jnp.zeros((batch,), jnp.int32)
    return SimState(keys, merge(graph, params).empty_cache(batch), index)
