"""Play one episode of a game and write it down.

Episode i of a seed is a pure function of (seed, i): the game's seed and the policy's random numbers come from both.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.data.game import Game
from worldsim.data.policies import make_pilot, make_policy
from worldsim.data.store import EpisodeWriter


def record_episode(
    game: Game,
    path: Path,
    *,
    policy: str,
    seed: int,
    index: int,
    max_episode_len: int,
    on_frame: Callable[[int], None],
    pilots: str | None = None,
) -> dict[str, Any]:
    """Play episode `index` of `seed` and write it to a new folder; give back what the index says of it.

    Args:
        game: the running game.
        path: a folder that does not exist yet.
        policy: "noisy", "random" or "agent:PATH".
        seed: of the recording.
        index: of the episode.
        max_episode_len: actions after which the episode is cut, marked truncated.
        on_frame: called with the number of frames so far; may raise to stop.
        pilots: what makes a pilot of an agent, see `make_pilot`; None for other policies.
    """
    rng = np.random.default_rng([seed, index])
    arrival = game.reset(int(rng.integers(2**31 - 1)))
    height, width, _ = arrival.obs.shape
    size, states = (height, width), len(game.state_names)
    if pilots is None:
        act = make_policy(policy, game.spec, rng, game.scripted)
    else:
        pilot = make_pilot(pilots, policy, game.spec, size, int(rng.integers(2**31 - 1)))
        act = lambda: pilot(arrival.obs, action)  # noqa: E731 - of what is seen now, and what led to it
    action = np.full(game.spec.size, np.nan, np.float32)
    writer = EpisodeWriter(path, size=size, num_actions=game.spec.size, num_states=states)
    try:
        writer.reset(arrival.obs, arrival.state)
        for t in range(1, max_episode_len + 1):
            action = act()
            arrival = game.step(action)
            truncated = arrival.truncated or (t == max_episode_len and not arrival.terminated)
            writer.step(action, arrival.obs, arrival.reward, arrival.terminated, truncated, arrival.state)
            on_frame(len(writer))
            if arrival.terminated or truncated:
                break
        return writer.close()
    except BaseException:
        writer.abandon()
        raise
