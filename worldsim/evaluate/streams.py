"""Streams: long dreams under random actions, each held for 1 to 8 frames, as in recording.

No stream begins anew, not even where the game would be over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import jax
import numpy as np
from jaxtyping import Float, UInt8

from worldsim.controls import ActionSpec
from worldsim.evaluate.trial import CONTEXT, Trial, draw_windows, dream_on
from worldsim.initial import InitialContext
from worldsim.recording.policies import Policy, sticky_random

CHUNK = 128  # frames that are dreamed, measured and forgotten together
HOLD = 8  # a random action lasts 1 to 8 frames


def random_policies(spec: ActionSpec, count: int, seed: Sequence[int]) -> list[Policy]:
    """Policies of `count` streams, each with random numbers of its own."""
    return [sticky_random(spec, rng, HOLD) for rng in np.random.default_rng(seed).spawn(count)]


def held_actions(policies: Sequence[Policy], num_frames: int) -> Float[np.ndarray, "b t a"]:
    """The next actions of each stream."""
    return np.stack([np.stack([policy() for _ in range(num_frames)]) for policy in policies])


def dream_streams(
    trial: Trial, num_frames: int, num_streams: int, *, also_still: bool = False
) -> Iterator[UInt8[np.ndarray, "b t h w c"]]:
    """Dream streams of `num_frames` frames from held-out contexts.

    With `also_still` as many again that stand still, from the same contexts, come last.

    Yields:
        The recorded context, CONTEXT frames, then the dreamed frames, up to CHUNK at a time.

    Raises:
        ValueError: fewer contexts than streams, or a world that gives NaN.
    """
    sim, columns, seed = trial.sim, trial.held_out, trial.seed
    rows = draw_windows(columns, CONTEXT, num_streams, seed)
    if len(rows) < num_streams:
        raise ValueError(f"expected {num_streams} contexts of {CONTEXT} frames for long dreams, got {len(rows)}.")
    num_still = num_streams if also_still else 0
    rows = np.concatenate([rows, rows[:num_still]])
    policies = random_policies(sim.action_spec, num_streams, [seed, 17])
    yield columns.obs[rows]
    state, _ = sim.reset(
        jax.random.key(seed), initial=InitialContext.frames(columns.obs[rows], columns.prev_action[rows])
    )
    for start in range(0, num_frames, CHUNK):  # whole chunks, so that one program serves all
        still = np.broadcast_to(sim.action_spec.noop, (num_still, CHUNK, sim.action_spec.size))
        actions = np.concatenate([held_actions(policies, CHUNK), still])
        try:
            state, out = dream_on(sim, state, actions)
        except ValueError as error:
            raise ValueError(f"frames {start + 1} to {start + CHUNK} of a long dream: {error}") from error
        yield np.asarray(out.obs)[:, : num_frames - start]
