"""Play one episode of a game: write it down, or count what it earns.

Episode i of a recording is a pure function of (seed, i): the game's seed and the policy's random numbers come of both.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldsim.data.episode import EpisodeWriter
from worldsim.recording.game import Game
from worldsim.recording.policies import PolicyMaker, make_policy


def record_episode(
    game: Game, path: Path, *, policy: str, agent: PolicyMaker | None, seed: int, index: int, max_episode_len: int
) -> dict[str, object]:
    """Play episode `index` of `seed` into a new folder; returns what the index says of it.

    Args:
        game: the running game.
        path: a folder that does not exist yet.
        policy: "noisy" or "random"; with `agent` any name.
        agent: makes the policy of a trained agent.
        seed: of the recording.
        index: of the episode.
        max_episode_len: actions after which the episode is cut, marked truncated.
    """
    rng = np.random.default_rng([seed, index])
    arrival = game.reset(int(rng.integers(2**31 - 1)))
    height, width, _ = arrival.obs.shape
    if agent is None:
        act = make_policy(policy, game.spec, rng, game.scripted)
    else:
        act = agent(game.spec, (height, width), int(rng.integers(2**31 - 1)))
    action = np.full(game.spec.size, np.nan, np.float32)
    states = len(game.state_names)
    writer = EpisodeWriter(path, size=(height, width), num_actions=game.spec.size, num_states=states)
    try:
        writer.reset(arrival.obs, arrival.state)
        for t in range(1, max_episode_len + 1):
            action = game.played(act(arrival.obs, action))
            arrival = game.step(action)
            truncated = arrival.truncated or (t == max_episode_len and not arrival.terminated)
            writer.step(action, arrival.obs, arrival.reward, arrival.terminated, truncated, arrival.state)
            if arrival.terminated or truncated:
                break
        return writer.close()
    except BaseException:
        writer.abandon()
        raise


def play_episode(game: Game, policy: str, seed: int, max_steps: int) -> tuple[float, int]:
    """Play an episode by a recording policy; returns its return and its length in actions."""
    arrival = game.reset(seed)
    act = make_policy(policy, game.spec, np.random.default_rng(seed), game.scripted)
    total, action = 0.0, np.full(game.spec.size, np.nan, np.float32)
    for step in range(1, max_steps + 1):
        action = act(arrival.obs, action)
        arrival = game.step(action)
        total += arrival.reward
        if arrival.terminated or arrival.truncated:
            return total, step
    return total, max_steps
