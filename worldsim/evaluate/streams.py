"""Streams: dreams that go on and on under random actions, each held for 1 to 8 frames, as in recording.

Nobody begins a stream anew, not even where the game would be over.
"""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np
from jaxtyping import UInt8

from worldsim.data.dataset import Columns
from worldsim.data.policies import sticky_random
from worldsim.evaluate.dreams import CONTEXT, draw_windows, dream_on
from worldsim.simulator import Simulator

CHUNK = 128  # frames that are dreamed, measured and forgotten together
HOLD = 8  # a random action lasts 1 to 8 frames


def dream_streams(
    sim: Simulator, columns: Columns, *, num_frames: int, num_streams: int, seed: int, also_still: bool = False
) -> Iterator[UInt8[np.ndarray, "b t h w c"]]:
    """Dream streams from held-out contexts.

    Args:
        sim: the world.
        columns: recorded frames, where the streams begin.
        num_frames: length of each stream.
        num_streams: streams under random actions.
        seed: of the contexts, the actions and the noise.
        also_still: whether to dream as many again that stand still, from the same contexts; they come last.

    Yields:
        The recorded context, CONTEXT frames, then the dreamed frames, up to CHUNK at a time.

    Raises:
        ValueError: fewer contexts than streams, or a world that gives NaN.
    """
    rows = draw_windows(columns, CONTEXT, num_streams, seed)
    if len(rows) < num_streams:
        raise ValueError(f"long dreams want {num_streams} contexts of {CONTEXT} frames, the footage has {len(rows)}.")
    num_still = num_streams if also_still else 0
    rows = np.concatenate([rows, rows[:num_still]])
    rngs = np.random.default_rng([seed, 17]).spawn(num_streams)
    policies = [sticky_random(sim.action_spec, rng, HOLD) for rng in rngs]
    yield columns.obs[rows]
    state, _ = sim.reset(jax.random.key(seed), prompt=columns.obs[rows], prompt_actions=columns.prev_action[rows])
    for start in range(0, num_frames, CHUNK):  # whole chunks, so that one program serves all
        actions = np.stack(
            [np.stack([policy() for _ in range(CHUNK)]) for policy in policies]
            + [np.tile(sim.action_spec.noop, (CHUNK, 1))] * num_still
        )
        try:
            state, out = dream_on(sim, state, actions)
        except ValueError as error:
            raise ValueError(f"frames {start + 1} to {start + CHUNK} of a long dream: {error}") from error
        yield np.asarray(out.obs)[:, : num_frames - start]
