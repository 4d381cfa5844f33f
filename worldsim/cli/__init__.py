"""The command line: the only parser and printer of worldsim.

Every command is a dataclass whose fields are its options and whose `run` does the work; heavy imports wait until
then. An error that the library explains becomes one line and exit status 2; `--traceback` shows the whole of it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

OVERVIEW = """\
worldsim: record a game, learn its world, dream it, use the dream as an environment.

  worldsim games                                                   what can be recorded
  worldsim record jump --out footage/jump --frames 20000           play and record
  worldsim inspect footage/jump --sheet sheet.png                  look at what was recorded
  worldsim train footage/jump --out runs/jump --minutes 10         learn the world
  worldsim play pong                                               play a world in the browser
  worldsim rollout runs/jump --out dream.mp4 --side-by-side footage/jump
                                                                   real left, dream right
  worldsim agent train runs/jump --data footage/jump --out runs/jumper
                                                                   an agent that learns in the dream
  worldsim agent eval runs/jumper                                  and is scored in the real game
  worldsim eval runs/jump --data footage/jump --out report         measure it
  worldsim compare jump runs/jump --data footage/jump              which differences stand above the noise
  worldsim bench runs/jump                                         how fast it is here
  worldsim worlds                                                  worlds that are here already

In Python: worldsim.load("runs/jump"), or gymnasium.make("worldsim:worldsim/World-v0", world="runs/jump").
Every command explains itself: worldsim train --help. --traceback before a command shows where an error came from."""

EXPECTED = (ValueError, TypeError, OSError, ImportError, ArithmeticError, RuntimeError, MemoryError)
"""What the library raises with a message for people."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    args = list(sys.argv[1:] if argv is None else argv)
    show_traceback = args[:1] == ["--traceback"]
    args = args[show_traceback:]
    if not args:
        print(OVERVIEW)
        return 0
    command = parse(args)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        command.run()
    except KeyboardInterrupt:
        hint = getattr(command, "resume_hint", "")
        print("\nworldsim: stopped" + (f"; {hint}." if hint else "."), file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has left: `worldsim games | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except EXPECTED as error:
        if show_traceback:
            raise
        message = " ".join(str(error).split()) or type(error).__name__
        print(f"worldsim: error: {message}", file=sys.stderr)
        return 2
    return 0


def _interrupt(*_: object) -> NoReturn:
    """Treat a request to end, as schedulers and `kill` send it, like ctrl-c: save, then go."""
    raise KeyboardInterrupt


def parse(args: Sequence[str]):
    """Turn arguments into a command; ends the program with status 2 where they are none."""
    import tyro
    from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, OmitSubcommandPrefixes

    from worldsim.cli.agents import Agent
    from worldsim.cli.footage import Games, Inspect, Record
    from worldsim.cli.measure import Bench, Compare, Eval
    from worldsim.cli.play import Play
    from worldsim.cli.worlds import Rollout, Train, Worlds

    config = (FlagCreatePairsOff, OmitArgPrefixes, OmitSubcommandPrefixes)
    commands = Games | Record | Inspect | Train | Play | Rollout | Agent | Eval | Compare | Bench | Worlds
    return tyro.cli(commands, prog="worldsim", description=OVERVIEW.splitlines()[0], args=list(args), config=config)
