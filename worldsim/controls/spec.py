"""The controls of one game, and the float rows that its actions are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Float

from worldsim.controls.kinds import KINDS, MAX_CONTROLS, Axis, Button, Choice, Control


@dataclass(frozen=True, kw_only=True)
class ActionSpec:
    """The controls of a game: choices, then buttons, then axes, one float column each.

    An action is a float row `[a]`: the index of each choice, 0 or 1 of each button, the value of each axis
    in its own unit. A row of NaN is an unknown action (unlabelled footage).
    """

    choices: tuple[Choice, ...] = ()
    buttons: tuple[Button, ...] = ()
    axes: tuple[Axis, ...] = ()

    def __post_init__(self):
        if not 1 <= self.size <= MAX_CONTROLS:
            raise ValueError(
                f"expected at least one choice, button or axis for an ActionSpec and {MAX_CONTROLS} at most, "
                f"got {self.size}."
            )

    @property
    def controls(self) -> tuple[Control, ...]:
        """The control of each column of an action row."""
        return tuple(x for kind in KINDS for x in getattr(self, kind.field))

    @classmethod
    def of(cls, controls: Iterable[Control]) -> ActionSpec:
        """Sort controls into choices, buttons and axes."""
        controls = tuple(controls)
        parts: Any = {kind.field: tuple(x for x in controls if isinstance(x, kind)) for kind in KINDS}
        return cls(**parts)

    @property
    def groups(self) -> dict[str, gym.Space]:
        """The Gymnasium space of the controls of each field that has any."""
        return {kind.field: kind.space(getattr(self, kind.field)) for kind in self.kinds}

    @property
    def kinds(self) -> tuple[type[Control], ...]:
        """The kinds of control that it has."""
        return tuple(kind for kind in KINDS if getattr(self, kind.field))

    @property
    def size(self) -> int:
        """The number of columns a of an action row."""
        return len(self.controls)

    @property
    def is_discrete(self) -> bool:
        """Whether a plain int is an action: one choice and nothing else."""
        return self.size == 1 and len(self.choices) == 1

    @property
    def noop(self) -> Float[np.ndarray, " a"]:
        """The row of doing nothing: first option, no button, each axis as near to 0 as it goes."""
        return np.array([x.rest for x in self.controls], np.float32)

    @property
    def bounds(self) -> tuple[Float[np.ndarray, " a"], Float[np.ndarray, " a"]]:
        """Lowest and highest legal value of each column."""
        low, high = ([getattr(x, side) for x in self.controls] for side in ("low", "high"))
        return np.array(low, np.float32), np.array(high, np.float32)

    def rows(self, action: Any, *, batch_shape: tuple[int, ...] = ()) -> Float[np.ndarray, "... a"]:
        """Turn an action of a person or a Gymnasium space into checked float rows `[*batch_shape a]`.

        A world of one choice also takes plain integers `[*batch_shape]`. Runs on the host.

        Raises:
            ValueError: wrong shape, a value out of range, or a fraction where a whole number belongs.
        """
        try:
            value = np.asarray(action, np.float32)
        except (TypeError, ValueError) as error:
            names = ", ".join(f"{i} for {x}" for i, x in enumerate(self.choices[0].labels)) if self.is_discrete else ""
            hint = f"; write {names}" if names else ""
            raise ValueError(f"expected numbers for an action, got {str(action)[:80]}{hint}.") from error
        if self.is_discrete and value.shape == batch_shape:
            value = value[..., None]
        if value.shape != (*batch_shape, self.size):
            ints = f" or integers of shape {batch_shape}" if self.is_discrete else ""
            raise ValueError(f"expected shape {(*batch_shape, self.size)}{ints} for action, got {np.shape(action)}.")
        low, high = self.bounds
        whole = [x.scale != "continuous" for x in self.controls]
        known = value[~np.isnan(value).any(-1)]
        bad = (known < low) | (known > high)
        bad[..., whole] |= known[..., whole] != np.round(known[..., whole])
        if bad.any():
            row, column = (int(i[0]) for i in np.nonzero(bad))
            raise ValueError(
                f"expected action column {column} ({self.column_names[column]}) in "
                f"{low[column]:g}..{high[column]:g}, got {known[row, column]:g}."
            )
        return value

    @property
    def column_names(self) -> tuple[str, ...]:
        """The name of each column of a row."""
        return tuple(x.name for x in self.controls)

    def values(self, axis_bins: int) -> list[Float[np.ndarray, " v"]]:
        """Return the values of each control, `axis_bins` even ones of an axis, of which one is its rest.

        Raises:
            ValueError: fewer than two.
        """
        if not isinstance(axis_bins, int) or axis_bins < 2:
            raise ValueError(f"expected at least 2 values of an axis, got {axis_bins!r}.")
        columns = [np.linspace(x.low, x.high, len(x.options) or axis_bins, dtype=np.float32) for x in self.controls]
        for control, column in zip(self.controls, columns):
            column[np.abs(column - control.rest).argmin()] = control.rest
        return columns

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...] = ()) -> Float[np.ndarray, "... a"]:
        """Draw uniform random rows `[*shape a]`."""
        columns = [
            rng.integers(int(x.high) + 1, size=shape) if x.options else rng.uniform(x.low, x.high, shape)
            for x in self.controls
        ]
        return np.stack(columns, -1).astype(np.float32)

    def to_json(self) -> dict:
        """Plain dicts, lists, strings and numbers, for footage.json and card.json."""
        return asdict(self)


def discrete(labels: tuple[str, ...], keys: tuple[tuple[str, ...], ...] | None = None) -> ActionSpec:
    """The ActionSpec of a Gymnasium Discrete space."""
    return ActionSpec(choices=(Choice(labels=tuple(labels), keys=tuple(keys or ((),) * len(labels))),))
