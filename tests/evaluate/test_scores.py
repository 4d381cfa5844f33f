"""Scores of ensembles, ranks and ties, against their closed forms."""

import numpy as np
import pytest
from scipy import stats

from worldsim import metrics
from worldsim.evaluate.metrics.uncertainty import LEVELS, MEMBERS, coverage, spread_skill
from worldsim.metrics import crps


@pytest.mark.parametrize("count", [2, 5, 19])
@pytest.mark.parametrize("y", [0.0, 1.5])
def test_crps_of_gaussian_members_is_the_closed_form_whatever_their_number(count, y):
    draws = np.random.default_rng(0).standard_normal((count, 20_000))
    z = (y - 0.3) / 2
    closed = 2 * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))
    assert crps(0.3 + 2 * draws, np.full(20_000, y)).mean() == pytest.approx(closed, abs=0.04)


def test_crps_is_the_sum_over_pairs_and_absolute_error_for_equal_members():
    rng = np.random.default_rng(0)
    x, y = rng.random((6, 4)), rng.random(4)
    pairs = np.abs(x[:, None] - x[None]).sum((0, 1)) / (2 * 6 * 5)
    np.testing.assert_allclose(crps(x, y), np.abs(x - y).mean(0) - pairs)
    np.testing.assert_allclose(crps(np.repeat(x[:1], 6, 0), y), np.abs(x[0] - y), atol=1e-12)


@pytest.mark.parametrize("draw", ["normal", "poisson", "equal"])
def test_intervals_of_a_right_ensemble_hold_their_share(draw):
    rng = np.random.default_rng(0)
    shape = (MEMBERS + 1, 20_000)
    values = {"normal": rng.standard_normal(shape), "poisson": rng.poisson(1.2, shape), "equal": np.ones(shape)}[draw]
    for level in LEVELS:
        assert coverage(values[1:], values[0], level / 100).mean() == pytest.approx(level / 100, abs=0.015)


def test_intervals_that_are_too_narrow_or_too_wide_show():
    x = np.random.default_rng(0).standard_normal((MEMBERS + 1, 20_000))
    narrow, wide = (coverage(scale * x[1:], x[0], 0.8).mean() for scale in (0.5, 2))
    assert narrow == pytest.approx(1 - 2 * stats.norm.sf(0.5 * stats.norm.ppf(0.9)), abs=0.05)
    assert wide > 0.95
    assert coverage(x[1:], np.full(20_000, 99.0), 0.9).max() == 0


def test_too_few_members_for_a_score_are_refused():
    x = np.zeros((18, 3))
    with pytest.raises(ValueError, match="at least 19 members, got 18"):
        coverage(x, x[0], 0.9)
    assert coverage(x, x[0], 0.8) == pytest.approx(0.8)
    with pytest.raises(ValueError, match="at least 2 members"):
        crps(x[:1], x[0])


@pytest.mark.parametrize("scale, ratio", [(1, 1), (0.5, 0.52), (0, 0)])
def test_spread_skill_is_one_for_members_like_the_truth(scale, ratio):
    draws = np.random.default_rng(0).standard_normal((6, 50_000))
    members, truth = scale * draws[1:], draws[0]
    variance, error = members.var(0, ddof=1).mean(), np.square(truth - members.mean(0)).mean()
    assert spread_skill(variance, error, 5) == pytest.approx(ratio, abs=0.02)


def test_auroc_counts_pairs_and_ties_one_half():
    rng = np.random.default_rng(0)
    score, positive = rng.integers(5, size=60).astype(float), rng.random(60) < 0.4
    gaps = score[positive][:, None] - score[~positive]
    assert metrics.auroc(score, positive) == pytest.approx(((gaps > 0) + (gaps == 0) / 2).mean())
    assert metrics.auroc(score, np.ones(60, bool)) is None
    with pytest.raises(ValueError, match="expected finite scores for AUROC"):
        metrics.auroc(np.array([0.0, np.nan]), np.array([True, False]))


def test_rank_correlation_shares_ranks_of_ties():
    rng = np.random.default_rng(0)
    x = rng.integers(6, size=50).astype(float)
    y = x + rng.normal(0, 3, 50)
    assert metrics.spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert metrics.spearman(x, np.exp(x)) == pytest.approx(1)
    assert metrics.spearman(x, np.zeros(50)) is None
