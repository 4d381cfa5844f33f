"""The loop of a stage, interrupted at the worst moments."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from worldsim.train.loop import Budget, Stage, run_stage
from worldsim.train.optimizer import init_state, make_step
from worldsim.train.recipes import StageConfig

STEPS = 12
TARGET = jnp.arange(4.0)


class Interrupts:
    """Raises KeyboardInterrupt once at the n-th call of something."""

    def __init__(self, at: int | None):
        self.calls, self.at = 0, at

    def __call__(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt


def run(folder, in_step=None, in_evaluation=None):
    """Train to TARGET; returns the parameters, and what each evaluation saw."""
    optimizer = optax.adam(1.0)
    compiled = make_step(
        lambda params, batch, key, fixed: (jnp.square(params["x"] - TARGET - batch).sum(), {}), optimizer, ema=0.5
    )
    seen: dict[int, float] = {}
    stepped, evaluated = Interrupts(in_step), Interrupts(in_evaluation)

    def step(*args, **flags):
        found = compiled(*args, **flags)
        stepped()  # the step is computed, and its result is lost
        return found

    def evaluate(params, step):
        evaluated()
        seen[step] = float(params["x"].sum())
        return -float(jnp.square(params["x"] - TARGET).sum()), f"after {step}"

    stage = Stage(
        "toy",
        StageConfig(batch_size=1, learning_rate=0.1),
        Budget(seconds=None, num_steps=STEPS),
        1,
        step,
        lambda step: np.random.default_rng(step).normal(size=1).astype(np.float32),
        evaluate,
        num_evaluations=4,
    )
    state = init_state({"x": jnp.zeros(4)}, optimizer)
    try:
        trained = run_stage(stage, state, folder, seed=0, log=lambda step, values: None)
    except KeyboardInterrupt:
        return None, seen
    return trained.params, seen


@pytest.mark.parametrize("where", ["in_step", "in_evaluation"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_an_interrupted_step_or_evaluation_is_done_again(tmp_path, where, at):
    whole, evaluations = run(tmp_path / "whole")
    assert run(tmp_path / "cut", **{where: at})[0] is None
    again, rest = run(tmp_path / "cut")
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), whole, again))
    assert rest and rest == {step: evaluations[step] for step in rest}
    assert max(rest) == max(evaluations)


def test_every_evaluation_is_had_once(tmp_path):
    _, evaluations = run(tmp_path / "whole")
    _, first = run(tmp_path / "cut", in_evaluation=2)
    _, rest = run(tmp_path / "cut")
    assert sorted([*first, *rest]) == sorted(evaluations)
