import re
from html.parser import HTMLParser

import numpy as np
import pytest

from tests.evaluate import toy
from tests.evaluate.trials import trial
from tests.world.bundles import make_card
from worldsim.data.dataset import load_columns
from worldsim.evaluate.metrics.fidelity import measure_fidelity
from worldsim.evaluate.metrics.windowed import (
    measure_windowed,
    measure_windowed_clips,
    score,
    windowed_moments,
    windowed_numbers,
)
from worldsim.evaluate.report.charts import charts, entries, ticks
from worldsim.evaluate.report.film_strip import FilmStrip
from worldsim.evaluate.report.gallery import Example, farthest_apart, gather, worst
from worldsim.evaluate.report.page import element, text, write_text
from worldsim.evaluate.report.report import headline_table, render_report, section_table
from worldsim.evaluate.run import spread
from worldsim.evaluate.trial import CONTEXT, dream_clips

HOSTILE = '</title><script>alert(1)</script><img src=x onerror="alert(2)">&amp;\u202e\x00'
CARD = make_card("toy", (32, 32), title=HOSTILE, fps=10.0, prompts=(HOSTILE,), limits=())
VOID = {"meta", "img", "br", "hr"}


class Page(HTMLParser):
    """Reads a page, and refuses one whose elements are not closed in order."""

    def __init__(self, document: str):
        super().__init__()
        self.tags, self.open, self.words, self.sources = [], [], [], []
        self.feed(document)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        self.sources += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def columns(tmp_path_factory):
    footage = toy.footage(tmp_path_factory.mktemp("toy") / "footage", episodes=4)
    return load_columns(footage, range(len(footage)))


@pytest.fixture(scope="module")
def fidelity(columns):
    def measure(world):
        own = trial(world(), columns, horizon=32, num_windows=8, batch_size=8)
        return measure_fidelity(own) | measure_windowed_clips(own)

    return {world: measure(world) for world in (toy.Perfect, toy.Frozen, toy.Blind)}


@pytest.fixture(scope="module")
def examples():
    rng = np.random.default_rng(0)
    real = rng.integers(0, 255, (4, 16, 12, 20, 3), np.uint8)
    psnr = (30.0, 20.0, 10.0, 25.0)
    return [Example(i, real[i], {"dreamed": real[i][::-1]}, {"dreamed": psnr[i]}) for i in range(4)]


def answers(seed: int) -> dict:
    """Numbers of a seed, a section without metrics among them."""
    rng = np.random.default_rng(seed)
    return {
        "fidelity": {
            "psnr_free_16": 20.0 + rng.normal(),
            "psnr_copy_last_16": 15.0,
            "psnr_tokenizer": 30.0,
            "curves": {"psnr_free": list(rng.normal(20, 1, 16)), "psnr_copy_last": [15.0] * 16},
        },
        "outcome": {"reward_ap": None, "reward_reason": f"no reward in 9 frames {HOSTILE}", "reward_base_rate": 0.0},
        "novelty": {"surprise": rng.normal(), "surprise_window": [1.0, None, 3.0], "num_surprises": 3},
    }


@pytest.fixture(scope="module")
def options(examples):
    runs = [answers(seed) for seed in (0, 1, 2)]
    per_seed = {section: [run[section] for run in runs] for section in runs[0]}
    result = {"protocol": {"seeds": [0, 1, 2], "footage": "f00d", "command": f"worldsim eval '{HOSTILE}'"}}
    result |= {section: spread(some) for section, some in per_seed.items()} | {"speed": {"fps_batch_1": 50.0}}
    return {"result": result, "card": CARD, "examples": examples, "per_seed": per_seed}


def test_a_page_is_well_formed_stands_alone_and_no_text_becomes_markup(options):
    page = Page(render_report(**options))
    assert "script" not in page.tags and "link" not in page.tags and page.tags.count("title") > 1
    assert page.sources and all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert "".join(page.words).count("</title><script>alert(1)</script>") >= 5


def test_the_escaping_can_fail():
    document = f"<html><head><title>{HOSTILE}</title></head></html>"
    with pytest.raises((AssertionError, IndexError)):
        assert "script" not in Page(document).tags
    assert str(text("\u202e\x00")) == "??"
    assert element("p", "<", title='"') == '<p title="&quot;">&lt;</p>'


def test_pictures_come_before_curves_before_numbers_before_settings(options):
    document = render_report(**options)
    order = [
        document.index(x)
        for x in ("<img", "Where it failed worst", "<svg", "Quality and speed", ">novelty</h3>", "f00d")
    ]
    assert order == sorted(order)
    page = Page(document)
    assert page.tags.count("img") == 3 + 3 * 3 + 3 * 3  # films, and three rows for each strip
    assert page.tags.count("svg") == 2 and page.tags.count("polygon") == 2


def test_the_film_strip_is_the_first_picture(options):
    strip = FilmStrip(("game", "dream"), np.zeros((2, 2, 3, 8, 8, 3), np.uint8))
    document = render_report(**options, film_strip=strip)
    assert document.index("Twenty seconds") < document.index("<img") < document.index("Recorded and dreamed")


def test_a_page_without_pictures_or_seeds_is_still_a_page(options):
    page = Page(render_report(options["result"], card=make_card()))
    assert "img" not in page.tags and "polygon" not in page.tags and "polyline" in page.tags


def test_the_same_result_gives_the_same_page(options, tmp_path):
    path = write_text(render_report(**options), tmp_path / "out" / "report.html")
    assert path.read_text(encoding="utf-8") == render_report(**options)
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_what_was_not_measured_is_a_gap_with_its_reason(options):
    html = section_table("outcome", options["result"]["outcome"])
    assert re.search(r'<tr class="gap"><td>reward_ap</td>.*not measured: no reward in 9 frames', html)
    assert html.count('class="gap"') == 1
    assert "no reason was given" in section_table("other", {"x": None})


def test_every_number_has_its_row_and_its_spread(options):
    html = section_table("novelty", options["result"]["novelty"])
    mean, sd = (options["result"]["novelty"][name] for name in ("surprise", "surprise_sd"))
    assert f"{mean:.4g} ± {sd:.4g}" in html and "1, –, 3" in html and "num_surprises" in html


def test_speed_stands_in_one_table_with_quality(options):
    html = headline_table(options["result"])
    assert html.count("<table>") == 1
    assert "PSNR of 16 dreamed frames" in html and "frames a second, one world" in html and ">15<" in html


def test_lines_that_belong_together_share_a_chart():
    lists = {
        "gfvd_window": [1.0, 2.0],
        "gfvd_window_floor": [0.5, None],
        "other": [1.0, 2.0],
        "words": ["a", "b"],
        "one": [1.0],
    }
    found = charts({"curves": {"psnr_free": [1.0, 2.0], "psnr_copy": [2.0, 2.0], "ssim_free": [0.1, 0.2]}, **lists})
    assert {chart: list(lines) for chart, lines in found.items()} == {
        "psnr": ["psnr_free", "psnr_copy"],
        "ssim": ["ssim_free"],
        "gfvd_window": ["gfvd_window", "gfvd_window_floor"],
        "other": ["other"],
    }
    assert np.isnan(found["gfvd_window"]["gfvd_window_floor"].values[1])


def test_a_long_dream_counts_its_parts_and_not_frames():
    drift = {"num_seconds": 600.0, "curves": {"seconds": [150.0, 450.0], "motion_policy": [1.0, 2.0]}}
    assert list(charts(drift)) == ["motion"], "time is an axis and no line"
    assert entries("motion", drift) == "2 parts of 600 s"
    assert entries("psnr", {"curves": {"psnr_free": [1.0]}}) == "frame"
    assert entries("gfvd_window", {}) == "16 frames each"


@pytest.mark.parametrize("low, high", [(0.0, 1.0), (-3.2, 58.9), (1e-4, 3e-4), (5.0, 5.0), (0.0, 0.0), (-1e6, 2e6)])
def test_ticks_are_round_and_enclose_the_range(low, high):
    marks = ticks(low, high)
    assert marks[0] <= low and marks[-1] >= high and 3 <= len(marks) <= 8
    assert np.diff(marks) == pytest.approx(marks[1] - marks[0])


def test_the_worst_windows_are_those_with_the_largest_error(examples):
    assert [example.number for example in worst(examples, 2)] == [2, 1]
    both = [x._replace(psnr={"A": x.psnr["dreamed"], "B": 21.0}) for x in examples]
    assert [example.number for example in farthest_apart(both, 1)] == [2]


def test_examples_are_the_windows_that_are_measured(columns):
    perfect, frozen = toy.Perfect(), toy.Frozen()
    some = gather({"A": perfect, "B": frozen}, columns, horizon=16, num_windows=4, batch_size=4)
    [clip] = dream_clips(frozen, columns, horizon=16, num_windows=4, seed=0, batch_size=4)
    np.testing.assert_array_equal(np.stack([example.real for example in some]), clip.real[:, CONTEXT:])
    np.testing.assert_array_equal(np.stack([example.dreams["B"] for example in some]), clip.free)
    assert all(example.psnr["A"] > 58 > example.psnr["B"] for example in some)


def test_a_perfect_world_scores_1_and_a_frozen_one_0(fidelity):
    for world, wanted in ((toy.Perfect, 1), (toy.Frozen, 0)):
        numbers = fidelity[world]
        names = [f"score_{metric}_free_{horizon}" for metric in ("psnr", "ssim") for horizon in (1, 4, 8, 16, 32)]
        assert [numbers[name] for name in (*names, "score_gfvd_16")] == pytest.approx([wanted] * 11, abs=1e-4)
        assert numbers["score_gfvd_window"] == pytest.approx([wanted] * 2, abs=1e-4)
    assert numbers["gfvd_window"] == numbers["gfvd_window_copy_last"]


def test_a_world_whose_ceiling_is_below_standing_still_has_no_score_and_says_why(fidelity):
    numbers = fidelity[toy.Blind]
    assert numbers["score_psnr_free_1"] is None and "ceiling" in numbers["score_psnr_reason"]
    assert score(5.0, zero=20.0, one=20.1) is None and score(15.0, zero=10.0, one=20.0) == 0.5


def test_one_window_has_no_distance_and_says_why():
    video = np.zeros((1, 16, 32, 32, 3), np.uint8)
    numbers = windowed_numbers(windowed_moments(video, video, video[:, 0], np.arange(1)))
    assert numbers["gfvd_window"] is None and "at least 2" in numbers["gfvd_window_reason"]


def test_a_long_dream_goes_as_far_as_the_footage_and_agrees_with_the_short_one(columns, fidelity):
    for world, wanted in ((toy.Perfect, 1), (toy.Frozen, 0)):
        numbers = measure_windowed(trial(world(), columns, windowed_horizon=1024, num_windows=4, seed=0, batch_size=4))
        assert numbers["num_frames_dreamed"] == 80 and len(numbers["gfvd_window"]) == 5
        assert numbers["score_gfvd_64"] == pytest.approx(wanted, abs=1e-4)
    short = measure_windowed(trial(toy.Frozen(), columns, windowed_horizon=32, num_windows=8, seed=0, batch_size=8))
    assert short["gfvd_window"] == pytest.approx(fidelity[toy.Frozen]["gfvd_window"])
    with pytest.raises(ValueError, match="at least 16 frames"):
        measure_windowed(trial(toy.Frozen(), columns, windowed_horizon=8, num_windows=8, seed=0))
