"""Write a World bundle of an older schema anew, in place: the same weights, bit for bit, under the names of today.

    python experiments/migrate_bundle.py checkpoints/pong

Schema 1 had its metrics in the card, starts.safetensors for the initial contexts, and other names of modules.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from worldsim import schema
from worldsim.evaluate import headline_rows
from worldsim.world import Card, World, flatten, save_world, unflatten
from worldsim.world.arrays import deserialize

SECTIONS: dict[str, str] = {"opening": "first_frame"}
"""Sections of the config and parts of the parameters: old name -> today's."""
DYNAMICS_NAMES = {"past_level": "context_tau", "weighs": "predicts_variance"}
CONFIG_NAMES: dict[str, dict[str, str]] = {
    "tokenizer": {"free": "size_agnostic"},
    "dynamics": DYNAMICS_NAMES,
    "opening": DYNAMICS_NAMES,
}
"""For each section of the config: old name -> today's."""
CAMERA_NAMES = {"overlays": "hud_regions"}
CAMERA_SIZES = {"flow_width": "flow_width", "least_change": "shrink_threshold"}
"""Fields of the dynamics of schema 1 that are the camera's today."""
RECIPE_NAMES = {
    "half": "float16",
    "aligned": "pixel_metric_latents",
    "dreams": "refresh_count",
    "own_past_share": "self_generated_fraction",
    "bootstrap_from": "bootstrap_start",
    "pure_share": "pure_noise_fraction",
    "single_share": "single_frame_fraction",
    "bootstrap_share": "bootstrap_fraction",
    "tokenizer_share": "tokenizer_fraction",
    "flow_share": "flow_fraction",
    "opening_share": "first_frame_fraction",
    "opening_stage": "first_frame_stage",
}
_DYNAMICS = "^(dynamics|first_frame)/"
PARAM_NAMES: list[tuple[str, str]] = [
    (_DYNAMICS + "gaze/", r"\1/prior/pitch_net/"),
    (_DYNAMICS + "flow/", r"\1/prior/flow_net/"),
    (_DYNAMICS + "surprise$", r"\1/prior/residual_var"),
    (_DYNAMICS + "innovation$", r"\1/change_var"),
    (_DYNAMICS + "trust/", r"\1/input_gain/"),
    (_DYNAMICS + "weigh/", r"\1/variance_proj/"),
    (_DYNAMICS + "descend/", r"\1/to_cells/"),
    (_DYNAMICS + "reader/", r"\1/prompt_encoder/"),
    ("(^|/)see/", r"\1conv_in/"),
    ("(^|/)enter/", r"\1in_proj/"),
    ("(^|/)leave/", r"\1out_proj/"),
    ("(^|/)place(/|$)", r"\1pos_embed\2"),
]
"""Regular expressions over whole names such as "dynamics/blocks/0/attn/q/kernel", and what replaces them, in order."""
SHAPES = ("tokenizer", "dynamics", "outcome", "opening", "prompt")
METRIC_NAMES: list[tuple[str, str]] = [
    ("^births", "spawns"),
    ("^num_births_frames", "num_spawn_frames"),
    ("(^|_)born_", r"\1spawn_"),
    ("(^|_)gone_(per_1000|blind|reason)", r"\1vanish_\2"),
    ("^opposite_parting", "opposite_divergence"),
    ("^num_(lookaway_)?questions", r"num_\1queries"),
]
"""Regular expressions over keys of metrics, and what replaces them."""


def migrate_card(card: dict[str, Any]) -> dict[str, Any]:
    """Return the card of today that an older one means."""
    if card["schema_version"] == 1:
        card = _from_schema_1(card)
    config = {SECTIONS.get(part, part): _section(x, CONFIG_NAMES.get(part, {})) for part, x in card["config"].items()}
    return card | {"config": config}


def _section(values: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Return a section of the config under today's names; the sizes of camera networks belong to the camera."""
    sizes = {new: values[old] for old, new in CAMERA_SIZES.items() if old in values}
    section = {names.get(key, key): value for key, value in values.items() if key not in CAMERA_SIZES}
    if section.get("camera"):
        camera = {CAMERA_NAMES.get(key, key): value for key, value in section["camera"].items()}
        section["camera"] = camera | sizes
    return section


def _from_schema_1(card: dict[str, Any]) -> dict[str, Any]:
    config = dict(card["config"])
    training = dict(card["training"])
    recipe = training.pop("preset", None)
    held_out = training.pop("held_out_episodes", [])
    training |= {"recipe": {RECIPE_NAMES.get(k, k): v for k, v in recipe.items() if k not in SHAPES}} if recipe else {}
    games = [
        {"camera": None, "held_out_episodes": [], **game, "footage": _footage(game["footage"])}
        for game in card.get("games", [])
    ]
    new = {k: v for k, v in card.items() if k not in ("starts", "metrics")}
    return new | {
        "schema_version": 2,
        "sampler": config.pop("sampler"),
        "config": config,
        "footage": _footage(card["footage"]),
        "held_out_episodes": held_out,
        "training": training,
        "games": games,
        "initial_contexts": card["starts"],
    }


def _footage(old: dict[str, Any]) -> dict[str, Any]:
    return {"digest": "", "frames": 0, "episodes": 0, "recorder": {}} | {k: v for k, v in old.items() if k != "games"}


def rename_param(name: str) -> str:
    """Return the name of today of a parameter."""
    part, _, rest = name.partition("/")
    name = f"{SECTIONS.get(part, part)}/{rest}"
    for pattern, new in PARAM_NAMES:
        name = re.sub(pattern, new, name)
    return name


def rename_metrics(metrics: Any) -> Any:
    """Return metrics under the keys of today."""
    if not isinstance(metrics, dict):
        return metrics
    renamed = {}
    for key, value in metrics.items():
        for pattern, new in METRIC_NAMES:
            key = re.sub(pattern, new, key)
        renamed[key] = rename_metrics(value)
    return renamed


def migrate(folder: Path) -> None:
    """Write a bundle anew.

    Raises:
        ValueError: weights of other bits came out of it.
    """
    old = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    names = ("starts" if old["schema_version"] == 1 else "initial_contexts", "weights")
    contexts, params = (deserialize((folder / f"{x}.safetensors").read_bytes(), folder) for x in names)
    file = folder / "metrics.json"
    metrics = old["metrics"] if "metrics" in old else json.loads(file.read_text()) if file.is_file() else {}
    card = schema.from_json(Card, migrate_card(old))
    renamed = {rename_param(name): x for name, x in params.items()}
    kept = {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.suffix in (".gif", ".png", ".jpg", ".mp4")}
    metrics = rename_metrics(metrics)
    headline = headline_rows({key: value for key, value in metrics.items() if key != "headline"})
    metrics = {"headline": headline, **metrics} if headline else metrics
    world = World(card=card, params=unflatten(renamed), initial_contexts=contexts, metrics=metrics)
    new = flatten(save_world(world, folder, extra_files=kept).params)
    if [digest(x) for x in params.values()] != [digest(new[rename_param(name)]) for name in params]:
        raise ValueError(f"{folder} holds other weights now; take the old bundle back.")


def digest(array: Any) -> str:
    """A hash of an array's bits."""
    return hashlib.sha256(f"{array.dtype} {array.shape}".encode() + array.tobytes()).hexdigest()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    for path in parser.parse_args().folders:
        migrate(path)
        print(f"{path} migrated")
