import dataclasses

import numpy as np
import pytest

from tests.evaluate import toy
from tests.evaluate.test_report import CARD, Page
from worldsim.evaluate import EvalOptions, compare_worlds
from worldsim.evaluate.compare import (
    Difference,
    describe,
    is_same,
    paired_difference,
    paired_differences,
    rows_of,
    verdict,
)
from worldsim.evaluate.report.comparison import cells, render_comparison
from worldsim.world import FootageSource

OPTIONS = EvalOptions(num_windows=4, seeds=(0, 1, 2, 3, 4), quick=True, with_objects=False, batch_size=4)


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    return toy.footage(tmp_path_factory.mktemp("toy") / "footage", episodes=4)


@pytest.fixture(scope="module")
def unlike(footage):
    return compare_worlds(toy.Frozen(), toy.Perfect(), footage, OPTIONS)


@pytest.fixture(scope="module")
def alike(footage):
    return compare_worlds(toy.Deaf(), toy.Deaf(), footage, OPTIONS)


def test_a_world_beside_itself_differs_in_nothing(alike):
    rows = [row for _, _, row in rows_of(alike)]
    assert len(rows) > 40 and all(is_same(row) and row.within_noise for row in rows)
    assert alike["verdict"].startswith("No difference")


def test_a_perfect_world_is_better_than_a_frozen_one_beyond_the_noise(unlike):
    rows = {f"{section}.{name}": row for section, name, row in rows_of(unlike)}
    for name in ("fidelity.psnr_free_16", "fidelity.score_psnr_free_16", "control.action_following"):
        assert not rows[name].within_noise and describe(*name.split("."), rows[name]) == "B is higher: better"
        assert rows[name].num_seeds == 5 and rows[name].low <= rows[name].difference <= rows[name].high
    assert describe("fidelity", "gfvd_16", rows["fidelity.gfvd_16"]) == "B is lower: better"
    assert is_same(rows["fidelity.psnr_copy_last_16"]) and "by luck" in unlike["verdict"]


def test_both_are_asked_the_same_windows(unlike):
    for one, other in zip(unlike["a"]["per_seed"]["fidelity"], unlike["b"]["per_seed"]["fidelity"]):
        assert one["curves"]["psnr_copy_last"] == other["curves"]["psnr_copy_last"]
    still = [run["psnr_copy_last_16"] for run in unlike["a"]["per_seed"]["fidelity"]]
    assert len(set(still)) == 5


def test_the_interval_is_students():
    a, b = np.zeros(5), np.array([1.0, 2, 3, 4, 5])
    row = paired_difference(a, b)
    half = 2.7764451 * np.sqrt(2.5 / 5)  # t of .975 at 4 degrees of freedom, from tables
    assert (row.low, row.high) == pytest.approx((3 - half, 3 + half), abs=1e-6)
    assert not row.within_noise and paired_difference(a, b - 3).within_noise


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = [paired_difference(np.zeros(5), rng.normal(size=5)).within_noise for _ in range(2000)]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)


def test_pairing_takes_out_what_both_have_in_common():
    common = np.array([10.0, 20, 30, 40, 50])
    assert not paired_difference(common, common + [0.9, 1.0, 1.1, 1.0, 1.0]).within_noise


def test_only_seeds_that_both_answered_are_paired_and_counted():
    one = [{"x": 1.0, "y": None, "num_z": 3, "list": [1.0, None], "in": {"x": 2.0}}] * 3
    other = [{"x": 2.0, "y": 1.0, "num_z": 9, "list": [1.0, 2.0], "in": {"x": 2.0}, "curves": {"x": [1.0]}}] * 2
    rows = paired_differences(one, [*other, {"x": None}])
    assert list(rows) == ["x", "list[0]", "in.x"] and rows["x"].num_seeds == 2


def test_the_verdict_tells_luck_from_difference():
    noise = Difference(1.0, 1.1, 0.1, -0.2, 0.4, 5, True)
    assert verdict({"q": {"x": noise}}).startswith("Within the noise")
    found = {f"x{i}": noise for i in range(19)} | {"y": Difference(1.0, 2.0, 1.0, 0.5, 1.5, 5, False)}
    assert verdict({"q": found}).startswith("1 of 20") and "about 1 would by luck" in verdict({"q": found})
    assert (
        describe("fidelity", "psnr", noise) == "within the noise"
        and describe("fidelity", "thing", found["y"]) == "B is higher"
    )


def test_the_numbers_of_a_card_come_first_in_its_order():
    noise, found = (Difference(1.0, 2.0, 1.0, low, 1.5, 5, low < 0) for low in (-0.5, 0.5))
    own = {"fidelity": {"psnr_free_16": noise, "psnr_free_1": found}, "realism": {"auroc_4s": noise, "score_4s": noise}}
    result = {"differences": {s: {name: row._asdict() for name, row in rows.items()} for s, rows in own.items()}}
    assert [name for _, name, _ in rows_of(result)] == ["score_4s", "auroc_4s", "psnr_free_16", "psnr_free_1"]


def test_the_page_shows_the_differences_and_escapes_the_cards(unlike):
    document = render_comparison(unlike, cards=(CARD, CARD))
    page = Page(document)
    assert "script" not in page.tags and "svg" in page.tags
    assert unlike["verdict"] in page.words and "A: psnr_free" in page.words and "psnr_copy_last" in page.words
    shown = cells(*next(rows_of(unlike)))
    assert all(word in page.words for word in shown)


@pytest.mark.parametrize("seeds", [(0, 1, 2, 3), (0, 1, 2, 3, 3)])
def test_fewer_than_five_seeds_are_refused(footage, seeds):
    with pytest.raises(ValueError, match="at least 5"):
        compare_worlds(toy.Frozen(), toy.Perfect(), footage, EvalOptions(seeds=seeds))


def test_what_either_was_trained_on_is_measured_on_neither(footage):
    names = [episode.name for episode in footage.episodes]

    def trained(held_out):
        world = toy.Frozen()
        source = FootageSource(digest=footage.digest(), episodes=len(names))
        world.card = dataclasses.replace(world.card, footage=source, held_out_episodes=tuple(held_out))
        return world

    from worldsim.evaluate.reference import held_out_columns

    both = held_out_columns(trained(names[:2]), footage, (trained(names[1:]),))[1]
    np.testing.assert_array_equal(both.obs, footage[1].obs)
    with pytest.raises(ValueError, match="none of the worlds was trained on"):
        compare_worlds(trained(names[:2]), trained(names[2:]), footage, OPTIONS)
