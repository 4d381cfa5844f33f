"""The command line: the only parser and printer of worldsim.

Every command is a dataclass in a file of its own: its fields are the options and its `run` does the work. Heavy imports
wait until then. An error that the library explains becomes one line and exit status 2; `--traceback` shows the whole of
it.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Union, runtime_checkable

from worldsim.cli import signals
from worldsim.cli.console import printable
from worldsim.places import as_path

EXPECTED = (ValueError, TypeError, OSError, ImportError, ArithmeticError, RuntimeError, MemoryError)
"""What the library raises with a message for people."""


@runtime_checkable
class Command(Protocol):
    """What every command offers."""

    def run(self) -> None:
        """Do the work, and print what came out."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    if argv is not None:
        return _run(list(argv))
    signals.end_at_once()
    status = _run(sys.argv[1:])
    if status == signals.STOPPED:  # threads that still run native code would crash at the program's end
        sys.stdout.flush()
        os._exit(status)
    return status


def _run(args: list[str]) -> int:
    show_traceback = args[:1] == ["--traceback"]
    args = args[show_traceback:]
    if not args:
        print(overview())
        return 0
    command: Command | None = None

    def hint() -> str:
        return getattr(command, "resume_hint", "")

    try:
        with signals.heard(hint):
            command = parse(args)
            command.run()
    except KeyboardInterrupt:
        signals.say_stopped(hint())
        return signals.STOPPED
    except BrokenPipeError:  # the reader of our output has left: `worldsim games | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except EXPECTED as error:
        if signals.requested():  # what the interrupt broke on its way
            signals.say_stopped(hint())
            return signals.STOPPED
        if show_traceback:
            raise
        message = printable(" ".join(str(error).split())) or type(error).__name__
        print(f"worldsim: error: {message}", file=sys.stderr)
        return 2
    return 0


def commands() -> dict[str, type[Command]]:
    """Return the commands by name, in the order of work."""
    from worldsim.cli.agent import Agent
    from worldsim.cli.bench import Bench
    from worldsim.cli.compare import Compare
    from worldsim.cli.eval import Eval
    from worldsim.cli.games import Games
    from worldsim.cli.inspect import Inspect
    from worldsim.cli.play import Play
    from worldsim.cli.record import Record
    from worldsim.cli.rollout import Rollout
    from worldsim.cli.train import Train
    from worldsim.cli.worlds import Worlds

    order = (Games, Record, Inspect, Train, Worlds, Play, Rollout, Eval, Compare, Bench, Agent)
    return {kind.__name__.lower(): kind for kind in order}


def overview() -> str:
    """Return a map of the commands: one line each, the first sentence of its help."""
    lines = [f"  worldsim {name:8} {(kind.__doc__ or '').split('.')[0]}" for name, kind in commands().items()]
    return "\n".join(
        (
            "worldsim: record a game, learn its world, play the dream, train agents in it.\n",
            *lines,
            "\nEvery command explains itself by an example: worldsim train --help",
            "In Python: worldsim.load('jump'), or gymnasium.make('worldsim:worldsim/World-v0', world='jump').",
            "--traceback before a command shows where an error came from.",
        )
    )


def parse(args: Sequence[str]) -> Command:
    """Turn arguments into a command; ends the program with status 2 where they are none."""
    import tyro
    from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, OmitSubcommandPrefixes

    config = (FlagCreatePairsOff, OmitArgPrefixes, OmitSubcommandPrefixes)
    kinds: Any = Union[tuple(commands().values())]  # noqa: UP007 - made at run time
    description = overview().splitlines()[0]
    return _expanded(tyro.cli(kinds, prog="worldsim", description=description, args=list(args), config=config))


def _expanded(command: Any) -> Any:
    """Return a command whose paths begin at the home folder where they are written with ~ (as in --out=~/run)."""

    def expand(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return _expanded(value)
        if isinstance(value, tuple):
            return tuple(map(expand, value))
        return as_path(value) if isinstance(value, Path) else value

    fields = {x.name: expand(getattr(command, x.name)) for x in dataclasses.fields(command)}
    return dataclasses.replace(command, **fields)
