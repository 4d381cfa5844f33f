"""One training run: what decides what comes out, and how its stages are run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxtyping import PyTree

from worldsim.data.store import Footage
from worldsim.train.games import Game, game_name
from worldsim.train.init import Origin
from worldsim.train.log import RunLog
from worldsim.train.loop import Budget, Progress, Stage, Trained, run_stage
from worldsim.train.mixture import mixed
from worldsim.train.optimizer import init_state
from worldsim.train.prompts import captions_digest
from worldsim.train.recipes import Recipe


class Run(NamedTuple):
    """All that decides what comes out."""

    recipe: Recipe
    games: list[Game]
    out: Path
    budgets: dict[str, Budget]  # of each stage
    seed: int
    origin: Origin | None
    log: RunLog
    on_progress: Callable[[Progress], None] | None

    def train(self, name: str, stages: Sequence[Stage], params: PyTree, offset: int) -> Trained:
        """Train the stages of all games as one, by the seed of the run plus an offset."""
        seed = self.seed + offset
        return run_stage(
            mixed(stages, [game.name for game in self.games], seed),
            init_state(params),
            self.out / name,
            seed=seed,
            log=self.log.scalars(name),
            on_progress=self.on_progress,
        )


def run_settings(recipe: Recipe, seed: int, footages: Sequence[Footage], origin: Origin | None) -> dict[str, object]:
    """Return what a resumed run must have in common with the run of its folder."""
    settings: dict[str, object] = {"preset": repr(recipe), "seed": seed}
    for footage in footages:
        of = f" {game_name(footage)}" if len(footages) > 1 else ""
        settings |= {f"footage{of}": footage.digest()}
        settings |= {f"{key}{of}": value for key, value in captions_digest(footage).items()}
    if origin is not None:
        settings |= {"init": origin.world.card.weights.sha256, "trains": list(origin.trains)}
    return settings
