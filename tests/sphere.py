"""A game of turning around in a world that is painted on a sphere: smooth, and nowhere the same."""

from __future__ import annotations

import numpy as np

from worldsim.controls import ActionSpec, Axis, Button
from worldsim.data.store import Footage, FootageMeta, FootageWriter
from worldsim.types import Episode

FIELD_OF_VIEW = 72.0
SPEC = ActionSpec(
    buttons=(Button(name="walk"),), axes=tuple(Axis(name=n, low=-20.0, high=20.0) for n in ("turn", "nod"))
)
CAMERA = {"field_of_view": FIELD_OF_VIEW, "yaw": "turn", "pitch": "nod", "state": "gaze"}


def paint(yaw: float, pitch: float, size: tuple[int, int]) -> np.ndarray:
    """What is seen from a heading, degrees to the right and downwards: uint8 [h w 3]."""
    y, p = np.radians([yaw, pitch])
    (h, w), focal = size, size[0] / 2 / np.tan(np.radians(FIELD_OF_VIEW / 2))
    down, x = np.meshgrid(np.arange(h) + 0.5 - h / 2, np.arange(w) + 0.5 - w / 2, indexing="ij")
    x, down, ahead = np.stack([x, down, np.full_like(x, focal)]) / np.sqrt(x**2 + down**2 + focal**2)
    down, ahead = np.cos(p) * down + np.sin(p) * ahead, -np.sin(p) * down + np.cos(p) * ahead
    x, ahead = np.cos(y) * x + np.sin(y) * ahead, -np.sin(y) * x + np.cos(y) * ahead
    colour = 128 + 100 * np.stack([np.sin(2 * x + 1), np.sin(3 * down), np.cos(2 * ahead - x)], -1)
    return np.round(colour).astype(np.uint8)


def sphere_footage(path, size: tuple[int, int] = (16, 24), num_episodes: int = 6, num_steps: int = 16) -> Footage:
    """Record turning to and fro, from headings all around."""
    meta = FootageMeta(
        game="sphere",
        title="Sphere",
        size=size,
        fps=10.0,
        action_spec=SPEC,
        state_names=("gaze",),
        objects={},
        recorder={"seed": 0},
        prompts=("sphere",),
        camera=CAMERA,
    )
    rng = np.random.default_rng(0)
    with FootageWriter(path, meta) as writer:
        for _ in range(num_episodes):
            turns = np.round(rng.uniform(-15, 15, (num_steps, 2)))
            ways = np.cumsum(np.concatenate([[[rng.uniform(0, 360), rng.uniform(-20, 20)]], turns * [1, 0.4]]), 0)
            action = np.concatenate([np.zeros((num_steps, 1)), turns * [1, 0.4]], 1).astype(np.float32)
            obs, end = np.stack([paint(*way, size) for way in ways]), np.zeros(num_steps, bool)
            state = ways[:, 1:].astype(np.float32)
            writer.add(Episode(obs, action, np.zeros(num_steps, np.float32), end, end, state))
    return Footage.open(path)
