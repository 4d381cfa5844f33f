"""The controls of several games as those of one: what has the same name and means the same is one control."""

from __future__ import annotations

from collections.abc import Sequence

from worldsim.controls import ActionSpec, Control


def join_controls(specs: Sequence[ActionSpec]) -> tuple[ActionSpec, list[tuple[int, ...]]]:
    """Join the controls of games.

    Buttons of one name are one button, "forward" say; choices and axes of one name are one where their options, or
    their unit and bounds, are the same too. Which key a person presses does not matter.

    Returns:
        All controls, and for each game which of them its own columns are.
    """
    found: dict[tuple, Control] = {}
    for spec in specs:
        for control in spec.controls:
            found.setdefault(_meaning(control), control)
    joined = ActionSpec.of(found.values())
    order = [_meaning(control) for control in joined.controls]
    return joined, [tuple(order.index(_meaning(control)) for control in spec.controls) for spec in specs]


def _meaning(control: Control) -> tuple:
    return type(control), *(value for name, value in vars(control).items() if name != "keys")
