"""The clips that a world is measured on: recorded windows, and what the world makes of them.

A clip is CONTEXT recorded frames and then `horizon` more of one episode; the world sees the context and dreams the rest
under the recorded actions. All frames of a clip are real: none reaches past the end of its episode.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int64, PRNGKeyArray, UInt8

from worldsim.data.dataset import Columns, Windows
from worldsim.simulator import Simulator
from worldsim.types import SimState, StepOutput

CONTEXT = 8
HORIZONS = (64, 32, 16)


class Clip(NamedTuple):
    """A batch of clips and the world's versions of them; t = CONTEXT + horizon frames."""

    real: UInt8[np.ndarray, "b t h w c"]
    free: UInt8[np.ndarray, "b horizon h w c"]  # dreamed from the context on
    reconstruction: UInt8[np.ndarray, "b t h w c"]  # through the tokenizer and back
    teacher_forced: UInt8[np.ndarray, "b t h w c"]  # each frame from the true ones before it; the first is a copy
    state: Float[np.ndarray, "b t s"] | None  # the engine's ground truth


def longest_horizon(columns: Columns, limit: int = HORIZONS[0]) -> int:
    """The largest of 64, 32 and 16 frames, at most `limit`, for which an episode is long enough.

    Raises:
        ValueError: no episode has CONTEXT + 16 frames.
    """
    longest = columns.longest
    for horizon in HORIZONS:
        if horizon <= limit and CONTEXT + horizon <= longest:
            return horizon
    raise ValueError(
        f"evaluation wants held-out episodes of at least {CONTEXT + HORIZONS[-1]} frames, the longest has {longest}; "
        f"record more frames."
    )


def draw_windows(columns: Columns, length: int, count: int, seed: int) -> Int64[np.ndarray, "n t"]:
    """Draw rows of up to `count` different windows of real frames; fewer where the footage has fewer."""
    windows = Windows(columns, length, min_real=length)
    ids = np.random.default_rng([seed, length]).permutation(len(windows))[:count]
    return windows.rows(ids)[0]


def batches(rows: Int64[np.ndarray, "n t"], batch_size: int) -> Iterator[tuple[Int64[np.ndarray, "b t"], int]]:
    """Split rows into batches of one size, the last filled up with its first row; the count is of those meant."""
    batch_size = min(batch_size, len(rows))
    for start in range(0, len(rows), batch_size):
        part = rows[start : start + batch_size]
        yield np.concatenate([part, np.repeat(part[:1], batch_size - len(part), 0)]), len(part)


def free_run(
    sim: Simulator,
    obs: UInt8[np.ndarray, "b t h w c"],
    actions: Float[np.ndarray, "b t a"],
    key: PRNGKeyArray,
    context: int = CONTEXT,
) -> UInt8[np.ndarray, "b horizon h w c"]:
    """Dream on from the first `context` frames of `obs` under `actions` (by arrival, those of the context included)."""
    state, _ = sim.reset(key, prompt=obs[:, :context], prompt_actions=actions[:, :context])
    return np.asarray(dream_on(sim, state, actions[:, context:])[1].obs)


def dream_on(sim: Simulator, state: SimState, actions: Float[np.ndarray, "b horizon a"]) -> tuple[SimState, StepOutput]:
    """Take steps, as `Simulator.rollout` does, and see to it that what comes can be measured.

    Pictures of whole numbers cannot say that they come of NaN, so that the uncertainty and the reward are asked.

    Raises:
        ValueError: the world gives NaN or infinity, or pictures that are not uint8.
    """
    state, out = sim.rollout(state, actions)
    for name in ("uncertainty", "reward"):
        said = getattr(out, name)
        if said is not None and (bad := ~np.isfinite(np.asarray(said))).any():
            frame = int(bad.any(0).argmax()) + 1
            raise ValueError(
                f"the world gave NaN or infinity as {name} in {int(bad.any(1).sum())} of {len(bad)} dreams, "
                f"first in frame {frame} of {bad.shape[1]}: nothing that it dreams can be measured."
            )
    if (dtype := np.asarray(out.obs).dtype) != np.uint8:
        raise ValueError(f"a dream wants uint8 frames, the world gave {dtype}.")
    return state, out


def dream_clips(
    sim: Simulator, columns: Columns, *, horizon: int, num_windows: int, seed: int, batch_size: int = 32
) -> Iterator[Clip]:
    """Draw windows and let the world dream, reconstruct and predict them, batch by batch."""
    rows = draw_windows(columns, CONTEXT + horizon, num_windows, seed)
    for number, (ids, count) in enumerate(batches(rows, batch_size)):
        key_free, key_teacher = jax.random.split(jax.random.fold_in(jax.random.key(seed), number))
        obs, actions = columns.obs[ids], columns.prev_action[ids]
        yield Clip(
            real=obs[:count],
            free=free_run(sim, obs, actions, key_free)[:count],
            reconstruction=np.asarray(sim.reconstruct(obs))[:count],
            teacher_forced=np.asarray(sim.teacher_forced(obs, actions, key_teacher))[:count],
            state=None if columns.state is None else columns.state[ids[:count]],
        )
