"""What is in a footage folder: counts for the eye and for scripts, and a sheet of its pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from worldsim.controls import ActionSpec, Control
from worldsim.data.store import Footage, FootageWriter

_GAP = 2  # pixels between the pictures of a sheet


def summarize(footage: Footage) -> dict[str, Any]:
    """Count what a footage folder holds, without reading its pictures.

    Returns:
        Plain values: game, title, size [h, w], fps, episodes, frames, policies, actions (name -> label -> count,
        for axes mean, sd, low and high), actions_unknown, reward (mean a step, total, nonzero),
        terminated and truncated (episodes that ended so), episode_len (mean, shortest, longest frames),
        bytes_on_disk, bytes_per_frame.
    """
    names = ("action", "reward", "truncated")
    columns = [footage.read_columns(i, *names) for i in range(len(footage))]
    meta = footage.meta
    empty = np.zeros((0, meta.action_spec.size), np.float32)
    action = np.concatenate([empty, *(c["action"] for c in columns)])
    reward = np.concatenate([np.zeros(0, np.float32), *(c["reward"] for c in columns)]).astype(np.float64)
    known = action[~np.isnan(action).any(-1)]
    lengths = [e.length for e in footage.episodes] or [0]
    size = sum(f.stat().st_size for f in footage.path.rglob("*") if f.is_file())
    return {
        "game": meta.game,
        "title": meta.title,
        "size": list(meta.size),
        "fps": meta.fps,
        "episodes": len(footage),
        "frames": footage.num_frames,
        "policies": sorted({e.policy for e in footage.episodes}),
        "actions": _histogram(meta.action_spec, known),
        "actions_unknown": len(action) - len(known),
        "reward": {
            "mean": float(reward.mean()) if len(reward) else 0.0,
            "total": float(reward.sum()),
            "nonzero": int(np.count_nonzero(reward)),
        },
        "terminated": sum(e.terminated for e in footage.episodes),
        "truncated": sum(bool(c["truncated"][-1]) for c in columns),
        "episode_len": {"mean": float(np.mean(lengths)), "shortest": min(lengths), "longest": max(lengths)},
        "bytes_on_disk": size,
        "bytes_per_frame": size / max(footage.num_frames, 1),
    }


def drop_bad(path: Path | str) -> dict[str, str]:
    """Delete the episodes of a footage folder that cannot be read, or do not fit the others.

    Returns:
        The reason for each, by the episode's name.
    """
    footage, bad = Footage.open(path), {}
    for i, info in enumerate(footage.episodes):
        try:
            footage[i]
        except ValueError as error:
            bad[info.name] = str(error)
    if bad:
        with FootageWriter(path, footage.meta) as writer:
            writer.drop(bad)
    return bad


def contact_sheet(footage: Footage, rows: int = 4, columns: int = 8) -> UInt8[np.ndarray, "h w c"]:
    """Lay out frames from all over the footage, evenly spaced, in reading order.

    Raises:
        ValueError: no frames, or a sheet without a row or a column.
    """
    if rows < 1 or columns < 1:
        raise ValueError(f"expected at least one row and one column for a sheet, got {rows} and {columns}.")
    if not footage.num_frames:
        raise ValueError(f"expected footage with frames for a sheet, got none in {footage.path}.")
    ends = np.cumsum([e.length for e in footage.episodes])
    height, width = footage.meta.size
    sheet = np.zeros((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), np.uint8)
    for i, frame in enumerate(np.linspace(0, footage.num_frames - 1, rows * columns).astype(int)):
        episode = int(np.searchsorted(ends, frame, side="right"))
        t = int(frame - ends[episode]) + footage.episodes[episode].length
        y, x = (i // columns) * (height + _GAP), (i % columns) * (width + _GAP)
        sheet[y : y + height, x : x + width] = footage.read_clip(episode, t, t + 1)[0]
    return sheet


def _histogram(spec: ActionSpec, known: Float[np.ndarray, "n a"]) -> dict[str, dict[str, int | float]]:
    return {control.name: _counts(control, values) for control, values in zip(spec.controls, known.T)}


def _counts(control: Control, values: Float[np.ndarray, " n"]) -> dict[str, int | float]:
    if labels := ("up", "down") if control.scale == "binary" else control.options:
        return {label: int(np.count_nonzero(values == i)) for i, label in enumerate(labels)}
    statistics = {"mean": values.mean, "sd": values.std, "low": values.min, "high": values.max}
    return {name: float(statistic()) for name, statistic in statistics.items()} if len(values) else {}
