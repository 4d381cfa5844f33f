"""Detectors of the objects of which the footage has the ground truth.

Objects that look alike and differ by a number (`fruit0`, `fruit1`) count together (`fruit`).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.envs.registration import load_env_creator

from worldsim.data.dataset import Columns
from worldsim.data.meta import FootageMeta
from worldsim.evaluate.fitted.detector import Detector
from worldsim.evaluate.fitted.templates import fit_detector
from worldsim.recording.source import is_short_name

ObjectInfo = Mapping[str, Any]  # of `FootageMeta.objects`
_FAMILY = "worldsim_envs"
_CALIBRATION_FRAMES = 6000
_CHECK_FRAMES = 500
_GHOST_FRAMES = 64


class Target(NamedTuple):
    """Objects that look alike: where their truth stands, how they look, and how well they are found on real frames."""

    columns: np.ndarray  # int [m 2], columns of x and y in the state
    kind: str | None
    detector: Detector
    real: dict[str, float]


def find_targets(meta: FootageMeta, calibration: Columns, held_out: Columns) -> dict[str, Target]:
    """Fit a detector to every object of which the footage has the ground truth; measure it on held-out frames."""
    targets = {}
    if calibration.state is None or held_out.state is None:
        return targets
    some = np.random.default_rng(0).permutation(len(calibration.obs))[:_CALIBRATION_FRAMES]
    for name, (members, info) in _alike(meta.objects).items():
        where = _truth_columns(members, meta.state_names)
        size = size_in_pixels(info, meta)
        if not len(where) or size is None:
            continue
        detector = fit_detector(calibration.obs[some], calibration.state[some][:, where], size)
        if detector is not None:
            targets[name] = Target(where, info.get("kind"), detector, _on_real_frames(detector, held_out, where))
    return targets


def _alike(objects: Mapping[str, ObjectInfo]) -> dict[str, tuple[list[str], ObjectInfo]]:
    """Group objects whose names differ by a number and whose descriptions do not differ."""
    groups: dict[str, tuple[list[str], ObjectInfo]] = {}
    for name, info in objects.items():
        base = name.rstrip("0123456789") or name
        others = [i for n, i in objects.items() if (n.rstrip("0123456789") or n) == base]
        key = base if all(other == info for other in others) else name
        groups.setdefault(key, ([], info))[0].append(name)
    return groups


def _truth_columns(members: list[str], state_names: tuple[str, ...]) -> np.ndarray:
    known = [n for n in members if f"{n}_x" in state_names and f"{n}_y" in state_names]
    pairs = [[state_names.index(f"{n}_x"), state_names.index(f"{n}_y")] for n in known]
    return np.array(pairs, int).reshape(-1, 2)


def size_in_pixels(info: ObjectInfo, meta: FootageMeta) -> tuple[float, float] | None:
    """Height and width of an object in pixels of the footage; None where the footage does not say."""
    native = meta.recorder.get("native_size") or _describe(meta.game).get("native_size")
    if native is None or "size" not in info:
        return None
    return info["size"][0] * meta.size[0] / native[0], info["size"][1] * meta.size[1] / native[1]


def _describe(game: str) -> ObjectInfo:
    """The description of a game of ours, through its registration; nothing for any other game."""
    if not is_short_name(game):
        return {}
    try:
        importlib.import_module(_FAMILY)  # as Gymnasium does for an id with a module in front
        spec = gymnasium.spec(f"{_FAMILY}/{game}-v0")
        return load_env_creator(str(spec.entry_point)).describe(**spec.kwargs)  # type: ignore[attr-defined]
    except (ImportError, AttributeError, gymnasium.error.Error):
        return {}


def _on_real_frames(detector: Detector, held_out: Columns, where: np.ndarray) -> dict[str, float]:
    assert held_out.state is not None
    pick = np.random.default_rng(1).permutation(len(held_out.obs))[:_CHECK_FRAMES]
    frames, places = held_out.obs[pick], held_out.state[pick][:, where]
    visible = detector.visible(places)
    if not visible.any():
        return {}
    found, error = detector.check(frames, places)
    ghosts = detector.ghosts(frames[:_GHOST_FRAMES], places[:_GHOST_FRAMES])
    return {
        "recall_real": float(found[visible].mean()),
        "error_real": float(error[visible].mean()),
        "false_positive_real": float(ghosts.mean()),
    }
