"""A kind of control is one class: what the others need of it follows from there."""

import gymnasium as gym
import numpy as np
import pytest

from worldsim import schema
from worldsim.controls import KINDS, ActionSpec, Axis, Button, Choice, Input, discrete

EXAMPLES = {
    Choice: Choice(labels=("stay", "left"), keys=((), ("ArrowLeft",))),
    Button: Button(name="dig", keys=("KeyE",)),
    Axis: Axis(name="yaw", low=-9.0, high=3.0, keys=("KeyA", "KeyD")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_says_its_space_its_values_and_its_keys(kind):
    control = EXAMPLES[kind]
    space = kind.space([control, control])
    assert isinstance(space, kind.leaves)
    for made in kind.of_space(space, ["a", "b"]):
        assert (made.low, made.high, len(made.options)) == (control.low, control.high, len(control.options))
    assert control.value(Input()) == control.rest
    for binding in control.bindings:
        assert control.low <= control.value(Input(keys=binding.keys)) <= control.high and binding.label
    keyless = control.with_keys(iter(["KeyX", "KeyY"]))
    assert keyless.all_keys and isinstance(keyless, kind)


def test_the_scales_of_the_columns_are_in_order():
    assert [kind.scale for kind in KINDS] == ["nominal", "binary", "continuous"]
    spec = ActionSpec.of(reversed(list(EXAMPLES.values())))
    assert [type(x) for x in spec.controls] == list(KINDS) and list(spec.groups) == [kind.field for kind in KINDS]


def test_what_a_game_does_not_have_may_be_left_out_and_nothing_else_may_stand_there():
    spec = discrete(("stay", "left"))
    assert schema.from_json(ActionSpec, {"choices": spec.to_json()["choices"]}, complete=False) == spec
    with pytest.raises(ValueError, match="unknown fields pedals"):
        schema.from_json(ActionSpec, {**spec.to_json(), "pedals": []})
    with pytest.raises(ValueError, match="at least one"):
        schema.from_json(ActionSpec, {}, complete=False)


@pytest.mark.parametrize("labels, match", [([1, 2], "choices\\[0\\].labels\\[0\\]"), (["x"] * 5000, "2..4096 options")])
def test_labels_that_are_no_texts_or_too_many_are_refused(labels, match):
    choice = {"labels": labels, "keys": [[] for _ in labels]}
    with pytest.raises(ValueError, match=match):
        schema.from_json(ActionSpec, {"choices": [choice]}, complete=False)


def test_every_sampled_row_is_legal():
    spec = ActionSpec.of(EXAMPLES.values())
    rows = spec.sample(np.random.default_rng(0), (64,))
    spec.rows(rows, batch_shape=(64,))
    assert isinstance(spec.groups["axes"], gym.spaces.Box)
