"""Arrays in, scalars out: how near two pictures are, how near two sets of videos are, how well a score ranks.

Pictures. PSNR = 10 log10(255^2 / MSE) a frame; the error is never taken as less than 1/12, the variance of rounding to
uint8, so an identical frame scores 58.9 dB and not infinity. SSIM (Wang et al., "Image quality assessment: from error
visibility to structural similarity", 2004) with the usual Gaussian of 11 x 11 pixels and deviation 1.5.

Videos. A Frechet distance between Gaussians fitted to features of real and generated clips,
|m_r - m_g|^2 + tr(C_r + C_g - 2 (C_r C_g)^(1/2)) (Heusel et al., arXiv:1706.08500, equation 6). The features are those
of a fixed random convolutional network, so nobody needs downloaded weights; such numbers compare among themselves only,
never with FVD. The terms (four generated frames stacked, 1e-6 on the diagonals, seed 1234) are those of the benchmark
tinywmcraft, so that numbers on its data compare.

Rankings. Average precision: the mean of the precision over the recalled positives. AUROC: the chance that a positive
scores above a negative, a tie counting one half. Spearman: the linear correlation of the ranks, ties sharing theirs.

Forecasts. CRPS, the continuous ranked probability score of members x_1 .. x_M for what came, y, in its fair form

    1/M sum |x_i - y| - 1/(2 M (M - 1)) sum |x_i - x_j|,

whose mean does not depend on M (Ferro, "Fair scores for ensemble forecasts", 2014). In the units of the values, 0 is
best; M equal members score their absolute error. For members of N(mu, s^2) it expects
s (z (2 Phi(z) - 1) + 2 phi(z) - 1/sqrt(pi)) with z = (y - mu) / s (Gneiting and Raftery, "Strictly proper scoring
rules, prediction, and estimation", 2007, equation 21).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Shaped, UInt8

MIN_SQUARED_ERROR = 1 / 12  # the variance of rounding to whole grey levels
PSNR_CEILING = float(10 * np.log10(255.0**2 / MIN_SQUARED_ERROR))  # 58.9 dB
FEATURE_SEED = 1234
CLIP_LEN = 4  # generated frames that are stacked into one clip


def psnr(real: Shaped[np.ndarray, "*lead h w c"], other: Shaped[np.ndarray, "..."]) -> Float[np.ndarray, "*lead"]:
    """Peak signal-to-noise ratio of each frame in dB, peak 255, at most 58.9 (see the module docstring).

    Raises:
        ValueError: the two differ in shape, or are not uint8.
    """
    _check_pictures(real, other)
    error = (real.astype(np.int16) - other.astype(np.int16)).astype(np.float32)
    squared = np.square(error).mean((-3, -2, -1))
    return np.asarray(10 * np.log10(255.0**2 / np.maximum(squared, MIN_SQUARED_ERROR)), np.float32)


def ssim(
    real: Shaped[np.ndarray, "*lead h w c"], other: Shaped[np.ndarray, "..."], *, chunk: int = 256
) -> Float[np.ndarray, "*lead"]:
    """Structural similarity of each frame, mean over channels and the valid part of the filter: 1 = identical.

    Raises:
        ValueError: the two differ in shape, are not uint8, or are smaller than the filter's 11 pixels.
    """
    _check_pictures(real, other)
    *lead, height, width, channels = real.shape
    if min(height, width) < 11:
        raise ValueError(f"expected frames of at least 11x11 pixels for SSIM, got {height}x{width}.")
    flat_real, flat_other = (x.reshape(-1, height, width, channels) for x in (real, other))
    parts = [
        np.asarray(_ssim(*pair, _gaussian_band(height), _gaussian_band(width)))
        for pair in _equal_chunks(flat_real, flat_other, chunk)
    ]
    return np.concatenate(parts)[: len(flat_real)].reshape(lead)


def average_precision(score: Float[np.ndarray, " n"], positive: Shaped[np.ndarray, " n"]) -> float | None:
    """Area under the precision-recall curve as a sum of steps; None where nothing is positive.

    Entries of equal score are taken together, so a constant score gets the share of positives and no luck of order.

    Raises:
        ValueError: the two differ in length, or a score is not finite.
    """
    _check_scores("average precision", score, positive)
    positive = positive.astype(bool)
    if not positive.any():
        return None
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(positive[order])
    last_of_tie = np.append(np.diff(score[order]) != 0, True)
    hits, count = hits[last_of_tie], np.arange(1, len(score) + 1)[last_of_tie]
    return float(np.sum(np.diff(hits, prepend=0) * hits / count) / positive.sum())


def auroc(score: Float[np.ndarray, " n"], positive: Shaped[np.ndarray, " n"]) -> float | None:
    """Chance that a positive scores above a negative: .5 = no better than chance; None where one kind is missing.

    Raises:
        ValueError: the two differ in length, or a score is not finite.
    """
    _check_scores("AUROC", score, positive)
    positive = positive.astype(bool)
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    if not num_positive or not num_negative:
        return None
    wins = _ranks(score)[positive].sum() - num_positive * (num_positive + 1) / 2  # Mann and Whitney's U
    return float(wins / (num_positive * num_negative))


def spearman(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float | None:
    """Rank correlation in -1..1; None where one of the two is the same everywhere.

    Raises:
        ValueError: the two differ in length, or one is not finite.
    """
    _check_scores("rank correlation", x, y)
    _check_scores("rank correlation", y, x)
    if not len(x) or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])


class Moments(NamedTuple):
    """Count, mean `[d]` and summed outer products of the deviations `[d d]`: enough of a sample to fit a Gaussian."""

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    def __add__(self, other: Moments) -> Moments:  # type: ignore[override]
        """Pool two samples (Chan, Golub and LeVeque's update)."""
        count = self.count + other.count
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.count / count)
        scatter = self.scatter + other.scatter + np.outer(delta, delta) * (self.count * other.count / count)
        return Moments(count, mean, scatter)

    @property
    def covariance(self) -> np.ndarray:
        """The unbiased covariance `[d d]`."""
        return self.scatter / (self.count - 1)


def moments(features: Float[np.ndarray, "n d"]) -> Moments:
    """Fit a Gaussian to a sample of features."""
    features = features.astype(np.float64)
    mean = features.mean(0)
    return Moments(len(features), mean, (features - mean).T @ (features - mean))


def frechet_distance(real: Moments, other: Moments, *, ridge: float = 1e-6) -> float:
    """Frechet distance between two Gaussians, `ridge` added to the diagonal of both covariances.

    The trace of (C_r C_g)^(1/2) comes from the eigenvalues of the symmetric C_r^(1/2) C_g C_r^(1/2).

    Raises:
        ValueError: a sample of fewer than two, or of another width.
    """
    if min(real.count, other.count) < 2 or real.mean.shape != other.mean.shape:
        raise ValueError(
            f"expected two samples of at least 2 features of one width for a Frechet distance, "
            f"got {real.count} of {real.mean.shape} and {other.count} of {other.mean.shape}."
        )
    eye = ridge * np.eye(len(real.mean))
    cov_real, cov_other = real.covariance + eye, other.covariance + eye
    values, vectors = np.linalg.eigh(cov_real)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ cov_other @ root), 0, None)).sum()
    gap = np.square(real.mean - other.mean).sum()
    return float(max(gap + np.trace(cov_real) + np.trace(cov_other) - 2 * cross, 0.0))


class RandomFeatures(nnx.Module):
    """Four random 4x4 convolutions of stride 2, 32-64-128-32 channels, GELU between: stacked clips to vectors."""

    def __init__(self, in_channels: int, *, rngs: nnx.Rngs):
        widths = (in_channels, 32, 64, 128, 32)
        self.convs = nnx.List(
            nnx.Conv(i, o, (4, 4), strides=(2, 2), padding="SAME", rngs=rngs) for i, o in zip(widths, widths[1:])
        )

    def __call__(self, clip: Float[Array, "b h w c"]) -> Float[Array, "b d"]:
        """Map clips, pixels in [0, 1], to flat features."""
        for conv in self.convs[:-1]:
            clip = nnx.gelu(conv(clip))
        return self.convs[-1](clip).reshape(clip.shape[0], -1)


def video_moments(video: UInt8[np.ndarray, "b t h w c"]) -> Moments:
    """Moments of the random features of every clip of generated frames.

    Each frame gives one clip: itself and the three generated frames before it, stacked on the channels, oldest first;
    where there are fewer the first generated frame is repeated. Pass generated frames only, without their context.
    """
    batch, horizon, height, width, channels = video.shape
    features = _feature_function(channels * CLIP_LEN)
    index = np.maximum(np.arange(horizon)[:, None] - np.arange(CLIP_LEN)[::-1], 0)
    total = None
    per_call = max(1, 512 // horizon)
    for start in range(0, batch, per_call):
        clips = video[start : start + per_call][:, index]  # [b t 4 h w c]
        stacked = np.moveaxis(clips, 2, 4).reshape(-1, height, width, CLIP_LEN * channels)
        part = moments(np.asarray(features(stacked)))
        total = part if total is None else total + part
    if total is None:
        raise ValueError("expected at least one video, got none.")
    return total


@cache
def _feature_function(in_channels: int):
    graphdef, params = nnx.split(RandomFeatures(in_channels, rngs=nnx.Rngs(FEATURE_SEED)))

    @jax.jit
    def features(params, clip):
        return nnx.merge(graphdef, params)(clip.astype(jnp.float32) / 255)

    return partial(features, params)


@jax.jit
def _ssim(real, other, band_h, band_w):
    x, y = real.astype(jnp.float32), other.astype(jnp.float32)

    def blur(image):
        return jnp.einsum("ih,bhwc,jw->bijc", band_h, image, band_w)

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    cov = blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    return (top / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean((1, 2, 3))


def crps(members: Float[np.ndarray, "m ..."], truth: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Fair CRPS of each value by itself; see the module docstring.

    Raises:
        ValueError: fewer than two members.
    """
    if (count := len(members)) < 2:
        raise ValueError(f"expected at least 2 members for CRPS, got {count}.")
    below = np.arange(1, count, dtype=members.dtype)  # each gap of the ordered members lies between i and M - i of them
    gaps = np.tensordot(below * (count - below), np.diff(np.sort(members, 0), axis=0), 1)
    return np.asarray(np.abs(members - truth).mean(0) - gaps / (count * (count - 1)))


def _gaussian_band(size: int) -> Float[np.ndarray, "out size"]:
    """The matrix that filters a line of `size` pixels with the 11-tap Gaussian, valid part only."""
    taps = np.exp(-np.square(np.arange(11) - 5) / (2 * 1.5**2))
    band = np.zeros((size - 10, size), np.float32)
    for row in range(size - 10):
        band[row, row : row + 11] = taps / taps.sum()
    return band


def _equal_chunks(x: np.ndarray, y: np.ndarray, chunk: int) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Chunks of one size, the last filled up with its first row, so that nothing compiles twice."""
    chunk = min(chunk, len(x))
    for start in range(0, len(x), chunk or 1):
        rows = np.arange(start, start + chunk)
        rows = np.where(rows < len(x), rows, start)
        yield x[rows], y[rows]


def _check_pictures(real: np.ndarray, other: np.ndarray) -> None:
    if real.shape != other.shape or real.ndim < 3 or real.size == 0:
        raise ValueError(
            f"expected two pictures of one shape [... h w c] that is not empty, got {real.shape} and {other.shape}."
        )
    if real.dtype != np.uint8 or other.dtype != np.uint8:
        raise ValueError(f"expected uint8 pictures, got {real.dtype} and {other.dtype}.")


def _check_scores(name: str, score: np.ndarray, other: np.ndarray) -> None:
    if len(score) != len(other):
        raise ValueError(f"expected one score for each label of {name}, got {len(score)} and {len(other)}.")
    if not np.isfinite(score).all():
        raise ValueError(f"expected finite scores for {name}, got NaN or infinity from the model.")


def _ranks(x: np.ndarray) -> np.ndarray:
    """Ranks from 1 on; equal values share the mean of theirs."""
    _, inverse, count = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[inverse]
