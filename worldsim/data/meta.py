"""The description of a footage folder (`footage.json`) and of each episode (a line of `episodes.jsonl`)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from worldsim import schema
from worldsim.controls import ActionSpec
from worldsim.data.episode import MAX_FRAMES, column_shapes
from worldsim.schema import Range

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class FootageMeta:
    """What holds for all episodes of a footage folder."""

    game: str
    """The short name or the Gymnasium id, as `record` takes it."""
    title: str
    size: tuple[Annotated[int, Range(1, 4096)], Annotated[int, Range(1, 4096)]]
    """Height and width of the pictures in pixels."""
    fps: Annotated[float, Range(0.01, 1000)]
    """Recorded frames for each second of the game."""
    action_spec: ActionSpec
    state_names: tuple[str, ...] = ()
    """Columns of the engine's ground truth, empty where it gives none."""
    objects: Mapping[str, Mapping[str, Any]]
    """What evaluation looks for: name -> {"size": [h, w], "colour": [r, g, b]}, and optionally "kind", "irreversible"
    (`worldsim.evaluate.metrics.irreversible`) and "faces" (`worldsim.evaluate.metrics.memory`); or {"view": {...}} for
    what the picture is seen from (`worldsim.evaluate.metrics.lookaway`)."""
    recorder: Mapping[str, Any]
    """policy, seed, frame_skip, package, version, command."""
    licence: str = "unknown"
    assets_licence: str = "unknown"
    prompts: tuple[str, ...] = ()
    attributes: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    """What captions name: name of a state column -> language ("en", "ko") -> the word for each of its values."""
    camera: Mapping[str, Any] = field(default_factory=dict)
    """Of a first-person game whose controls turn its camera by degrees: {"field_of_view": degrees from top to bottom,
    "yaw": action column, "pitch": action column, "state": column of the pitch in degrees, downwards, "hud_regions":
    boxes that do not turn with the world (`worldsim.model.camera.geometry`)}; the last two may be missing."""
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self):
        schema.check(self)

    def to_json(self) -> dict[str, object]:
        """Plain dicts, lists, strings and numbers; without what older footage has not, where there is none."""
        data = json.loads(json.dumps({**asdict(self), "action_spec": self.action_spec.to_json()}))
        return {k: v for k, v in data.items() if v or k not in ("attributes", "camera")}

    @classmethod
    def from_json(cls, data: object) -> FootageMeta:
        """The inverse of `to_json`.

        Raises:
            ValueError: another schema version, or a field is missing, unknown or of the wrong kind.
        """
        if not isinstance(data, dict) or "schema_version" not in data:
            raise ValueError("expected a JSON object with a schema_version; this is not the footage.json of worldsim.")
        if data["schema_version"] != SCHEMA_VERSION:
            raise ValueError(
                f"expected schema version {SCHEMA_VERSION}, got {data['schema_version']!r}; record it again."
            )
        try:
            return schema.from_json(cls, {"attributes": {}, "camera": {}} | data)
        except ValueError as error:
            raise ValueError(f"a field is missing, unknown or of the wrong kind: {error}") from error

    @property
    def columns(self) -> dict[str, tuple[int, ...]]:
        """The shape of one row of each column, without time."""
        return column_shapes(self.size, self.action_spec.size, len(self.state_names))

    def check_same_world(self, other: FootageMeta) -> None:
        """Refuse footage that does not belong with this: another game, size, action space or pace.

        Raises:
            ValueError: names what differs.
        """
        mine, theirs = self.to_json(), other.to_json()
        for name in ("game", "size", "fps", "action_spec", "state_names"):
            if mine[name] != theirs[name]:
                raise ValueError(f"footage of {name} {_short(mine[name])} cannot go on with {_short(theirs[name])}.")


@dataclass(frozen=True, kw_only=True)
class EpisodeInfo:
    """One line of the index."""

    name: str
    length: Annotated[int, Range(2, MAX_FRAMES)]
    """Number of frames, one more than the number of actions."""
    return_: float
    """Sum of the rewards."""
    seed: int | None
    """The recording's seed: with the number in `name` it determines the episode. None for imported footage."""
    terminated: bool
    """Whether the game ended it, rather than a time limit."""
    policy: str
    sha256: str
    """Of the columns' bytes: sha256 over the sha256 of each column, columns in alphabetical order."""

    def to_json(self) -> dict[str, object]:
        """Plain values; `return_` is called `return`."""
        return {k.rstrip("_"): v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, data: object) -> EpisodeInfo:
        """The inverse of `to_json`.

        Raises:
            ValueError: a field is missing, unknown, of the wrong kind or out of range.
        """
        names = {"return": "return_"}
        data = {names.get(k, k): v for k, v in data.items()} if isinstance(data, Mapping) else data
        info = schema.from_json(cls, data, "the episode")
        if not re.fullmatch(r"[0-9A-Za-z]{1,64}", info.name):
            raise ValueError(f"expected letters and digits for the name of an episode, got {info.name[:80]!r}.")
        return info


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else text[:117] + "..."
