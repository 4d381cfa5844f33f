"""One world for many players: each has a state of their own, one call of the model steps those that are due.

States are joined along their batch, stepped, and taken apart again. A call wants a number of worlds that is a power of
two, so that a player who comes or goes seldom means a new compilation; `warm_up` compiles all of them beforehand.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from worldsim.checkpoint import World
from worldsim.simulator import NOTHING, Simulator
from worldsim.types import ActionSpec, SimState

STEPS = (1, 2, 4)


class Wish(NamedTuple):
    """One player's step: from where, with what held, and how it is drawn."""

    state: SimState
    row: Float[np.ndarray, " a"]
    num_denoise_steps: int
    noise_scale: float


class Dreamt(NamedTuple):
    """What one step came to, for one player."""

    state: SimState
    obs: UInt8[np.ndarray, "h w c"]
    reward: float = 0.0
    terminated: bool = False
    uncertainty: float | None = None  # None where one denoising step cannot know it


class Stepper:
    """Steps the states of many players in one world.

    Args:
        world: the bundle.
        max_players: the most states a call will hold.
    """

    def __init__(self, world: World, max_players: int):
        first = Simulator.from_world(world)
        self.world, self.card, self.max_players = world, world.card, max_players
        self.spec: ActionSpec = first.action_spec
        self.size: tuple[int, int] = first.size
        self.num_denoise_steps = first.sampler.num_denoise_steps
        self.noise_scale = float(first.sampler.noise_scale)
        self.prompt_len = int(world.starts["obs"].shape[1])
        self.reads_words = first.config.prompt is not None
        self._words = first.config.prompt.known if first.config.prompt is not None else ()
        self._sims = {self.num_denoise_steps: first}
        self._shared = dataclasses.replace(world, params=first.params)  # arrays on the device, once for all K
        levels = first.config.num_levels
        self.steps = tuple(sorted({*(k for k in STEPS if levels % k == 0), self.num_denoise_steps}))
        self._join = jax.jit(_join)
        self._split = jax.jit(_split)

    def begin(self, seed: int, prompt: Any = None, prompt_actions: Any = None) -> Dreamt:
        """Begin one world: at a recorded moment, from "nothing", from frames uint8 `[t h w c]`, or from words.

        Raises:
            ValueError: frames of another size, actions that do not go with them, or words that the world does not know.
        """
        sim = self._sim(self.num_denoise_steps)
        state, obs = sim.reset(jax.random.key(seed), batch_size=1, prompt=prompt, prompt_actions=prompt_actions)
        return Dreamt(state, np.asarray(obs)[0])

    def step(self, wishes: Sequence[Wish]) -> list[Dreamt]:
        """Take one step for each player, in as few calls as there are different K."""
        results: dict[int, Dreamt] = {}
        for k in sorted({wish.num_denoise_steps for wish in wishes}):
            places = [i for i, wish in enumerate(wishes) if wish.num_denoise_steps == k]
            results.update(zip(places, self._step([wishes[i] for i in places], k)))
        return [results[i] for i in range(len(wishes))]

    def reconstruction_psnr(self, obs: UInt8[np.ndarray, "h w c"]) -> float:
        """How well this world's tokenizer knows a picture, in dB: low for what is unlike its footage."""
        seen = np.asarray(self._sim(self.num_denoise_steps).reconstruct(obs[None, None]))[0, 0]
        error = float(np.mean((seen.astype(np.float32) - obs) ** 2))
        return 10 * math.log10(255**2 / max(error, 1e-9))

    def prepare(self) -> Wish:
        """Compile what the first player needs: a start and a step."""
        wish = Wish(self.begin(0).state, self.spec.noop, self.num_denoise_steps, self.noise_scale)
        self.step([wish])
        return wish

    def warm_up(self) -> Iterator[str]:
        """Compile what play may need later, most likely first; says what comes next, so that a caller can stop."""
        picture = np.asarray(self.world.starts["obs"][0, -1])
        wish = self.prepare()
        others = [k for k in self.steps if k != self.num_denoise_steps]
        for k in others:
            yield f"K {k}"
            self.step([wish._replace(num_denoise_steps=k)])
        if self._words:
            yield "words"
            self.begin(0, self._words[0])
        yield "nothing"
        self.begin(0, NOTHING)
        yield "picture"
        self.begin(0, picture[None])
        self.reconstruction_psnr(picture)
        count = 1
        while count < self.max_players:
            count *= 2
            for k in (self.num_denoise_steps, *others):
                yield f"{count} players, K {k}"
                self.step([wish._replace(num_denoise_steps=k)] * min(count, self.max_players))

    def _step(self, wishes: list[Wish], k: int) -> list[Dreamt]:
        count = 1 << (len(wishes) - 1).bit_length()
        padded = wishes + [wishes[-1]] * (count - len(wishes))
        state = wishes[0].state if count == 1 else self._join([wish.state for wish in padded])
        rows = np.stack([wish.row for wish in padded])
        scales = np.array([wish.noise_scale for wish in padded], np.float32)
        state, out = self._sim(k).step(state, rows, noise_scale=scales)
        states = [state] if count == 1 else self._split(state)
        out = jax.device_get(out)
        return [
            Dreamt(
                states[i],
                out.obs[i],
                float(out.reward[i]),
                bool(out.terminated[i]),
                float(out.uncertainty[i]) if k > 1 else None,
            )
            for i in range(len(wishes))
        ]

    def _sim(self, k: int) -> Simulator:
        if k not in self._sims:
            self._sims[k] = Simulator.from_world(self._shared, num_denoise_steps=k)
        return self._sims[k]


def _join(states: list[SimState]) -> SimState:
    return jax.tree.map(lambda *x: jnp.concatenate(x), *states)


def _split(state: SimState) -> list[SimState]:
    def one(i: int) -> SimState:
        return jax.tree.map(lambda x: x[i : i + 1], state)

    return [one(i) for i in range(state.frame_index.shape[0])]
