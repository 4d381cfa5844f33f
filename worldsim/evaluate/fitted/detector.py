"""Find a game's object in pictures by templates that are cut from recorded frames.

At 64 pixels a ball is one or two pixels blended with what lies behind, so a colour test fails, and a small network
would itself dream. Templates stay readable: the patches around the true places, less the median picture, are clustered
(k-means: one cluster a sprite, pose and position within the pixel), and a patch p is compared with template T by

    score = 1 - sum w (p - T)^2 / sum w T^2,

1 for the object as recorded, 3/4 for one at half contrast, 0 for the bare background. The weight w is near 1 where the
cluster agrees and differs from the background, near 0 where the scene shows through the sprite, and small on the ring
of pixels around the object, which only must not look like a part of something larger.

Each template fires above the score that it hardly ever reaches where the object is not, measured on the same
calibration frames, and never below 0.5. What the finished detector misses on other real frames is part of the report.
Distances are in pixels of a frame 64 pixels wide.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8

NOISE = 12.0  # grey levels that count as agreement
RING = 0.25  # weight of a quiet pixel beside the object
LOWEST_THRESHOLD = 0.5
REACH = 2.0  # an object is found within this distance of its true place
FAR = 4.0  # and is another one, or none, from this distance on
MOST = 8  # that are counted in a frame
SEARCH = 6.0  # the best match is looked for within this distance
_CHUNK = 64
_CALIBRATION_BUDGET = 3e9  # multiplications; what is cheap to look for is looked for in more frames


class Detector(NamedTuple):
    """Templates of one object; made by `fit_detector`."""

    background: np.ndarray  # [h w c]
    templates: np.ndarray  # [k p q c], less the background
    weights: np.ndarray  # [k p q]
    offsets: np.ndarray  # [k 2], mean x, y of the object from the middle of the template's central pixel, in pixels
    thresholds: np.ndarray  # [k]
    size: tuple[float, float]  # height and width of the object in pixels
    region: tuple[int, int, int, int]  # top, bottom, left, right of the pixels where the object ever was

    def visible(self, places: Float[np.ndarray, "... 2"]) -> Bool[np.ndarray, "..."]:
        """Whether the object lies wholly inside the frame; only then it counts."""
        return inside(places, self.size, self.background.shape[:2])

    def check(
        self, frames: UInt8[np.ndarray, "n h w c"], places: Float[np.ndarray, "n m 2"]
    ) -> tuple[Bool[np.ndarray, "n m"], Float[np.ndarray, "n m"]]:
        """Look for the object around its true places x, y, fractions of the frame, NaN where it is not.

        Returns:
            Whether it is found within REACH, and the distance of the best match: SEARCH where there is none, NaN where
            the object is not wholly inside the frame.
        """
        found = np.zeros(places.shape[:2], bool)
        error = np.full(places.shape[:2], np.nan, np.float32)
        pairs = np.argwhere(self.visible(places))
        for start in range(0, len(pairs), _CHUNK):
            frame, which = pairs[start : start + _CHUNK].T
            found[frame, which], error[frame, which] = self._look_around(frames[frame], places[frame, which])
        return found, error

    def ghosts(
        self, frames: UInt8[np.ndarray, "n h w c"], places: Float[np.ndarray, "n m 2"]
    ) -> Bool[np.ndarray, " n"]:
        """Whether it fires anywhere further than FAR from every true place."""
        seen = []
        for start in range(0, len(frames), _CHUNK):
            scores, centres = self._region_scores(frames[start : start + _CHUNK])
            for score, place in zip(scores, places[start : start + _CHUNK]):
                seen.append(bool(((score > self.thresholds) & self._elsewhere(centres, place)).any()))
        return np.array(seen, bool)

    def locate(self, frames: UInt8[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n 2"]:
        """The best match anywhere, x, y as fractions of the frame; NaN where no template fires."""
        places = np.full((len(frames), 2), np.nan)
        height, width = self.background.shape[:2]
        for start in range(0, len(frames), _CHUNK):
            scores, centres = self._region_scores(frames[start : start + _CHUNK])
            margin = self._margins(scores)
            flat = margin.reshape(len(margin), -1)
            best = np.where(flat.max(1) > 0, flat.argmax(1), -1)
            places[start : start + _CHUNK][best >= 0] = centres.reshape(-1, 2)[best[best >= 0]] / [width, height]
        return places

    def num_seen(self, frames: UInt8[np.ndarray, "n h w c"]) -> Int64[np.ndarray, " n"]:
        """How many there are in each frame, MOST at most: matches that lie further than FAR from better ones."""
        found, (height, width) = [], self.background.shape[:2]
        for start in range(0, len(frames), _CHUNK):
            scores, centres = self._region_scores(frames[start : start + _CHUNK])
            places = centres / [width, height]
            margins = np.where(self.visible(places), self._margins(scores), 0.0)
            found += [self._num_matches(margin, centres, places) for margin in margins]
        return np.array(found, np.int64)

    def _num_matches(self, margin, centres, places):
        """How many there are where templates exceed their thresholds by `[y x k]`."""
        for count in range(MOST):
            best = np.unravel_index(margin.argmax(), margin.shape)
            if margin[best] <= 0:
                return count
            margin = np.where(self._distance(centres, places[best]) > FAR, margin, 0.0)
        return MOST

    def _look_around(self, frames, places):
        height, width = self.background.shape[:2]
        reach = np.array(self.templates.shape[1:3]) // 2 + int(np.ceil(SEARCH * width / 64))
        middle = (places * [width, height]).astype(int)[:, ::-1]  # row, column
        rows = middle[:, 0, None] + np.arange(-reach[0], reach[0] + 1)
        columns = middle[:, 1, None] + np.arange(-reach[1], reach[1] + 1)
        real = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
        at = np.clip(rows, 0, height - 1)[:, :, None], np.clip(columns, 0, width - 1)[:, None]
        crop = frames[np.arange(len(frames))[:, None, None], *at] - self.background[at]
        margin = self._margins(self._scores(np.where(real[..., None], crop, 0).astype(np.float32)))
        best, which = margin.max(-1), margin.argmax(-1)
        search = int(np.ceil(SEARCH * width / 64))
        grid = np.stack(np.meshgrid(*[np.arange(-search, search + 1) + 0.5] * 2), -1)
        centres = middle[:, None, None, ::-1] + grid + self.offsets[which]
        distance = self._distance(centres, places[:, None, None])
        fires = (best > 0) & (distance <= SEARCH)
        found = (fires & (distance <= REACH)).any((1, 2))
        best = np.where(fires, best, -np.inf).reshape(len(best), -1)
        error = np.take_along_axis(distance.reshape(len(best), -1), best.argmax(1)[:, None], 1)[:, 0]
        return found, np.where(fires.any((1, 2)), error, SEARCH)

    def _region_scores(self, frames):
        """Scores `[n y x k]` at each pixel of the region, and the places `[y x k 2]` that they speak for."""
        top, bottom, left, right = self.region
        reach_y, reach_x = (s // 2 for s in self.templates.shape[1:3])
        pad = ((0, 0), (reach_y, reach_y), (reach_x, reach_x), (0, 0))
        difference = np.pad(frames - self.background, pad)[:, top : bottom + 2 * reach_y, left : right + 2 * reach_x]
        grid = np.stack(np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5), -1)
        return self._scores(difference), grid[:, :, None] + self.offsets

    def _scores(self, difference):
        filled = np.zeros((_CHUNK, *difference.shape[1:]), np.float32)  # one shape, so that nothing compiles twice
        filled[: len(difference)] = difference
        return np.asarray(_scores(filled, self.templates, self.weights))[: len(difference)]

    def _margins(self, scores):
        return (scores - self.thresholds) / (1 - self.thresholds)

    def _elsewhere(self, centres, place):
        """Whether centres `[y x k 2]` are far from every place `[m 2]`, and the object there would be wholly inside.

        What the edge cuts may be an object whose centre is no longer recorded.
        """
        far = self._distance(centres, place[:, None, None, None]).min(0) > FAR
        height, width = self.background.shape[:2]
        return far & self.visible(centres / [width, height])

    def _distance(self, centres, places):
        """Distance of centres `[... 2]` in pixels from places `[... 2]` in fractions; infinite from NaN."""
        height, width = self.background.shape[:2]
        gap = (centres - places * [width, height]) * 64 / width
        distance = np.hypot(gap[..., 0], gap[..., 1])
        return np.where(np.isnan(distance), np.inf, distance)


def fit_detector(
    frames: UInt8[np.ndarray, "n h w c"],
    places: Float[np.ndarray, "n m 2"],
    size: tuple[float, float],
    *,
    num_templates: int = 64,
    seed: int = 0,
) -> Detector | None:
    """Cut and calibrate templates of an object of `size` pixels on real frames, never those that are measured later.

    Places are the true centres x, y as fractions, NaN where absent, of m objects that look alike.

    Returns:
        The detector, or None where fewer than 20 examples lie wholly inside the picture.
    """
    rng = np.random.default_rng(seed)
    background = np.median(frames[rng.permutation(len(frames))[:400]], 0).astype(np.float32)
    patches, offsets, cover = _cut(frames, places, size, background, rng)
    if len(patches) < 20:
        return None
    seen = (patches * np.sqrt(cover)[..., None]).reshape(len(patches), -1)
    cluster = _kmeans(seen, max(1, min(num_templates, len(patches) // 8)), rng)
    groups = [g for g in (np.flatnonzero(cluster == j) for j in np.unique(cluster)) if len(g) >= 4]
    parts = [_template(patches[g], cover[g].mean(0)) for g in groups]
    detector = Detector(
        background=background,
        templates=np.stack([template for template, _ in parts]),
        weights=np.stack([weight for _, weight in parts]),
        offsets=np.array([offsets[g].mean(0) for g in groups]),
        thresholds=np.full(len(groups), LOWEST_THRESHOLD, np.float32),
        size=size,
        region=_region(places, *frames.shape[1:3]),
    )
    top, bottom, left, right = detector.region
    cost = (bottom - top) * (right - left) * detector.templates.size
    pick = rng.permutation(len(frames))[: int(np.clip(_CALIBRATION_BUDGET / cost, 64, 512))]
    return detector._replace(thresholds=_calibrate(detector, frames[pick], places[pick]))


def inside(
    places: Float[np.ndarray, "... 2"], size: tuple[float, float], frame: tuple[int, ...]
) -> Bool[np.ndarray, "..."]:
    """Whether an object of `size` (h, w) at x, y lies wholly inside a frame (h, w); False where it is absent."""
    x, y = places[..., 0] * frame[1], places[..., 1] * frame[0]
    half_h, half_w = size[0] / 2, size[1] / 2
    return (x >= half_w) & (x <= frame[1] - half_w) & (y >= half_h) & (y <= frame[0] - half_h)


def _cut(frames, places, size, background, rng, num_patches: int = 3000):
    """Patches at true places `[n p q c]`, the object's offset from the central pixel `[n 2]`, its cover `[n p q]`."""
    frame = background.shape[:2]
    reach = [int(np.ceil(s / 2 + 0.75)) for s in size]  # the object at any place within the pixel, and a ring
    where = np.argwhere(inside(places, size, frame))
    where = where[rng.permutation(len(where))[:num_patches]]
    at = places[where[:, 0], where[:, 1]] * np.array(frame[::-1])  # x, y in pixels
    corner = np.minimum(at.astype(int), np.array(frame[::-1]) - 1)
    pad = [(r, r) for r in reach] + [(0, 0)]
    patches = np.empty((len(where), 2 * reach[0] + 1, 2 * reach[1] + 1, background.shape[-1]), np.float32)
    for i, (frame_id, _) in enumerate(where):
        x, y = corner[i]
        difference = np.pad(frames[frame_id] - background, pad)
        patches[i] = difference[y : y + 2 * reach[0] + 1, x : x + 2 * reach[1] + 1]
    offsets = at - corner - 0.5
    tall, wide = (_overlap(offsets[:, 1 - axis], size[axis], reach[axis]) for axis in (0, 1))
    return patches, offsets, (tall[:, :, None] * wide[:, None, :]).astype(np.float32)


def _overlap(centre, length, reach):
    """The share `[n p]` of each of 2 * reach + 1 pixels that a bar of `length` around `centre` covers."""
    low = np.arange(-reach, reach + 1) - 0.5
    start, stop = centre[:, None] - length / 2, centre[:, None] + length / 2
    return np.clip(np.minimum(stop, low + 1) - np.maximum(start, low), 0, 1)


def _template(patches, cover):
    """The median patch inside the object's box and nothing outside, and the weight of each pixel."""
    box = cover > 0.02
    template = np.median(patches, 0) * box[..., None]
    spread = np.median(np.square(patches - template).mean(-1), 0)
    energy = np.square(template).mean(-1)
    ring = RING * NOISE**2 / (spread + NOISE**2)
    weight = np.where(box, np.maximum(energy / (energy + spread + NOISE**2), ring), ring)
    return template.astype(np.float32), weight.astype(np.float32)


def _calibrate(detector, frames, places, quantile: float = 0.995):
    """The score of each template that it stays under, far from every true place, in nearly all frames."""
    highest = []
    for start in range(0, len(frames), _CHUNK):
        scores, centres = detector._region_scores(frames[start : start + _CHUNK])
        for score, place in zip(scores, places[start : start + _CHUNK]):
            highest.append(np.where(detector._elsewhere(centres, place), score, 0).max((0, 1)))
    limit = np.quantile(np.array(highest), quantile, axis=0)
    return np.clip(limit, LOWEST_THRESHOLD, 0.99).astype(np.float32)


def _kmeans(points, num_clusters, rng, num_steps: int = 12):
    """Lloyd's k-means from k-means++ seeds; returns the cluster of each point."""
    centres = points[rng.integers(len(points), size=1)]
    nearest = np.square(points - centres[0]).sum(-1)
    for _ in range(num_clusters - 1):
        share = nearest.astype(np.float64) + 1e-6
        centres = np.concatenate([centres, points[[rng.choice(len(points), p=share / share.sum())]]])
        nearest = np.minimum(nearest, np.square(points - centres[-1]).sum(-1))
    cluster = np.zeros(len(points), int)
    for _ in range(num_steps):
        cluster = (np.square(centres).sum(-1) - 2 * points @ centres.T).argmin(1)
        centres = np.stack([points[cluster == j].mean(0) if (cluster == j).any() else c for j, c in enumerate(centres)])
    return cluster


def _region(places, height, width):
    seen = places[np.isfinite(places).all(-1)]
    low, high = seen.min(0), seen.max(0)
    top, bottom = max(int(low[1] * height) - 3, 0), min(int(high[1] * height) + 4, height)
    left, right = max(int(low[0] * width) - 3, 0), min(int(high[0] * width) + 4, width)
    return top, bottom, left, right


@jax.jit
def _scores(difference, templates, weights):
    """Score `[b y x k]` of each template wherever it fits: products of all patches with all templates."""
    num, tall, wide, _ = templates.shape
    bottom, right = difference.shape[1] - tall + 1, difference.shape[2] - wide + 1

    def patches(image):
        shifts = [image[:, i : bottom + i, j : right + j] for i in range(tall) for j in range(wide)]
        return jnp.concatenate(shifts, -1)

    weighted = (templates * weights[..., None]).reshape(num, -1)
    energy = (weighted * templates.reshape(num, -1)).sum(-1)
    likeness = patches(difference) @ weighted.T
    power = patches(jnp.square(difference).sum(-1, keepdims=True)) @ weights.reshape(num, -1).T
    return (2 * likeness - power) / energy.reshape(1, 1, 1, -1)
