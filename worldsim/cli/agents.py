"""Commands around agents: training one in the dream, scoring it in the real game."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from worldsim.cli import console


@dataclass(frozen=True, kw_only=True)
class AgentTrain:
    """Train an agent in a world's dreams. The real game is never played, unless --collect says so.

    Example: worldsim agent train runs/freeway --data footage/freeway --out runs/chicken --minutes 20
    With real steps between: worldsim agent train runs/pong --data footage/pong --out runs/player --collect 10000
    """

    world: Positional[str]
    """A path, the name of a world, or a prompt."""
    data: Path
    """Footage of the world's game: dreams begin in its moments."""
    out: Path
    """Folder of the run; the agent is saved in it as agent/."""
    minutes: float | None = None
    """How long to train; 10 by default. Either this or --num-updates."""
    num_updates: int | None = None
    """How many steps of training."""
    objective: Literal["reinforce", "pmpo"] = "reinforce"
    """reinforce: advantages scaled by the spread of returns; pmpo: their sign alone."""
    horizon: int = 16
    """Frames of a dream."""
    gamma: float = 0.985
    """Discount a frame."""
    noise_scale: float = 1.0
    """Temperature of the dreams; above 1 they vary more, and are harder to exploit."""
    num_denoise_steps: int | None = None
    """K of the dreams; the world's own by default."""
    max_uncertainty: float | None = None
    """Dreamed frames that are less certain are not believed; wants K above 1."""
    collect: int | None = None
    """Real steps that the agent plays in each round; world and agent learn on from them, in copies under --out."""
    rounds: int = 4
    """With --collect: how often it plays and learns on."""
    world_minutes: float = 2.0
    """With --collect: training of the world, a round; --minutes is then of the agent, a round."""
    workers: int = 1
    """With --collect: processes that play."""
    seed: int = 0
    """Of weights, noise and data order."""
    resume: bool = False
    """Go on with the run in --out."""
    json: bool = False
    """Print one JSON object."""

    resume_hint = "the same command with --resume goes on from the last saved step"

    def run(self) -> None:
        """Train, and say what came out."""
        from worldsim.agent import AgentConfig

        config = AgentConfig(
            objective=self.objective,
            horizon=self.horizon,
            gamma=self.gamma,
            noise_scale=self.noise_scale,
            num_denoise_steps=self.num_denoise_steps,
            max_uncertainty=self.max_uncertainty,
        )
        agent = self._offline(config) if self.collect is None else self._online(config, self.collect)
        if self.json:
            return console.print_json({"agent": str(self.out / "agent"), **agent.card})
        console.say(f"{self.out / 'agent'} written; score it: worldsim agent eval {self.out}")

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
            raise ValueError("--collect wants --minutes, of the agent's training a round, not --num-updates.")
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


@dataclass(frozen=True, kw_only=True)
class AgentEval:
    """Score an agent in the real game, beside random keys and the policy that made its footage.

    Example: worldsim agent eval runs/chicken --episodes 100 --video chicken.mp4
    """

    agent: Positional[Path]
    """Folder of the agent or of its run."""
    episodes: int = 100
    """How many, for everybody; episode i has the same seed whoever plays it."""
    seed: int = 10_000
    """Of the first episode."""
    world: str | None = None
    """The agent's world: adds what the dream promises."""
    video: Path | None = None
    """Write the first episode as .mp4 or .gif."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Play, and print the table."""
        from worldsim.agent import load_agent, score_agent, score_policy
        from worldsim.agent.score import summary
        from worldsim.video import check_video_path, write_video

        if self.episodes < 1:
            raise ValueError(f"--episodes wants at least 1, got {self.episodes}.")
        if self.video is not None:
            check_video_path(self.video)
        agent = load_agent(self.agent)
        game, recording = agent.card["game"], agent.card["recording"]["policy"]
        result: dict[str, Any] = {}
        dream = self._dream(agent)
        with closing(console.Counter("episodes of the agent")) as report:
            scores = score_agent(agent, num_episodes=self.episodes, seed=self.seed, on_progress=report)
        result["agent"] = summary(scores, game)
        for policy in dict.fromkeys((recording, "random")):
            if policy in ("noisy", "random"):
                with closing(console.Counter(f"episodes of {policy}")) as report:
                    others = score_policy(
                        agent.card, policy, num_episodes=self.episodes, seed=self.seed, on_progress=report
                    )
                result[policy] = summary(others, game)
        result |= {} if dream is None else {"dream": summary(dream, "")}
        if self.video is not None and scores.video is not None:
            write_video(self.video, scores.video, fps=agent.card["fps"])
        if self.json:
            return console.print_json(result)
        columns = ("mean", "standard_error", "median", "mean_length", "human_normalised")
        rows = [(name, *(console.number(found.get(column)) for column in columns)) for name, found in result.items()]
        console.say(console.table(("player", *columns), rows))

    def _dream(self, agent: Any) -> Any:
        """What the dream promises, where its world is named."""
        if self.world is None:
            return None
        from worldsim.agent import dream_return
        from worldsim.simulator import load

        sim = load(self.world)
        if sim.card["weights"]["sha256"] != agent.card["world"]["weights"]:
            raise ValueError(f"{self.world} is not the world that this agent learned in: other weights.")
        return dream_return(sim, agent)


@dataclass(frozen=True, kw_only=True)
class Agent:
    """Agents: train in the dream, score in the real game."""

    command: Annotated[AgentTrain, tyro.conf.subcommand("train")] | Annotated[AgentEval, tyro.conf.subcommand("eval")]

    def run(self) -> None:
        """Run what was asked for."""
        self.command.run()

    @property
    def resume_hint(self) -> str:
        """What to say where it was stopped."""
        return getattr(self.command, "resume_hint", "")
