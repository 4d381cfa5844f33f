"""The values that travel between modules: what an action is, what an episode is, what a batch is.

Time has one convention on each side of the data loader.

- An `Episode` follows Gymnasium: `obs` has one row more than `action`; `action[t]` is taken at `obs[t]`
  and leads to `obs[t + 1]`, with `reward[t]`, `terminated[t]` and `truncated[t]` the outcome of that step.
- A `Batch` follows arrival, because the model generates frames: every entry at index t speaks of the
  arrival in frame t. `prev_action[t]` led into it, `reward[t]` and `terminated[t]` came with it.

`obs` is uint8 `[h w c]` in 0..255 at every public border; a `frame` is the same picture in [-1, 1].

Dimension letters: b batch, t time, n tokens, d width, h w c pixels, a action columns, s state columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, PRNGKeyArray, UInt8


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
    prompt: Any = ()  # `worldsim.nn.words.Prompt` of each window, where there are captions
    glimpse: Any = ()  # `worldsim.dynamics.cache.Glimpse` of each frame, where a camera is known
    seen: Any = ()  # latents that the past shows in place of `obs`, where some of it was not as recorded


class SimState(NamedTuple):
    """All that a simulated world remembers: a pytree to save, restore, fork and rewind.

    Its leading axis is the batch of worlds, save for the key, of which each world has its own.
    """

    key: PRNGKeyArray  # [b]
    cache: Any  # what the dynamics remember of the past frames
    frame_index: Any  # int32 [b], frames since the reset


class StepOutput(NamedTuple):
    """What one simulated step gives back, one entry a world."""

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


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One choice among named options, as in Gymnasium's Discrete. Option 0 is the no-op."""

    name: str = "action"
    labels: tuple[str, ...]
    keys: tuple[tuple[str, ...], ...]
    """The keyboard keys that a person holds for each option, as KeyboardEvent.code values: ("ArrowLeft",)."""

    def __post_init__(self):
        if len(self.labels) < 2:
            raise ValueError(f"a choice wants at least two options, got {self.labels}.")
        if len(self.keys) != len(self.labels):
            raise ValueError(
                f"a choice wants one tuple of keys an option: {len(self.labels)} options, {len(self.keys)} keys."
            )


@dataclass(frozen=True, kw_only=True)
class Button:
    """One key that is down or up, as in Gymnasium's MultiBinary."""

    name: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One continuous control, as in Gymnasium's Box: a mouse axis, a stick, a pedal."""

    name: str
    unit: str = ""
    low: float = -1.0
    high: float = 1.0
    keys: tuple[str, ...] = ()
    """Keys that push the axis to its low and high end, or ("mouse_x",) / ("mouse_y",)."""

    def __post_init__(self):
        if not self.low < self.high or not np.isfinite([self.low, self.high]).all():
            raise ValueError(f"axis {self.name} wants finite low < high, got {self.low} and {self.high}.")


@dataclass(frozen=True, kw_only=True)
class ActionSpec:
    """The controls of a game: choices, then buttons, then axes, one float column each.

    An action is a float row `[a]`: the index of each choice, 0 or 1 of each button, the value of each axis
    in its own unit. A row of NaN is an action that nobody knows (unlabelled footage).
    """

    choices: tuple[Choice, ...] = ()
    buttons: tuple[Button, ...] = ()
    axes: tuple[Axis, ...] = ()

    def __post_init__(self):
        if self.size == 0:
            raise ValueError("an ActionSpec wants at least one choice, button or axis.")

    @property
    def size(self) -> int:
        """The number of columns a of an action row."""
        return len(self.choices) + len(self.buttons) + len(self.axes)

    @property
    def is_discrete(self) -> bool:
        """Whether a plain int says it all: one choice and nothing else."""
        return self.size == 1 and len(self.choices) == 1

    @property
    def noop(self) -> Float[np.ndarray, " a"]:
        """The row of doing nothing: first option, no button, each axis as near to 0 as it goes."""
        axes = [min(max(0.0, x.low), x.high) for x in self.axes]
        return np.array([0.0] * (len(self.choices) + len(self.buttons)) + axes, np.float32)

    @property
    def bounds(self) -> tuple[Float[np.ndarray, " a"], Float[np.ndarray, " a"]]:
        """Lowest and highest legal value of each column."""
        low = [0.0] * (len(self.choices) + len(self.buttons)) + [x.low for x in self.axes]
        high = [len(x.labels) - 1.0 for x in self.choices] + [1.0] * len(self.buttons) + [x.high for x in self.axes]
        return np.array(low, np.float32), np.array(high, np.float32)

    def rows(self, action: Any, *, batch_shape: tuple[int, ...] = ()) -> Float[np.ndarray, "... a"]:
        """Turn what a person or a Gymnasium space gives into checked float rows `[*batch_shape a]`.

        A world of one choice also takes plain integers `[*batch_shape]`. Runs on the host.

        Raises:
            ValueError: wrong shape, a value out of range, or a fraction where a whole number belongs.
        """
        value = np.asarray(action, np.float32)
        if self.is_discrete and value.shape == batch_shape:
            value = value[..., None]
        if value.shape != (*batch_shape, self.size):
            ints = f" or integers of shape {batch_shape}" if self.is_discrete else ""
            raise ValueError(f"action wants shape {(*batch_shape, self.size)}{ints}, got {np.shape(action)}.")
        low, high = self.bounds
        whole = len(self.choices) + len(self.buttons)
        known = value[~np.isnan(value).any(-1)]
        bad = (known < low) | (known > high)
        bad[..., :whole] |= known[..., :whole] != np.round(known[..., :whole])
        if bad.any():
            row, column = (int(i[0]) for i in np.nonzero(bad))
            raise ValueError(
                f"action column {column} ({self.column_names[column]}) wants a value in "
                f"{low[column]:g}..{high[column]:g}, got {known[row, column]:g}."
            )
        return value

    @property
    def column_names(self) -> tuple[str, ...]:
        """The name of each column of a row."""
        return tuple(x.name for x in (*self.choices, *self.buttons, *self.axes))

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...] = ()) -> Float[np.ndarray, "... a"]:
        """Draw uniform random rows `[*shape a]`."""
        columns = [rng.integers(len(x.labels), size=shape) for x in self.choices]
        columns += [rng.integers(2, size=shape) for _ in self.buttons]
        columns += [rng.uniform(x.low, x.high, shape) for x in self.axes]
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
            return cls(
                choices=tuple(
                    Choice(name=x["name"], labels=tuple(x["labels"]), keys=tuple(tuple(k) for k in x["keys"]))
                    for x in data["choices"]
                ),
                buttons=tuple(Button(name=x["name"], keys=tuple(x["keys"])) for x in data["buttons"]),
                axes=tuple(
                    Axis(name=x["name"], unit=x["unit"], low=x["low"], high=x["high"], keys=tuple(x["keys"]))
                    for x in data["axes"]
                ),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not an ActionSpec: {error!r} in {str(data)[:200]}.") from error


def discrete(labels: tuple[str, ...], keys: tuple[tuple[str, ...], ...] | None = None) -> ActionSpec:
    """The ActionSpec of a Gymnasium Discrete space."""
    return ActionSpec(choices=(Choice(labels=tuple(labels), keys=tuple(keys or ((),) * len(labels))),))


def fold_keys(key: PRNGKeyArray, count: int) -> Key[Array, " n"]:
    """Derive one key a world `[count]` from one key, so that worlds do not share noise."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(count))
