"""A card says where the returns of dreams mislead."""

import pytest

from tests.worlds import random_world
from worldsim.world import model_card, return_warning


def outcome(dream, real, frames=50):
    return {"outcome": {"return_dream": dream, "return_real": real, "num_return_frames": frames}}


@pytest.mark.parametrize("metrics", [{}, {"outcome": 3}, outcome(None, 1.0), outcome(1.2, 1.0), outcome(-0.8, -1.0)])
def test_returns_that_are_near_or_unknown_need_no_warning(metrics):
    assert return_warning(metrics) == ""


@pytest.mark.parametrize(("dream", "real"), [(0.7, 1.0), (1.3, 1.0), (1.0, -1.0), (0.1, 0.0)])
def test_returns_that_are_off_by_more_than_a_quarter_are_told(dream, real):
    assert f"pay {20 * dream:.3g} a thousand frames where the game pays {20 * real:.3g}" in (
        return_warning(outcome(dream, real))
    )
    assert return_warning(outcome(dream, real)) in model_card(random_world().card, outcome(dream, real))
