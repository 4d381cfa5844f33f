"""Train agent and world by turns: play the real game with the present policy, train the world on it, then the agent.

    round 0:           an agent from the world as it is
    each next round:   the agent plays `num_steps` of the real game -> the world trains on -> the agent trains on in it

(Dyna: Sutton 1991, doi 10.1145/122344.122377; the world models of the Atari 100k benchmark work so.) The user's
footage and world stay as they are: the footage is copied into the run's own folder and new episodes are added there.
Every round has a folder of its own and finished work is not repeated, so a run that was stopped at any point continues
from there.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from worldsim.agent.bundle import CARD, Agent, load_agent, load_policy
from worldsim.agent.config import AGENT, AgentConfig
from worldsim.agent.learn import check, fit_agent
from worldsim.claim import claim, hold
from worldsim.data.store import Footage
from worldsim.model.modules import count_params
from worldsim.places import as_path
from worldsim.recording.policies import AGENT as BY_AGENT
from worldsim.recording.record import record
from worldsim.recording.source import SETTINGS, EnvSource
from worldsim.train import fit
from worldsim.train.loop import Progress
from worldsim.world import World, load_world

RECENT_FRACTION = 0.5


def record_game(game: EnvSource, out: Path | str, *, policy: str, **how: Any) -> Footage:
    """Record a game as `worldsim.record` does; the policy may also be "agent:PATH", which samples its actions.

    Raises:
        ValueError: no agent there, or one of other controls or another frame size.
    """
    if not policy.startswith(BY_AGENT):
        return record(game, out, policy=policy, **how)
    path = as_path(policy.removeprefix(BY_AGENT)).absolute()
    load_agent(path)  # a wrong path is refused before a game is started
    return record(game, out, policy=f"{BY_AGENT}{path}", agent=partial(load_policy, str(path)), **how)


def fit_online(
    world: World | str | Path,
    data: Path | str,
    out: Path | str,
    *,
    num_steps: int,
    num_rounds: int = 4,
    config: AgentConfig = AGENT,
    world_minutes: float = 2.0,
    agent_minutes: float = 2.0,
    max_episode_len: int = 1000,
    num_workers: int = 1,
    seed: int = 0,
    resume: bool = False,
    on_record: Callable[[int, int], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Agent:
    """Train an agent in a world's dreams and the world on what the agent plays, by turns; write it to `out/agent`.

    Args:
        world: a bundle, its path, name or prompt, to begin with.
        data: footage that the world learned from; it stays as it is.
        out: the run folder.
        num_steps: real steps of each round; whole episodes are played, so it may be some more.
        num_rounds: rounds of playing and training.
        config: how the agent learns; from round 1 on half of its rollouts begin in the newest fifth of the footage.
        world_minutes: training time of the world in a round.
        agent_minutes: that of the agent; twice that in round 0.
        max_episode_len: steps after which an episode is cut.
        num_workers: processes that play.
        seed: of everything.
        resume: go on with the run in `out`.
        on_record: called with frames played and to play; `on_progress`: with the progress of either training.

    Raises:
        ValueError: bad settings, or what `fit_agent` and `fit` refuse.
        FileExistsError: `out` holds a run and `resume` is off.
    """
    if num_steps < 1 or num_rounds < 1:
        raise ValueError(f"expected at least 1 for num_steps and num_rounds, got {num_steps} and {num_rounds}.")
    out, own, given = as_path(out), as_path(out) / "footage", Footage.open(data)
    world = world if isinstance(world, World) else load_world(world, count_params=count_params)
    check(world, given, config)
    recording = {name: given.meta.recorder[name] for name in SETTINGS if name in given.meta.recorder}
    recording |= {"size": given.meta.size, "max_episode_len": max_episode_len, "num_workers": num_workers}
    training = {"minutes": agent_minutes, "on_progress": on_progress}
    with hold(out, "training in"):
        claim(out, {"world": world.card.weights.sha256, "seed": seed}, resume, file="online_run.json", is_shared=True)
        _copy_footage(Path(given.path), own)
        agent = _train_agent(world, own, out / "round-0", config, seed, **training | {"minutes": 2 * agent_minutes})
        config = dataclasses.replace(config, clone_fraction=0.0, recent_fraction=RECENT_FRACTION)
        for number in range(1, num_rounds + 1):
            recording |= {"policy": f"{BY_AGENT}{out / f'round-{number - 1}'}", "seed": seed + number}
            num_frames = given.num_frames + number * num_steps
            record_game(world.card.game, own, num_frames=num_frames, on_progress=on_record, **recording)
            folder = out / f"round-{number}"
            world = _train_world(world, own, folder / "world", seed, minutes=world_minutes, on_progress=on_progress)
            agent = _train_agent(world, own, folder, config, seed + number, init=agent, **training)
        shutil.copytree(out / f"round-{num_rounds}" / "agent", out / "agent", dirs_exist_ok=True)
    return agent


def _train_world(world: World, data: Path, folder: Path, seed: int, **how: Any) -> World:
    """Return the world of a round: trained, gone on with, or what is there."""
    if not (folder / "world" / "card.json").is_file():
        fit([data], folder, init=world, seed=seed, resume=folder.is_dir(), name=world.card.name, **how)
    return load_world(folder / "world")


def _train_agent(world: World, data: Path, folder: Path, config: AgentConfig, seed: int, **how: Any) -> Agent:
    """Return the agent of a round: trained, gone on with, or what is there."""
    if (folder / "agent" / CARD).is_file():
        return load_agent(folder)
    resume = (folder / "agent_run.json").is_file()
    return fit_agent(world, data, folder, config=config, seed=seed, resume=resume, **how)


def _copy_footage(source: Path, target: Path) -> None:
    """Copy footage, whole or not at all; its episodes are hard links where the disk allows them."""
    if target.exists():
        return
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)

    def place(one: str, other: str) -> None:
        if Path(one).parent == source:  # the index is written to, the episodes never are
            shutil.copy2(one, other)
            return
        try:
            os.link(one, other)
        except OSError:
            shutil.copy2(one, other)

    shutil.copytree(source, part, copy_function=place)
    part.replace(target)
