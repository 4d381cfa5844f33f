"""Returns of an agent in the real game, beside recording policies on the same seeds; and its returns in the dream.

Games run in processes of their own and the agent acts for all of them in one call a step, by samples of its policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from worldsim.agent.bundle import Agent
from worldsim.recording.real import RealGame
from worldsim.simulator import Simulator
from worldsim.world import LearnedGame

HUMAN = {  # (random, human): Mnih et al. 2015, extended data table 2, doi 10.1038/nature14236
    "pong": (-20.7, 9.3),
    "freeway": (0.0, 29.6),
    "boxing": (0.1, 4.3),
    "breakout": (1.7, 31.8),
}
MAX_STEPS = 27_000  # of one action each: 30 minutes of an Atari game at a frame skip of 4
OnProgress = Callable[[int, int], None]


class Scores(NamedTuple):
    """Returns and lengths of the episodes of one player."""

    returns: list[float]
    lengths: list[int]
    video: UInt8[np.ndarray, "t h w c"] | None = None  # of the first episode


def score_agent(
    agent: Agent,
    *,
    num_episodes: int = 100,
    num_games: int = 4,
    seed: int = 0,
    max_steps: int = MAX_STEPS,
    on_progress: OnProgress | None = None,
) -> Scores:
    """Return the scores of an agent in the real game.

    Args:
        agent: acts by samples.
        num_episodes: how many episodes; episode i has seed `seed + i`.
        num_games: games side by side.
        seed: of games and samples.
        max_steps: actions after which an episode is cut.
        on_progress: called with episodes done and episodes to play.

    Raises:
        ValueError: the game does not fit the agent.
        RuntimeError: a game died or hangs.
    """
    num_games = min(num_games, num_episodes)
    with ExitStack() as stack:
        games = [stack.enter_context(closing(RealGame(agent.card))) for _ in range(num_games)]
        return _Games(agent, games, num_episodes, seed, max_steps, on_progress or (lambda done, wanted: None)).run()


class _Games:
    """Games side by side, each on an episode of its own."""

    def __init__(
        self, agent: Agent, games: list[RealGame], num_episodes: int, seed: int, max_steps: int, report: OnProgress
    ):
        self.agent, self.games, self.wanted, self.seed, self.max_steps = agent, games, num_episodes, seed, max_steps
        self.report, self.next = report, 0
        count, width = len(games), agent.action_spec.size
        self.playing: list[int | None] = [None] * count
        self.state = np.array(agent.initial_state(count))
        self.rows = np.full((count, width), np.nan, np.float32)
        self.obs = np.zeros((count, *agent.card.size, 3), np.uint8)
        self.total, self.steps = np.zeros(count), np.zeros(count, int)
        self.results: dict[int, tuple[float, int]] = {}
        self.video: list[np.ndarray] = []

    def run(self) -> Scores:
        key, step = jax.random.key(self.seed), 0
        for i in range(len(self.games)):
            self._start_episode(i)
        while any(episode is not None for episode in self.playing):
            state, rows = self.agent.act(jax.random.fold_in(key, step), jnp.asarray(self.state), self.obs, self.rows)
            self.state, self.rows = np.array(state), np.array(rows)
            busy = [i for i, episode in enumerate(self.playing) if episode is not None]
            for i in busy:
                self.games[i].send_step(self.rows[i])
            for i in busy:
                self._receive(i)
            step += 1
        ordered = [self.results[i] for i in range(self.wanted)]
        video = np.stack(self.video) if self.video else None
        return Scores([total for total, _ in ordered], [steps for _, steps in ordered], video)

    def _start_episode(self, i: int) -> None:
        episode, self.next = self.next, self.next + 1
        self.playing[i] = episode if episode < self.wanted else None
        if self.playing[i] is None:
            return
        self.obs[i] = self.games[i].reset(self.seed + episode).obs
        self.state[i], self.rows[i], self.total[i], self.steps[i] = 0.0, np.nan, 0.0, 0

    def _receive(self, i: int) -> None:
        arrival, episode = self.games[i].receive_step(), self.playing[i]
        assert episode is not None
        self.obs[i] = arrival.obs
        self.total[i] += arrival.reward
        self.steps[i] += 1
        if episode == 0:
            self.video.append(arrival.obs)
        if arrival.terminated or arrival.truncated or self.steps[i] >= self.max_steps:
            self.results[episode] = float(self.total[i]), int(self.steps[i])
            self.report(len(self.results), self.wanted)
            self._start_episode(i)


def score_policy(
    card: LearnedGame,
    policy: str,
    *,
    num_episodes: int = 100,
    num_games: int = 2,
    seed: int = 0,
    max_steps: int = MAX_STEPS,
    on_progress: OnProgress | None = None,
) -> Scores:
    """Return the scores of a recording policy, "random" or "noisy", in the same episodes."""
    results: dict[int, tuple[float, int]] = {}
    with ExitStack() as stack:
        games = [stack.enter_context(closing(RealGame(card))) for _ in range(min(num_games, num_episodes))]
        for first in range(0, num_episodes, len(games)):
            busy = list(zip(games, range(first, min(first + len(games), num_episodes))))
            for game, episode in busy:
                game.send_episode(policy, seed + episode, max_steps)
            for game, episode in busy:
                results[episode] = game.receive_episode()
                if on_progress is not None:
                    on_progress(len(results), num_episodes)
    return Scores([results[i][0] for i in range(num_episodes)], [results[i][1] for i in range(num_episodes)])


def summary(scores: Scores, game: str) -> dict[str, float]:
    """Return mean, median, standard error, and the human-normalised score of a game that has one."""
    returns = np.array(scores.returns)
    result = {
        "mean": float(returns.mean()),
        "standard_error": float(returns.std(ddof=1) / np.sqrt(len(returns))) if len(returns) > 1 else 0.0,
        "median": float(np.median(returns)),
        "sd": float(returns.std()),
        "num_episodes": len(returns),
        "mean_length": float(np.mean(scores.lengths)),
        "per_1000_steps": 1000 * float(returns.sum()) / max(sum(scores.lengths), 1),
    }
    if game in HUMAN:
        low, high = HUMAN[game]
        result["human_normalised"] = (result["mean"] - low) / (high - low)
    return result


def verdict(result: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Say in words what the summaries of "agent", "random" and, where there is one, "dream" mean beside each other."""
    agent, random = result["agent"], result.get("random")
    said = []
    if random is not None and agent.get("num_episodes", 2) > 1:
        noise = 2 * float(np.hypot(agent["standard_error"], random["standard_error"]))
        gap = agent["mean"] - random["mean"]
        how = "within noise of" if abs(gap) <= noise else ("better than" if gap > 0 else "worse than")
        said.append(f"The agent is {how} random keys: {gap:+.4g} an episode, noise {noise:.4g}.")
    if "dream" in result:
        promised, paid = result["dream"]["per_1000_steps"], agent["per_1000_steps"]
        said.append(f"Its dream promises {promised:.4g} in 1,000 steps, the game pays {paid:.4g}.")
    return said


def dream_return(
    sim: Simulator,
    agent: Agent,
    *,
    num_dreams: int = 16,
    num_steps: int = 500,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Scores:
    """Return the scores of an agent in a world's dreams, from initial contexts to the first termination.

    `on_progress` is called with steps done and steps to dream.
    """
    key = jax.random.key(seed)
    world, obs = sim.reset(key, batch_size=num_dreams)
    state, rows = agent.initial_state(num_dreams), jnp.full((num_dreams, agent.action_spec.size), jnp.nan)
    total, steps, alive = np.zeros(num_dreams), np.zeros(num_dreams, int), np.ones(num_dreams, bool)
    video = []
    for step in range(num_steps):
        state, rows = agent.act(jax.random.fold_in(key, step), state, obs, rows)
        world, out = sim.step(world, rows)
        obs = out.obs
        video.append(np.asarray(obs[0]))
        total += np.where(alive, np.asarray(out.reward), 0.0)
        steps += alive
        alive &= ~np.asarray(out.terminated)
        if on_progress is not None:
            on_progress(step + 1, num_steps)
        if not alive.any():
            break
    return Scores(total.tolist(), steps.tolist(), np.stack(video[: steps[0]]))
