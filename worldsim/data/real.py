"""A real game to play step by step, in a process of its own: some games allow one instance a process, and one that
crashes or hangs must not take others with it."""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from jaxtyping import Float

from worldsim.data.game import Arrival, Game
from worldsim.data.meta import FootageMeta
from worldsim.data.policies import make_policy

_START_S, _RESET_S, _STEP_S, _CLOSE_S, _EPISODE_S = 120.0, 120.0, 5.0, 2.0, 600.0


class RealGame:
    """A running game. `reset`, then `send` an action row and `receive` what came of it.

    Args:
        card: of the world that was learned from the game.

    Raises:
        ValueError: no such game, or one whose size, controls or pace are not those of the world.
        ModuleNotFoundError: its package is not installed; the message says which extra has it.
        RuntimeError: the game died or hangs.
    """

    def __init__(self, card: dict[str, Any]):
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        size, skip = tuple(card["size"]), card["footage"].get("recorder", {}).get("frame_skip")
        self._process = context.Process(target=_serve, args=(theirs, card["game"], size, skip), daemon=True)
        self._process.start()
        theirs.close()
        try:
            self.meta: FootageMeta = FootageMeta.from_json(self._receive(_START_S))
            _check(self.meta, card)
        except BaseException:
            self.close()
            raise

    def reset(self, seed: int) -> Arrival:
        """Begin an episode."""
        self._line.send(seed)
        return self._receive(_RESET_S)

    def send(self, row: Float[np.ndarray, " a"]) -> None:
        """Hold an action for one frame; `receive` gives what came of it."""
        try:
            self._line.send(row)
        except OSError as error:
            raise RuntimeError("the real game has died.") from error

    def receive(self) -> Arrival:
        """Wait for the step that was sent."""
        return self._receive(_STEP_S)

    def send_episode(self, policy: str, seed: int, max_steps: int) -> None:
        """Let a recording policy play an episode; `receive_episode` gives its return and length."""
        self._line.send((policy, seed, max_steps))

    def receive_episode(self) -> tuple[float, int]:
        """Wait for the episode that was sent."""
        return self._receive(_EPISODE_S)

    def close(self) -> None:
        """End the game, by force where it hangs."""
        self._line.close()
        self._process.join(_CLOSE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _receive(self, timeout_s: float) -> Any:
        try:
            if not self._line.poll(timeout_s):
                raise RuntimeError(f"the real game gave no frame for {timeout_s:g} s.")
            kind, value = self._line.recv()
        except (EOFError, OSError) as error:
            raise RuntimeError("the real game has died.") from error
        if kind == "error":
            raise value
        return value


def _serve(line: Connection, name: str, size: tuple[int, int], frame_skip: int | None) -> None:
    """Play for the parent until it closes the line."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-c is the parent's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        game = Game(name, size, frame_skip)
        line.send(("meta", game.meta({}).to_json()))
        while True:
            word = line.recv()
            if isinstance(word, tuple):
                line.send(("episode", _play(game, *word)))
            else:
                line.send(("arrival", game.reset(word) if isinstance(word, int) else game.step(word)))
    except (EOFError, OSError):
        return
    except Exception as error:  # every error is the parent's to report
        known = isinstance(error, (ValueError, ModuleNotFoundError))
        line.send(("error", type(error)(str(error)) if known else RuntimeError(f"the real game failed: {error}")))


def _play(game: Game, policy: str, seed: int, max_steps: int) -> tuple[float, int]:
    """An episode by a recording policy: its return and its length in actions."""
    game.reset(seed)
    act = make_policy(policy, game.spec, np.random.default_rng(seed), game.scripted)
    total = 0.0
    for step in range(1, max_steps + 1):
        arrival = game.step(act())
        total += arrival.reward
        if arrival.terminated or arrival.truncated:
            return total, step
    return total, max_steps


def _check(meta: FootageMeta, card: dict[str, Any]) -> None:
    """Refuse a game that is not the one that the world has learned."""
    came = {"size": list(meta.size), "fps": meta.fps, "action_spec": meta.to_json()["action_spec"]}
    for name, value in came.items():
        if value != card[name]:
            raise ValueError(
                f"the real {card['game']} has another {name} than this world: wanted {str(card[name])[:80]}, "
                f"got {str(value)[:80]}."
            )
