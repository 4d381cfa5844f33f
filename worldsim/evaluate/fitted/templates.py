"""Cut the templates of a game's object from recorded frames, and calibrate them.

The patches around the true places, less the median picture, are clustered (k-means: one cluster a sprite, pose and
position within the pixel). The weight of a pixel is near 1 where its cluster agrees and differs from the background,
near 0 where the scene shows through the sprite, and small on the ring of pixels around the object, which only must not
look like a part of something larger.

Each template fires above the score that it hardly ever reaches where the object is not, measured on the same frames,
and never below LOWEST_THRESHOLD.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from worldsim.evaluate.fitted.detector import CHUNK, Detector, inside

NOISE = 12.0  # grey levels that count as agreement
RING = 0.25  # weight of a quiet pixel beside the object
LOWEST_THRESHOLD = 0.5
CALIBRATION_BUDGET = 3e9  # multiplications; what is cheap to look for is looked for in more frames


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
    pick = rng.permutation(len(frames))[: int(np.clip(CALIBRATION_BUDGET / cost, 64, 512))]
    return detector._replace(thresholds=_calibrate(detector, frames[pick], places[pick]))


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
    for start in range(0, len(frames), CHUNK):
        scores, centres = detector.region_scores(frames[start : start + CHUNK])
        for score, place in zip(scores, places[start : start + CHUNK]):
            highest.append(np.where(detector.elsewhere(centres, place), score, 0).max((0, 1)))
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
