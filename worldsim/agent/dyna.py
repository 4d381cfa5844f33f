"""The loop closed: play the real game with the present policy, learn the world from what came, dream on, play again.

    round 0:           an agent from the world as it is
    each next round:   the agent plays `num_steps` of the real game -> the world learns on -> the agent dreams on in it

(Dyna: Sutton 1991, doi 10.1145/122344.122377; the world models of the Atari 100k benchmark work so.) Nothing of the
user's is changed: the recorded footage is copied into the run's own folder, where the new episodes come behind it.
Every round has a folder of its own, and what is finished is not done again, so a run that was stopped at any point goes
on with what it was at.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worldsim.agent.bundle import CARD, Agent, load_agent
from worldsim.agent.learn import AGENT, AgentConfig, check, fit_agent
from worldsim.checkpoint import World, load_world
from worldsim.data.policies import AGENT as BY_AGENT
from worldsim.data.record import record as record_game
from worldsim.data.store import Footage
from worldsim.train import fit
from worldsim.train.loop import Progress

PILOTS = "worldsim.agent.bundle:pilot_of"
RECENT_SHARE = 0.5


def record(game: str, out: Path | str, *, policy: str, **how: Any) -> Footage:
    """Record a game as `worldsim.record` does; the policy may also be "agent:PATH", which plays by samples.

    Raises:
        ValueError: no agent there, or one that learned other controls or another size.
    """
    if not policy.startswith(BY_AGENT):
        return record_game(game, out, policy=policy, **how)
    path = Path(policy.removeprefix(BY_AGENT)).absolute()
    load_agent(path)  # a wrong path is said here, before a game is started
    return record_game(game, out, policy=f"{BY_AGENT}{path}", pilots=PILOTS, **how)


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
        world: a bundle, its path, name or prompt: where it begins.
        data: footage that the world learned from; it stays as it is.
        out: the run folder.
        num_steps: real steps of each round; whole episodes are played, so it may be some more.
        num_rounds: of playing and learning.
        config: how the agent learns; half of its dreams begin in the newest fifth of the footage, from round 1 on.
        world_minutes: of training the world, a round.
        agent_minutes: of training the agent, a round; twice that at first.
        max_episode_len: steps after which an episode is cut.
        num_workers: processes that play.
        seed: of everything.
        resume: go on with the run in `out`.
        on_record: called with frames played and wanted.
        on_progress: called with the progress of either training.

    Raises:
        ValueError: bad settings, or what `fit_agent` and `fit` refuse.
        FileExistsError: `out` holds a run and `resume` is off.
    """
    if num_steps < 1 or num_rounds < 1:
        raise ValueError(f"num_steps and num_rounds want at least 1, got {num_steps} and {num_rounds}.")
    out, own = Path(out), Path(out) / "footage"
    world = world if isinstance(world, World) else load_world(world)
    check(world, Footage.open(data), config)
    if own.exists() and not resume:
        raise FileExistsError(f"{out} holds a run; go on with it by --resume, or choose another folder.")
    _copy(Path(data), own)
    given = Footage.open(data)
    agent = _agent(world, own, out / "round-0", 2 * agent_minutes, config, seed, None, on_progress)
    later = dataclasses.replace(config, clone_share=0.0, recent_share=RECENT_SHARE)
    for number in range(1, num_rounds + 1):
        folder = out / f"round-{number}"
        footage = record(
            world.card["game"],
            own,
            policy=f"{BY_AGENT}{out / f'round-{number - 1}'}",
            seed=seed + number,
            num_frames=given.num_frames + number * num_steps,
            size=given.meta.size,
            num_workers=num_workers,
            frame_skip=given.meta.recorder.get("frame_skip"),
            max_episode_len=max_episode_len,
            on_progress=on_record,
        )
        if not (folder / "world" / "world" / "card.json").is_file():
            begun = (folder / "world").is_dir()
            fit(
                footage.path,
                folder / "world",
                init=world,
                minutes=world_minutes,
                seed=seed,
                resume=begun,
                name=str(world.card["name"]),
                on_progress=on_progress,
            )
        world = load_world(folder / "world" / "world")
        agent = _agent(world, own, folder, agent_minutes, later, seed + number, agent, on_progress)
    shutil.copytree(out / f"round-{num_rounds}" / "agent", out / "agent", dirs_exist_ok=True)
    return agent


def _agent(
    world: World,
    data: Path,
    folder: Path,
    minutes: float,
    config: AgentConfig,
    seed: int,
    init: Agent | None,
    on_progress: Callable[[Progress], None] | None,
) -> Agent:
    """The agent of a round: trained, gone on with, or what is there."""
    if (folder / "agent" / CARD).is_file():
        return load_agent(folder)
    return fit_agent(
        world,
        data,
        folder,
        config=config,
        minutes=minutes,
        seed=seed,
        init=init,
        resume=(folder / "agent_run.json").is_file(),
        on_progress=on_progress,
    )


def _copy(source: Path, target: Path) -> None:
    """Copy footage, whole or not at all; its pictures are not doubled on the disk where links are possible."""
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
