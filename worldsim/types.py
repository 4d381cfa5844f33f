"""The types that travel between modules: actions, episodes, batches, states.

Time has one convention on each side of the data loader.

- An `Episode` follows Gymnasium: `obs` has one row more than `action`; `action[t]` is taken at `obs[t]`
  and leads to `obs[t + 1]`, with `reward[t]`, `terminated[t]` and `truncated[t]` the outcome of that step.
- A `Batch` follows arrival, because the model generates frames: every entry at index t belongs to the
  arrival in frame t. `prev_action[t]` led into it, `reward[t]` and `terminated[t]` came with it.

`obs` is uint8 `[h w c]` in 0..255 at every public border; a `frame` is the same picture in [-1, 1].

Dimension letters: b batch, t time, n tokens, d width, h w c pixels, a action columns, s state columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, PRNGKeyArray, UInt8

CONTEXT = 8
"""Recorded frames that dreams begin from: in initial contexts, training and evaluation."""


class Episode(NamedTuple):
    """One recorded episode, in Gymnasium's alignment."""

    obs: UInt8[np.ndarray, "t_plus_1 h w c"]
    action: Float[np.ndarray, "t a"]  # columns of an ActionSpec; NaN where the action is not known
    reward: Float[np.ndarray, " t"]
    terminated: Bool[np.ndarray, " t"]
    truncated: Bool[np.ndarray, " t"]
    state: Float[np.ndarray, "t_plus_1 s"] | None = None  # ground truth of the engine, where it has any


class Batch(NamedTuple):
    """Windows of footage, in arrival alignment. `mask` is False on padding past an episode's end."""

    obs: Any  # uint8 [b t h w c], or float latents [b t n d]
    prev_action: Any  # float [b t a]; NaN = not known
    reward: Any  # float [b t]
    terminated: Any  # bool [b t]
    mask: Any  # bool [b t]


class SimState(NamedTuple):
    """All that a simulated world remembers: a pytree to save, restore, fork and rewind.

    Its leading axis is the batch of worlds, save for the key, of which each world has its own.
    """

    key: PRNGKeyArray  # [b]
    cache: Any  # what the dynamics remember of the past frames
    frame_index: Any  # int32 [b], frames since the reset


class StepOutput(NamedTuple):
    """What one simulated step returns, one entry per world."""

    obs: Any  # uint8 [b h w c]; latents float32 [b n d] where nothing is decoded
    reward: Any  # float32 [b]
    terminated: Any  # bool [b]
    truncated: Any  # bool [b]
    uncertainty: Any  # float32 [b], latent units: 0 = certain, about 1 = as wide as the footage itself


def obs_to_frame(obs: Any) -> Float[Array, "..."]:
    """Turn uint8 pictures in 0..255 into float frames in [-1, 1]."""
    return jnp.asarray(obs, jnp.float32) / 127.5 - 1.0


def frame_to_obs(frame: Float[Array, "..."]) -> UInt8[Array, "..."]:
    """Turn float frames into uint8 pictures, clipped to 0..255 and rounded."""
    return jnp.clip(jnp.round((frame + 1.0) * 127.5), 0, 255).astype(jnp.uint8)


class _Switch:
    """A control whose column is a whole number: 0 is at rest, `high` is the last option."""

    low = rest = 0.0
    is_whole = True
    high: float


@dataclass(frozen=True, kw_only=True)
class Choice(_Switch):
    """One choice among named options, as in Gymnasium's Discrete. Option 0 is the no-op."""

    name: str = "action"
    labels: tuple[str, ...]
    keys: tuple[tuple[str, ...], ...]
    """The keyboard keys that a person holds for each option, as KeyboardEvent.code values: ("ArrowLeft",)."""

    def __post_init__(self):
        if len(self.labels) < 2:
            raise ValueError(f"expected at least two options for a choice, got {self.labels}.")
        if len(self.keys) != len(self.labels):
            raise ValueError(
                f"expected one tuple of keys for each of {len(self.labels)} options of a choice, got {len(self.keys)}."
            )

    @property
    def high(self) -> float:
        """The last option."""
        return len(self.labels) - 1.0


@dataclass(frozen=True, kw_only=True)
class Button(_Switch):
    """One key that is down or up, as in Gymnasium's MultiBinary."""

    high = 1.0
    name: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One continuous control, as in Gymnasium's Box: a mouse axis, a joystick, a pedal."""

    is_whole = False
    name: str
    unit: str = ""
    low: float = -1.0
    high: float = 1.0
    keys: tuple[str, ...] = ()
    """Keys that push the axis to its low and high end, or ("mouse_x",) / ("mouse_y",)."""

    def __post_init__(self):
        if not self.low < self.high or not np.isfinite([self.low, self.high]).all():
            raise ValueError(f"expected finite low < high for axis {self.name}, got {self.low} and {self.high}.")

    @property
    def rest(self) -> float:
        """The value nearest to 0."""
        return min(max(0.0, self.low), self.high)


Control = Choice | Button | Axis
_KINDS: dict[str, type[Control]] = {"choices": Choice, "buttons": Button, "axes": Axis}  # in the order of columns


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
        if self.size == 0:
            raise ValueError("expected at least one choice, button or axis for an ActionSpec, got none.")

    @property
    def controls(self) -> tuple[Control, ...]:
        """The control of each column of an action row."""
        return tuple(x for name in _KINDS for x in getattr(self, name))

    @classmethod
    def of(cls, controls: Iterable[Control]) -> ActionSpec:
        """Sort controls into choices, buttons and axes."""
        controls = tuple(controls)
        parts: Any = {name: tuple(x for x in controls if isinstance(x, kind)) for name, kind in _KINDS.items()}
        return cls(**parts)

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
        value = np.asarray(action, np.float32)
        if self.is_discrete and value.shape == batch_shape:
            value = value[..., None]
        if value.shape != (*batch_shape, self.size):
            ints = f" or integers of shape {batch_shape}" if self.is_discrete else ""
            raise ValueError(f"expected shape {(*batch_shape, self.size)}{ints} for action, got {np.shape(action)}.")
        low, high = self.bounds
        whole = [x.is_whole for x in self.controls]
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

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...] = ()) -> Float[np.ndarray, "... a"]:
        """Draw uniform random rows `[*shape a]`."""
        columns = [
            rng.integers(int(x.high) + 1, size=shape) if x.is_whole else rng.uniform(x.low, x.high, shape)
            for x in self.controls
        ]
        return np.stack(columns, -1).astype(np.float32)

    def to_json(self) -> dict:
        """Plain dicts, lists, strings and numbers, for footage.json and card.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping) -> ActionSpec:
        """The inverse of `to_json`.

        Raises:
            ValueError: a field is missing, unknown or of the wrong kind.
        """
        try:
            parts: Any = {name: tuple(kind(**_tuples(x)) for x in data[name]) for name, kind in _KINDS.items()}
            return cls(**parts)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not an ActionSpec: {error!r} in {str(data)[:200]}.") from error


def _tuples(value: Any) -> Any:
    """JSON with tuples for lists."""
    if isinstance(value, Mapping):
        return {name: _tuples(x) for name, x in value.items()}
    return tuple(_tuples(x) for x in value) if isinstance(value, list | tuple) else value


def discrete(labels: tuple[str, ...], keys: tuple[tuple[str, ...], ...] | None = None) -> ActionSpec:
    """The ActionSpec of a Gymnasium Discrete space."""
    return ActionSpec(choices=(Choice(labels=tuple(labels), keys=tuple(keys or ((),) * len(labels))),))


def fold_keys(key: PRNGKeyArray, count: int) -> Key[Array, " n"]:
    """Derive one key per world `[count]` from one key, so that worlds do not share noise."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(count))
