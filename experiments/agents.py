"""Agents that learn in the dream and are scored in the real game.

    python experiments/agents.py freeway --runs runs              # records, learns the world, dreams, scores
    python experiments/agents.py freeway --runs runs --resume     # goes on where it stopped
    python experiments/agents.py freeway --runs runs --objective pmpo --tag pmpo   # another agent of the same world
    python experiments/agents.py pong --runs runs                 # Atari 100k: by turns of playing and dreaming
    python experiments/agents.py pong --runs try --quick          # the whole way in minutes, to see that it runs

Of freeway and doom-takecover the agent never plays the real game while it learns: minutes of recording, `world` and
`agent` minutes of training (`RECIPES`). Pong, boxing and breakout have 100,000 real steps: 20,000 random ones, then
ROUNDS of 10,000 by the agent, after each of which world and agent learn on; `world` and `agent` are then minutes a
round. A step is four frames of the console, without sticky actions, after 1 to 30 no-ops; a lost life ends nothing (as
worldsim_envs/atari_games.py says). In the end everybody plays the same 100 episodes of the real game: the agent, the
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
from worldsim.agent import AgentConfig, dream_return, fit_agent, fit_online, load_agent, score_agent, score_policy
from worldsim.agent.score import summary
from worldsim.cli.console import Counter, StageBars
from worldsim.data.store import Footage
from worldsim.evaluate import hardware
from worldsim.train import PRESETS, Recipe
from worldsim.video import write_video
from worldsim.world import load_world

RESULTS = Path(__file__).parent / "results"
TINY = PRESETS["tiny"]
SHORT = dataclasses.replace(
    TINY,
    dynamics_stage=dataclasses.replace(TINY.dynamics_stage, ema=0.998),
    frames=8,
    pure_noise_fraction=0.5,
    single_frame_fraction=0.05,
    dynamics=dataclasses.replace(TINY.dynamics, window=7),
)


class Plan(NamedTuple):
    """How an agent of a game is made."""

    policy: str
    num_frames: int
    world: float  # minutes of training
    agent: float
    config: AgentConfig
    preset: Recipe = SHORT
    rounds: int = 0  # of playing on


ROUNDS = 8  # of half as many steps as were recorded first
ATARI = AgentConfig(horizon=16, gamma=0.985)
RECIPES = {
    "freeway": Plan("noisy", 60_000, 20.0, 20.0, AgentConfig(horizon=20, gamma=0.97)),
    "pong": Plan("random", 20_000, 10.0, 5.0, ATARI, rounds=ROUNDS),
    "boxing": Plan("random", 20_000, 10.0, 5.0, ATARI, rounds=ROUNDS),
    "breakout": Plan("random", 20_000, 10.0, 5.0, ATARI, rounds=ROUNDS),
    "doom-takecover": Plan("random", 100_000, 25.0, 25.0, AgentConfig(horizon=20, gamma=0.97)),
}


def quick(recipe: Plan) -> Plan:
    """The same at a hundredth of everything."""
    return recipe._replace(
        num_frames=max(recipe.num_frames // 100, 3000),
        world=recipe.world / 100,
        agent=recipe.agent / 100,
        rounds=min(recipe.rounds, 1),
    )


def make_footage(game: str, recipe: Plan, out: Path) -> Footage:
    """Record by the recipe, or go on, or take what is there."""
    if (out / "footage.json").is_file() and Footage.open(out).num_frames >= recipe.num_frames:
        return Footage.open(out)
    with closing(Counter("frames")) as on_progress:
        return worldsim.record(
            game,
            out,
            num_frames=recipe.num_frames,
            policy=recipe.policy,
            seed=0,
            max_episode_len=3000,
            on_progress=on_progress,
        )


def learn(game: str, recipe: Plan, runs: Path, config: AgentConfig, args: argparse.Namespace) -> Path:
    """World, then agent, or both by turns; the folder of the agent's last world."""
    footage = make_footage(game, recipe, runs / f"footage-{game}")
    run = runs / f"world-{game}"
    if not (run / "world" / "card.json").is_file():
        with closing(StageBars()) as on_progress:
            worldsim.fit(
                [footage.path],
                run,
                preset=recipe.preset,
                minutes=recipe.world,
                resume=args.resume,
                name=game,
                on_progress=on_progress,
            )
    out = runs / f"agent-{game}-{args.tag}"
    if recipe.rounds:
        with closing(StageBars()) as on_progress, closing(Counter("frames")) as on_record:
            fit_online(
                str(run / "world"),
                footage.path,
                out,
                config=config,
                num_rounds=recipe.rounds,
                num_steps=max(recipe.num_frames // 2, 1),
                world_minutes=recipe.world,
                agent_minutes=recipe.agent,
                max_episode_len=27_000,
                seed=args.seed,
                resume=args.resume,
                on_progress=on_progress,
                on_record=on_record,
            )
        return out / f"round-{recipe.rounds}" / "world" / "world"
    if not (out / "agent" / "agent.json").is_file():
        with closing(StageBars()) as on_progress:
            fit_agent(
                str(run / "world"),
                footage.path,
                out,
                config=config,
                minutes=args.minutes or recipe.agent,
                seed=args.seed,
                resume=args.resume and out.is_dir(),
                on_progress=on_progress,
            )
    return run / "world"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("game", choices=sorted(RECIPES))
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for footage and runs")
    parser.add_argument("--tag", default="main", help="name of the agent among those of the same world")
    parser.add_argument("--minutes", type=float, help="of the agent's training; the recipe's by default")
    parser.add_argument("--objective", choices=("reinforce", "pmpo"), default="reinforce")
    parser.add_argument("--noise-scale", type=float, default=1.0, help="temperature of the dreams")
    parser.add_argument("--num-denoise-steps", type=int, help="K of the dreams; the world's own by default")
    parser.add_argument("--max-uncertainty", type=float, help="dreamed frames that are less certain are not believed")
    parser.add_argument(
        "--clone-fraction", type=float, default=AgentConfig.clone_fraction, help="fraction of cloning the recording"
    )
    parser.add_argument("--quick", action="store_true", help="a hundredth of everything; writes no result")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on with what was stopped")
    args = parser.parse_args()
    recipe = quick(RECIPES[args.game]) if args.quick else RECIPES[args.game]
    config = dataclasses.replace(
        recipe.config,
        objective=args.objective,
        noise_scale=args.noise_scale,
        num_denoise_steps=args.num_denoise_steps,
        max_uncertainty=args.max_uncertainty,
        clone_fraction=args.clone_fraction,
    )
    world = load_world(learn(args.game, recipe, args.runs, config, args))
    agent = load_agent(args.runs / f"agent-{args.game}-{args.tag}")
    recording = recipe.policy
    args.episodes = 2 if args.quick else args.episodes
    players = {"agent": lambda report: score_agent(agent, num_episodes=args.episodes, seed=10_000, on_progress=report)}
    path = (args.runs if args.quick else RESULTS) / f"agent_{args.game.replace('-', '_')}.json"
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
                args.runs / f"agent-{args.game}-{args.tag}" / "real.mp4", scores.video[:900], fps=world.card.fps
            )
    dreamt = dream_return(worldsim.Simulator.from_world(world), agent)
    write_video(args.runs / f"agent-{args.game}-{args.tag}" / "dream.mp4", dreamt.video[:900], fps=world.card.fps)
    result[args.tag] |= {
        "dream": summary(dreamt, "") | {"num_steps": 500},
        "training": agent.card.training,
        "command": "python " + " ".join(["experiments/agents.py", *sys.argv[1:]]).replace(str(args.runs), "runs"),
    }
    result |= {
        "recording_policy": recording,
        "num_frames": recipe.num_frames,
        "real_steps": agent.card.real_steps,
        "world_minutes": world.card.training["minutes"],
        **hardware(),
    }
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
