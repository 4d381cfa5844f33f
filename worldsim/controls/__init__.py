"""What a player can do in a game: its controls, and actions as rows of numbers."""

from worldsim.controls.kinds import KINDS, MOUSE, Axis, Button, Choice, Control, Input
from worldsim.controls.spec import ActionSpec, discrete

__all__ = ["KINDS", "MOUSE", "ActionSpec", "Axis", "Button", "Choice", "Control", "Input", "discrete"]
