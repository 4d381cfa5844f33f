"""Plays: the game is played from its start, and the world dreams the same actions on from the same first frames.

Windows of a second or two, drawn anywhere, do not show what people and agents meet: a dream that goes on for a minute,
in which the player may be lost, nothing pays, or nobody ever dies. A play begins at the first frame of an episode; the
world gets CONTEXT frames and then dreams under the actions that were played there, until both the game and the dream
are over, or for `play_seconds`. Where the game was over first, the dream goes on under the actions of the episodes that
follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8

from worldsim.data.dataset import Columns
from worldsim.data.meta import FootageMeta
from worldsim.data.store import Footage
from worldsim.evaluate.options import DEFAULTS, EvalOptions
from worldsim.evaluate.trial import CONTEXT, Trial, dream_on, whole_chunks
from worldsim.initial import InitialContext
from worldsim.recording.record import record
from worldsim.recording.source import SETTINGS

PLAY_SEED = 2_000_003  # of the recordings: one that nobody trains on
PLAYERS = ("noisy", "random", "noop")
"""Policies by which the game is played for comparison."""
RECORDED = "recorded"
"""Who plays where no plays were recorded: whoever made the held-out footage."""
CHUNK = 128  # frames that are dreamed by one call
LEAST = 8  # frames of a play after its context


class Play(NamedTuple):
    """One policy's plays and the dreams beside them; b plays of t frames after the context."""

    policy: str
    columns: Columns
    rows: Int64[np.ndarray, "b t"]
    """Of the game's frames; the episode's last row again after its end."""
    horizon: Int64[np.ndarray, " b"]
    """Frames over which both can be compared: t, fewer where the recording of the episode was cut."""
    game_length: Int64[np.ndarray, " b"]
    """Frames until the game was over, at most the horizon."""
    game_ended: Bool[np.ndarray, " b"]
    dream: UInt8[np.ndarray, "b t h w c"]
    dream_reward: Float[np.ndarray, "b t"] | None
    dream_length: Int64[np.ndarray, " b"]
    dream_ended: Bool[np.ndarray, " b"]

    def alive(self, length: Int64[np.ndarray, " b"]) -> Bool[np.ndarray, "b t"]:
        """Which frames come before an end."""
        return np.arange(self.rows.shape[1]) < length[:, None]


def record_plays(
    meta: FootageMeta,
    out: Path,
    options: EvalOptions = DEFAULTS,
    *,
    num_workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Footage]:
    """Play a game under each recording policy, as its footage shows it.

    Args:
        meta: of footage of the game.
        out: a folder for the recordings, one folder for a policy and a length; what is there already is used.
        options: of the evaluation that they are for.
        num_workers: processes that play.
        on_progress: called with frames done and frames wanted.

    Returns:
        Footage by policy; "noisy" is left out for a game without a scripted player, where it is "random".

    Raises:
        ValueError: the game is not the footage's any more: another size, pace or controls.
        Exception: whatever a game raises that cannot be started or played here.
    """
    settings = {name: meta.recorder[name] for name in SETTINGS if meta.recorder.get(name)}
    length = CONTEXT + round(options.play_seconds * meta.fps)
    num_frames = _plays_per_seed(options) * len(options.seeds) * length
    report = on_progress or (lambda done, wanted: None)
    found = {}
    for turn, policy in enumerate(PLAYERS):

        def tick(done: int, wanted: int, turn: int = turn) -> None:
            report(turn * wanted + done, len(PLAYERS) * wanted)

        how = {"num_frames": num_frames, "max_episode_len": length, "size": meta.size, "seed": PLAY_SEED}
        found[policy] = record(
            meta.game,
            out / f"{policy}-{options.play_seconds:g}s",
            policy=policy,
            num_workers=num_workers,
            on_progress=tick,
            **how,
            **settings,
        )
        meta.check_same_world(found[policy].meta)
    if np.array_equal(found["noisy"][0].action, found["random"][0].action):
        del found["noisy"]
    return found


def over_plays(trial: Trial, per_play: Callable[[Trial, Play], Any]) -> dict[str, Any]:
    """What a function gives for each policy; plays are dreamed once for all functions of `on_plays`."""
    if per_play not in trial.cache:
        functions = dict.fromkeys((*trial.on_plays, per_play))
        answers = [(play.policy, [function(trial, play) for function in functions]) for play in dream_plays(trial)]
        for number, function in enumerate(functions):
            trial.cache[function] = {policy: given[number] for policy, given in answers}
    return trial.cache[per_play]


def dream_plays(trial: Trial) -> Iterator[Play]:
    """Dream a seed's share of the plays of each policy; policies without a long enough episode are left out."""
    options = trial.options
    num_frames = max(LEAST, round(options.play_seconds * trial.sim.fps))
    turn = options.seeds.index(trial.seed) if trial.seed in options.seeds else 0
    for policy, columns in (trial.reference.plays or {RECORDED: trial.held_out}).items():
        long_enough = np.flatnonzero(np.diff(columns.bounds) >= CONTEXT + LEAST)
        order = np.random.default_rng(0).permutation(long_enough)  # of all seeds, so that none plays another's
        share = _plays_per_seed(options)
        chosen = order[turn * share : (turn + 1) * share]
        if len(chosen):
            yield _dream_play(trial, policy, columns, columns.bounds[chosen], columns.bounds[chosen + 1], num_frames)


def _plays_per_seed(options: EvalOptions) -> int:
    return max(1, -(-options.num_plays // len(options.seeds)))


def _dream_play(
    trial: Trial, policy: str, columns: Columns, first: np.ndarray, stop: np.ndarray, num_frames: int
) -> Play:
    sim, ages = trial.sim, CONTEXT + np.arange(num_frames)
    context = first[:, None] + np.arange(CONTEXT)
    rows = np.minimum(first[:, None] + ages, stop[:, None] - 1)
    action = columns.prev_action[(first[:, None] + ages) % len(columns.prev_action)]
    action = np.where(np.isnan(action).any(-1, keepdims=True), sim.action_spec.noop, action)
    initial = InitialContext.frames(columns.obs[context], columns.prev_action[context])
    state, _ = sim.reset(jax.random.key(trial.seed), initial=initial)
    parts = []
    for chunk in whole_chunks(action, CHUNK):
        state, out = dream_on(sim, state, chunk)
        parts.append((out.obs, out.reward, out.terminated))
    obs, reward, over = (
        None
        if any(part is None for part in series)
        else np.concatenate(list(map(np.asarray, series)), 1)[:, :num_frames]
        for series in zip(*parts)
    )
    assert obs is not None
    nothing = np.zeros(rows.shape, bool)
    recorded = stop - first - CONTEXT
    game_over = columns.terminated[rows] & (first[:, None] + ages < stop[:, None])
    horizon = np.where(game_over.any(1), num_frames, np.minimum(num_frames, recorded))
    game_length, game_ended = _length(game_over, horizon)
    dream_length, dream_ended = _length(nothing if over is None else over, horizon)
    return Play(policy, columns, rows, horizon, game_length, game_ended, obs, reward, dream_length, dream_ended)


def _length(over: Bool[np.ndarray, "b t"], horizon: Int64[np.ndarray, " b"]) -> tuple[np.ndarray, np.ndarray]:
    """Frames until the first end, its own included, and whether there was one within the horizon."""
    first = np.where(over.any(1), over.argmax(1) + 1, over.shape[1] + 1)
    return np.minimum(first, horizon), first <= horizon
