"""What a run writes of itself: TensorBoard scalars and pictures, and the pictures as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np


class RunLog:
    """Writes under `log` and `strips` of a run folder."""

    def __init__(self, out: Path):
        from tensorboardX import SummaryWriter

        self.strips = out / "strips"
        self.strips.mkdir(exist_ok=True)
        self.writer = SummaryWriter(str(out / "log"))

    def scalars(self, stage: str) -> Callable[[int, dict[str, float]], None]:
        """Return a function of a step and its values that writes them under the stage's name."""

        def log(step: int, values: dict[str, float]) -> None:
            for name, value in values.items():
                self.writer.add_scalar(f"{stage}/{name}", value, step)

        return log

    def show(self, stage: str, game: str) -> Callable[[int, np.ndarray], None]:
        """Return a function of a step and a picture uint8 `[y x c]` that writes it under the stage and the game."""
        from PIL import Image

        def show(step: int, picture: np.ndarray) -> None:
            Image.fromarray(picture).save(self.strips / f"{stage}-{game}-{step:07d}.png")
            self.writer.add_image(f"{stage}/{game}", picture, step, dataformats="HWC")

        return show

    def close(self) -> None:
        """Write what is left."""
        self.writer.close()
