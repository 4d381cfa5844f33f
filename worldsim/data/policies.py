"""Who plays while footage is recorded: "random", "noisy", or a trained agent, "agent:PATH".

The first two hold an action for a few frames, because a player does and because single-frame jitter shows little of
what an action does. "noisy" lets the environment's own scripted player act, so that footage shows the game being
played, and puts in short runs of random actions, a share of 10 to 30 % that is drawn anew for each episode.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from worldsim.types import ActionSpec

POLICIES = ("noisy", "random")
AGENT = "agent:"  # and the path of a trained agent
NOISE_SHARE = (0.1, 0.3)
_HOLD = 8  # a random action lasts 1 to 8 frames, 4.5 on average
_BURST = 6  # noise lasts 1 to 6 frames, 3.5 on average

Policy = Callable[[], Float[np.ndarray, " a"]]
"""Gives the next action row `[a]`."""


Pilot = Callable[[Any, Any], Any]
"""Gives the next action row `[a]` for a frame `[h w c]` and the row that led to it, NaN at an episode's first."""


def check_policy(name: str, pilots: str | None = None) -> None:
    """Refuse a policy that there is not.

    Raises:
        ValueError: names those that there are.
    """
    if name not in POLICIES and not (pilots and name.startswith(AGENT)):
        raise ValueError(f"policy wants one of {POLICIES}, or agent:PATH by worldsim.agent.record, got {name!r}.")


def make_pilot(pilots: str, name: str, spec: ActionSpec, size: tuple[int, int], seed: int) -> Pilot:
    """Let a trained agent play an episode.

    Args:
        pilots: "module:function" that makes a pilot of (path, spec, size, seed); this layer knows no agents.
        name: "agent:PATH".
        spec: the game's controls.
        size: of its pictures.
        seed: of the agent's samples.
    """
    return pkgutil.resolve_name(pilots)(name.removeprefix(AGENT), spec, size, seed)


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
