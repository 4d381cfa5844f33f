"""One writer a folder."""

import fcntl
import os
import subprocess
import sys
import threading
import time

import pytest

from worldsim.claim import LOCK, claim, hold

RACE = """
import sys, time
from worldsim.claim import hold
from pathlib import Path
print("ready", flush=True)
while not Path(sys.argv[2]).exists(): pass
try:
    with hold(Path(sys.argv[1]), "writing to"):
        Path(sys.argv[1], sys.argv[3]).touch()
        while not Path(sys.argv[4]).exists(): time.sleep(0.01)
        assert len([p for p in Path(sys.argv[1]).iterdir() if p.name != ".lock"]) == 1
    print("held")
except BlockingIOError as error:
    print(error)
"""


def test_of_those_that_begin_at_once_one_writes(tmp_path):
    path = os.pathsep.join(p or os.getcwd() for p in sys.path)
    go, done = tmp_path / "go", tmp_path / "done"
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(tmp_path / "f"), str(go), str(i), str(done)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        for i in range(6)
    ]
    assert all(racer.stdout is not None and racer.stdout.readline() == "ready\n" for racer in racers)
    go.touch()
    while sum(racer.poll() is None for racer in racers) > 1:
        time.sleep(0.05)
    done.touch()
    said = [racer.communicate(timeout=60)[0].strip() for racer in racers]
    assert said.count("held") == 1
    assert sum("another process is writing to" in line and "since" in line for line in said) == 5
    assert not (tmp_path / "f" / LOCK).exists()


def test_a_folder_that_was_made_for_nothing_goes_again(tmp_path):
    with pytest.raises(ValueError, match="no run to resume"), hold(tmp_path / "run", "training in"):
        claim(tmp_path / "run", {}, resume=True)
    assert not (tmp_path / "run").exists()
    with hold(tmp_path / "run", "training in"):
        claim(tmp_path / "run", {"seed": 0}, resume=False)
        with (
            pytest.raises(BlockingIOError, match="another process is training in"),
            hold(tmp_path / "run", "training in"),
        ):
            pass
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["run.json"]


def test_who_holds_a_folder_may_say_so_a_little_later(tmp_path):
    file = (tmp_path / LOCK).open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    threading.Timer(0.3, lambda: (file.write("process 7 since noon"), file.flush())).start()
    with pytest.raises(BlockingIOError, match=r"\(process 7 since noon\)"), hold(tmp_path, "writing to"):
        pass
    file.close()
