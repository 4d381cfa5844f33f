"""One world for many players: each has a state of their own, one call of the model steps those that are due.

States are joined along their batch, stepped, and taken apart again. The number of worlds in a call is a power of
two, so that a player who comes or goes seldom means a new compilation; `warm_up` compiles all of them beforehand.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from worldsim.controls import ActionSpec
from worldsim.initial import InitialContext
from worldsim.simulator import Simulator
from worldsim.types import SimState
from worldsim.world import World

STEPS = (1, 2, 4)


class StepRequest(NamedTuple):
    """One player's step: the state, the action, and how the frame is drawn."""

    state: SimState
    row: Float[np.ndarray, " a"]
    num_denoise_steps: int
    noise_scale: float


class StepResult(NamedTuple):
    """The result of one step, for one player."""

    state: SimState
    obs: UInt8[np.ndarray, "h w c"]
    reward: float = 0.0
    terminated: bool = False
    uncertainty: float | None = None  # None with one denoising step, which gives none


class Stepper:
    """Steps the states of many players in one world, `max_players` at most."""

    def __init__(self, world: World, max_players: int):
        first = Simulator.from_world(world)
        self.world, self.card, self.max_players = world, world.card, max_players
        self.spec: ActionSpec = first.action_spec
        self.size: tuple[int, int] = first.size
        self.num_denoise_steps = first.sampler.num_denoise_steps
        self.noise_scale = float(first.sampler.noise_scale)
        self.prompt_len = int(world.initial_contexts["obs"].shape[1])
        self.reads_words = first.config.prompt is not None
        self._words = first.config.prompt.known if first.config.prompt is not None else ()
        self._sims = {self.num_denoise_steps: first}
        self._shared = dataclasses.replace(world, params=first.params)  # arrays on the device, once for all K
        levels = first.config.num_levels
        self.steps = tuple(sorted({*(k for k in STEPS if levels % k == 0), self.num_denoise_steps}))
        self._join = jax.jit(_join)
        self._split = jax.jit(_split)

    def begin(self, seed: int, initial: InitialContext | None = None) -> StepResult:
        """Begin one world, from a recorded context by default.

        Raises:
            ValueError: frames of another size, actions that do not go with them, or words that it has not learned.
        """
        sim = self._sim(self.num_denoise_steps)
        state, obs = sim.reset(jax.random.key(seed), batch_size=1, initial=initial)
        return StepResult(state, np.asarray(obs)[0])

    def step(self, requests: Sequence[StepRequest]) -> list[StepResult]:
        """Take one step for each player, in as few calls as there are different K."""
        results: dict[int, StepResult] = {}
        for k in sorted({request.num_denoise_steps for request in requests}):
            places = [i for i, request in enumerate(requests) if request.num_denoise_steps == k]
            results.update(zip(places, self._step([requests[i] for i in places], k)))
        return [results[i] for i in range(len(requests))]

    def recalls(self, text: str) -> bool:
        """Whether a text begins from a recorded context; see `Simulator.recalls`."""
        return self._sim(self.num_denoise_steps).recalls(text)

    def reconstruction_psnr(self, obs: UInt8[np.ndarray, "h w c"]) -> float:
        """PSNR of the tokenizer's reconstruction of a picture, in dB: low for what is unlike its footage."""
        decoded = np.asarray(self._sim(self.num_denoise_steps).reconstruct(obs[None, None]))[0, 0]
        error = float(np.mean((decoded.astype(np.float32) - obs) ** 2))
        return 10 * math.log10(255**2 / max(error, 1e-9))

    def prepare(self) -> StepRequest:
        """Compile what the first player needs: a reset and a step."""
        request = StepRequest(self.begin(0).state, self.spec.noop, self.num_denoise_steps, self.noise_scale)
        self.step([request])
        return request

    def warm_up(self) -> Iterator[str]:
        """Compile what play may need later, most likely first; says what comes next, so that a caller can stop."""
        picture = np.asarray(self.world.initial_contexts["obs"][0, -1])
        request = self.prepare()
        others = [k for k in self.steps if k != self.num_denoise_steps]
        for k in others:
            yield f"K {k}"
            self.step([request._replace(num_denoise_steps=k)])
        if self._words:
            yield "words"
            self.begin(0, InitialContext.from_text(self._words[0]))
        yield "nothing"
        self.begin(0, InitialContext.noise())
        yield "picture"
        self.begin(0, InitialContext.frames(picture[None]))
        self.reconstruction_psnr(picture)
        count = 1
        while count < self.max_players:
            count *= 2
            for k in (self.num_denoise_steps, *others):
                yield f"{count} players, K {k}"
                self.step([request._replace(num_denoise_steps=k)] * min(count, self.max_players))

    def _step(self, requests: list[StepRequest], k: int) -> list[StepResult]:
        count = 1 << (len(requests) - 1).bit_length()
        padded = requests + [requests[-1]] * (count - len(requests))
        state = requests[0].state if count == 1 else self._join([request.state for request in padded])
        rows = np.stack([request.row for request in padded])
        scales = np.array([request.noise_scale for request in padded], np.float32)
        state, out = self._sim(k).step(state, rows, noise_scale=scales)
        states = [state] if count == 1 else self._split(state)
        out = jax.device_get(out)
        return [
            StepResult(state, obs, float(reward), bool(terminated), float(uncertainty) if k > 1 else None)
            for state, obs, reward, terminated, uncertainty, _ in zip(
                states, out.obs, out.reward, out.terminated, out.uncertainty, requests
            )
        ]

    def _sim(self, k: int) -> Simulator:
        if k not in self._sims:
            self._sims[k] = Simulator.from_world(self._shared, num_denoise_steps=k)
        return self._sims[k]


def _join(states: list[SimState]) -> SimState:
    return jax.tree.map(lambda *x: jnp.concatenate(x), *states)


def _split(state: SimState) -> list[SimState]:
    return [jax.tree.map(lambda x, i=i: x[i : i + 1], state) for i in range(state.frame_index.shape[0])]
