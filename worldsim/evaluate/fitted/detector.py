"""Find a game's object in pictures by templates, which `worldsim.evaluate.fitted.templates` cuts from recordings.

At 64 pixels a ball is one or two pixels blended with what lies behind, so a colour test fails, and a small network
would itself dream. A patch p, less the median picture, is compared with template T by

    score = 1 - sum w (p - T)^2 / sum w T^2,

1 for the object as recorded, 3/4 for one at half contrast, 0 for the bare background. Each template fires above its
threshold. What the detector misses on other real frames is part of the report. Distances are in pixels of a frame 64
pixels wide.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8

REACH = 2.0  # an object is found within this distance of its true place
FAR = 4.0  # and is another one, or none, from this distance on
MOST = 8  # that are counted in a frame
SEARCH = 6.0  # the best match is looked for within this distance
CHUNK = 64  # frames that are looked at at once


class Detector(NamedTuple):
    """Templates of one object; made by `worldsim.evaluate.fitted.templates.fit_detector`."""

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
        for start in range(0, len(pairs), CHUNK):
            frame, which = pairs[start : start + CHUNK].T
            found[frame, which], error[frame, which] = self._look_around(frames[frame], places[frame, which])
        return found, error

    def ghosts(
        self, frames: UInt8[np.ndarray, "n h w c"], places: Float[np.ndarray, "n m 2"]
    ) -> Bool[np.ndarray, " n"]:
        """Whether it fires anywhere further than FAR from every true place."""
        seen = []
        for start in range(0, len(frames), CHUNK):
            scores, centres = self.region_scores(frames[start : start + CHUNK])
            for score, place in zip(scores, places[start : start + CHUNK]):
                seen.append(bool(((score > self.thresholds) & self.elsewhere(centres, place)).any()))
        return np.array(seen, bool)

    def locate(self, frames: UInt8[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n 2"]:
        """The best match anywhere, x, y as fractions of the frame; NaN where no template fires."""
        places = np.full((len(frames), 2), np.nan)
        height, width = self.background.shape[:2]
        for start in range(0, len(frames), CHUNK):
            scores, centres = self.region_scores(frames[start : start + CHUNK])
            margin = self._margins(scores)
            flat = margin.reshape(len(margin), -1)
            best = np.where(flat.max(1) > 0, flat.argmax(1), -1)
            places[start : start + CHUNK][best >= 0] = centres.reshape(-1, 2)[best[best >= 0]] / [width, height]
        return places

    def num_seen(self, frames: UInt8[np.ndarray, "n h w c"]) -> Int64[np.ndarray, " n"]:
        """How many there are in each frame, MOST at most: matches that lie further than FAR from better ones."""
        found, (height, width) = [], self.background.shape[:2]
        for start in range(0, len(frames), CHUNK):
            scores, centres = self.region_scores(frames[start : start + CHUNK])
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

    def region_scores(self, frames):
        """Scores `[n y x k]` at each pixel of the region, and the places `[y x k 2]` that they speak for."""
        top, bottom, left, right = self.region
        reach_y, reach_x = (s // 2 for s in self.templates.shape[1:3])
        pad = ((0, 0), (reach_y, reach_y), (reach_x, reach_x), (0, 0))
        difference = np.pad(frames - self.background, pad)[:, top : bottom + 2 * reach_y, left : right + 2 * reach_x]
        grid = np.stack(np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5), -1)
        return self._scores(difference), grid[:, :, None] + self.offsets

    def _scores(self, difference):
        filled = np.zeros((CHUNK, *difference.shape[1:]), np.float32)  # one shape, so that nothing compiles twice
        filled[: len(difference)] = difference
        return np.asarray(_scores(filled, self.templates, self.weights))[: len(difference)]

    def _margins(self, scores):
        return (scores - self.thresholds) / (1 - self.thresholds)

    def elsewhere(self, centres, place):
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


def inside(
    places: Float[np.ndarray, "... 2"], size: tuple[float, float], frame: tuple[int, ...]
) -> Bool[np.ndarray, "..."]:
    """Whether an object of `size` (h, w) at x, y lies wholly inside a frame (h, w); False where it is absent."""
    x, y = places[..., 0] * frame[1], places[..., 1] * frame[0]
    half_h, half_w = size[0] / 2, size[1] / 2
    return (x >= half_w) & (x <= frame[1] - half_w) & (y >= half_h) & (y <= frame[0] - half_h)


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
