"""`worldsim agent`: its two commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from worldsim.cli.agent_eval import AgentEval
from worldsim.cli.agent_train import AgentTrain


@dataclass(frozen=True, kw_only=True)
class Agent:
    """Train an agent in a world's dreams (agent train), or score one in the real game (agent eval).

    Example: worldsim agent train runs/jump --data footage/jump --out runs/jumper

    Example: worldsim agent eval runs/jumper
    """

    command: Annotated[AgentTrain, tyro.conf.subcommand("train")] | Annotated[AgentEval, tyro.conf.subcommand("eval")]

    def run(self) -> None:
        """Run the command."""
        self.command.run()

    @property
    def resume_hint(self) -> str:
        """How to continue after an interruption."""
        return getattr(self.command, "resume_hint", "")
