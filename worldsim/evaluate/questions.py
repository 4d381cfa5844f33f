"""The questions of an evaluation, each a function of a seed, and what is learned from recorded frames to ask them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from worldsim.data.dataset import Columns
from worldsim.data.meta import FootageMeta
from worldsim.evaluate.births import measure_births
from worldsim.evaluate.control import measure_control
from worldsim.evaluate.dreams import Clip
from worldsim.evaluate.drift import measure_drift
from worldsim.evaluate.fidelity import Fidelity
from worldsim.evaluate.inverse import Inverse, fit_inverse, measure_inverse
from worldsim.evaluate.lookaway import measure_lookaway
from worldsim.evaluate.memory import measure_memory
from worldsim.evaluate.objects import Objects, Target, find_targets
from worldsim.evaluate.opposite import Opposites, learn_opposites, measure_opposite
from worldsim.evaluate.outcome import measure_outcome
from worldsim.evaluate.perceptual import Perceptual
from worldsim.evaluate.physics import measure_physics
from worldsim.evaluate.returns import measure_returns
from worldsim.evaluate.uncertainty import measure_uncertainty
from worldsim.evaluate.weights import Judges, NamedWeights
from worldsim.simulator import Simulator

_DRIFT_STREAMS = 2  # a seed, and as many standing still
Ask = Callable[[int], dict[str, Any]]  # seed -> numbers


class Data(NamedTuple):
    """Recorded frames, and what their footage says of itself."""

    meta: FootageMeta
    calibration: Columns
    held_out: Columns
    foreign: Columns | None  # of another game


class Learned(NamedTuple):
    """What calibration frames teach, the same for all worlds that are measured on them."""

    targets: dict[str, Target]
    opposites: Opposites | None  # a quick look does without
    inverse: Inverse | None


def learn_from(
    meta: FootageMeta, calibration: Columns, held_out: Columns, *, quick: bool = False, with_objects: bool = True
) -> Learned:
    """Fit detectors, the directions of opposite actions and the inverse model; a quick look wants detectors only."""
    targets = find_targets(meta, calibration, held_out) if with_objects else {}
    if quick:
        return Learned(targets, None, None)
    spec = meta.action_spec
    return Learned(targets, learn_opposites(spec, calibration, targets), fit_inverse(spec, calibration))


def clip_questions(
    clips: Iterable[Clip], targets: dict[str, Target], judges: Judges, *, perceptual: bool
) -> dict[str, dict[str, Any]]:
    """The questions that share the clips they are asked on."""
    questions: dict[str, Any] = {"fidelity": Fidelity(), "objects": Objects(targets)}
    questions |= {"perceptual": Perceptual()} if perceptual else {}
    questions |= {"weights": NamedWeights(judges)} if any(judges) else {}
    for clip in clips:
        for question in questions.values():
            question.add(clip)
    return {name: question.numbers() for name, question in questions.items()}


def short_questions(sim: Simulator, held_out: Columns, common: dict[str, Any]) -> dict[str, Ask]:
    """What a quick look asks beside the clips."""
    return {
        "control": lambda seed: measure_control(sim, held_out, seed=seed, **common),
        "outcome": lambda seed: measure_outcome(sim, held_out, seed=seed, **common),
    }


def long_questions(
    sim: Simulator, data: Data, learned: Learned, drift_seconds: float, common: dict[str, Any]
) -> dict[str, Ask]:
    """All that takes minutes; control and outcome ask what a quick look does, and more."""
    held_out, targets = data.held_out, learned.targets
    short = short_questions(sim, held_out, common)

    def control(seed: int) -> dict[str, Any]:
        assert learned.opposites is not None
        numbers = short["control"](seed)
        numbers |= measure_opposite(sim, held_out, learned.opposites, seed=seed, **common)
        return numbers | measure_inverse(sim, held_out, learned.inverse, seed=seed, **common)

    def outcome(seed: int) -> dict[str, Any]:
        return short["outcome"](seed) | measure_returns(sim, held_out, seed=seed, **common)

    def memory(seed: int) -> dict[str, Any]:
        numbers = measure_memory(sim, held_out, data.meta, seed=seed, **common)
        return numbers | measure_lookaway(sim, held_out, data.meta, seed=seed, **common)

    def drift(seed: int) -> dict[str, Any]:
        num_frames = round(drift_seconds * sim.fps)
        return measure_drift(sim, held_out, num_frames=num_frames, num_streams=_DRIFT_STREAMS, seed=seed)

    questions: dict[str, Ask] = {
        "control": control,
        "outcome": outcome,
        "uncertainty": lambda seed: measure_uncertainty(sim, held_out, seed=seed, other=data.foreign, **common),
        "physics": lambda seed: measure_physics(sim, held_out, data.meta, seed=seed, **common),
        "memory": memory,
        "drift": drift,
    }
    if targets:
        questions["births"] = lambda seed: measure_births(sim, data.calibration, held_out, targets, seed=seed)
    return questions
