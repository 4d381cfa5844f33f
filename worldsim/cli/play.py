"""`worldsim play`: a world in the browser."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional


@dataclass(frozen=True, kw_only=True)
class Play:
    """Play a world in the browser: keyboard, mouse, touch or gamepad, alone or with others.

    The page shows which keys do what. Beside playing: save a state and load it, rewind, step frame by frame, change the
    sampler, begin from a picture or from noise, play the real game beside the dream, record.

    Example: worldsim play pong

    Example: worldsim play "table tennis" --port 0 --max-players 8 --host 0.0.0.0
    """

    world: Positional[str] = "jump"
    """A path, the name of a world, or a prompt; of a world of several games "arcade#pong", or words that name one."""
    host: str = "127.0.0.1"
    """Address to serve at; 0.0.0.0 for everybody in your network."""
    port: int = 8000
    """0 takes any that is free."""
    max_players: int = 4
    """Players at a time; others wait in a queue."""
    fps: float | None = None
    """Frames a second; the world's own by default. Faster is a faster game."""
    out: Path = Path("played")
    """Folder for what players record: footage to inspect and to train on."""
    idle_minutes: float = 10.0
    """Minutes without a key after which a player leaves."""
    agent: Path | None = None
    """An agent that learned in this world, which can play in place of a person."""
    seed: int | None = None
    """Seed of the first player's dream; another dream each time by default."""
    no_browser: bool = False
    """Do not open the page in a browser."""

    def run(self) -> None:
        """Serve until ctrl-c."""
        self._check()
        try:
            from worldsim.play import server
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f'{error}; pip install "worldsim-jax[play]".') from error
        from worldsim.play.archive import Archive
        from worldsim.play.background import wait_for_background
        from worldsim.play.sessions import SessionManager
        from worldsim.play.stepper import Stepper
        from worldsim.world import chosen_game, find_world, load_world, parse_prompt, read_card

        folder = find_world(self.world)
        game = chosen_game(read_card(folder), self.world)
        listener = server.bind(self.host, self.port)
        stepper = Stepper(load_world(folder, game=game), self.max_players)
        manager = SessionManager(
            folder,
            stepper,
            Archive(self.out),
            max_players=self.max_players,
            fps=self.fps,
            idle_s=60 * self.idle_minutes,
            seed=self.seed,
            policies=self._policies(stepper.world),
            words=parse_prompt(self.world),
            game=game,
        )
        host, port = listener.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        title = stepper.card.title
        with suppress(KeyboardInterrupt):  # raised again by the server after it has ended in good order
            make = server.make_server(manager, listener, lambda: self._announce(title, address))
            make.run(sockets=[listener])
        print("stopped", flush=True)
        if not wait_for_background(2.0):  # a compilation cannot be stopped, and what was recorded is whole
            os._exit(0)

    def _policies(self, world: Any) -> dict[str, Any]:
        """The agent, where one is named."""
        if self.agent is None:
            return {}
        from worldsim.agent import load_agent
        from worldsim.world import check_same_game

        agent = load_agent(self.agent)
        check_same_game(world.card, agent.card, self.agent, ("size", "action_spec"))
        return {"agent": lambda seed: agent.policy(seed)}

    def _check(self) -> None:
        if not 0 <= self.port < 65536:
            raise ValueError(f"expected 0..65535 for --port, got {self.port}.")
        if not 1 <= self.max_players <= 256:
            raise ValueError(f"expected 1..256 for --max-players, got {self.max_players}.")
        if self.fps is not None and not 0 < self.fps <= 240:
            raise ValueError(f"expected a number above 0 and up to 240 for --fps, got {self.fps:g}.")
        if not self.idle_minutes > 0:
            raise ValueError(f"expected a number above 0 for --idle-minutes, got {self.idle_minutes:g}.")

    def _announce(self, title: str, address: str) -> None:
        print(f"{title} is at {address}   (ctrl-c ends it)", flush=True)
        if self.no_browser:
            return
        import threading
        import webbrowser

        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
