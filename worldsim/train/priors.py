"""Train what the dynamics know of a frame beforehand: the flow of a camera, or a forecast and its surprises."""

from __future__ import annotations

from collections.abc import Sequence

from worldsim.model.camera.prior import WarpPrior
from worldsim.model.dynamics import Dynamics
from worldsim.model.forecast import ForecastPrior
from worldsim.model.outcome import Outcome
from worldsim.model.tokenizer import Tokenizer
from worldsim.nn.params import merge, split
from worldsim.train.games import Latents
from worldsim.train.run import Run
from worldsim.train.stages.camera import fit_pitch, flow_stage
from worldsim.train.stages.forecast import forecast_stage
from worldsim.train.stages.surprise import find_all, set_codes, surprise_stage
from worldsim.train.stages.warps import FootageWarper


def train_prior(
    run: Run, tokenizers: Sequence[Tokenizer], modules: list[tuple[Dynamics, Outcome]], latents: Sequence[Latents]
) -> tuple[list[FootageWarper | None], float]:
    """Train the prior of `modules` in place, where it has parameters, and the outcome heads as far as they read it.

    Returns:
        The footage of each game warped by it, if it warps, and the seconds that it took.
    """
    all_dynamics = [dynamics for dynamics, _ in modules]
    prior, seconds = all_dynamics[0].prior, 0.0
    if isinstance(prior, ForecastPrior) and run.origin is None:
        seconds = _train_forecast(run, tokenizers, all_dynamics, latents)
        if prior.surprise is not None:
            seconds += _train_surprises(run, modules, latents)
    if not isinstance(prior, WarpPrior):
        return [None] * len(modules), seconds
    if run.origin is None:
        fit_pitch(run.games, all_dynamics, latents)
        stages = [
            flow_stage(
                split(dynamics.prior.flow_net)[0],
                game.data,
                game.footage.meta,
                run.recipe,
                run.budgets["flow"],
                run.seed + i,
                run.log.show("flow", game.name),
            )
            for i, (dynamics, game) in enumerate(zip(all_dynamics, run.games, strict=True))
        ]
        graph, params = split(prior.flow_net)
        trained = run.train("flow", stages, params, 2)
        prior.flow_net, seconds = merge(graph, trained.params), trained.seconds
    params = split(all_dynamics[0])[1]
    warpers: list[FootageWarper | None] = [
        FootageWarper(
            tokenizer, dynamics, game.footage.meta, game.data[0], params, seed=run.seed, on_progress=run.on_progress
        )
        for tokenizer, dynamics, game in zip(tokenizers, all_dynamics, run.games, strict=True)
    ]
    return warpers, seconds


def _train_forecast(
    run: Run, tokenizers: Sequence[Tokenizer], modules: Sequence[Dynamics], latents: Sequence[Latents]
) -> float:
    """Train the network that predicts the next frame, in place; the seconds that it took."""
    parts = zip(tokenizers, modules, latents, run.games, strict=True)
    stages = [
        forecast_stage(
            split(dynamics.prior.net)[0],
            dynamics.config,
            tokenizer,
            game.data,
            encoded,
            run.recipe,
            run.budgets["forecast"],
            run.seed + i,
            run.log.show("forecast", game.name),
        )
        for i, (tokenizer, dynamics, encoded, game) in enumerate(parts)
    ]
    graph, params = split(modules[0].prior.net)
    trained = run.train("forecast", stages, params, 4)
    for dynamics in modules:
        dynamics.prior.net = merge(split(dynamics.prior.net)[0], trained.params)
    return trained.seconds


def _train_surprises(run: Run, modules: list[tuple[Dynamics, Outcome]], latents: Sequence[Latents]) -> float:
    """Train the network that draws what enters by chance, and with it the outcome heads; the seconds that it took."""
    priors = [dynamics.prior for dynamics, _ in modules]
    parts = [(game.data, encoded) for game, encoded in zip(run.games, latents, strict=True)]
    found = [find_all(prior, *part) for prior, part in zip(priors, parts, strict=True)]
    set_codes(priors, [train for train, _ in found], run.seed)
    stages = [
        surprise_stage(prior, outcome, both, *part, run.recipe, run.budgets["surprise"], run.seed + i)
        for i, (prior, (_, outcome), both, part) in enumerate(zip(priors, modules, found, parts, strict=True))
    ]
    surprise, outcome = priors[0].surprise, modules[0][1]
    trained = run.train("surprise", stages, {"surprise": split(surprise)[1], "outcome": split(outcome)[1]}, 5)
    for i, (dynamics, outcome) in enumerate(modules):
        dynamics.prior.surprise = merge(split(dynamics.prior.surprise)[0], trained.params["surprise"])
        modules[i] = dynamics, merge(split(outcome)[0], trained.params["outcome"])
    return trained.seconds
