"""A metric is written down in one place: whatever shows numbers reads it there."""

import json
import sys

import pytest

from experiments import tables
from tests.evaluate import toy
from worldsim.evaluate import EvalOptions, evaluate, headline_rows, metrics
from worldsim.evaluate.compare import Difference, describe
from worldsim.evaluate.metric import Metric, find_metric, labelled_rows
from worldsim.evaluate.metrics import presence
from worldsim.evaluate.report.report import headline_table

TOY = '''"""Brightness: how bright is the world?"""

from worldsim.evaluate.metric import Metric
from worldsim.evaluate.trial import Measurement, always

METRICS = (Metric("glare", "lower", "glare of the toy", chance="glare_real", perfect=0.0, unit="lux", headline=0),)


def measure_glare(trial):
    """Measure the glare."""
    return {"glare": 2.0 + trial.seed, "glare_real": 9.0}


MEASUREMENT = Measurement(section="glare", metrics=METRICS, measure=measure_glare, applies=always)
'''


@pytest.fixture
def with_toy(tmp_path, monkeypatch):
    """One more file of a metric."""
    (tmp_path / "toy_glare.py").write_text(TOY)
    monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(tmp_path)])
    metrics.measurements.cache_clear()
    yield
    metrics.measurements.cache_clear()
    sys.modules.pop("worldsim.evaluate.metrics.toy_glare", None)


def test_a_metric_that_is_added_in_one_file_is_measured_and_shown_everywhere(with_toy, tmp_path):
    footage = toy.footage(tmp_path / "footage", episodes=2)
    options = EvalOptions(num_windows=2, seeds=(0, 1), quick=True, with_objects=False)
    result = evaluate(toy.Frozen(), footage, options)
    assert result["glare"]["glare"] == 2.5 and result["glare"]["glare_sd"] == 0.5
    page = headline_table(result)  # the report
    assert "glare of the toy, lux" in page and "2.5 ± 0.5" in page
    row = Difference(5.0, 1.0, -4.0, -5.0, -3.0, 5, False)  # the comparison
    assert describe("glare", "glare", row) == "B is lower: better"
    folder = tmp_path / "experiments" / "results"  # docs/results.md
    folder.mkdir(parents=True)
    (folder / "world_toy.json").write_text(json.dumps(result))
    assert f"| glare of the toy, lux | 2.50 {tables.PM} 0.50 (9.00 .. 0) |" in tables.evaluation_table(tmp_path)
    first = headline_rows(result)[0]  # the model card
    named = {"label": "glare of the toy", "unit": "lux", "better": "lower"}
    assert first == {**named, "value": 2.5, "chance": 9.0, "perfect": 0.0}


def test_a_card_gets_at_most_ten_rows_and_only_what_was_measured():
    many = {f"psnr_free_{h}": 20.0 for h in (16, 64)} | {"psnr_tokenizer": 30.0, "psnr_copy_last_16": 10.0}
    control = {"action_following": None, "opposite_direction": 1.0, "latency_frames": 2.0}
    rows = headline_rows({"control": control, "fidelity": many})
    assert [row["label"] for row in rows][:2] == ["PSNR of 16 dreamed frames", "PSNR of 64 dreamed frames"]
    assert len(rows) == 4 and len(headline_rows({"fidelity": many}, limit=1)) == 1
    assert rows[0]["unit"] == "dB" and rows[0]["chance"] == 10.0 and rows[0]["perfect"] == 30.0
    assert rows[1]["chance"] is None


def test_headline_numbers_have_a_place_of_their_own_a_label_and_a_direction_or_an_end():
    every = [metric for m in metrics.measurements() for metric in m.metrics if metric.headline is not None]
    ranks = [metric.headline for metric in every]
    assert len(ranks) >= 10 and len(set(ranks)) == len(ranks)
    assert all(metric.label and (metric.better or metric.perfect is not None) for metric in every)


def test_a_family_gives_its_name_to_labels_and_references():
    family = (Metric("*_recall", "higher", "{} recall", perfect="*_recall_real"), Metric("*_recall_*", "higher"))
    numbers = {"ball_recall": 0.5, "ball_recall_sd": 0.1, "ball_recall_real": 0.9, "recall": 0.1}
    [row] = labelled_rows(family, numbers)
    assert (row.label, row.value, row.sd, row.perfect) == ("ball recall", 0.5, 0.1, 0.9)
    assert find_metric(family, "ball_recall_real[3]") is family[1] and find_metric(family, "recall") is None


def test_a_number_has_one_row_and_counts_have_none():
    numbers = {"worst_60s": 0.3, "ball_60s": 0.5, "ball_returns": 1.0, "num_runs_ball_returns": 2}
    rows = [(row.metric.key, row.value) for row in labelled_rows(presence.METRICS, numbers)]
    assert rows == [("worst_*s", 0.3), ("*_returns", 1.0), ("*_*s", 0.5)]
