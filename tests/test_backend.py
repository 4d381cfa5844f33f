"""JAX and the process: a forked child refuses in one line, and compiled programs are kept on disk."""

import subprocess
import sys

import pytest

ASYNC = """
import gymnasium, worldsim
envs = gymnasium.make_vec("worldsim/World-v0", num_envs=2, vectorization_mode="async", world={world!r})
try:
    envs.reset(seed=0)
except RuntimeError as error:
    print(error)
finally:
    envs.close(terminate=True)
"""
FORK = """
import multiprocessing, jax, worldsim
def play():
    sim = worldsim.load({world!r})
    try:
        sim.params
    except RuntimeError as error:
        print(error, flush=True)
if {first!r}:
    jax.random.key(0)
child = multiprocessing.get_context("fork").Process(target=play)
child.start()
child.join(60)
print("ended", child.exitcode)
"""
KEPT = """
import os, worldsim
sim = worldsim.load({world!r}, num_denoise_steps=1)
sim.params
import jax
print(jax.config.jax_compilation_cache_dir)
"""


def run(script, monkeypatch, **env):
    for name, value in env.items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_gymnasiums_processes_that_fork_name_the_way_out_and_do_not_hang(untrained_world, monkeypatch):
    said = run(ASYNC.format(world=str(untrained_world)), monkeypatch)
    assert 'vector_kwargs={"context": "spawn"}' in said and len(said.splitlines()) == 1


@pytest.mark.parametrize("first", [True, False])
def test_a_child_is_refused_only_where_its_parent_runs_jax(untrained_world, monkeypatch, first):
    said = run(FORK.format(world=str(untrained_world), first=first), monkeypatch)
    assert said.endswith("ended 0\n") and ("forked from a process that runs it" in said) == first


def test_programs_are_kept_unless_told_otherwise(untrained_world, monkeypatch, tmp_path):
    script, unset = KEPT.format(world=str(untrained_world)), {"JAX_COMPILATION_CACHE_DIR": None}
    home = {"XDG_CACHE_HOME": str(tmp_path)}
    assert run(script, monkeypatch, **unset, **home).strip() == str(tmp_path / "worldsim" / "programs")
    assert run(script, monkeypatch, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine"), **home).strip().endswith("mine")
    assert run(script, monkeypatch, **unset, **home, JAX_ENABLE_COMPILATION_CACHE="false").strip() == "None"
