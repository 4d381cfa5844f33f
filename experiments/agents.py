"""Agents that learn in the dream and are scored in the real game.

    python experiments/agents.py freeway --runs runs              # records, learns the world, dreams, scores
    python experiments/agents.py freeway --runs runs --resume     # goes on where it stopped
    python experiments/agents.py freeway --runs runs --objective pmpo --tag pmpo   # another agent of the same world

The agent never plays the real game while it learns. One core of two, no accelerator: minutes of recording, `world` and
`agent` minutes of training (`RECIPES`), then everybody plays the same 100 episodes of the real game: the agent, the
policy that made the recording, and random keys. Writes experiments/results/agent_<game>.json, by tags.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import worldsim
from worldsim.agent import AgentConfig, dream_return, fit_agent, load_agent, score_agent, score_policy
from worldsim.agent.score import summary
from worldsim.checkpoint import load_world
from worldsim.cli.console import Counter, StageBars
from worldsim.data.store import Footage
from worldsim.evaluate.speed import hardware
from worldsim.train import PRESETS, Preset
from worldsim.video import write_video

RESULTS = Path(__file__).parent / "results"
TINY = PRESETS["tiny"]
SHORT = dataclasses.replace(
    TINY, dynamics_stage=dataclasses.replace(TINY.dynamics_stage, ema=0.998), frames=8, pure_share=0.5,
    single_share=0.05, dynamics={**TINY.dynamics, "window": 7},
)  # fmt: skip


class Recipe(NamedTuple):
    """How an agent of a game is made."""

    policy: str
    num_frames: int
    world: float  # minutes of training
    agent: float
    config: AgentConfig
    preset: Preset = SHORT


RECIPES = {
    "freeway": Recipe("noisy", 60_000, 20.0, 20.0, AgentConfig(horizon=20, gamma=0.97)),
    "doom-takecover": Recipe("random", 60_000, 25.0, 25.0, AgentConfig(horizon=20, gamma=0.97)),
}


def make_footage(game: str, out: Path) -> Footage:
    """Record by the recipe, or go on, or take what is there."""
    recipe = RECIPES[game]
    if (out / "footage.json").is_file() and Footage.open(out).num_frames >= recipe.num_frames:
        return Footage.open(out)
    with closing(Counter("frames")) as on_progress:
        return worldsim.record(
            game, out, num_frames=recipe.num_frames, policy=recipe.policy, seed=0, max_episode_len=3000,
            on_progress=on_progress,
        )  # fmt: skip


def learn(game: str, runs: Path, config: AgentConfig, args: argparse.Namespace) -> None:
    """World, then agent."""
    recipe = RECIPES[game]
    footage = make_footage(game, runs / f"footage-{game}")
    run = runs / f"world-{game}"
    if not (run / "world" / "card.json").is_file():
        with closing(StageBars()) as on_progress:
            worldsim.fit(
                footage.path, run, preset=recipe.preset, minutes=recipe.world, resume=args.resume, name=game,
                on_progress=on_progress,
            )  # fmt: skip
    out = runs / f"agent-{game}-{args.tag}"
    if not (out / "agent" / "agent.json").is_file():
        with closing(StageBars()) as on_progress:
            fit_agent(
                str(run / "world"), footage.path, out, config=config, minutes=args.minutes or recipe.agent,
                seed=args.seed, resume=args.resume and out.is_dir(), on_progress=on_progress,
            )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("game", choices=sorted(RECIPES))
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for footage and runs")
    parser.add_argument("--tag", default="main", help="name of the agent among those of the same world")
    parser.add_argument("--minutes", type=float, help="of the agent's training; the recipe's by default")
    parser.add_argument("--objective", choices=("reinforce", "pmpo"), default="reinforce")
    parser.add_argument("--noise-scale", type=float, default=1.0, help="temperature of the dreams")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on with what was stopped")
    args = parser.parse_args()
    config = dataclasses.replace(RECIPES[args.game].config, objective=args.objective, noise_scale=args.noise_scale)
    learn(args.game, args.runs, config, args)
    world = load_world(str(args.runs / f"world-{args.game}" / "world"))
    agent = load_agent(args.runs / f"agent-{args.game}-{args.tag}")
    recording = RECIPES[args.game].policy
    players = {"agent": lambda report: score_agent(agent, num_episodes=args.episodes, seed=10_000, on_progress=report)}
    path = RESULTS / f"agent_{args.game.replace('-', '_')}.json"
    result = json.loads(path.read_text()) if path.is_file() else {}
    for policy in dict.fromkeys((recording, "random")):
        if policy not in result:
            players[policy] = lambda report, policy=policy: score_policy(
                world.card, policy, num_episodes=args.episodes, seed=10_000, on_progress=report
            )
    for name, play in players.items():
        with closing(Counter(f"episodes of {name}")) as report:
            scores = play(report)
        result[args.tag if name == "agent" else name] = summary(scores, args.game)
        if scores.video is not None:
            write_video(
                args.runs / f"agent-{args.game}-{args.tag}" / "real.mp4", scores.video[:900], fps=world.card["fps"]
            )
    dreamt = dream_return(worldsim.Simulator.from_world(world), agent)
    write_video(args.runs / f"agent-{args.game}-{args.tag}" / "dream.mp4", dreamt.video[:900], fps=world.card["fps"])
    result[args.tag] |= {
        "dream": summary(dreamt, "") | {"num_steps": 500}, "training": agent.card["training"],
        "command": "python " + " ".join(["experiments/agents.py", *sys.argv[1:]]).replace(str(args.runs), "runs"),
    }  # fmt: skip
    result |= {
        "recording_policy": recording, "num_frames": RECIPES[args.game].num_frames,
        "world_minutes": world.card["training"]["minutes"], **hardware(),
    }  # fmt: skip
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
