"""Who plays while footage is recorded: "random" or "noisy".

Both hold an action for a few frames, because a player does and because single-frame jitter shows little of what an
action does. "noisy" lets the environment's own scripted player act, so that footage shows the game being played,
and puts in short runs of random actions, a share of 10 to 30 % that is drawn anew for each episode.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from worldsim.types import ActionSpec

POLICIES = ("noisy", "random")
NOISE_SHARE = (0.1, 0.3)
_HOLD = 8  # a random action lasts 1 to 8 frames, 4.5 on average
_BURST = 6  # noise lasts 1 to 6 frames, 3.5 on average

Policy = Callable[[], Float[np.ndarray, " a"]]
"""Gives the next action row `[a]`."""


def check_policy(name: str) -> None:
    """Refuse a policy that there is not.

    Raises:
        ValueError: names those that there are.
    """
    if name.startswith("agent:"):
        raise ValueError(
            f"policy wants one of {POLICIES}, got {name!r}: recording with a trained agent is not possible yet."
        )
    if name not in POLICIES:
        raise ValueError(f"policy wants one of {POLICIES}, got {name!r}.")


def make_policy(name: str, spec: ActionSpec, rng: np.random.Generator, scripted: Policy | None) -> Policy:
    """The policy of one episode. `scripted` is the environment's own player, where it has one."""
    check_policy(name)
    if name == "random" or scripted is None:
        return sticky_random(spec, rng, _HOLD)
    return with_noise(scripted, spec, rng, share=float(rng.uniform(*NOISE_SHARE)))


def sticky_random(spec: ActionSpec, rng: np.random.Generator, hold: int) -> Policy:
    """Uniform random actions, each held for 1 to `hold` frames."""
    row, left = spec.noop, 0

    def policy() -> Float[np.ndarray, " a"]:
        nonlocal row, left
        if left == 0:
            row, left = spec.sample(rng), int(rng.integers(1, hold + 1))
        left -= 1
        return row

    return policy


def with_noise(scripted: Policy, spec: ActionSpec, rng: np.random.Generator, *, share: float) -> Policy:
    """Let random actions, held for 1 to 6 frames, take the place of `scripted` for a `share` of the time."""
    mean = (1 + _BURST) / 2
    start = share / (share + mean * (1 - share))  # a run of `mean` frames with this chance has the wanted share
    row, left = spec.noop, 0

    def policy() -> Float[np.ndarray, " a"]:
        nonlocal row, left
        if left == 0 and rng.random() < start:
            row, left = spec.sample(rng), int(rng.integers(1, _BURST + 1))
        if left == 0:
            return scripted()
        left -= 1
        return row

    return policy
