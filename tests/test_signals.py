"""A command that is asked to end does so within seconds, whatever it is doing, and what it saved can go on."""

import random
import signal
import subprocess
import sys
import time

import pytest

from tests.commands import environment
from worldsim.claim import claim
from worldsim.cli.signals import GRACE_S
from worldsim.cli.train import Train

STUCK = """
import hashlib, sys
from worldsim import cli

class Stuck:
    resume_hint = "go on with --resume"
    def run(self):
        print("running", flush=True)
        hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # minutes, as deaf to signals as a compiler

cli.parse = lambda args: Stuck()
sys.exit(cli.main(["stuck"]))
"""

AGAIN = """
import os, signal, sys, time
from worldsim import cli

class Saving:
    def run(self):
        try:
            print("running", flush=True)
            time.sleep(60)
        finally:
            for _ in range(20):
                time.sleep(0.02)
                os.kill(os.getpid(), signal.SIGTERM)

cli.parse = lambda args: Saving()
sys.exit(cli.main(["saving"]))
"""

DROPPED = """
import sys, time
from worldsim import cli

class Finalizer:
    def __del__(self):
        print("running", flush=True)
        time.sleep(60)  # what is raised here is dropped

class Dropping:
    def run(self):
        Finalizer()
        time.sleep(60)

cli.parse = lambda args: Dropping()
sys.exit(cli.main(["dropping"]))
"""

SLOW = """
import sys, time
from worldsim import cli

class Slow:
    resume_hint = {hint!r}
    def run(self):
        try:
            print("running", flush=True)
            time.sleep(60)
        finally:
            time.sleep(10)  # longer than GRACE_S

cli.parse = lambda args: Slow()
sys.exit(cli.main(["slow"]))
"""

BROKEN = """
import sys, threading, time
from worldsim import cli

class Broken:
    def run(self):
        threading.Thread(target=time.sleep, args=(60,)).start()  # a library's, for which the program's end waits
        try:
            print("running", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            raise RuntimeError("the loop is closed")

cli.parse, sys.argv = lambda args: Broken(), ["worldsim", "broken"]
sys.exit(cli.main())
"""

PARSING = """
import sys, time
from worldsim import cli

def parse(args):
    print("running", flush=True)
    time.sleep(60)

cli.parse = parse
sys.exit(cli.main(["parsing"]))
"""

ENDING = """
import atexit, sys, time
from worldsim import cli

class Done:
    def run(self):
        pass

cli.parse, sys.argv = lambda args: Done(), ["worldsim", "done"]
atexit.register(lambda: (print("running", flush=True), time.sleep(60)))
sys.exit(cli.main())
"""


def stop(script: str, number: signal.Signals) -> tuple[int, str, float]:
    """Stop a script once it runs: its status, what it wrote to stderr, and the seconds until it ended."""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "running\n"
        start = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    return process.returncode, err, time.monotonic() - start


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_hears_nothing_ends_too(number):
    status, err, seconds = stop(STUCK, number)
    assert (status, err) == (130, "\nworldsim: stopped; go on with --resume.\n")
    assert seconds < GRACE_S + 3


@pytest.mark.parametrize(
    "script", [AGAIN, DROPPED, BROKEN, PARSING, ENDING], ids=["again", "dropped", "broken", "parsing", "ending"]
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_program_at_any_time_with_one_line(script, number):
    status, err, seconds = stop(script, number)
    assert (status, err) == (130, "\nworldsim: stopped.\n")
    assert seconds < GRACE_S + 3


@pytest.mark.parametrize(("hint", "least"), [("", GRACE_S), ("go on with --resume", 10)])
def test_more_time_is_given_only_to_what_saves_something_to_go_on_with(hint, least):
    status, err, seconds = stop(SLOW.format(hint=hint), signal.SIGINT)
    assert status == 130 and err.count("stopped") == 1
    assert least - 0.1 < seconds < least + 5, err


def test_the_line_names_resume_only_where_there_is_a_run(tmp_path):
    train = Train(data=(), out=tmp_path)
    assert train.resume_hint == ""
    claim(tmp_path, {"seed": 0}, resume=False)
    assert "--resume" in train.resume_hint


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_training_ends_at_any_time_and_goes_on(bar_folder, tmp_path, seed):
    rng, out = random.Random(seed), tmp_path / "run"
    command = [sys.executable, "-m", "worldsim", "train", str(bar_folder), "--out", str(out), "--num-train-steps", "40"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment()) as process:
        time.sleep(rng.uniform(4, 25))
        start = time.monotonic()
        process.send_signal(rng.choice([signal.SIGINT, signal.SIGTERM]))
        _, err = process.communicate(timeout=60)
    assert time.monotonic() - start < GRACE_S + 3, err
    assert process.returncode == 130 or (process.returncode == 0 and (out / "world").is_dir()), err
    assert "Traceback" not in err
