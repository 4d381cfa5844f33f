"""What every training has: a folder of its own, a budget for each stage, and at its end a card and starts."""

from __future__ import annotations

import dataclasses
import json
import platform
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np

from worldsim.checkpoint import NAME_PATTERN
from worldsim.data.dataset import Columns
from worldsim.data.store import Footage
from worldsim.train.loop import Budget
from worldsim.train.presets import Preset
from worldsim.train.stages import CONTEXT

NUM_STARTS = 16


def budgets(preset: Preset, minutes: float | None, num_train_steps: int | None) -> dict[str, Budget]:
    """Divide the training among the stages; the dynamics have what the others leave."""
    if minutes is not None and num_train_steps is not None:
        raise ValueError("training wants minutes or num_train_steps, got both.")
    flow_share = preset.flow_share if preset.dynamics.get("camera") else 0.0
    opening_share = preset.opening_share if preset.opening else 0.0
    shares = {"tokenizer": preset.tokenizer_share, "flow": flow_share, "opening": opening_share}
    if num_train_steps is not None:
        is_whole = sum(shares.values()) < 1  # or the dynamics of a world to go on from stay as they are
        needs = is_whole + sum(share > 0 for share in shares.values())
        if num_train_steps < max(2, needs):
            raise ValueError(f"num_train_steps must be at least {max(2, needs)}, one a stage; got {num_train_steps}.")
        steps = {name: max(share > 0, round(num_train_steps * share)) for name, share in shares.items()}
        steps["dynamics"] = max(1, num_train_steps - sum(steps.values())) * is_whole
        return {name: Budget(int(num), None) for name, num in steps.items()}
    seconds = 60 * (10.0 if minutes is None else minutes)
    if not seconds > 0:
        raise ValueError(f"minutes must be above 0, got {minutes}.")
    shares["dynamics"] = max(1 - sum(shares.values()), 0.0)
    return {name: Budget(None, seconds * share) for name, share in shares.items()}


def check_name(name: str) -> str:
    """Give back the name of a world to be.

    Raises:
        ValueError: it is not a plain one.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise ValueError(
            f"a world's name wants letters, digits, '.', '_' and '-', got {name!r}; name the run folder so."
        )
    return name


def claim(out: Path, settings: dict[str, Any], resume: bool) -> None:
    """Take the run folder, or check that it holds the run that is to go on."""
    file = out / "run.json"
    if file.is_file():
        if not resume:
            raise FileExistsError(f"{out} already holds a run; go on with resume, or choose another folder.")
        old = json.loads(file.read_text())
        differ = [key for key in settings if old.get(key) != settings[key]]
        if differ:
            raise ValueError(f"{out} was trained with another {differ[0]}; resume wants the same one.")
        return
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty and holds no run; choose another folder.")
    if resume:
        raise ValueError(f"{out} holds no run to resume; leave resume out to begin one.")
    out.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(settings))
    part.replace(file)


def hardware() -> str:
    """Say what this machine computes with."""
    device = jax.devices()[0]
    return f"{platform.machine()}, {jax.device_count()} x {device.device_kind}, jax {jax.__version__}"


def stored(params: dict[str, Any], preset: Preset) -> dict[str, Any]:
    """Give parameters as the bundle keeps them: all but the tokenizer's as float16 where the preset says so."""
    if not preset.half:
        return params
    half = {k: jax.tree.map(lambda x: np.asarray(x, np.float16), v) for k, v in params.items() if k != "tokenizer"}
    return params | half


def make_card(
    footage: Footage, name: str, preset: str, configs: dict[str, Any], num_denoise_steps: int
) -> dict[str, Any]:
    """Say what a world is, but for how it was trained and what it scored."""
    meta = footage.meta
    sampler = {"num_denoise_steps": num_denoise_steps, "noise_scale": 1.0}
    config = {key: dataclasses.asdict(value) for key, value in configs.items()}
    return {
        "schema_version": 1,
        "name": name,
        "title": meta.title,
        "prompts": list(meta.prompts),
        "game": meta.game,
        "size": list(meta.size),
        "fps": meta.fps,
        "action_spec": meta.action_spec.to_json(),
        "preset": preset,
        "config": json.loads(json.dumps(config | {"sampler": sampler})),
        "footage": {
            "digest": footage.digest(),
            "frames": footage.num_frames,
            "episodes": len(footage),
            "recorder": meta.recorder,
        },
        "training": {},
        "metrics": {},
        "licence": {"code": "MIT", "weights": "MIT", "game": meta.licence, "assets": meta.assets_licence},
        "limits": [
            f"remembers {configs['dynamics'].window} frames",
            "knows only what its footage shows",
            *(["says nothing of its uncertainty with its one denoising step"] if num_denoise_steps == 1 else []),
        ],
    }


def trained_how(
    preset: Preset, seconds: float, seed: int, minutes: float | None, num_train_steps: int | None
) -> dict[str, Any]:
    """Say in a card how a world was trained, and in how many seconds."""
    return {
        "minutes": round(seconds / 60, 2),
        "seed": seed,
        "hardware": hardware(),
        "budget": {"minutes": minutes, "num_train_steps": num_train_steps},
        "preset": dataclasses.asdict(preset),
    }


def pick_starts(train: Columns, held: Columns) -> dict[str, np.ndarray]:
    """Pick moments to begin from, evenly over the footage, held-out episodes included."""
    moments = []
    for columns in (train, held):
        for begin, end in zip(columns.bounds[:-1], columns.bounds[1:], strict=True):
            moments += [(columns, i) for i in range(begin, end - CONTEXT, CONTEXT)]
    if not moments:
        raise ValueError(f"footage wants an episode of more than {CONTEXT} frames to start worlds from.")
    chosen = [moments[i] for i in np.linspace(0, len(moments) - 1, min(NUM_STARTS, len(moments))).astype(int)]
    obs = np.stack([columns.obs[i : i + CONTEXT] for columns, i in chosen])
    return {"obs": obs, "prev_action": np.stack([columns.prev_action[i : i + CONTEXT] for columns, i in chosen])}
