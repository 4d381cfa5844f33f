"""All of evaluation: a world that is bad in one thing gets the bottom of its own metric, and a fair score elsewhere.

One game in which everything can be measured (`tests.evaluate.playground`), the game played on, and five worlds of one
fault each, all measured by `evaluate` as any world is.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.evaluate import playground, playground_worlds
from worldsim.data.meta import FootageMeta
from worldsim.evaluate import EvalOptions, reference, run


class Column(NamedTuple):
    """A headline number."""

    section: str
    number: str
    bottom: float | str = 0.0  # what a world gets that has learned nothing of it; a name is of the same section
    near: float = 1e-6  # chance: how far a world may be from the game's score where its fault does not matter
    luck: float = 1e-6  # how far a guess may be above the bottom


COLUMNS = {
    "psnr": Column("fidelity", "score_psnr_free_16"),
    "gfvd": Column("fidelity", "score_gfvd_16", near=0.01),
    "follow": Column("control", "action_following", bottom=0.5),
    "part": Column("control", "opposite_divergence"),
    "direct": Column("control", "opposite_direction"),
    "late": Column("control", "late_10s", near=0.05),
    "fore": Column("foreground", "score_16", near=0.02),
    "inverse": Column("control", "inverse_accuracy_dream", bottom="inverse_accuracy_chance", near=0.05, luck=0.06),
    "reward": Column("outcome", "reward_ap", bottom="reward_base_rate"),
    "spread": Column("uncertainty", "spread_skill", near=0.15),
    "doubt": Column("uncertainty", "spearman_uncertainty", near=0.05),
    "foreign": Column("uncertainty", "auroc_foreign", bottom=0.5),
    "crps": Column("uncertainty", "crps_skill"),
    "speed": Column("physics", "velocity"),
    "memory": Column("memory", "memory_score", luck=0.25),
    "policy": Column("drift", "collapse_seconds_policy"),
    "still": Column("drift", "collapse_seconds_still"),
}

# 0 the bottom, or below it; = as good as the game, since the fault does not touch the metric; < the fault costs
# something, but not all; > better than the game. Why, where it is not plain:
# - Frozen is bad at everything, since standing still is wrong everywhere.
# - Any fault costs pixels (psnr, crps). How things move differs (gfvd), save where faces are as many as they should be.
# - Deaf and WrongPhysics are sure of what does not come: their dreams part too little (spread), and what they say of
#   the coin hardly goes with their error, which is elsewhere (doubt). Not to the bottom: of the coin they know.
# - Forgetful draws the face anew in every dream, so that its spread is right; but it does not say so (doubt).
# - OverConfident knows the likelier side. That is the better guess of where the coin lies (fore) and by PSNR, which
#   rewards being sure; the doubt, the spread and the CRPS do not.
TABLE = """
               psnr gfvd follow part direct late fore inverse reward spread doubt foreign crps speed memory policy still
Frozen            0    0      0    0      0    0    0       0      0      0     0       0    0     0      0      0     0
Deaf              <    <      0    0      0    0    <       0      =      <     <       =    <     =      =      =     =
Forgetful         <    =      =    =      =    =    =       =      =      =     <       =    <     =      0      =     =
WrongPhysics      <    <      =    =      =    =    <       =      =      <     <       =    <     0      =      =     =
OverConfident     >    =      =    =      =    =    >       =      =      0     0       0    <     =      =      =     =
"""
HEAD, *ROWS = (line.split() for line in TABLE.strip().splitlines())
CELLS = [(row[0], column, sign) for row in ROWS for column, sign in zip(HEAD, row[1:], strict=True)]


def once(function: Callable) -> Callable:
    """Call a function the first time only: what is fitted to recorded frames is the same for all worlds."""
    kept: list[Any] = []

    def ask(*args, **options):
        if not kept:
            kept.append(function(*args, **options))
        return kept[0]

    return ask


def with_player_only(meta: FootageMeta) -> FootageMeta:
    """Only the player's place is asked for in the table, and each detector has programs of its own to compile."""
    return dataclasses.replace(meta, objects={"player": meta.objects["player"]})


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    recorded = playground.footage(tmp_path_factory.mktemp("playground") / "footage")
    how = EvalOptions(num_windows=16, seeds=(0,), batch_size=64, drift_seconds=8.0)
    result = {}
    with pytest.MonkeyPatch.context() as patch:
        fit, find = reference.fit_inverse, reference.find_targets
        patch.setattr(reference, "find_targets", once(lambda meta, *data: find(with_player_only(meta), *data)))
        patch.setattr(reference, "fit_inverse", once(lambda *args: fit(*args, num_steps=150)))
        for name in ["Perfect", *(row[0] for row in ROWS)]:
            numbers = run.evaluate(getattr(playground_worlds, name)(recorded), recorded, how)
            physics = numbers["physics"]
            physics["velocity"] = 1 - physics["velocity_error"] / physics["velocity_error_copy_last"]
            result[name] = numbers
    return result


def score_and_bottom(numbers: dict[str, Any], column: Column) -> tuple[float, float]:
    own = numbers[column.section]
    return own[column.number], own[column.bottom] if isinstance(column.bottom, str) else column.bottom


@pytest.mark.parametrize(
    ("column", "least"),
    [
        ("psnr", 0.85),
        ("gfvd", 0.99),
        ("follow", 0.95),
        ("part", 1),
        ("direct", 1),
        ("late", 0.9),
        ("fore", 0.85),
        ("inverse", 0.9),
        ("reward", 1),
        ("spread", 0.9),
        ("doubt", 0.85),
        ("foreign", 1),
        ("crps", 0.97),
        ("speed", 0.95),
        ("memory", 1),
        ("policy", 8),
        ("still", 8),
    ],
)
def test_the_game_played_on_gets_the_top_of_every_metric(answers, column, least):
    top, _ = score_and_bottom(answers["Perfect"], COLUMNS[column])
    assert least <= top
    if column == "spread":
        assert top == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("world", "column", "sign"), CELLS, ids=lambda x: str(x))
def test_a_fault_costs_its_own_metric_all_and_the_others_what_it_touches(answers, world, column, sign):
    of = COLUMNS[column]
    top, _ = score_and_bottom(answers["Perfect"], of)
    score, bottom = score_and_bottom(answers[world], of)
    if sign == "0":
        assert score <= bottom + of.luck
    elif sign == "=":
        assert score == pytest.approx(top, abs=of.near)
    elif sign == "<":
        assert bottom + of.luck < score < top - 1e-3
    else:
        assert score > top


def test_coverage_hides_that_a_world_is_too_sure_of_one_thing_among_many_that_it_knows(answers):
    coverage = {name: numbers["uncertainty"]["coverage_90"] for name, numbers in answers.items()}
    assert coverage["Perfect"] == pytest.approx(0.9, abs=0.01)
    assert coverage["OverConfident"] == pytest.approx(0.9, abs=0.03)  # the coin is a tenth of what moves
    assert coverage["Frozen"] < coverage["WrongPhysics"] < coverage["OverConfident"] < coverage["Perfect"]


def test_what_the_tokenizer_paints_is_the_same_for_all_of_these_worlds(answers):
    assert len({numbers["fidelity"]["psnr_tokenizer"] for numbers in answers.values()}) == 1
    assert len({numbers["control"]["inverse_accuracy_real"] for numbers in answers.values()}) == 1
    assert len({numbers["memory"]["recall_real"] for numbers in answers.values()}) == 1
