"""The card of a World bundle: what the world is, how it was made, what it may be used for, where it fails.

A card is untrusted input like the rest of its bundle: kinds and ranges of all fields are checked when it is made.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from worldsim import schema
from worldsim.controls import ActionSpec
from worldsim.places import as_path
from worldsim.schema import Range
from worldsim.world.files import read_json

SCHEMA_VERSION = 2
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""Names of worlds and of their games: plain ones, which are file names everywhere."""
PARTS = ("tokenizer", "dynamics", "outcome")
"""The parameter trees of a bundle, and the sections of its config."""
OPTIONAL_PART = "first_frame"
"""One more, of worlds with a network of its own for the first frame."""
MAX_CARD_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class FootageSource:
    """The footage that a world was trained on."""

    digest: str = ""
    frames: Annotated[int, Range(0, 2**48)] = 0
    episodes: Annotated[int, Range(0, 2**48)] = 0
    recorder: Mapping[str, Any] = field(default_factory=dict)
    """`FootageMeta.recorder`."""


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """How frames are drawn where nobody says otherwise."""

    num_denoise_steps: Annotated[int, Range(1, 1024)] = 4
    noise_scale: Annotated[float, Range(0, 10)] = 1.0


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """What weights.safetensors holds."""

    sha256: str = ""
    num_params: Annotated[int, Range(0, 2**40)] = 0
    dtype: str = ""
    """Names of the dtypes in it, joined by "+"."""


@dataclass(frozen=True, kw_only=True)
class ContextsFile:
    """What initial_contexts.safetensors holds."""

    sha256: str = ""
    count: Annotated[int, Range(0, 2**24)] = 0


@dataclass(frozen=True, kw_only=True)
class LearnedGame:
    """The game that a world or an agent was learned from."""

    title: str
    game: str
    """The short name or the Gymnasium id."""
    size: tuple[Annotated[int, Range(1, 4096)], Annotated[int, Range(1, 4096)]]
    """Height and width of its frames in pixels."""
    fps: Annotated[float, Range(0.01, 1000)]
    action_spec: ActionSpec
    footage: FootageSource = FootageSource()

    def __post_init__(self):
        schema.check(self)


@dataclass(frozen=True, kw_only=True)
class GameCard(LearnedGame):
    """One game of a world of several: what holds for it in place of what the card says."""

    name: str
    prompts: tuple[str, ...] = ()
    columns: tuple[Annotated[int, Range(0, 1023)], ...]
    """The columns of the world's actions that are this game's."""
    camera: Mapping[str, Any] | None = None
    """Fields of `CameraConfig`, where one of the games has a camera that turns."""
    held_out_episodes: tuple[str, ...] = ()
    licence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Card(LearnedGame):
    """What card.json says of a world."""

    name: str
    prompts: tuple[str, ...] = ()
    """What reaches the world beside its name."""
    preset: str = "custom"
    """The name of the recipe that it was trained by; custom = a recipe of its own."""
    config: Mapping[str, Mapping[str, Any]]
    """Fields of the modules' configs, one section for each of `PARTS`, and `OPTIONAL_PART` where it has one."""
    sampler: SamplerConfig = SamplerConfig()
    held_out_episodes: tuple[str, ...] = ()
    """Episodes of the footage that it was not trained on."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """minutes, seed, hardware, budget, recipe; where known command, history, init: the world that it went on from."""
    licence: Mapping[str, str] = field(default_factory=dict)
    """Of code, weights, game and assets."""
    limits: tuple[str, ...] = ()
    """Where it fails, in sentences."""
    games: tuple[GameCard, ...] = ()
    """Of a world of several games each one."""
    weights: WeightsFile = WeightsFile()
    """Known when the world is saved, as the next is."""
    initial_contexts: ContextsFile = ContextsFile()
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self):
        super().__post_init__()
        check_name(self.name)
        if missing := [part for part in PARTS if part not in self.config]:
            raise ValueError(f"config lacks {', '.join(missing)}.")
        count = self.action_spec.size
        for game in self.games:
            columns, size = game.columns, game.action_spec.size
            if max(columns, default=0) >= count or len(set(columns)) != size or len(columns) != size:
                raise ValueError(f"expected {size} different columns of {count} for {game.name}, got {columns}.")

    @property
    def game_names(self) -> list[str]:
        """The names of its games, none where it has one only."""
        return [game.name for game in self.games]

    @property
    def screens(self) -> list[str]:
        """Height, width and pace of its frames, or of those of each game."""
        return [f"{x.size[0]}x{x.size[1]}, {x.fps:g} fps" for x in self.games or [self]]

    def to_json(self) -> dict[str, object]:
        """Plain dicts, lists, strings and numbers."""
        return schema.to_json(self)

    @classmethod
    def from_json(cls, data: object) -> Card:
        """The inverse of `to_json`, for the card of a saved world.

        Raises:
            ValueError: another schema version, or a field is missing, unknown, of the wrong kind or out of range.
        """
        version = data.get("schema_version", SCHEMA_VERSION) if isinstance(data, dict) else SCHEMA_VERSION
        if version != SCHEMA_VERSION:
            how = "migrate it: python experiments/migrate_bundle.py FOLDER" if version == 1 else "use its worldsim"
            raise ValueError(f"expected {SCHEMA_VERSION} for schema_version, got {str(version)[:80]}; {how}.")
        return schema.from_json(cls, data)


def check_name(name: str) -> str:
    """Return the name of a world.

    Raises:
        ValueError: it is not a plain one.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise ValueError(f"expected letters, digits, '.', '_' and '-' for a world's name, got {name[:80]!r}.")
    return name


def read_card(folder: str | os.PathLike[str]) -> Card:
    """Read and check the card of a bundle, without its arrays.

    Raises:
        ValueError: there is none, or it is not a card.
    """
    path = as_path(folder) / "card.json"
    data = read_json(path, MAX_CARD_BYTES)
    try:
        return Card.from_json(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def check_same_game(
    world: LearnedGame, other: object, what: object, fields: tuple[str, ...] = ("game", "size", "fps", "action_spec")
) -> None:
    """Refuse footage, a game or a world that differs from a world in one of these fields.

    Args:
        world: the card.
        other: another card, or the footage's meta.
        what: a path or a name for the message.
        fields: what is compared.

    Raises:
        ValueError: names the first field that differs, and both values.
    """
    for name in fields:
        expected, got = getattr(world, name), getattr(other, name)
        if expected != got:
            shown = [str(schema.to_json(x) if name != "size" else f"{x[0]}x{x[1]}")[:150] for x in (expected, got)]
            label = {"size": "frame size", "action_spec": "controls"}.get(name, name)
            raise ValueError(f"{what} differs from the world in its {label}: expected {shown[0]}, got {shown[1]}.")
