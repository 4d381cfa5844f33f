"""JSON from outside becomes a dataclass, or a ValueError that names what is wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import pytest

from worldsim import schema
from worldsim.schema import Range


@dataclass(frozen=True, kw_only=True)
class Part:
    name: str
    is_odd: bool = False


@dataclass(frozen=True, kw_only=True)
class Whole:
    width: Annotated[int, Range(1, 8)] = 4
    rates: tuple[Annotated[float, Range(0, 1)], ...] = ()
    place: Annotated[int, Range(0, 3)] | None = None
    pair: tuple[str, tuple[int, ...]] = ("", ())
    words: Mapping[str, Sequence[str]] | None = None
    part: Part | None = None

    def __post_init__(self):
        schema.check(self)


GOOD = {
    "width": 8,
    "rates": [0, 0.5],
    "place": 3,
    "pair": ["a", [1, 2]],
    "words": {"en": ["x"]},
    "part": {"name": "p", "is_odd": True},
}


def test_json_becomes_a_dataclass_and_back():
    whole = schema.from_json(Whole, GOOD)
    assert whole.part == Part(name="p", is_odd=True) and whole.pair == ("a", (1, 2))
    assert schema.to_json(whole) == GOOD
    assert schema.from_json(Whole, {"part": {"name": "p"}}, complete=False).part == Part(name="p")


def test_a_part_that_is_none_by_default_may_be_missing_for_it_may_have_been_added_since():
    with_all = {**GOOD, "part": None}
    assert schema.from_json(Whole, {k: x for k, x in with_all.items() if k != "part"}) == schema.from_json(
        Whole, with_all
    )
    with pytest.raises(ValueError, match="lacks width"):
        schema.from_json(Whole, {k: x for k, x in GOOD.items() if k != "width"})


@pytest.mark.parametrize(
    "change, message",
    [
        ({"width": 0}, r"expected a whole number in 1\.\.8 for card\.width, got '0'"),
        ({"width": 9.0}, "a whole number"),
        ({"width": True}, "a whole number"),
        ({"width": 2**70}, "a whole number"),
        ({"rates": [0, float("nan")]}, r"a number in 0\.\.1 for card\.rates\[1\]"),
        ({"rates": "0"}, "a list"),
        ({"place": 4}, "place"),
        ({"pair": ["a"]}, "a list of 2 entries"),
        ({"pair": ["a", ["b"]]}, r"pair\[1\]\[0\]"),
        ({"words": {"en": "x"}}, "words.en"),
        ({"part": {"name": "p", "is_odd": 1}}, "true or false for card.part.is_odd"),
        ({"part": {"is_odd": True}}, "card.part lacks name"),
        ({"x": 1}, "unknown fields x"),
    ],
)
def test_a_field_of_another_kind_or_out_of_range_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        schema.from_json(Whole, GOOD | change, "card")


def test_a_dataclass_made_in_python_is_held_to_the_same_ranges():
    with pytest.raises(ValueError, match=r"1\.\.8 for width, got '9'"):
        Whole(width=9)


@pytest.mark.parametrize(
    "text", ["[" * 10**5, '{"a":' * 10**5, "[" * 40 + "]" * 40, "9" * 30, "9" * 10**5, "{", "", b"\xff\xfe", b"\xff"]
)
def test_json_that_is_deep_long_or_none_is_a_value_error_alone(text):
    with pytest.raises(ValueError):
        schema.parse_json(text)
