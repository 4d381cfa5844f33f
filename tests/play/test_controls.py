"""From held keys to action rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldsim.controls import ActionSpec, Axis, Button, Choice, Input, discrete
from worldsim.play.controls import SHORTCUTS, InputState, describe, has_mouse, row_of_input, shortcuts, with_keys

PAD = discrete(
    ("noop", "up", "right", "upright", "upfire"),
    ((), ("ArrowUp",), ("ArrowRight",), ("ArrowUp", "ArrowRight"), ("ArrowUp", "Space")),
)
CRAFT = ActionSpec(
    choices=(Choice(name="slot", labels=("none", "one", "two"), keys=((), ("Digit1",), ("Digit2",))),),
    buttons=(Button(name="forward", keys=("KeyW", "ArrowUp")), Button(name="dig", keys=("Mouse0",))),
    axes=(
        Axis(name="yaw", unit="degrees", low=-30.0, high=30.0, keys=("mouse_x",)),
        Axis(name="steer", keys=("KeyA", "KeyD")),
        Axis(name="gas", low=0.0, high=1.0, keys=()),
    ),
)
KEYS = st.sampled_from(["ArrowUp", "ArrowRight", "Space", "KeyW", "KeyA", "KeyD", "Digit1", "Mouse0", "F24"])


@pytest.mark.parametrize(
    ("keys", "option"),
    [
        ((), 0),
        (("ArrowUp",), 1),
        (("ArrowUp", "ArrowRight"), 3),
        (("ArrowRight", "ArrowUp"), 3),
        (("ArrowUp", "ArrowRight", "Space"), 4),  # the later of two combinations of a length
        (("Space", "ArrowUp", "ArrowRight"), 3),
        (("Space",), 0),
        (("F24",), 0),
    ],
)
def test_the_longest_combination_that_is_held_wins_and_of_equals_the_latest(keys, option):
    assert row_of_input(PAD, Input(keys=keys)) == [option]


def test_of_opposite_keys_the_one_pressed_last_wins():
    spec = discrete(("noop", "left", "right"), ((), ("ArrowLeft",), ("ArrowRight",)))
    assert row_of_input(spec, Input(keys=("ArrowLeft", "ArrowRight"))) == [2]
    assert row_of_input(spec, Input(keys=("ArrowRight", "ArrowLeft"))) == [1]


def test_buttons_axes_mouse_and_analog_axes_fill_their_columns():
    held = Input(keys=("ArrowUp", "KeyD", "Digit2"), motion=(40.0, 0.0), axes={"gas": 0.5})
    np.testing.assert_allclose(row_of_input(CRAFT, held), [2, 1, 0, 6.0, 1, 0.5], rtol=1e-6)
    assert row_of_input(CRAFT, Input(keys=("KeyA", "KeyD")))[4] == 0
    assert row_of_input(CRAFT, Input(motion=(-9000.0, 0.0)))[3] == -30


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.lists(KEYS, unique=True, max_size=9),
    st.tuples(*[st.floats(-1e4, 1e4)] * 2),
    st.dictionaries(st.sampled_from(["yaw", "steer", "gas", "nose"]), st.floats(-1, 1)),
)
def test_whatever_is_held_makes_a_legal_row(keys, motion, axes):
    held = Input(keys=tuple(keys), motion=motion, axes=axes)
    for spec in (PAD, CRAFT):
        spec.rows(row_of_input(spec, held))


def test_nothing_held_is_the_noop():
    for spec in (PAD, CRAFT):
        assert (row_of_input(spec, Input()) == spec.noop).all()


def test_a_tap_between_two_ticks_counts_once_and_a_held_key_as_long_as_it_is_held():
    state = InputState()
    state.update(Input(1, ("Space",)))
    state.update(Input(2, ()))
    assert state.take().keys == ("Space",)
    assert state.take().keys == ()
    state.update(Input(3, ("Space",)))
    assert state.take().keys == state.take().keys == ("Space",)
    state.update(Input(4, ()))
    assert state.take() == Input(4)


def test_mouse_movement_adds_up_between_ticks_and_is_spent_by_one():
    state = InputState()
    state.update(Input(1, (), (3.0, -1.0)))
    state.update(Input(2, (), (4.0, 2.0)))
    assert state.take().motion == (7.0, 1.0)
    assert state.take().motion == (0.0, 0.0)


def test_controls_without_keys_get_those_that_their_labels_speak_of():
    spec = with_keys(discrete(("NOOP", "FIRE", "UP", "UPRIGHTFIRE")))
    assert spec.choices[0].keys == ((), ("Space",), ("ArrowUp",), ("ArrowUp", "ArrowRight", "Space"))


def test_controls_without_telling_labels_get_keys_of_their_own():
    spec = with_keys(discrete(tuple(str(i) for i in range(14))))
    keys = spec.choices[0].keys
    assert keys[0] == () and len(set(keys)) == 14 and keys[1] == ("Digit1",)
    mixed = with_keys(CRAFT)
    assert mixed.choices == CRAFT.choices and len(mixed.axes[2].keys) == 2


def test_a_command_gives_its_key_to_the_game_and_takes_alt():
    found = shortcuts(ActionSpec(buttons=(Button(name="back", keys=("KeyS",)),)))
    assert found["save"] == {"code": "KeyS", "alt": True} and found["load"] == {"code": "KeyL", "alt": False}
    assert len(set(SHORTCUTS.values())) == len(SHORTCUTS)


def test_the_page_is_told_of_every_control():
    told = {x["name"]: x for x in describe(CRAFT)}
    assert list(told) == ["slot", "forward", "dig", "yaw", "steer", "gas"]
    assert [name for name, x in told.items() if x["is_analog"]] == ["steer", "gas"], "a mouse is no joystick"
    assert told["slot"]["bindings"][1] == {"label": "one", "keys": ("Digit1",)}
    assert told["forward"]["bindings"] == [{"label": "forward", "keys": (key,)} for key in ("KeyW", "ArrowUp")]
    assert [x["label"] for x in told["steer"]["bindings"]] == ["steer −", "steer +"]
    assert has_mouse(CRAFT) and not has_mouse(PAD)


def test_taps_of_a_page_that_nobody_reads_do_not_pile_up():
    state = InputState()
    for n in range(3600):
        state.update(Input(n, tuple(f"{n}-{i}" for i in range(16))))
        state.update(Input(n, ()))
    assert len(state.take().keys) <= 32
