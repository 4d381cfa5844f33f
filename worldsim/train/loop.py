"""Run one stage of training: batches in, best weights out, and a checkpoint from which it goes on exactly.

The batch and the key of a step are pure functions of the step number, so a state, its step number and the best weights
so far are all there is to save. A budget by steps repeats bit for bit, resumed or not, but for `Stage.refresh`, which
dreams once more with the weights that were saved; a budget by minutes ends on time instead, its schedule following the
clock.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import PyTree

from worldsim.nn.sharding import make_mesh, place_batch, place_state
from worldsim.train.checkpoint import close_training, open_training, restore_training, save_training
from worldsim.train.optimizer import Step, TrainState, schedule
from worldsim.train.recipes import StageConfig

if TYPE_CHECKING:
    from orbax.checkpoint import CheckpointManager

SAVE_EVERY_S = 120.0
LOG_EVERY = 10  # steps between reads of the loss, which wait for the device


class Progress(NamedTuple):
    """What a progress bar shows."""

    stage: str
    step: int
    total: int  # steps, estimated where the budget is in minutes
    loss: float
    frames_per_s: float
    seconds_left: float
    note: str  # of the latest evaluation
    scalars: Mapping[str, float] = {}  # all that the loss reports


class Budget(NamedTuple):
    """The length of a stage: a number of steps, or seconds of training."""

    num_steps: int | None
    seconds: float | None

    def progress(self, step: int, elapsed: float) -> float:
        """Return the fraction that is done, in 0..1."""
        return step / self.num_steps if self.num_steps is not None else min(elapsed / (self.seconds or 1e-9), 1.0)


class Stage(NamedTuple):
    """What the loop runs: the data, the step and the evaluation of one stage."""

    name: str
    config: StageConfig
    budget: Budget
    frames_per_step: int
    step: Step
    batch: Callable[[int], Any]  # step number -> batch
    evaluate: Callable[[PyTree, int], tuple[float, str]]  # (params, step) -> (score, note); higher is better
    flags: Callable[[float, int], dict[str, bool]] = lambda progress, step: {}  # (fraction done, step) -> of the loss
    num_evaluations: int = 8
    keeps_initial: bool = False  # whether the initial parameters compete with those that are trained
    refresh: Callable[[PyTree, int], None] | None = None  # (params, which) -> generates training data anew with them
    num_refreshes: int = 0  # in equal parts of the stage


class Trained(NamedTuple):
    """The result of a stage."""

    params: PyTree  # the moving-average weights of the best evaluation
    seconds: float  # of training, all goes of a resumed run together


class _Run(NamedTuple):
    """All that a stage saves."""

    state: TrainState
    best: PyTree


class _Boundary(NamedTuple):
    """Where a step ended, with its evaluation where it had one: what can be saved."""

    step: int
    run: _Run
    best_score: float
    note: str


def run_stage(
    stage: Stage,
    state: TrainState,
    folder: Path,
    *,
    seed: int,
    log: Callable[[int, dict[str, float]], None],
    on_progress: Callable[[Progress], None] | None = None,
) -> Trained:
    """Train a stage to the end of its budget, from the last checkpoint in `folder` where there is one.

    Raises:
        FloatingPointError: a loss is not finite; the last good checkpoint stays.
    """
    manager, mesh = open_training(folder), make_mesh()
    try:
        best = jax.tree.map(jnp.copy, state.ema)  # of its own: the state gives its memory to the next step
        run = place_state(_Run(state, best), mesh)
        return _Loop(stage, manager, mesh, seed, log, on_progress).run(run)
    finally:
        close_training(manager)


class _Loop:
    """The moving parts of one run of a stage."""

    def __init__(
        self,
        stage: Stage,
        manager: CheckpointManager,
        mesh: Mesh,
        seed: int,
        log: Callable,
        on_progress: Callable | None,
    ):
        self.stage, self.manager, self.mesh, self.key = stage, manager, mesh, jax.random.key(seed)
        self.log, self.on_progress = log, on_progress
        self.step, self.elapsed, self.best_score, self.note = 0, 0.0, -math.inf, ""
        self.scalars, self.rate_fps = {"loss": math.nan}, 0.0

    def run(self, run: _Run) -> Trained:
        saved = restore_training(self.manager, run)
        if saved is not None:
            self.step, run, meta = saved
            self.elapsed, self.note = meta["elapsed"], meta["note"]
            self.best_score = -math.inf if meta["best_score"] is None else meta["best_score"]
            self._refresh(run, 0.0, self._progress(self._begin()))
        elif self.stage.keeps_initial:
            run = self._evaluate(run)
        last_save, first = (start := self._begin()), self.step
        done = self._boundary(run)
        try:
            while (progress := self._progress(start)) < 1:
                run, scalars = self._train(run, progress)
                if self.step % LOG_EVERY == 0 or self.step - first <= 2:
                    self._log(scalars, start)
                self._refresh(run, progress, self._progress(start))
                if self._is_due(progress, self._progress(start)):
                    run = self._evaluate(run)
                    last_save = 0.0
                done = self._boundary(run)
                if time.monotonic() - last_save > SAVE_EVERY_S:
                    self._save(done, start)
                    last_save = time.monotonic()
            if self.step and self.best_score == -math.inf:
                done = self._boundary(run := self._evaluate(run))
        except KeyboardInterrupt:  # at any moment: half of a step or of an evaluation must not be taken for a whole
            if not any(x.is_deleted() for x in jax.tree.leaves(done.run)):
                self._save(done, start)
            raise
        self._save(done, start)
        return Trained(run.best, time.monotonic() - start)

    def _boundary(self, run: _Run) -> _Boundary:
        return _Boundary(self.step, run, self.best_score, self.note)

    def _begin(self) -> float:
        return time.monotonic() - self.elapsed

    def _progress(self, start: float) -> float:
        return self.stage.budget.progress(self.step, time.monotonic() - start)

    def _train(self, run: _Run, progress: float) -> tuple[_Run, dict]:
        stage = self.stage
        rate = jnp.float32(schedule(stage.config, progress))
        key = jax.random.fold_in(self.key, self.step)
        batch = place_batch(stage.batch(self.step), self.mesh)
        state, scalars = stage.step(run.state, batch, key, rate, **stage.flags(progress, self.step))
        self.step += 1
        return _Run(state, run.best), scalars

    def _log(self, scalars: dict, start: float) -> None:
        values = {name: float(value) for name, value in scalars.items()}
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            raise FloatingPointError(
                f"{bad[0]} of the {self.stage.name} is {values[bad[0]]} at step {self.step}; "
                f"the last good checkpoint is step {self.manager.latest_step()} in {self.manager.directory}."
            )
        self.scalars = values
        elapsed = time.monotonic() - start
        self.rate_fps = self.step * self.stage.frames_per_step / elapsed
        self.log(self.step, {**values, "frames_per_s": self.rate_fps})
        self._report(elapsed)

    def _report(self, elapsed: float) -> None:
        if self.on_progress is None:
            return
        done = max(self.stage.budget.progress(self.step, elapsed), 1e-9)
        total = self.stage.budget.num_steps or round(self.step / done)
        left = elapsed * (1 - done) / done
        loss, name = self.scalars["loss"], self.stage.name
        self.on_progress(Progress(name, self.step, total, loss, self.rate_fps, left, self.note, self.scalars))

    def _is_due(self, before: float, after: float) -> bool:
        """Return whether to evaluate: in equal parts of the stage, but for the first, which says nothing."""
        parts = self.stage.num_evaluations
        return math.floor(after * parts) > max(math.floor(before * parts), 0) and math.floor(after * parts) >= 2

    def _refresh(self, run: _Run, before: float, after: float) -> None:
        parts = self.stage.num_refreshes + 1
        which = math.floor(after * parts)
        if self.stage.refresh is not None and math.floor(before * parts) < which < parts:  # not at the end
            self.stage.refresh(run.state.ema, which)

    def _evaluate(self, run: _Run) -> _Run:
        score, self.note = self.stage.evaluate(run.state.ema, self.step)
        self.log(self.step, {"score": score})
        if score > self.best_score:
            self.best_score = score
            run = run._replace(best=jax.tree.map(jnp.copy, run.state.ema))
        return run

    def _save(self, done: _Boundary, start: float) -> None:
        if done.step:
            score = done.best_score if math.isfinite(done.best_score) else None
            meta = {"elapsed": time.monotonic() - start, "best_score": score, "note": done.note}
            save_training(self.manager, done.step, done.run, meta)
