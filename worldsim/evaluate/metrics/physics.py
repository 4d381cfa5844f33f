"""Physics: do balls move as their law demands?

The world gets three recorded frames and dreams on. A ball is an object of the footage with a `colour` and with ground
truth `o_x`, `o_y` and `o_radius`. Its place in a picture is the centroid of its colour: each pixel, less the background
(the median picture of the footage), is split by least squares into fractions of the balls' colours; a fraction counts
from 0.2 on and fully from 0.8 on, so that faint noise far away has no weight and an anti-aliased edge has. The scale is
that of PhyWorld: the frame is 10 units wide, and time is in seconds.

- `velocity_error`: mean over the frames of a window, then over windows and balls, of |v' - v|, where v' is the
  difference of two successive places in the dream times frames a second, and v the same from the ground truth. The
  first difference begins at the last recorded frame. Counted while the ball is by its truth wholly inside the picture,
  with a pixel to spare. A ball that cannot be seen (less than a quarter of its area) stands where it was seen last.
- `velocity_error_floor`: that of the recorded frames themselves: what the parser errs.
- `velocity_error_copy_last`: that of a film that stands still, which is the mean speed.
- `<ball>_velocity_error`, `<ball>_velocity_error_floor`, ...: the same for each ball alone.
- `<ball>_lost`: fraction of the counted frames of the dream in which it cannot be seen.
- `num_windows`, `num_velocities`: windows with a counted velocity, and counted velocities.

Where the floor is above half the speed, the parser cannot separate a good world from a still one: None, and the reason.

Source: Kang et al. 2024, arXiv 2411.02385, section 3 (velocity error, valid frames). There only x counts in the scenes
of one dimension, and the parser has a hard threshold.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from worldsim.data.meta import FootageMeta
from worldsim.evaluate.metric import Metric, Numbers, families, not_measured
from worldsim.evaluate.trial import Measurement, Pool, Trial

CONDITION = 3
HORIZON = 29
LEAST_HORIZON = 8
LEAST_WINDOWS = 4
UNITS = 10.0  # the frame's width
FAINT, FULL = 0.2, 0.8  # fractions of a colour that begin to count, and that count fully
SEEN = 0.25  # fraction of a ball's area
_BACKGROUND_FRAMES = 300
METRICS = (
    Metric(
        "velocity_error",
        "lower",
        "velocity error",
        unit="units a second",
        chance="velocity_error_copy_last",
        perfect="velocity_error_floor",
        digits=3,
        headline=20,
    ),
    *families("lower", "velocity_error_*", "*_velocity_error*"),
)
_nothing = partial(not_measured, keys=("velocity_error",), stem="velocity")


class Balls(NamedTuple):
    """What the footage holds of k balls."""

    names: tuple[str, ...]
    places: np.ndarray  # int [k 2], columns of x and y in the state
    radii: np.ndarray  # int [k], columns of the radius, a fraction of the width
    colours: np.ndarray  # float [k c]


def measure_velocity(trial: Trial) -> Numbers:
    """Measure the velocity error; None, with a reason, where there are no balls."""
    columns, meta = trial.held_out, trial.reference.meta
    balls, longest = find_balls(meta), columns.longest
    if columns.state is None or not balls.names:
        return _nothing("the footage has no object with a colour and with ground truth of x, y and radius")
    if longest < CONDITION + LEAST_HORIZON:
        return _nothing(f"no episode has {CONDITION + LEAST_HORIZON} frames, the longest has {longest}")
    some = np.random.default_rng(0).permutation(len(columns.obs))[:_BACKGROUND_FRAMES]
    background = np.median(columns.obs[some], axis=0).astype(np.float64)
    parts = Pool()
    for ids, count, key in trial.batches(trial.windows(min(CONDITION + HORIZON, longest))):
        dream = np.asarray(trial.rollout(ids, key, context=CONDITION).obs)
        real = columns.obs[ids[:count, CONDITION - 1 :]]
        film = np.concatenate([real[:, :1], dream[:count]], 1)  # its first frame is the last recorded one
        truth = columns.state[ids[:count]][:, CONDITION - 1 :]
        parts.add(_errors(real, film, truth, balls, background, meta.fps))
    return _summary(parts.parts(), balls.names)


def find_balls(meta: FootageMeta) -> Balls:
    """The objects that can be followed by their colour; none where the footage does not say enough."""
    found = []
    for name, info in meta.objects.items():
        wanted = [f"{name}_x", f"{name}_y", f"{name}_radius"]
        if "colour" in info and all(column in meta.state_names for column in wanted):
            found.append((name, [meta.state_names.index(column) for column in wanted], info["colour"]))
    where = np.array([columns for _, columns, _ in found], int).reshape(-1, 3)
    colours = np.array([colour for *_, colour in found], np.float64).reshape(-1, 3)
    return Balls(tuple(name for name, *_ in found), where[:, :2], where[:, 2], colours)


def soft_centroids(
    frames: UInt8[np.ndarray, "b t h w c"], background: Float[np.ndarray, "h w c"], colours: Float[np.ndarray, "k c"]
) -> tuple[Float[np.ndarray, "b t k 2"], Float[np.ndarray, "b t k"]]:
    """Find where each colour lies.

    Returns:
        Centroids x, y as fractions of the frame, NaN where there is nothing of the colour, and areas in pixels.
    """
    height, width = frames.shape[2:4]
    basis = np.moveaxis(colours - background[..., None, :], -1, -2)  # [h w c k]
    split = np.linalg.pinv(basis, rcond=0.1)  # a colour like the background's cannot be separated from it: fraction 0
    fractions = np.einsum("hwkc,bthwc->btkhw", split, frames - background, optimize=True)
    weights = np.clip((fractions - FAINT) / (FULL - FAINT), 0, 1)
    area = weights.sum((-2, -1))
    safe = np.where(area > 0, area, np.nan)
    x = (weights.sum(-2) * (np.arange(width) / width)).sum(-1) / safe
    y = (weights.sum(-1) * (np.arange(height) / height)).sum(-1) / safe
    return np.stack([x, y], -1), area


def stay_where_seen(places: Float[np.ndarray, "b t k 2"]) -> Float[np.ndarray, "b t k 2"]:
    """Replace NaN by the last known place, if there is one."""
    filled = places.copy()
    for t in range(1, filled.shape[1]):
        filled[:, t] = np.where(np.isnan(filled[:, t]), filled[:, t - 1], filled[:, t])
    return filled


def wholly_inside(
    places: Float[np.ndarray, "*n 2"], radius: Float[np.ndarray, "*n"], size: tuple[int, int]
) -> Bool[np.ndarray, "*n"]:
    """Whether a disc lies inside the picture with a pixel to spare; radius as a fraction of the width."""
    height, width = size
    x, y = places[..., 0] * width, places[..., 1] * height
    reach = radius * width + 1
    return (x >= reach) & (x <= width - reach) & (y >= reach) & (y <= height - reach)


def _errors(
    real: UInt8[np.ndarray, "b t h w c"],
    film: UInt8[np.ndarray, "b t h w c"],
    truth: Float[np.ndarray, "b t s"],
    balls: Balls,
    background: Float[np.ndarray, "h w c"],
    fps: float,
) -> dict[str, np.ndarray]:
    """Mean errors of each window and ball `[b k]`, NaN where none counts, and how many count."""
    height, width = real.shape[2:4]
    places, radius = truth[:, :, balls.places].astype(np.float64), truth[:, :, balls.radii]
    scale = UNITS * fps * np.array([1, height / width])
    inside = wholly_inside(places, radius, (height, width))
    counted = inside[:, 1:] & inside[:, :-1]
    least = SEEN * np.pi * np.square(radius * width)
    result = {"num": counted.sum(1)}
    for name, frames in (("floor", real), ("free", film)):
        found, area = soft_centroids(frames, background, balls.colours)
        found[area < least] = np.nan
        velocity = np.nan_to_num(np.diff(stay_where_seen(found), axis=1) * scale)
        result[name] = _mean(np.linalg.norm(velocity - np.diff(places, axis=1) * scale, axis=-1), counted)
        result[f"lost_{name}"] = _mean((area < least)[:, 1:], counted)
    result["copy_last"] = _mean(np.linalg.norm(np.diff(places, axis=1) * scale, axis=-1), counted)
    return result


def _mean(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """The mean over time of what is counted, NaN where nothing is."""
    count = counted.sum(1)
    return np.where(count > 0, np.where(counted, values, 0).sum(1) / np.maximum(count, 1), np.nan)


def _summary(errors: dict[str, np.ndarray], names: tuple[str, ...]) -> Numbers:
    num_windows = int((errors["num"] > 0).any(1).sum())
    counts = {"num_windows": num_windows, "num_velocities": int(errors["num"].sum())}
    if num_windows < LEAST_WINDOWS:
        return _nothing(f"needs {LEAST_WINDOWS} windows with a ball inside the picture, got {num_windows}") | counts
    mean = {name: float(np.nanmean(errors[name])) for name in ("free", "floor", "copy_last")}
    if mean["floor"] > mean["copy_last"] / 2:
        return counts | _nothing(
            f"on recorded frames the parser errs by {mean['floor']:.3g}, more than half of the speed of "
            f"{mean['copy_last']:.3g}: the colours do not separate the balls from the rest of the picture"
        )
    result = {"velocity_error": mean["free"]}
    result |= {f"velocity_error_{name}": mean[name] for name in ("floor", "copy_last")}
    for i, name in enumerate(names):
        of_ball = {"": "free", "_floor": "floor", "_copy_last": "copy_last"}
        if errors["num"][:, i].any():
            result |= {
                f"{name}_velocity_error{end}": float(np.nanmean(errors[key][:, i])) for end, key in of_ball.items()
            }
            result[f"{name}_lost"] = float(np.nanmean(errors["lost_free"][:, i]))
    return result | counts


MEASUREMENT = Measurement(section="physics", metrics=METRICS, measure=measure_velocity)
