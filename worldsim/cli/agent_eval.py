"""`worldsim agent eval`: score an agent in the real game."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from worldsim.cli import console


@dataclass(frozen=True, kw_only=True)
class AgentEval:
    """Score an agent in the real game, beside random actions and the policy that made its footage.

    Example: worldsim agent eval runs/chicken --episodes 100 --video chicken.mp4
    """

    agent: Positional[Path]
    """Folder of the agent or of its run."""
    episodes: int = 100
    """Episodes of each player; episode i has the same seed whoever plays it."""
    seed: int = 10_000
    """Seed of the first episode."""
    world: str | None = None
    """The agent's world: adds the return in its dreams."""
    video: Path | None = None
    """Write the first episode as .mp4 or .gif."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Play, and print the table."""
        from worldsim.agent import load_agent, score_agent, score_policy
        from worldsim.agent.score import summary, verdict
        from worldsim.video import check_video_path, write_video

        if self.episodes < 1:
            raise ValueError(f"expected at least 1 for --episodes, got {self.episodes}.")
        if self.video is not None:
            check_video_path(self.video)
        agent = load_agent(self.agent)
        game, recording = agent.card.game, agent.card.recording["policy"]
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
            write_video(self.video, scores.video, fps=agent.card.fps)
        columns = ("mean", "standard_error", "median", "mean_length", "per_1000_steps", "human_normalised")
        rows = [(name, *(console.number(found.get(column)) for column in columns)) for name, found in result.items()]
        said = verdict(result)
        console.report(self.json, result | {"verdict": said}, console.table(("player", *columns), rows), *said)

    def _dream(self, agent: Any) -> Any:
        """Return the scores in the dream, where its world is named."""
        if self.world is None:
            return None
        from worldsim.agent import dream_return
        from worldsim.simulator import load

        sim = load(self.world)
        if sim.card.weights.sha256 != agent.card.world["weights"]:
            raise ValueError(f"{self.world} is not the world that this agent learned in: other weights.")
        with closing(console.Counter("steps of the dream")) as report:
            return dream_return(sim, agent, on_progress=report)
