"""What each Pyxel game is about: its keys, its score, when it is lost, its ground truth and a scripted player."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from .pyxel_jump import Jump, TallJump
from .pyxel_shooter import Shooter
from .pyxel_snake import Snake


class Rules(Protocol):
    """How to read one Pyxel program. `app` is its App object, `names` are its global names.

    An attribute `rows_above`, 0 where there is none, is how many rows over the game's screen the picture shows too.
    With `draws_end` False the last picture of play stays at the end, in place of a screen that says so.
    """

    about: ClassVar[dict[str, Any]]
    program: ClassVar[str]
    pyxel_keys: ClassVar[tuple[tuple[str, ...], ...]]
    start_keys: ClassVar[tuple[tuple[str, ...], ...]]

    def __init__(self, app: Any, names: dict[str, Any]): ...

    def score(self) -> float:
        """The running sum of rewards."""
        ...

    def is_over(self) -> bool:
        """Whether the player just lost."""
        ...

    def state(self) -> dict[str, float]:
        """Ground truth by column name."""
        ...

    def scripted_action(self, frame_skip: int) -> int:
        """What a good player would do now."""
        ...


RULES: dict[str, type[Rules]] = {"jump": Jump, "jump-tall": TallJump, "shooter": Shooter, "snake": Snake}
