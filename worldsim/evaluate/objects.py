"""Objects: are the ball, the paddle and the player there, and where the game has them?

PSNR cannot certify a ball: a picture without it scores 30 dB. So each object that the footage knows the truth of is
looked for by templates from recorded frames (`worldsim.evaluate.detector`). For an object "ball":

- `ball_recall_reconstruction`: share of recorded frames with a ball in which the tokenizer's picture has one within 2
  pixels of the true place; `ball_recall` is the same number under its short name.
- `ball_recall_free_32`, `ball_error_free_32`: the same for dreamed frames 1 to 32, against the place that the recorded
  game has; and the mean distance of the best match, which counts as 6 pixels where there is none so near.
  Every fourth frame is looked at: 4, 8, ..., 32.
- `ball_recall_copy_last_32`: that of a film that repeats the last context frame: what luck gives.
- `ball_recall_real`, `ball_false_positive_real`: the detector itself, on recorded frames that it was not calibrated on:
  the share that it finds, and the share of frames in which it fires far from every true place. Below .99 the other
  numbers are that much too low.

Pixels are those of a frame 64 pixels wide. An object counts only while it lies wholly inside the frame. Objects that
look alike and differ by a number (`fruit0`, `fruit1`) count together (`fruit`). Where the footage gives an object a
"kind", such as "paddle", the mean over the objects of a kind is reported too.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.envs.registration import load_env_creator

from worldsim.data.dataset import Columns
from worldsim.data.game import is_short_name
from worldsim.data.meta import FootageMeta
from worldsim.evaluate.detector import Detector, fit_detector
from worldsim.evaluate.dreams import CONTEXT, Clip

HORIZON = 32
STRIDE = 4
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
    """Fit a detector to every object that the footage knows the truth of.

    Args:
        meta: says which objects there are.
        calibration: frames to cut templates from.
        held_out: other frames, on which the detector itself is measured.
    """
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


class Objects:
    """Collects clips, batch by batch, and gives recall and position error of each target at the end."""

    def __init__(self, targets: Mapping[str, Target]):
        self._targets = targets
        self._seen: dict[str, list[np.ndarray]] = {}

    def add(self, clip: Clip) -> None:
        """Look for all targets in a batch of clips."""
        horizon = min(HORIZON, clip.free.shape[1])
        if clip.state is None or not self._targets:
            return
        span = slice(CONTEXT + STRIDE - 1, CONTEXT + horizon, STRIDE)
        versions = {
            "reconstruction": clip.reconstruction[:, span],
            f"free_{horizon}": clip.free[:, STRIDE - 1 : horizon : STRIDE],
            f"copy_last_{horizon}": np.repeat(clip.real[:, CONTEXT - 1 : CONTEXT], horizon // STRIDE, 1),
        }
        for name, target in self._targets.items():
            places = clip.state[:, span][:, :, target.columns]  # [b t m 2]
            flat = places.reshape(-1, *places.shape[2:])
            visible = target.detector.visible(flat)
            for version, frames in versions.items():
                found, error = target.detector.check(frames.reshape(-1, *frames.shape[2:]), flat)
                self._seen.setdefault(f"{name}_recall_{version}", []).append(found[visible])
                self._seen.setdefault(f"{name}_error_{version}", []).append(error[visible])

    def numbers(self) -> dict[str, Any]:
        """All numbers; recall in 0..1, errors in pixels of a frame 64 pixels wide."""
        means = {key: np.concatenate(parts) for key, parts in self._seen.items()}
        result: dict[str, Any] = {key: float(x.mean()) for key, x in means.items() if x.size}
        for name, target in self._targets.items():
            result |= {f"{name}_{key}": value for key, value in target.real.items()}
            if f"{name}_recall_reconstruction" in result:
                result[f"{name}_recall"] = result[f"{name}_recall_reconstruction"]
        return result | self._by_kind(result)

    def _by_kind(self, result: dict[str, Any]) -> dict[str, float]:
        means = {}
        for kind in sorted({t.kind for t in self._targets.values() if t.kind}):
            names = [name for name, target in self._targets.items() if target.kind == kind]
            endings = {key.removeprefix(f"{name}_") for name in names for key in result if key.startswith(f"{name}_")}
            for ending in sorted(endings):
                values = [result[f"{name}_{ending}"] for name in names if f"{name}_{ending}" in result]
                means.setdefault(f"{kind}_{ending}", float(np.mean(values)))
        return {key: value for key, value in means.items() if key not in result}


def _alike(objects: Mapping[str, Any]) -> dict[str, tuple[list[str], Mapping[str, Any]]]:
    """Group objects whose names differ by a number and whose descriptions do not differ."""
    groups: dict[str, tuple[list[str], Mapping[str, Any]]] = {}
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


def size_in_pixels(info: Mapping[str, Any], meta: FootageMeta) -> tuple[float, float] | None:
    """Height and width of an object in pixels of the footage; None where the footage does not say."""
    native = meta.recorder.get("native_size") or _describe(meta.game).get("native_size")
    if native is None or "size" not in info:
        return None
    return info["size"][0] * meta.size[0] / native[0], info["size"][1] * meta.size[1] / native[1]


def _describe(game: str) -> Mapping[str, Any]:
    """What a game of ours says of itself, through its registration; nothing for any other game."""
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
