"""`worldsim agent train`: train an agent in a world's dreams."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from worldsim.cli import console
from worldsim.schema import to_json


@dataclass(frozen=True, kw_only=True)
class AgentTrain:
    """Train an agent in a world's dreams. The real game is played only with --collect.

    Example: worldsim agent train runs/freeway --data footage/freeway --out runs/chicken --minutes 20

    Example: worldsim agent train runs/pong --data footage/pong --out runs/player --collect 10000
    """

    world: Positional[str]
    """A path, the name of a world, or a prompt."""
    data: Path
    """Footage of the world's game: dreams continue its frames."""
    out: Path
    """Folder of the run; the agent is saved in it as agent/."""
    minutes: float | None = None
    """Training time; 10 by default. Either this or --num-updates."""
    num_updates: int | None = None
    """Training steps."""
    objective: Literal["reinforce", "pmpo"] = "reinforce"
    """reinforce: advantages scaled by the range of returns; pmpo: their sign alone."""
    horizon: int = 16
    """Frames of an imagined rollout."""
    gamma: float = 0.985
    """Discount of each frame."""
    learning_rate: float = 5e-4
    """Of Adam, after its warmup."""
    entropy: float = 3e-3
    """Weight of the policy's entropy."""
    clone_fraction: float = 0.15
    """Fraction of the updates that clone the recording's actions, before any rollout is imagined."""
    batch_size: int = 32
    """Imagined rollouts of an update."""
    axis_bins: int = 9
    """Even values that the policy chooses from on an axis, such as the mouse."""
    noise_scale: float = 1.0
    """Deviation of the dreams' noise; above 1 they vary more, and are harder to exploit."""
    num_denoise_steps: int | None = None
    """Denoising steps of a dreamed frame; the world's own by default."""
    max_uncertainty: float | None = None
    """Dreamed frames above this uncertainty are masked; needs two denoising steps or more."""
    collect: int | None = None
    """Real steps that the agent plays in each round; world and agent then train on them, in copies under --out."""
    rounds: int = 4
    """With --collect: rounds of playing and training."""
    world_minutes: float = 2.0
    """With --collect: training time of the world in each round; --minutes is then that of the agent in each."""
    workers: int = 1
    """With --collect: processes that play."""
    seed: int = 0
    """Of weights, noise and data order."""
    resume: bool = False
    """Go on with the run in --out."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Train, and print where the agent is."""
        from worldsim.agent import AgentConfig

        config = AgentConfig(
            objective=self.objective,
            horizon=self.horizon,
            gamma=self.gamma,
            learning_rate=self.learning_rate,
            entropy=self.entropy,
            clone_fraction=self.clone_fraction,
            batch_size=self.batch_size,
            axis_bins=self.axis_bins,
            noise_scale=self.noise_scale,
            num_denoise_steps=self.num_denoise_steps,
            max_uncertainty=self.max_uncertainty,
        )
        agent = self._offline(config) if self.collect is None else self._online(config, self.collect)
        path = self.out / "agent"
        text = f"{path} written; score it: {console.command('agent', 'eval', self.out)}"
        console.report(self.json, {"agent": str(path), **to_json(agent.card)}, text)

    @property
    def resume_hint(self) -> str:
        """How to continue after an interruption."""
        return console.how_to_resume(self.out / ("agent_run.json" if self.collect is None else "online_run.json"))

    def _offline(self, config: Any) -> Any:
        from worldsim.agent import fit_agent

        with closing(console.StageBars()) as on_progress:
            return fit_agent(
                self.world,
                self.data,
                self.out,
                config=config,
                minutes=self.minutes,
                num_updates=self.num_updates,
                seed=self.seed,
                resume=self.resume,
                on_progress=on_progress,
            )

    def _online(self, config: Any, num_steps: int) -> Any:
        from worldsim.agent import fit_online

        if self.num_updates is not None:
            raise ValueError(
                "expected --minutes beside --collect, of the agent's training in each round, got --num-updates."
            )
        with closing(console.StageBars()) as on_progress, closing(console.Counter("frames")) as on_record:
            return fit_online(
                self.world,
                self.data,
                self.out,
                num_steps=num_steps,
                num_rounds=self.rounds,
                config=config,
                world_minutes=self.world_minutes,
                agent_minutes=2.0 if self.minutes is None else self.minutes,
                num_workers=self.workers,
                seed=self.seed,
                resume=self.resume,
                on_record=on_record,
                on_progress=on_progress,
            )
