"""`worldsim play`: a world in the browser."""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from worldsim.cli import console
from worldsim.places import FIRST


@dataclass(frozen=True, kw_only=True)
class Play:
    """Play a world in the browser: keyboard, mouse, touch or gamepad, alone or with others.

    The page shows which keys do what. Beside playing: save a state and load it, rewind, step frame by frame, change the
    sampler, begin from a picture or from noise, play the real game beside the dream, record.

    Example: worldsim play pong

    Example: worldsim play "table tennis" --max-players 8 --host 0.0.0.0 --worlds pong jump

    Example: worldsim play pong --allow-origin https://games.example.org
    """

    world: Positional[str] = FIRST
    """A path, the name of a world, or a prompt; of a world of several games "arcade#pong", or words that name one."""
    host: str = "127.0.0.1"
    """Address to serve at; 0.0.0.0 for everybody in your network who has the link."""
    port: int = 8000
    """0 takes any that is free."""
    max_players: int = 4
    """Players at a time; others wait in a queue."""
    fps: float | None = None
    """Frames a second; the world's own by default. Faster is a faster game."""
    open: bool = False
    """Let in who has no key. Without it the link has one wherever others reach the server: on a network, or behind
    --allow-origin."""
    allow_origin: tuple[str, ...] = ()
    """Origins beside the server's own whose pages may play: of a proxy, a notebook server or a tunnel."""
    worlds: tuple[str, ...] | None = None
    """Worlds that players may enter beside this one; all that are found by default, none where others reach the
    server."""
    out: Path = Path("played")
    """Folder for what players record: footage to inspect and to train on."""
    max_recordings_gb: float = 10.0
    """Gigabytes that this folder may hold; then nothing more is recorded."""
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
        from worldsim.model.modules import count_params
        from worldsim.play.archive import Archive
        from worldsim.play.background import wait_for_background
        from worldsim.play.guard import Access
        from worldsim.play.sessions import SessionManager
        from worldsim.play.stepper import Stepper
        from worldsim.world import chosen_game, find_world, load_world, parse_prompt, read_card

        folder = find_world(self.world)
        game = chosen_game(read_card(folder), self.world)
        worlds = None if self.worlds is None else tuple(map(find_world, self.worlds))
        access = Access(origins=self.allow_origin)
        listener = server.bind(self.host, self.port)
        host, port = listener.getsockname()[:2]
        access = self._for_address(access, host)
        if worlds is None and self._is_reached(host):
            worlds = ()
        stepper = Stepper(load_world(folder, game=game, count_params=count_params), self.max_players)
        manager = SessionManager(
            folder,
            stepper,
            Archive(self.out, 1e9 * self.max_recordings_gb),
            max_players=self.max_players,
            fps=self.fps,
            idle_s=60 * self.idle_minutes,
            seed=self.seed,
            policies=self._policies(stepper.world),
            words=parse_prompt(self.world),
            game=game,
            worlds=worlds,
        )
        name = _own_address() if host in ("0.0.0.0", "::") else host
        link = f"http://{f'[{name}]' if ':' in name else name}:{port}{f'/?key={access.key}' if access.key else ''}"
        title = stepper.card.title
        with suppress(KeyboardInterrupt):  # raised again by the server after it has ended in good order
            make = server.make_server(manager, access, lambda: self._announce(title, link, worlds))
            make.run(sockets=[listener])
        print("stopped", flush=True)
        if not wait_for_background(2.0):  # a compilation cannot be stopped, and what was recorded is whole
            os._exit(0)

    def _is_reached(self, host: str) -> bool:
        """Whether others than this machine's people reach the server."""
        return not ipaddress.ip_address(host).is_loopback or bool(self.allow_origin)

    def _for_address(self, access: Any, host: str) -> Any:
        """The access at this address: any host name where others reach it, and with a key there."""
        hosts = (*access.hosts, host) if ipaddress.ip_address(host).is_loopback else None
        key = secrets.token_urlsafe(16) if self._is_reached(host) and not self.open else None
        return replace(access, hosts=hosts, key=key)

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
        if not self.max_recordings_gb >= 0:
            raise ValueError(f"expected a number from 0 on for --max-recordings-gb, got {self.max_recordings_gb:g}.")
        if not self.idle_minutes > 0:
            raise ValueError(f"expected a number above 0 for --idle-minutes, got {self.idle_minutes:g}.")

    def _announce(self, title: str, address: str, worlds: tuple[Path, ...] | None) -> None:
        print(f"{console.printable(title)} is at {address}   (ctrl-c ends it)", flush=True)
        others = "all that are found" if worlds is None else ", ".join(map(str, worlds)) or "none"
        print(f"other worlds that players may enter: {others} (--worlds)")
        print(f"recordings: {self.out}, at most {self.max_recordings_gb:g} GB (--max-recordings-gb)", flush=True)
        if self.no_browser:
            return
        import threading
        import webbrowser

        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


def _own_address() -> str:
    """This machine's address in its network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # sends nothing: it only chooses a route
        return probe.getsockname()[0]
    return socket.gethostname()
