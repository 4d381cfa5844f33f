"""Spawn and vanish rate: how often does an object appear or disappear in a long dream without cause?

A few streams are dreamed under random held actions (`worldsim.evaluate.streams`), and in every frame each object of
which the footage has the ground truth is looked for anywhere, by its detector (`worldsim.evaluate.fitted.detector`). It
is seen from a score of 3/4 on, that of half contrast: below, half a paddle would pass for a ball. An object is there
once it was seen in 2 frames in a row, and gone once it was missed in 3 in a row, so that a detector that flickers makes
no event. It spawns at the first place where it was seen, and vanishes at the last. What the first frames of a stream
settle, the recorded context among them, is no event.

An event has a cause where the game has the like: the ground truth of the calibration episodes shows, by the same rule,
where the object spawns and where it vanishes, such as Pong's ball in the middle of the field and at its edges, counting
it as there while it lies wholly inside the frame. An event further than 8 pixels (of a frame 64 pixels wide) from all
recorded ones of its kind is without cause. What happens between the episodes is not recorded.

- `spawn_per_1000`, `vanish_per_1000`: events without cause of all followed objects together, per 1,000 frames of one
  stream; 0 is best. A jump from one place to another is neither.
- `spawn_per_1000_real`, `vanish_per_1000_real`: the same in held-out recorded frames: what the detector errs, the
  floor.
- `objects_mean`, `objects_mean_real`: how many of them are there, mean over frames: a world in which all has faded has
  no events any more. Under other actions the game itself may have another mean.
- `<object>_spawn_per_1000` and so on: the same of each object alone.
- `<object>_spawn_blind`, `<object>_vanish_blind`: fraction of the recorded frames with the object in which it lies
  where an event would have a cause, 0..1: what the number cannot see. Above .9 the object is left out of that number,
  which is None with a reason.
- `spawns_skipped`: what is not followed: several objects that look alike.
- `num_spawn_frames`, `num_spawn_frames_real`: frames that were looked at, dreamed and recorded.

"curves" gives the number of objects that are there at about 100 points of the dream.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int8, UInt8
from scipy.spatial import KDTree

from worldsim.data.dataset import Columns
from worldsim.evaluate.fitted.targets import Target
from worldsim.evaluate.metric import Metric, Numbers, families, not_measured
from worldsim.evaluate.metrics.drift import points
from worldsim.evaluate.streams import dream_streams
from worldsim.evaluate.trial import CONTEXT, Measurement, Trial, draw_windows, full_only

SCORE = 0.75
SEEN = 2  # frames in a row until an object is there
MISSED = 3  # and until it is gone
RADIUS = 8.0  # pixels of a frame 64 pixels wide
BLIND = 0.9
LEAST_FRAMES = 16  # of a recorded window, beyond the context
KINDS = ("spawn", "vanish")
METRICS = (
    *(
        Metric(
            f"{kind}_per_1000",
            "lower",
            f"objects that {kind} without cause per 1,000 frames",
            perfect=f"{kind}_per_1000_real",
            digits=1,
            headline=headline,
        )
        for kind, headline in zip(KINDS, (23, 24))
    ),
    *families("lower", "*_per_1000*"),
)


class Track(NamedTuple):
    """When an object is there in b films, and the places `[n 2]` of its events beyond the context, by kind."""

    there: np.ndarray  # bool [b t]
    events: dict[str, np.ndarray]


class Causes(NamedTuple):
    """Where the game itself has events of an object, by kind, and the fraction of its places that lie near one."""

    events: dict[str, np.ndarray]  # [n 2], pixels
    blind: dict[str, float]


def measure_spawns(trial: Trial, *, num_frames: int = 256, num_streams: int = 4) -> Numbers:
    """Dream `num_streams` streams of `num_frames` frames and count the events without cause.

    The calibration frames show where objects appear and disappear; about as many frames as are dreamed are looked at in
    recorded windows, if there are as many.

    Raises:
        ValueError: no stream, a stream shorter than 16 frames, fewer contexts than streams, or a world that gives NaN.
    """
    if num_streams < 1 or num_frames < LEAST_FRAMES:
        raise ValueError(
            f"expected at least 1 stream of {LEAST_FRAMES} frames, got num_streams={num_streams} and "
            f"num_frames={num_frames}."
        )
    calibration, held_out, targets = trial.reference.calibration, trial.held_out, trial.reference.targets
    followed = {name: _strict(target) for name, target in targets.items() if len(target.columns) == 1}
    alike = [f"{name} ({len(t.columns)} that look alike)" for name, t in targets.items() if name not in followed]
    skipped = {"spawns_skipped": ", ".join(alike)} if alike else {}
    if calibration.state is None or not followed:
        return _nothing("the footage has no single object with ground truth that a detector can be fitted to") | skipped
    if (longest := held_out.longest) < CONTEXT + LEAST_FRAMES:
        return _nothing(f"no episode has {CONTEXT + LEAST_FRAMES} frames, the longest has {longest}") | skipped
    length = min(CONTEXT + num_frames, longest)
    rows = draw_windows(held_out, length, math.ceil(num_streams * num_frames / (length - CONTEXT)), trial.seed)
    films = {"": dream_streams(trial, num_frames, num_streams), "_real": iter([held_out.obs[rows]])}
    causes = {name: find_causes(calibration, target) for name, target in followed.items()}
    result: Numbers = {"num_seconds": num_frames / trial.sim.fps}
    curves = {"seconds": points(np.arange(1, num_frames + 1) / trial.sim.fps)}
    for ending, parts in films.items():
        tracks = {name: follow(places, CONTEXT) for name, places in locate_all(parts, followed).items()}
        result |= _numbers(tracks, causes, ending)
        if not ending:
            curves |= {f"objects_{name}": points(track.there.mean(0)) for name, track in tracks.items()}
    return result | skipped | {"curves": curves}


def locate_all(
    parts: Iterable[UInt8[np.ndarray, "b t h w c"]], targets: Mapping[str, Target]
) -> dict[str, Float[np.ndarray, "b t 2"]]:
    """Find each object in films that come part by part: x, y in pixels of a frame 64 wide, NaN where it is missed."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in targets}
    for obs in parts:
        for name, target in targets.items():
            places = target.detector.locate(obs.reshape(-1, *obs.shape[2:])) * _scale(target)
            found[name].append(places.reshape(*obs.shape[:2], 2))
    return {name: np.concatenate(places, 1) for name, places in found.items()}


def follow(places: Float[np.ndarray, "b t 2"], start: int = 0) -> Track:
    """When an object that was seen at `places`, NaN where it was missed, is there, from frame `start` on."""
    seen = np.asarray(np.isfinite(places).all(-1))
    there = np.stack([settle(film) for film in seen])
    known = (there[:, :-1] >= 0) & (np.arange(1, there.shape[1]) >= start)
    change = np.where(known, np.diff(there), 0)
    return Track(there[:, start:] == 1, {"spawn": places[:, 1:][change == 1], "vanish": places[:, :-1][change == -1]})


def settle(seen: Bool[np.ndarray, " t"]) -> Int8[np.ndarray, " t"]:
    """Whether an object is there: 1 or 0, and -1 until SEEN sightings or MISSED misses in a row.

    Example:
        >>> settle(np.array([1, 1, 0, 1, 0, 0, 0, 1, 0], bool)).tolist()
        [1, 1, 1, 1, 0, 0, 0, 0, 0]
    """
    there = np.full(len(seen), -1, np.int8)
    cuts = [0, *(np.flatnonzero(np.diff(seen)) + 1).tolist(), len(seen)]
    for begin, end in pairwise(cuts):
        if end - begin >= (SEEN if seen[begin] else MISSED):
            there[begin:] = seen[begin]
    return there


def find_causes(calibration: Columns, target: Target) -> Causes:
    """Where an object spawns and vanishes in whole recorded episodes, by the ground truth."""
    assert calibration.state is not None
    truth = calibration.state[:, target.columns[0]].astype(np.float64)
    places = np.where(target.detector.visible(truth)[:, None], truth * _scale(target), np.nan)
    episodes = [follow(places[start:stop][None]) for start, stop in pairwise(calibration.bounds) if start < stop]
    events = {kind: np.concatenate([track.events[kind] for track in episodes]) for kind in KINDS}
    seen = places[np.isfinite(places).all(-1)]
    return Causes(events, {kind: float(near(seen, events[kind]).mean()) for kind in KINDS})


def near(places: Float[np.ndarray, "n 2"], others: Float[np.ndarray, "m 2"]) -> Bool[np.ndarray, " n"]:
    """Which places lie within RADIUS of one of the others."""
    if not len(others):
        return np.zeros(len(places), bool)
    return KDTree(others).query(places)[0] <= RADIUS


def _numbers(tracks: Mapping[str, Track], causes: Mapping[str, Causes], ending: str) -> Numbers:
    """The numbers of dreamed or of recorded films, of each object and over all."""
    num_frames = next(iter(tracks.values())).there.size
    result: Numbers = {f"num_spawn_frames{ending}": num_frames}
    for kind in KINDS:
        counted = {}
        for name, track in tracks.items():
            stem, blind = f"{name}_{kind}", causes[name].blind[kind]
            result[f"{stem}_blind"] = blind
            if blind > BLIND:
                result |= _none(stem, ending, f"the game has such events at {blind:.0%} of the object's places")
                continue
            events = track.events[kind]
            without_cause = int((~near(events, causes[name].events[kind])).sum())
            result[f"{stem}_per_1000{ending}"] = counted[name] = 1000 * without_cause / num_frames
        if counted:
            result[f"{kind}_per_1000{ending}"] = float(sum(counted.values()))
        else:
            result |= _none(kind, ending, "the game has such events nearly everywhere for each object")
    means = {name: float(track.there.mean()) for name, track in tracks.items()}
    result |= {f"{name}_objects_mean{ending}": mean for name, mean in means.items()}
    return result | {f"objects_mean{ending}": float(sum(means.values()))}


def _strict(target: Target) -> Target:
    """The same object, seen only from SCORE on."""
    detector = target.detector
    return target._replace(detector=detector._replace(thresholds=np.maximum(detector.thresholds, np.float32(SCORE))))


def _none(stem: str, ending: str, reason: str) -> Numbers:
    return not_measured(reason, [f"{stem}_per_1000{ending}"], stem)


def _nothing(reason: str) -> Numbers:
    return {name: value for kind in KINDS for name, value in _none(kind, "", reason).items()}


def _scale(target: Target) -> np.ndarray:
    """Pixels, of a frame 64 pixels wide, that the fractions x, y are of."""
    height, width = target.detector.background.shape[:2]
    return np.array([64.0, 64.0 * height / width])


MEASUREMENT = Measurement(
    section="spawns",
    metrics=METRICS,
    measure=measure_spawns,
    applies=lambda reference, options: full_only(reference, options) and bool(reference.targets),
)
