"""A card says where its dreams are not the game."""

import time

import pytest

from tests.worlds import random_world
from worldsim.world import free_play, model_card


def measured(policy="random", **numbers):
    return {"free_play": {f"num_{policy}_plays": 4, **{f"{policy}_{key}": x for key, x in numbers.items()}}}


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"free_play": 3},
        measured(reward_per_1000=None, reward_per_1000_game=4.0),
        measured(reward_per_1000=12.0, reward_per_1000_game=10.0),
        measured(reward_per_1000=-0.8, reward_per_1000_game=-1.0),
        measured(reward_per_1000=0.4, reward_per_1000_game=0.0),
        measured(length_seconds=50.0, length_seconds_game=60.0),
        measured(gem_presence=0.0, gem_presence_game=0.01),
        measured(a_presence=0.5),
        measured(reward_per_1000=10**400, reward_per_1000_game=1.0),
        measured(reward_per_1000=float("nan"), reward_per_1000_game=1.0),
        measured("a(b", reward_per_1000=9.0, reward_per_1000_game=1.0),
    ],
)
def test_what_is_near_or_unknown_needs_no_warning(metrics):
    assert free_play.warnings(metrics) == []


@pytest.mark.parametrize(("dream", "game"), [(7, 10), (13, 10), (10, -10), (1, 0)])
def test_returns_that_are_off_by_more_than_a_quarter_are_told(dream, game):
    metrics = measured(reward_per_1000=dream, reward_per_1000_game=game)
    warning = f"under random keys it pays {dream} in 1,000 frames where the game pays {game}"
    assert free_play.warnings(metrics) == [warning]
    assert warning in model_card(random_world().card, metrics)


def test_the_policy_that_is_most_off_is_told():
    one = measured("noop", ended_fraction=0.5, ended_fraction_game=1.0)["free_play"]
    other = measured("noisy", ended_fraction=0.0, ended_fraction_game=0.75)["free_play"]
    assert free_play.warnings({"free_play": {**one, **other}}) == [
        "under a scripted player 0% of its plays end where 75% of the game's do"
    ]


def test_the_card_shows_the_object_that_is_seen_least():
    presence = {"ball_presence": 0.5, "ball_presence_game": 0.5}
    presence |= {"player_presence": 0.1, "player_presence_game": 0.8}
    metrics = measured(length_seconds=60.0, length_seconds_game=1.5, **presence)
    page = model_card(random_world().card, metrics)
    assert "| random keys | – | 1.5 / 60 | – | player 0.8 / 0.1 |" in page
    assert "player is in 10% of its frames, in the game in 80%" in page


def test_what_the_game_hardly_shows_hides_no_lost_player():
    presence = {"gem_presence": 0.0, "gem_presence_game": 0.01, "player_presence": 0.3, "player_presence_game": 0.95}
    assert free_play.warnings(measured(**presence)) == [
        "under random keys player is in 30% of its frames, in the game in 95%"
    ]


def test_many_strange_numbers_take_no_time():
    found = {f"num_p{i}_plays": 1 for i in range(20_000)} | {f"random_a{i}_presence": 0.5 for i in range(20_000)}
    start = time.monotonic()
    assert free_play.warnings({"free_play": {**found, "num_random_plays": 1}}) == []
    assert time.monotonic() - start < 2
