"""Commands, run in this process, and footage to run them on."""

import os
import sys

import numpy as np

from tests.worlds import SPEC
from worldsim import cli
from worldsim.data.store import FootageMeta, FootageWriter
from worldsim.types import Episode


def make_footage(path, size=(16, 16), spec=SPEC, lengths=(40, 40)):
    """Write dark footage of any size and controls."""
    meta = FootageMeta(game="bar", title="Bar", size=size, fps=10.0, action_spec=spec, objects={}, recorder={})
    with FootageWriter(path, meta) as writer:
        for n in lengths:
            obs, end = np.zeros((n + 1, *size, 3), np.uint8), np.zeros(n, bool)
            writer.add(Episode(obs, np.zeros((n, 1), np.float32), np.zeros(n, np.float32), end, end))


def run(capsys, *args):
    """One command in this process: (status, stdout, stderr)."""
    try:
        status = cli.main([str(x) for x in args])
    except SystemExit as stop:
        status = stop.code
    return status, *capsys.readouterr()


def refused(capsys, *args):
    """The one line that a command ends with."""
    status, out, err = run(capsys, *args)
    assert status == 2 and out == ""
    assert err.startswith("worldsim: error: ") and err.count("\n") == 1
    return err


def environment() -> dict[str, str]:
    """For processes that see the modules that this one sees."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)}
