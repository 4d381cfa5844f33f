"""How much an evaluation measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from worldsim.data.store import Footage


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """How much is measured."""

    num_windows: int = 64
    """Windows for each seed and metric; 2048 for numbers that compare with others' Frechet distances."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Evaluation seeds, which choose windows, random actions and noise."""
    quick: bool = False
    """Only fidelity over 16 frames instead of 64, objects, foreground, action following and
    outcome."""
    only: tuple[str, ...] = ()
    """Sections to measure, such as ("presence", "control"); all by default."""
    with_objects: bool = True
    """Whether to look for objects, which costs as much as the rest on a slow machine."""
    batch_size: int = 32
    """Windows that run together."""
    drift_seconds: float = 600.0
    """Length of the long dreams, in the world's own time."""
    plays: Mapping[str, Footage] = field(default_factory=dict)
    """Recordings of the game from its start, by policy (`worldsim.evaluate.record_plays`); else the held-out episodes
    are the plays."""
    play_seconds: float = 60.0
    """Length of a play and of the dream beside it, in the world's own time."""
    num_plays: int = 6
    """Plays of each policy, divided among the seeds."""
    windowed_horizon: int = 0
    """Frames over which to follow the Frechet distance, up to 1,024 say; 0 leaves it out."""
    lpips: Path | None = None
    """An ONNX file of LPIPS (docs/lpips-fvd.md)."""
    fvd: Path | None = None
    """An ONNX file of FVD's features."""
    other: Footage | None = None
    """Footage of another game, of which the world should be unsure; corrupted frames of its own by default."""

    def __post_init__(self):
        if self.num_windows < 2 or self.batch_size < 1 or not self.seeds:
            raise ValueError(
                f"expected at least 2 windows and 1 seed, got num_windows={self.num_windows}, seeds={self.seeds}, "
                f"batch_size={self.batch_size}."
            )
        if self.quick and self.other is not None:
            raise ValueError("footage of another game belongs to the full evaluation; leave quick out.")


DEFAULTS = EvalOptions()
