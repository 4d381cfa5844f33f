"""No mutated bundle or footage is more than refused; `experiments/fuzz.py` tries many more."""

import pytest

from experiments import fuzz


@pytest.mark.parametrize("kind", list(fuzz.KINDS))
def test_mutated_files_are_taken_or_refused_within_limits_of_time_and_memory(kind):
    assert fuzz.fuzz(kind, count=200, seed=1)["faults"] == {}
