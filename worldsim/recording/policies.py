"""Who plays while footage is recorded: "noisy", "lapsing", "random", "noop", or a trained agent.

"noop" presses nothing. The others hold an action for a few frames, because a player does and because single-frame
jitter shows little of what an action does. "noisy" lets the environment's own scripted player act, so that footage
shows the game being played, and puts in short runs of random actions, a fraction of 10 to 30 % that is drawn anew for
each episode. "lapsing" is the same player, who now and then lets go and leaves the keys to chance for a while: footage
of one who plays well has few ends, and a world that saw few does not know when it is over.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from worldsim.controls import ActionSpec

POLICIES = ("noisy", "lapsing", "random", "noop")
AGENT = "agent:"
"""What stands before the path of a trained agent where a policy is named."""
NOISE_FRACTION = (0.1, 0.3)
HOLD = 8  # a random action lasts 1 to 8 frames, 4.5 on average
LAPSE, LAPSE_EVERY = 40, 100  # frames of a lapse, and between two of them on average
_BURST = 6  # noise lasts 1 to 6 frames, 3.5 on average

Policy = Callable[..., Float[np.ndarray, " a"]]
"""Returns the next action row `[a]`, from a frame uint8 `[h w c]` and the row that led to it (NaN: unknown)."""

PolicyMaker = Callable[[ActionSpec, tuple[int, int], int], Policy]
"""Makes the policy of an episode for a game's controls, the size of its pictures and a seed; picklable."""

ScriptedPlayer = Callable[[], Float[np.ndarray, " a"]]
"""Returns the next action row of a player that reads the state of its environment."""


def check_policy(name: str) -> None:
    """Refuse a policy that does not exist.

    Raises:
        ValueError: names the existing ones.
    """
    if name not in POLICIES:
        raise ValueError(
            f"expected one of {POLICIES} for policy, got {name!r}; agent:PATH is for worldsim.agent.record."
        )


def make_policy(name: str, spec: ActionSpec, rng: np.random.Generator, scripted: ScriptedPlayer | None) -> Policy:
    """Make the policy of one episode. `scripted` is the environment's own player, where it has one."""
    check_policy(name)
    if name == "noop":
        return lambda *_: spec.noop
    if name == "random" or scripted is None:
        return sticky_random(spec, rng)
    player = with_noise(scripted, spec, rng, fraction=float(rng.uniform(*NOISE_FRACTION)))
    return with_lapses(player, spec, rng) if name == "lapsing" else player


def sticky_random(spec: ActionSpec, rng: np.random.Generator, hold: int = HOLD) -> Policy:
    """Uniform random actions, each held for 1 to `hold` frames."""
    row, left = spec.noop, 0

    def policy(*_: object) -> Float[np.ndarray, " a"]:
        nonlocal row, left
        if left == 0:
            row, left = spec.sample(rng), int(rng.integers(1, hold + 1))
        left -= 1
        return row

    return policy


def with_noise(scripted: ScriptedPlayer, spec: ActionSpec, rng: np.random.Generator, *, fraction: float) -> Policy:
    """Let random actions, held for 1 to 6 frames, take the place of `scripted` for a `fraction` of the time."""
    mean = (1 + _BURST) / 2
    start = fraction / (fraction + mean * (1 - fraction))  # the chance by which runs of `mean` frames take so much
    row, left = spec.noop, 0

    def policy(*_: object) -> Float[np.ndarray, " a"]:
        nonlocal row, left
        if left == 0 and rng.random() < start:
            row, left = spec.sample(rng), int(rng.integers(1, _BURST + 1))
        if left == 0:
            return scripted()
        left -= 1
        return row

    return policy


def with_lapses(player: Policy, spec: ActionSpec, rng: np.random.Generator) -> Policy:
    """Let random actions take the place of `player` for LAPSE frames at a time, once in LAPSE_EVERY on average."""
    keys, left = sticky_random(spec, rng), 0

    def policy(*seen: object) -> Float[np.ndarray, " a"]:
        nonlocal keys, left
        if left == 0 and rng.random() < 1 / LAPSE_EVERY:
            keys, left = sticky_random(spec, rng), LAPSE
        if left == 0:
            return player(*seen)
        left -= 1
        return keys()

    return policy
