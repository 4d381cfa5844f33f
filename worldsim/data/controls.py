"""The controls of several games as those of one: what has the same name and means the same is one control."""

from __future__ import annotations

from collections.abc import Sequence

from worldsim.types import ActionSpec


def join_controls(specs: Sequence[ActionSpec]) -> tuple[ActionSpec, list[tuple[int, ...]]]:
    """Join the controls of games.

    Buttons of one name are one button, "forward" say; choices and axes of one name are one where their options, or
    their unit and bounds, are the same too. Which key a person presses does not matter.

    Returns:
        All controls, and for each game which of them its own columns are.
    """
    kinds = [
        _joined([spec.choices for spec in specs], lambda choice: (choice.name, choice.labels)),
        _joined([spec.buttons for spec in specs], lambda button: button.name),
        _joined([spec.axes for spec in specs], lambda axis: (axis.name, axis.unit, axis.low, axis.high)),
    ]
    begins = [0, len(kinds[0][0]), len(kinds[0][0]) + len(kinds[1][0])]
    columns = [
        tuple(begin + place for begin, (_, places) in zip(begins, kinds, strict=True) for place in places[game])
        for game in range(len(specs))
    ]
    choices, buttons, axes = (tuple(kind) for kind, _ in kinds)
    return ActionSpec(choices=choices, buttons=buttons, axes=axes), columns


def _joined(games: Sequence[Sequence], meaning) -> tuple[list, list[list[int]]]:
    """All different controls in the order in which they come, and the place of each game's among them."""
    found: dict = {}
    for controls in games:
        for control in controls:
            found.setdefault(meaning(control), control)
    order = list(found)
    return list(found.values()), [[order.index(meaning(control)) for control in controls] for controls in games]
