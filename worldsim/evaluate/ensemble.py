"""How well does an ensemble tell what will come, and does it know how well?

Members x_1 .. x_M are draws of what could come, y is what came; every value (a channel of a pixel) stands by itself.

The score of both at once, CRPS, is in `worldsim.metrics`.

Coverage. If the ensemble is right, y is like one more member, so its rank among M + 1 values is uniform. Pixels tie
often, and a value that ties could have any rank of the tie: rank / (M + 1) is spread evenly over
[below / (M + 1), (below + equal + 1) / (M + 1)] (Czado, Gneiting and Held, "Predictive model assessment for count
data", 2009). Coverage is the share of this stretch inside the central interval [(1 - p) / 2, (1 + p) / 2]: in the mean
exactly p for a right ensemble of any kind, also for one that is certain and right; 0 where y lies outside all members.
The latter wants the outermost ranks to lie outside the interval, M + 1 >= 2 / (1 - p): 19 members for 90 %.

Spread-skill ratio = sqrt((M + 1) / M mean s^2) / sqrt(mean (y - mean x)^2), with s^2 the unbiased variance of the
members: 1 = calibrated, below = over-confident (Fortin et al., "Why should ensemble spread match the RMSE of the
ensemble mean?", 2014). It compares second moments only: a fair coin for a biased one passes.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped

_NOTHING = 1e-9  # a ratio of nothing to nothing is 1


def coverage(
    members: Shaped[np.ndarray, "m ..."], truth: Shaped[np.ndarray, "..."], level: float
) -> Float[np.ndarray, "..."]:
    """Share 0..1 in which the central interval that should hold `level` of all cases holds each value.

    Raises:
        ValueError: too few members for the level.
    """
    tail = (1 - level) / 2
    places = _count(members, int(np.ceil(1 / tail - 1e-9)) - 1) + 1
    below, equal = (compare(members, truth).sum(0) for compare in (np.less, np.equal))
    edge = round(tail * places, 9)
    inside = np.minimum(below + equal + 1, places - edge) - np.maximum(below, edge)
    return np.asarray(np.clip(inside / (equal + 1), 0, 1))


def spread_skill(variance: float, squared_error: float, num_members: int) -> float:
    """Ratio of spread to skill, from the mean unbiased variance and the mean squared error of the ensemble mean."""
    spread = np.sqrt((num_members + 1) / num_members * variance)
    return float((spread + _NOTHING) / (np.sqrt(squared_error) + _NOTHING))


def _count(members: np.ndarray, least: int) -> int:
    if len(members) < least:
        raise ValueError(f"this score wants at least {least} members, got {len(members)}.")
    return len(members)
