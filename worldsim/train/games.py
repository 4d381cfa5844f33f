"""The games of a training run: their footage, and what it fixes of the modules: sizes, controls, cameras, prompts.

One world of several games has the same weights for all. Nothing in the weights is of one size, so every game keeps the
shape of its frames, and each batch is of one game. Controls that mean the same are one (`join_controls`), and the
prompt says which game it is. Where one of the games has a camera that turns, the others have a static one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from worldsim.controls import ActionSpec
from worldsim.data.controls import join_controls
from worldsim.data.dataset import Columns, load_columns, split_episodes
from worldsim.data.meta import FootageMeta
from worldsim.data.store import Footage
from worldsim.model.camera.geometry import CameraConfig
from worldsim.model.dynamics import DynamicsConfig
from worldsim.model.modules import Configs
from worldsim.model.outcome import OutcomeConfig
from worldsim.places import plain_name
from worldsim.text.prompt import PromptConfig
from worldsim.train.prompts import read_prompts
from worldsim.train.recipes import Recipe

CAMERA_KEYS = {"field_of_view", "yaw", "pitch", "state", "hud_regions"}


class Game(NamedTuple):
    """Footage of a game, and the configs of the world's modules for it."""

    name: str  # fit for a file
    number: int | None  # among the games of the world; None where it has one
    footage: Footage
    ids: tuple[list[int], list[int]]  # of the episodes to train on, and held out
    data: tuple[Columns, Columns]
    configs: Configs

    @property
    def held_out(self) -> list[str]:
        """Names of the held-out episodes."""
        return [self.footage.episodes[i].name for i in self.ids[1]]


class Latents(NamedTuple):
    """Footage encoded by a tokenizer."""

    train: Float[np.ndarray, "n m c"]
    held: Float[np.ndarray, "n m c"]


def open_footages(data: Sequence[Path | str]) -> list[Footage]:
    """Open one footage folder per game.

    Raises:
        ValueError: none, two of the same game, or one that is no footage.
    """
    if isinstance(data, str | Path):
        raise ValueError(f"expected a list of footage folders, got one path: write fit([{str(data)!r}], ...).")
    footages = [Footage.open(path) for path in data]
    names = [game_name(footage) for footage in footages]
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"expected footage of one game or of several different ones, got {', '.join(names) or 'none'}."
        )
    return footages


def game_name(footage: Footage) -> str:
    """Return the name of the footage's game, fit for a file."""
    return plain_name(footage.meta.game)


def joined_spec(footages: Sequence[Footage]) -> tuple[ActionSpec, list[tuple[int, ...] | None]]:
    """Return the controls of all games together, and the columns of each; None where there is one game."""
    if len(footages) == 1:
        return footages[0].meta.action_spec, [None]
    spec, columns = join_controls([footage.meta.action_spec for footage in footages])
    return spec, list(columns)


def configs_of(footages: Sequence[Footage], recipe: Recipe) -> list[Configs]:
    """Fill the facts of footage into a recipe's configs, one for each game.

    Raises:
        ValueError: captions, attributes or a camera that do not fit their footage.
    """
    spec, columns = joined_spec(footages)
    prompt = read_prompts(footages, recipe.prompt)
    recipe = replace(recipe, outcome=reward_range(recipe.outcome, footages))
    has_camera = any(footage.meta.camera for footage in footages)
    return [
        fill_recipe(
            recipe,
            footage.meta.size,
            spec,
            columns=own,
            prompt=prompt,
            camera=camera_config(footage.meta, recipe.camera) if has_camera else None,
        )
        for footage, own in zip(footages, columns, strict=True)
    ]


def reward_range(config: OutcomeConfig, footages: Sequence[Footage]) -> OutcomeConfig:
    """Return a config whose bins hold the rewards of the footage, as close to each other as before."""
    largest = max((float(np.abs(x).max(initial=0)) for x in map(_rewards, footages)), default=0.0)
    needed = math.log1p(largest) if math.isfinite(largest) else 0.0
    if needed <= config.limit:
        return config
    limit = math.ceil(2 * needed) / 2
    bins = math.ceil((config.num_bins - 1) / 2 * limit / config.limit)
    return replace(config, num_bins=2 * bins + 1, limit=limit)


def _rewards(footage: Footage) -> np.ndarray:
    parts = [footage.read_columns(i, "reward")["reward"] for i in range(len(footage))]
    return np.concatenate([np.zeros(0, np.float32), *parts])


def load_games(footages: Sequence[Footage], configs: Sequence[Configs], seed: int) -> list[Game]:
    """Read the footage of all games into memory, split into training and held-out episodes."""
    games = []
    for i, (footage, own) in enumerate(zip(footages, configs, strict=True)):
        ids = split_episodes(footage, seed=seed)
        train, held = (load_columns(footage, part) for part in ids)
        number = i if len(footages) > 1 else None
        games.append(Game(game_name(footage), number, footage, ids, (train, held), own))
    return games


def fill_recipe(
    recipe: Recipe,
    size: tuple[int, int],
    spec: ActionSpec,
    *,
    columns: tuple[int, ...] | None = None,
    prompt: PromptConfig | None = None,
    camera: CameraConfig | None = None,
) -> Configs:
    """Return a recipe's configs for frames of `size` and controls of `spec`; with `columns` for one game of several."""
    tokenizer = replace(recipe.tokenizer, size=size, size_agnostic=columns is not None)
    shown = (-(-size[0] // tokenizer.patch), -(-size[1] // tokenizer.patch))
    dynamics = replace(
        recipe.dynamics,
        grid=tokenizer.grid,
        token_dim=tokenizer.token_dim,
        pack=tokenizer.pack,
        choice_sizes=tuple(len(x.options) for x in spec.controls if x.scale == "nominal"),
        num_buttons=sum(x.scale == "binary" for x in spec.controls),
        axis_bounds=tuple((x.low, x.high) for x in spec.controls if x.scale == "continuous"),
        columns=columns,
        prompt=prompt,
        camera=camera,
        forecast=replace(recipe.forecast, size=shown) if recipe.forecast is not None and camera is None else None,
    )
    first_frame = None if recipe.first_frame is None else first_frame_config(recipe.first_frame, dynamics)
    return Configs(tokenizer, dynamics, recipe.outcome, first_frame)


def first_frame_config(sizes: DynamicsConfig, dynamics: DynamicsConfig) -> DynamicsConfig:
    """Return the config of a first-frame model for the latents, controls and prompts of dynamics: without a past."""
    return replace(
        sizes,
        grid=dynamics.grid,
        token_dim=dynamics.token_dim,
        pack=dynamics.pack,
        choice_sizes=dynamics.choice_sizes,
        num_buttons=dynamics.num_buttons,
        axis_bounds=dynamics.axis_bounds,
        columns=dynamics.columns,
        prompt=dynamics.prompt,
        camera=None,
        forecast=None,
        time_every=sizes.num_layers + 1,
        window=1,
        has_memory=False,
        predicts_variance=True,
    )


def camera_config(meta: FootageMeta, sizes: CameraConfig) -> CameraConfig:
    """Read the camera of footage; a static one where there is none.

    Raises:
        ValueError: it lacks a field, has an unknown one, or names an action that the footage does not have.
    """
    if not meta.camera:
        return replace(sizes, size=meta.size)
    names = meta.action_spec.column_names
    if strange := sorted(meta.camera.keys() - CAMERA_KEYS):
        raise ValueError(f"expected {', '.join(sorted(CAMERA_KEYS))} for a camera, got {', '.join(strange)} too.")
    if missing := [k for k in ("field_of_view", "yaw", "pitch") if k not in meta.camera]:
        raise ValueError(
            f"expected field_of_view, yaw and pitch of a camera, the footage's lacks {', '.join(missing)}."
        )
    if unknown := [meta.camera[k] for k in ("yaw", "pitch") if meta.camera[k] not in names]:
        raise ValueError(f"expected a camera turned by actions of {names}, got {', '.join(unknown)}.")
    hud = tuple(tuple(map(float, box)) for box in meta.camera.get("hud_regions", ()))
    return replace(
        sizes,
        size=meta.size,
        field_of_view=float(meta.camera["field_of_view"]),
        yaw=names.index(meta.camera["yaw"]),
        pitch=names.index(meta.camera["pitch"]),
        hud_regions=hud,
    )
