"""Mix stages of several games into one: each step is of one game, so that its batches have one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import jax
import numpy as np
from jaxtyping import PyTree

from worldsim.train.loop import Stage
from worldsim.train.optimizer import TrainState


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Drawn:
    """A batch, and the number of its stage."""

    batch: PyTree
    which: int = field(metadata={"static": True})


def mixed(stages: Sequence[Stage], names: Sequence[str], seed: int) -> Stage:
    """Draw the stage of each step at random, as a pure function of the step; the score is the mean of their scores.

    The budget, the rates and the number of evaluations are those of the first. One alone stays as it is.
    """
    if len(stages) == 1:
        return stages[0]

    def batch(step: int) -> Drawn:
        which = int(np.random.default_rng([seed, step]).integers(len(stages)))
        return Drawn(stages[which].batch(step), which)

    def step(state: TrainState, drawn: Drawn, key: PyTree, rate: PyTree, **flags: bool) -> tuple[TrainState, dict]:
        return stages[drawn.which].step(state, drawn.batch, key, rate, **flags)

    def evaluate(params: PyTree, step: int) -> tuple[float, str]:
        results = [stage.evaluate(params, step) for stage in stages]
        notes = "; ".join(f"{name}: {note}" for name, (_, note) in zip(names, results, strict=True))
        return float(np.mean([score for score, _ in results])), notes

    def refresh(params: PyTree, which: int) -> None:
        for stage in stages:
            if stage.refresh is not None:
                stage.refresh(params, which)

    return stages[0]._replace(batch=batch, step=step, evaluate=evaluate, refresh=refresh)
