"""Configs of strangers: every field has a kind and a range, checked before anything is built."""

import json
import time
from pathlib import Path

import pytest

from worldsim.model.modules import count_params, read_configs
from worldsim.world import Card, read_card

JUMP = Path(__file__).parents[2] / "checkpoints" / "jump"


def changed(part: str, **fields) -> Card:
    data = json.loads((JUMP / "card.json").read_text())
    data["config"][part].update(fields)
    return Card.from_json(data)


@pytest.mark.parametrize(
    "part, field, value",
    [
        ("dynamics", "time_every", 0),
        ("dynamics", "head_dim", 0),
        ("dynamics", "num_local", 10**9),
        ("dynamics", "choice_sizes", [10**6]),
        ("dynamics", "num_layers", -1),
        ("dynamics", "window", 2.5),
        ("dynamics", "grid", [3]),
        ("dynamics", "axis_bounds", [["0", 1]]),
        ("dynamics", "has_memory", 1),
        ("dynamics", "prompt", {"num_layers": 10**9}),
        ("dynamics", "prompt", {"attributes": [["a", "b"]]}),
        ("dynamics", "camera", {"yaw": 2000}),
        ("dynamics", "camera", {"hud_regions": [[0, 1]]}),
        ("tokenizer", "patch", 0),
        ("tokenizer", "pack", 0),
        ("tokenizer", "size", [64]),
        ("tokenizer", "num_layers", 4),
        ("tokenizer", "rarity_weight", "1"),
        ("outcome", "limit", "6"),
        ("outcome", "limit", 88),
        ("outcome", "num_bins", 10**7 + 1),
    ],
)
def test_a_field_of_another_kind_or_out_of_range_is_named_before_anything_is_built(part, field, value):
    with pytest.raises(ValueError, match=f"expected .* for config.{part}.{field}.*, got"):
        count_params(changed(part, **{field: value}))


def test_a_camera_is_turned_by_columns_that_the_action_has_and_a_frame_is_of_so_many_tokens():
    for fields in ({"camera": {"yaw": 5}}, {"grid": [100, 100]}):
        with pytest.raises(ValueError, match="must be"):
            read_configs(changed("dynamics", **fields).config)


def test_lists_of_a_config_are_bounded_too():
    for fields in ({"choice_sizes": [3] * 10**4}, {"prompt": {"attributes": [["a", [["b"]]]] * 10**4}}):
        with pytest.raises(ValueError, match="expected at most"):
            read_configs(changed("dynamics", **fields).config)


def test_a_card_counts_the_parameters_of_its_weights():
    card = read_card(JUMP)
    assert count_params(card) == card.weights.num_params


def test_the_largest_config_in_range_is_counted_in_seconds():
    began = time.process_time()
    card = changed("dynamics", num_layers=48, num_local=8, width=8192, window=1024, head_dim=64)
    assert count_params(card) > 2**30 and time.process_time() - began < 20
