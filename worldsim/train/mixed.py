"""One stage out of several of the same weights: every step is of one of them, so that each has batches of its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from worldsim.train.loop import Stage
from worldsim.train.steps import TrainState


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Drawn:
    """A batch, and which stage it is of."""

    batch: Any
    which: int = field(metadata={"static": True})


def mixed(stages: Sequence[Stage], names: Sequence[str], seed: int) -> Stage:
    """Let stages take turns at random, as a pure function of the step; judged by the mean of their scores.

    The budget, the rates and how often it is judged are those of the first. One alone stays as it is.
    """
    if len(stages) == 1:
        return stages[0]

    def batch(step: int) -> Drawn:
        which = int(np.random.default_rng([seed, step]).integers(len(stages)))
        return Drawn(stages[which].batch(step), which)

    def step(state: TrainState, drawn: Drawn, key: Any, rate: Any, **static: bool) -> tuple[TrainState, dict]:
        return stages[drawn.which].step(state, drawn.batch, key, rate, **static)

    def judge(params: Any, step: int) -> tuple[float, str]:
        told = [stage.judge(params, step) for stage in stages]
        notes = "; ".join(f"{name}: {note}" for name, (_, note) in zip(names, told, strict=True))
        return float(np.mean([score for score, _ in told])), notes

    def renew(params: Any, which: int) -> None:
        for stage in stages:
            if stage.renew is not None:
                stage.renew(params, which)

    return stages[0]._replace(batch=batch, step=step, judge=judge, renew=renew)
