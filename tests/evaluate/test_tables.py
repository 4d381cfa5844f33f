import json

import pytest

from experiments import tables

README = "# x\n<!-- table: worlds -->\nold\n<!-- end -->\ntext\n<!-- table: results -->\n<!-- end -->\nend\n"


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "experiments" / "results"
    folder.mkdir(parents=True)
    numbers = {
        "fidelity": {"psnr_free_16": 24.5, "psnr_free_16_sd": 0.25, "psnr_copy_last_16": 20.0, "psnr_tokenizer": 40.0},
        "control": {"action_following": None},
        "objects": {f"{p}_error_free_32{end}": 0.5 for p in ("player", "enemy") for end in ("", "_sd")},
    }
    (folder / "world_pong.json").write_text(json.dumps(numbers))
    return tmp_path


def test_numbers_come_with_their_spread_and_their_file(root):
    text = tables.render(README, root)
    assert f"4.50 {tables.PM} 0.25 | 3 | 6 | [world_pong](experiments/results/world_pong.json)" in text
    assert f"paddle error, 32 dreamed frames, px at 64 | 0.50 {tables.PM} 0.50" in text
    assert "| 40.00 | 38 | 42 |" in text


def test_what_was_not_measured_is_left_out(root):
    text = tables.render(README, root)
    assert "action following" not in text and "`jump`" not in text
    assert "old" not in text and "| world |" not in text


def test_rendering_twice_changes_nothing(root):
    once = tables.render(README, root)
    assert tables.render(once, root) == once
    assert once.startswith("# x\n") and once.endswith("<!-- end -->\nend\n") and "\ntext\n" in once


def test_a_missing_marker_is_an_error(root):
    with pytest.raises(ValueError, match="one place for each"):
        tables.render("nothing", root)
