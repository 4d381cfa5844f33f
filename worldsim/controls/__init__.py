"""What a player can do in a game: its controls, and actions as rows of numbers."""

from worldsim.controls.kinds import KINDS, Axis, Button, Choice, Control, Input
from worldsim.controls.spec import ActionSpec, discrete

__all__ = ["KINDS", "ActionSpec", "Axis", "Button", "Choice", "Control", "Input", "discrete"]
