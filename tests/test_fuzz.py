"""No mutated bundle or footage is more than refused; `experiments/fuzz.py` tries many more."""

import pytest

from experiments import fuzz


@pytest.mark.parametrize("kind", list(fuzz.KINDS))
def test_mutated_files_are_taken_or_refused_within_limits_of_time_and_memory(kind):
    assert fuzz.fuzz(kind, count=200, seed=1)["faults"] == {}


@pytest.mark.parametrize(("num_faults", "status"), [(0, 0), (2, 1)])
def test_the_nights_run_names_its_seed_and_fails_where_there_is_a_fault(
    monkeypatch, tmp_path, capsys, num_faults, status
):
    monkeypatch.setattr(fuzz, "fuzz", lambda kind, count, seed: {"num_faults": num_faults})
    assert fuzz.main(fuzz.Config(count=3, seed=20260101, out=tmp_path / "fuzz.json")) == status
    assert "seed 20260101" in capsys.readouterr().out.splitlines()[0]
