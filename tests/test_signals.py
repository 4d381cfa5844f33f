"""A command that is asked to end does so within seconds, whatever it is doing, and what it saved can go on."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from worldsim.cli.signals import GRACE_S

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
    resume_hint = ""
    def run(self):
        print("running", flush=True)
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)
        finally:
            for _ in range(20):
                time.sleep(0.02)
                os.kill(os.getpid(), signal.SIGTERM)

cli.parse = lambda args: Saving()
sys.exit(cli.main(["saving"]))
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_hears_nothing_ends_too(number):
    with subprocess.Popen(
        [sys.executable, "-c", STUCK], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "running\n"
        start = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "stopped; go on with --resume" in err
    assert time.monotonic() - start < GRACE_S + 3


def test_signals_that_come_again_are_no_error():
    with subprocess.Popen(
        [sys.executable, "-c", AGAIN], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "running\n"
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err == "\nworldsim: stopped.\n"


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
