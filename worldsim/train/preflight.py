"""What training will meet, from the footage's numbers and before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import psutil

from worldsim.data.store import Footage
from worldsim.model.dynamics import DynamicsConfig
from worldsim.model.modules import Configs
from worldsim.model.outcome import OutcomeConfig
from worldsim.train.games import configs_of, open_footages
from worldsim.train.recipes import PRESETS, Recipe, get_recipe
from worldsim.types import CONTEXT

_PER_WIDTH, _PER_LOCAL, _PER_TOKEN, _PER_PAIR = 79, 100, 5300, 6
"""Floats of one training step for each token: per width and layer, per local channel, and for each; and per pair of
tokens, head and layer. Fitted to what XLA allots to a step of tiny at 16 to 950 tokens a frame (within 4 %), small,
game-h100 and base (within 15 %)."""
_SHARE = 0.9  # of the free memory, for a step


class Preflight(NamedTuple):
    """What is known before training."""

    num_frames: int
    tokens: tuple[int, ...]
    """A frame's, of each game."""
    step_bytes: int
    """Estimated memory of one training step."""
    footage_bytes: int
    """Pictures and latents, which are kept in memory."""
    notes: tuple[str, ...]
    """Sentences for people: what will be otherwise than they may think."""

    def lines(self) -> list[str]:
        """Say it in lines for people."""
        tokens = " and ".join(map(str, self.tokens))
        return [
            f"{self.num_frames:,} frames, {tokens} tokens a frame; a training step takes about "
            f"{self.step_bytes / 1e9:.1f} GB, the footage {self.footage_bytes / 1e9:.1f} GB",
            *self.notes,
        ]


def check_footage(footages: Sequence[Footage], configs: Sequence[Configs], recipe: Recipe) -> Preflight:
    """Read all but the pictures of footage, and estimate what a recipe takes for it.

    Raises:
        ValueError: footage of fewer than two episodes, or with rewards or actions that cannot be learned from; the
            message names the episode.
        MemoryError: a step takes more memory than there is; the message says what helps.
    """
    notes: list[str] = []
    for footage, config in zip(footages, configs, strict=True):
        notes += _check_columns(footage, config.outcome)
    step = max(step_bytes(config.dynamics, recipe) for config in configs)
    kept = sum(_footage_bytes(footage, config) for footage, config in zip(footages, configs, strict=True))
    _check_memory(step, kept, footages)
    num_frames = sum(footage.num_frames for footage in footages)
    return Preflight(num_frames, tuple(c.dynamics.num_latents for c in configs), step, kept, tuple(notes))


def _check_memory(step: int, kept: int, footages: Sequence[Footage]) -> None:
    free, of_host = free_bytes(), jax.local_devices()[0].platform == "cpu"
    needed = step + kept if of_host else step  # the footage stays with the host
    if needed <= _SHARE * free and kept <= _SHARE * psutil.virtual_memory().available:
        return
    sides = max((footage.meta.size for footage in footages), key=math.prod)
    scale = 0.5 * math.sqrt(max(free - kept, 1) / step)
    smaller = (max(8, round(scale * side / 8) * 8) for side in sides)
    raise MemoryError(
        f"a training step on pictures of {sides[0]}x{sides[1]} takes about {step / 1e9:.1f} GB, and the footage "
        f"{kept / 1e9:.1f} GB; {free / 1e9:.1f} GB are free here. Record smaller pictures (worldsim record ... --size "
        f"{' '.join(map(str, smaller))}), or train a smaller preset."
    )


def check_data(data: Sequence[Path | str], preset: str | Recipe) -> Preflight:
    """Read footage folders as `fit` does, and say what training a preset on them takes.

    Raises:
        ValueError: footage that cannot be trained on.
        MemoryError: a step takes more memory than there is.
    """
    recipe, footages = get_recipe(preset), open_footages(data)
    return check_footage(footages, configs_of(footages, recipe), recipe)


def estimates(footage: Footage) -> dict[str, dict[str, int | float]]:
    """Return tokens a frame and the memory of a training step in GB, by preset that suits the footage."""
    found: dict[str, dict[str, int | float]] = {}
    for name, recipe in PRESETS.items():
        try:
            config = configs_of([footage], recipe)[0].dynamics
        except ValueError:
            continue  # a recipe that does not suit pictures of that size
        found[name] = {"tokens": config.num_latents, "step_gb": round(step_bytes(config, recipe) / 1e9, 2)}
    return found


def step_bytes(config: DynamicsConfig, recipe: Recipe) -> int:
    """Estimate the memory of one training step of the dynamics, in bytes."""
    tokens, heads = config.num_latents, config.width // config.head_dim
    floats = _PER_WIDTH * config.width * config.num_layers + _PER_TOKEN
    floats += _PER_LOCAL * config.pack * config.local_width * config.num_local
    floats += _PER_PAIR * heads * tokens * config.num_layers
    return 4 * recipe.dynamics_stage.batch_size * recipe.frames * tokens * floats


def free_bytes() -> int:
    """Return the free memory of the device that trains, in bytes, within the limits of this process."""
    device = jax.local_devices()[0]
    if device.platform != "cpu" and (stats := device.memory_stats()):
        return int(stats.get("bytes_limit", psutil.virtual_memory().available))
    process, free = psutil.Process(), psutil.virtual_memory().available
    limit = process.rlimit(psutil.RLIMIT_AS)[0] if hasattr(process, "rlimit") else -1  # `ulimit -v`, on Linux
    return free if limit < 0 else min(free, max(limit - process.memory_info().vms, 0))


def _check_columns(footage: Footage, outcome: OutcomeConfig) -> list[str]:
    if len(footage) < 2:
        raise ValueError(f"expected at least 2 episodes in {footage.path}, got {len(footage)}; record more frames.")
    largest, spec = 0.0, footage.meta.action_spec
    for i, info in enumerate(footage.episodes):
        columns = footage.read_columns(i, "action", "reward")
        try:
            spec.rows(columns["action"], batch_shape=(info.length - 1,))
            if not np.isfinite(columns["reward"]).all():
                step = int(np.flatnonzero(~np.isfinite(columns["reward"]))[0])
                raise ValueError(f"expected finite rewards, got {columns['reward'][step]} at step {step}.")
        except ValueError as error:
            raise ValueError(f"{footage.path}, episode {info.name}: {error}") from error
        largest = max(largest, float(np.abs(columns["reward"]).max()))
    notes, most = [], math.expm1(outcome.limit)
    if largest > most:
        notes.append(f"rewards of {footage.path} reach {largest:g}, and the world pays {most:.0f} at most")
    if (longest := max(e.length for e in footage.episodes)) <= CONTEXT:
        notes.append(f"no episode of {footage.path} has more than {longest} frames: dreams begin from {longest - 1}")
    return notes


def _footage_bytes(footage: Footage, configs: Configs) -> int:
    dynamics = configs.dynamics
    return footage.num_frames * (3 * math.prod(footage.meta.size) + 4 * dynamics.num_latents * dynamics.token_dim)
