"""Clips of dreams at given ages, and the game's own clips of the same ages, in two halves that share no episode.

Streams begin at held-out contexts drawn anywhere, and dream on under the actions that were recorded there. Where too
few episodes are long enough, streams begin anywhere and go on past the end of their episode under the actions of the
episodes that follow in their half: they are the same player's. No stream begins anew.

A footage of one episode is cut in the middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64, PRNGKeyArray, UInt8

from worldsim.data.dataset import Columns
from worldsim.evaluate.trial import CONTEXT, Trial, batches, dream_on, whole_chunks
from worldsim.initial import InitialContext
from worldsim.simulator import Simulator

SPAN = 16  # frames of a clip
CHUNK = 64  # frames that are dreamed by one call
LEAST_FRACTION = 0.25  # of the rows that a half needs, or an episode is cut
Clips = UInt8[np.ndarray, "n span h w c"]


class TooFewContextsError(ValueError):
    """The footage holds fewer contexts than there are streams to begin."""


class Dreams(NamedTuple):
    """Clips of dreams at some ages, and when each dream called itself over."""

    clips: list[Clips]
    end: Int64[np.ndarray, " n"]
    """Frames until then, its last one included; more than were dreamed where it did not."""


class Half(NamedTuple):
    """Clips of one half of the recording, by age in seconds: of the dreams that did not call themselves over before."""

    dream: dict[int, Clips]
    game: dict[int, Clips]
    """Recorded frames of the same streams at the same ages; a clip crosses no end of an episode."""
    past_end: Bool[np.ndarray, " n"]
    """Whether each stream goes on behind the end of the episode that it began in."""


def dream_halves(trial: Trial, ages: Sequence[int], count: int) -> tuple[Half, Half]:
    """Dream `count` streams, half of them in each half of the recording.

    Raises:
        TooFewContextsError: fewer contexts than streams.
        ValueError: a world that gives NaN.
    """
    columns, at = trial.held_out, [round(age * trial.sim.fps) for age in ages]
    length = CONTEXT + max(at) + SPAN
    halves = split_bounds(columns)
    rng = np.random.default_rng([trial.seed, 23])
    rows = [draw_rows(bounds, length, count // 2, rng) for bounds in halves]
    found = [
        (dream_at(trial.sim, columns, ids, at, SPAN, key), num) for ids, num, key in trial.batches(np.concatenate(rows))
    ]
    dreams = [np.concatenate(clips) for clips in zip(*([clips[:num] for clips in part.clips] for part, num in found))]
    end = np.concatenate([part.end[:num] for part, num in found])
    result = []
    for number, (bounds, own) in enumerate(zip(halves, rows)):
        mine = slice(number * (count // 2), (number + 1) * (count // 2))
        goes_on = {age: end[mine] >= start + SPAN for age, start in zip(ages, at)}
        dream = {age: clips[mine][goes_on[age]] for age, clips in zip(ages, dreams)}
        clips = {age: _clip_rows(bounds, own[goes_on[age], CONTEXT + start]) for age, start in zip(ages, at)}
        game = {age: columns.obs[rows_of_clips] for age, rows_of_clips in clips.items()}
        result.append(Half(dream, game, np.asarray(lies_past_end(bounds, own).any(1))))
    return result[0], result[1]


def split_bounds(columns: Columns) -> tuple[Int64[np.ndarray, " i"], Int64[np.ndarray, " j"]]:
    """Divide the rows into two halves, each with the bounds of its episodes, at the end of an episode if possible."""
    total, inner = int(columns.bounds[-1]), columns.bounds[1:-1]
    middle = int(inner[np.abs(inner - total / 2).argmin()]) if len(inner) else 0
    if not LEAST_FRACTION <= middle / total <= 1 - LEAST_FRACTION:
        middle = total // 2
    bounds = np.unique(np.append(columns.bounds, middle))
    return bounds[bounds <= middle], bounds[bounds >= middle]


def draw_rows(
    bounds: Int64[np.ndarray, " i"], length: int, count: int, rng: np.random.Generator | None = None
) -> Int64[np.ndarray, "count length"]:
    """Draw the rows of streams within a half: those that fit into an episode, or where there are too few, any.

    Without `rng` they are spread evenly.

    Raises:
        TooFewContextsError: fewer contexts than streams.
    """
    first = np.arange(bounds[0], bounds[-1])
    room = _stop(bounds, first) - first
    fitting = first[room >= length]
    if len(fitting) < count:
        fitting = first[room >= CONTEXT]
    if len(fitting) < count:
        raise TooFewContextsError(
            f"expected {count} contexts of {CONTEXT} frames in half of the footage, got {len(fitting)}."
        )
    spread = np.linspace(0, len(fitting) - 1, count).astype(int)
    chosen = fitting[spread] if rng is None else rng.permutation(fitting)[:count]
    return bounds[0] + (chosen[:, None] - bounds[0] + np.arange(length)) % (bounds[-1] - bounds[0])


def dream_at(
    sim: Simulator, columns: Columns, rows: Int64[np.ndarray, "n t"], at: Sequence[int], span: int, key: PRNGKeyArray
) -> Dreams:
    """Dream streams on from their first CONTEXT rows under the actions of the rest.

    Args:
        sim: the world.
        columns: the recording.
        rows: of each stream, at least CONTEXT + max(at) + span.
        at: dreamed frames, from 0, at which a clip begins.
        span: frames of a clip.
        key: of the noise.

    Returns:
        The clips `[n span h w c]` that begin at each of `at`, and the ends; dreams go on behind them.
    """
    taken = columns.prev_action[rows]
    state, _ = sim.reset(key, initial=InitialContext.frames(columns.obs[rows[:, :CONTEXT]], taken[:, :CONTEXT]))
    actions = np.where(np.isnan(taken).any(-1, keepdims=True), sim.action_spec.noop, taken)[:, CONTEXT:]
    pieces: list[list[np.ndarray]] = [[] for _ in at]
    end = np.full(len(rows), actions.shape[1] + 1)
    for number, chunk in enumerate(whole_chunks(actions[:, : max(at) + span], CHUNK)):
        start = number * CHUNK
        state, out = dream_on(sim, state, chunk)
        for piece, first in zip(pieces, at):
            piece.append(np.asarray(out.obs)[:, max(first - start, 0) : max(first + span - start, 0)])
        if out.terminated is not None:
            over = np.asarray(out.terminated)
            end = np.where(over.any(1), np.minimum(end, start + 1 + over.argmax(1)), end)
    return Dreams([np.concatenate(piece, 1) for piece in pieces], end)


def lies_past_end(bounds: Int64[np.ndarray, " i"], rows: Int64[np.ndarray, "n t"]) -> Bool[np.ndarray, "n t"]:
    """Which rows of streams lie behind the end of the episode that the stream began in."""
    return (rows >= _stop(bounds, rows[:, :1])) | (rows < rows[:, :1])


def _clip_rows(bounds: Int64[np.ndarray, " i"], first: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, "n t"]:
    """Rows of clips, moved back where they would cross the end of their episode."""
    stop = _stop(bounds, first)
    start = bounds[np.searchsorted(bounds, first, side="right") - 1]
    begin = np.maximum(np.minimum(first, stop - SPAN), start)
    return np.minimum(begin[:, None] + np.arange(SPAN), stop[:, None] - 1)


def _stop(bounds: Int64[np.ndarray, " i"], rows: Int64[np.ndarray, "..."]) -> Int64[np.ndarray, "..."]:
    """The end of the episode of each row."""
    return bounds[np.searchsorted(bounds, rows, side="right")]


def through_tokenizer(trial: Trial, clips: Clips) -> Clips:
    """Recorded clips, encoded and decoded by the world."""
    rows = np.arange(len(clips))[:, None]
    parts = [
        np.asarray(trial.sim.reconstruct(clips[ids[:, 0]]))[:count]
        for ids, count in batches(rows, trial.options.batch_size)
    ]
    return np.concatenate(parts)
