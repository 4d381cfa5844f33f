"""The whole way in one command: record a game, learn its world from nothing, dream it, measure it, use it.

    make demo            # two cores, no accelerator: ends within 14 minutes, installation included
    python experiments/demo.py --out demo --minutes 14

The clock starts with `make`, so that the time left for training is what installing, recording and measuring leave.
Writes demo/video.mp4 and demo/video.gif (the game under its scripted player | your world under a planner, which
imagines what its keys lead to; neither repeats a recording), demo/clips.mp4 (real | your world, and the shipped world
where there is one, on the same held-out clips), demo/metrics.json and the run itself in demo/run. The footage is
recorded under a seed that no shipped world was trained on.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import jax
import numpy as np

import worldsim
from worldsim.agent import PlanConfig, plan_policy
from worldsim.cli.console import Counter, StageBars
from worldsim.data.store import Footage
from worldsim.evaluate import EvalOptions, evaluate, record_plays
from worldsim.initial import InitialContext
from worldsim.recording.game import Game
from worldsim.recording.policies import sticky_random
from worldsim.recording.source import GameConfig
from worldsim.video import label_columns, side_by_side, write_video

GAME, POLICY, PRESET, SEED = "snake", "lapsing", "pixels", 11
MAX_FRAMES = 24_000
RECORD_SHARE = 0.15  # of the time, at most
AFTER_TRAINING_S = 250.0  # measuring, videos and environment, two cores
CONTEXT, NUM_CLIPS, CLIP_LEN = 8, 3, 64
PLAY_S = 10.0  # of the video
PLAN = PlanConfig(holds=(1, 3, 6, 10, 15), max_plans=20, horizon=30, replan_every=5)  # 120 frames dreamed a frame
ZOOM = 8  # of the videos
PLANNING_S = 60.0  # at most; the video of a slower machine is shorter
FRESH_SEED = 2**31 - 1  # of the game; recordings draw theirs below
NUM_RANDOM = 4  # runs of random keys
MEASURED = EvalOptions(
    num_windows=32, seeds=(0, 1), only=("presence", "control", "sharpness", "free_play"), play_seconds=60.0, num_plays=6
)


def record(out: Path, seconds: float) -> Footage:
    """Record for about `seconds`, first a little to learn the pace of this machine."""
    workers = min(4, os.cpu_count() or 1)
    wanted, began = 2000, time.monotonic()
    while True:
        with closing(Counter("frames")) as bar:
            how = {"policy": POLICY, "seed": SEED, "num_workers": workers}
            footage = worldsim.record(GAME, out, num_frames=wanted, on_progress=bar, **how)
        took = time.monotonic() - began
        more = min(MAX_FRAMES, int(footage.num_frames * (seconds - 5) / took))
        if footage.num_frames >= min(MAX_FRAMES, 0.9 * more):
            return footage
        wanted = more


def clips(footage: Footage, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Cut clips from held-out episodes: obs [b t h w c] and the actions that led into each frame [b t a]."""
    rng, length = np.random.default_rng(0), CONTEXT + CLIP_LEN
    fits = [i for i, e in enumerate(footage.episodes) if e.name in names and e.length > length]
    if not fits:
        raise ValueError(f"a clip wants a held-out episode of more than {length} frames; record more.")
    obs, actions = [], []
    for i in range(NUM_CLIPS):
        episode = footage[fits[i % len(fits)]]
        first = int(rng.integers(1, len(episode.obs) - length + 1))
        obs.append(episode.obs[first : first + length])
        actions.append(episode.action[first - 1 : first - 1 + length])
    return np.stack(obs), np.stack(actions)


def dream(world: worldsim.Simulator, obs: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """Go on from the first frames of each clip under its own actions, without another look at it."""
    state, _ = world.reset(jax.random.key(0), initial=InitialContext.frames(obs[:, :CONTEXT], actions[:, :CONTEXT]))
    _, out = world.rollout(state, actions[:, CONTEXT:])
    return np.asarray(out.obs)


def write_clips(out: Path, footage: Footage, own: worldsim.Simulator, shipped: worldsim.Simulator | None) -> None:
    """Write the same clips real, dreamt by the own world, and dreamt by the shipped one."""
    obs, actions = clips(footage, own.card.held_out_episodes)
    columns = {"real": obs[:, CONTEXT:], "your world": dream(own, obs, actions)}
    if shipped is not None:
        columns["shipped world"] = dream(shipped, obs, actions)
    rows = [side_by_side([np.asarray(column[i]) for column in columns.values()]) for i in range(NUM_CLIPS)]
    video = label_columns(np.concatenate(rows, axis=1), list(columns), zoom=ZOOM)
    write_video(out / "clips.mp4", video, fps=footage.meta.fps, min_width=video.shape[2])


class Played(NamedTuple):
    """Frames [t h w c] that were played, the sum of their rewards, and how often it was over and began again."""

    obs: np.ndarray
    reward: float
    num_ends: int

    @property
    def numbers(self) -> dict[str, float]:
        """What of it goes into metrics.json."""
        return {"reward": self.reward, "num_ends": self.num_ends}


def play_game(size: tuple[int, int], num_frames: int) -> Played:
    """Let the game's scripted player play it, from a seed that no footage begins with."""
    frames, reward, num_ends = [], 0.0, 0
    with closing(Game(GameConfig.of(GAME, size=size))) as game:
        game.reset(FRESH_SEED)
        for _ in range(num_frames):
            assert game.scripted is not None
            arrival = game.step(game.scripted())
            frames.append(arrival.obs)
            reward += arrival.reward
            if arrival.terminated or arrival.truncated:
                num_ends += 1
                game.reset(FRESH_SEED + num_ends)
    return Played(np.stack(frames), reward, num_ends)


def play_world(
    world: worldsim.Simulator, act: Callable[[Any], Any], num_frames: int, *, seed: int = 0, limit_s: float = math.inf
) -> Played:
    """Play a world from a recorded context, and from another where it ends, for `limit_s` seconds at most.

    `act` gives the next action row from the state of the world.
    """
    key, began = jax.random.key(seed), time.monotonic()
    state, _ = world.reset(jax.random.fold_in(key, 0), batch_size=1)
    frames, reward, num_ends = [], 0.0, 0
    while len(frames) < num_frames and (not frames or time.monotonic() - began < limit_s):
        state, out = world.step(state, act(state)[None])
        frames.append(np.asarray(out.obs[0]))
        reward += float(out.reward[0])
        if out.terminated[0]:
            num_ends += 1
            state, _ = world.reset(jax.random.fold_in(key, num_ends), batch_size=1)
    return Played(np.stack(frames), reward, num_ends)


def write_played(out: Path, own: worldsim.Simulator) -> dict[str, Any]:
    """Write the game as its scripted player plays it beside the own world as a planner does; return their scores."""
    began = time.monotonic()
    act = plan_policy(own, jax.random.key(FRESH_SEED), PLAN)
    planned = play_world(own, act, round(PLAY_S * own.fps), limit_s=PLANNING_S)
    took, num_frames = time.monotonic() - began, len(planned.obs)
    game = play_game(own.size, num_frames)
    keys = [sticky_random(own.action_spec, np.random.default_rng(seed)) for seed in range(NUM_RANDOM)]
    random = [play_world(own, act, num_frames, seed=seed) for seed, act in enumerate(keys)]
    columns = {"the game": game.obs, "your world, played": planned.obs}
    video = label_columns(side_by_side(list(columns.values())), list(columns), zoom=ZOOM)
    for name in ("video.mp4", "video.gif"):
        write_video(out / name, video, fps=own.fps, min_width=video.shape[2])
    return {
        "frames": num_frames,
        "planner": planned.numbers,
        "random": [run.numbers for run in random],
        "scripted_player_in_the_game": game.numbers,
        "planning_s": round(took, 1),
    }


def use_as_environment(path: Path, num_steps: int = 100) -> dict[str, Any]:
    """Step the dream as any Gymnasium environment."""
    env = gym.make("worldsim/World-v0", world=str(path), horizon=num_steps)
    env.reset(seed=0)
    env.action_space.seed(0)
    env.step(env.action_space.sample())  # compiles
    began, total = time.monotonic(), 0.0
    for _ in range(num_steps - 1):
        _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        total += float(reward)
        if terminated or truncated:
            env.reset()
    env.close()
    return {"steps": num_steps, "reward": total, "steps_per_s": (num_steps - 1) / (time.monotonic() - began)}


def shipped_world(size: tuple[int, int]) -> worldsim.Simulator | None:
    """The world that comes with the repository, where there is one of this size and version."""
    path = Path(__file__).parents[1] / "checkpoints" / GAME
    if not (path / "card.json").is_file():
        return None
    try:
        world = worldsim.load(str(path))
    except ValueError as error:
        print(f"leaving the shipped world out: {error}", file=sys.stderr)
        return None
    return world if world.size == tuple(size) else None


def _show(numbers: dict[str, Any], key: str) -> str:
    """Write a number with two digits, or a dash where it was not measured."""
    return " -  " if numbers.get(key) is None else f"{numbers[key]:.2f}"


def summary(metrics: dict[str, Any], out: Path) -> str:
    """Say what was reached and how to go on."""
    own, seconds, played = metrics["own_world"], metrics["seconds"], metrics["played"]
    by_chance = np.mean([run["reward"] for run in played["random"]])
    return f"""
{out}/video.mp4     the game, played by its script | your world, played by a planner that imagines what keys lead to
{out}/clips.mp4     real | your world, each clip dreamt {CLIP_LEN} frames long under recorded keys
{out}/metrics.json  of your world, where 1 is the game itself:
  {_show(own["presence"], "player_60s")}  the player is in the picture, over a minute of play
  {_show(own["control"], "action_following")}  the next second is what the keys say
  {_show(own["control"], "late_10s")}  keys still do what they do in the game, ten seconds into a dream
  {_show(own["sharpness"], "ratio_10s")}  as sharp as the game, ten seconds into a dream
  {played["frames"]} frames pay the planner {played["planner"]["reward"]:.1f} in the dream, random keys {by_chance:.1f}
Learned from {metrics["frames"]:,} frames in {seconds["train"] / 60:.1f} minutes; all of it {seconds["total"] / 60:.1f}.

Go on:
  .venv/bin/worldsim rollout {out}/run --out dream.mp4 --frames 200 --actions plan
  .venv/bin/worldsim bench {out}/run
  .venv/bin/worldsim train {out}/footage --out runs/longer --minutes 60
  .venv/bin/worldsim games
  in Python: gymnasium.make("worldsim:worldsim/World-v0", world="{out}/run")"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("demo"))
    parser.add_argument("--minutes", type=float, default=14.0, help="for all of it, from --started-at on")
    parser.add_argument("--started-at", type=float, default=None, help="seconds since the epoch; now where left out")
    args = parser.parse_args()
    out, budget = args.out, 60 * args.minutes
    ready = time.time()
    started = ready if args.started_at is None else args.started_at
    if (out / "run").exists():
        sys.exit(f"{out} holds an earlier demo: remove it (rm -r {out}), or choose another --out.")
    seconds = {"install": ready - started}

    def lap(name: str) -> None:
        seconds[name] = time.time() - started - sum(seconds.values())

    print(f"1/4 recording {GAME}", file=sys.stderr)
    footage = record(out / "footage", RECORD_SHARE * budget)
    lap("record")
    minutes = max(0.5, (budget - (time.time() - started) - AFTER_TRAINING_S) / 60)
    print(f"2/4 learning its world: {minutes:.1f} minutes", file=sys.stderr)
    with closing(StageBars()) as bars:
        worldsim.fit([footage.path], out / "run", preset=PRESET, minutes=minutes, name=f"my-{GAME}", on_progress=bars)
    lap("train")
    print("3/4 measuring it: dreams beside a minute of play", file=sys.stderr)
    own = worldsim.load(str(out / "run"))
    plays = record_plays(footage.meta, out / "plays", MEASURED)
    with closing(Counter("measurements")) as bar:
        answers = evaluate(own, footage, replace(MEASURED, plays=plays), on_progress=bar)
    lap("measure")
    print("4/4 playing it", file=sys.stderr)
    write_clips(out, footage, own, shipped_world(footage.meta.size))
    played = write_played(out, own)
    environment = use_as_environment(out / "run")
    lap("dream")
    seconds["total"] = time.time() - started
    metrics = {
        "own_world": {section: answers[section] for section in MEASURED.only},
        "protocol": answers["protocol"],
        "played": played,
        "environment": environment,
        "frames": footage.num_frames,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "command": "make demo",
    }
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    print(summary(metrics, out))


if __name__ == "__main__":
    main()
