"""Training state: exactly what was saved, also after a kill."""

import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from worldsim.train.checkpoint import _undisturbed, close_training, open_training, restore_training, save_training


def make_state(step: int) -> dict:
    return {
        "params": {"layers": {0: jnp.full((4, 3), step, jnp.float32), 1: jnp.full(2, step, jnp.bfloat16)}},
        "opt": (np.full(3, step, np.int64), None, {"mu": jnp.float32(step) / 3}),
        "key": jax.random.key_data(jax.random.fold_in(jax.random.key(0), step)),
        "step": step,
    }


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert np.asarray(x).dtype == np.asarray(y).dtype
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


def test_training_resumes_with_exactly_what_was_saved(tmp_path):
    manager = open_training(tmp_path / "state")
    assert restore_training(manager, make_state(0)) is None
    for step in (3, 5, 8):
        assert save_training(manager, step, make_state(step), {"minutes": step / 2})
    close_training(manager)
    manager = open_training(tmp_path / "state")
    assert manager.all_steps() == [5, 8]
    step, tree, meta = restore_training(manager, make_state(0))
    assert (step, meta) == (8, {"minutes": 4.0})
    assert_same(tree, make_state(8))
    close_training(manager)


def test_arrays_may_change_while_they_are_saved(tmp_path):
    manager = open_training(tmp_path)
    state = {"x": np.zeros(1_000_000, np.float32)}
    save_training(manager, 1, state)
    state["x"] += 1
    _, tree, _ = restore_training(manager, state)
    assert not tree["x"].any()
    close_training(manager)


def test_a_step_is_saved_once_and_never_backwards(tmp_path):
    manager = open_training(tmp_path)
    assert save_training(manager, 2, {"x": np.zeros(1)})
    assert not save_training(manager, 2, {"x": np.ones(1)})
    with pytest.raises(ValueError, match="above 2"):
        save_training(manager, 1, {"x": np.zeros(1)})
    close_training(manager)


@pytest.mark.parametrize("like", [{"x": np.zeros(4)}, {"x": np.zeros(3, np.float32)}, {"y": np.zeros(3)}])
def test_state_of_another_configuration_is_refused(tmp_path, like):
    manager = open_training(tmp_path)
    save_training(manager, 1, {"x": np.zeros(3)})
    with pytest.raises(ValueError, match="another configuration"):
        restore_training(manager, like)
    close_training(manager)


KILLED = """
import sys, numpy as np
from worldsim.train.checkpoint import open_training, save_training
manager = open_training(sys.argv[1])
for step in range(1, 10_000):
    save_training(manager, step, {"x": [np.full(1_000_000, step, np.float32)] * 4, "step": step})
    print(step, flush=True)
"""


@pytest.mark.parametrize("wait_s", [0.03, 0.2])
def test_a_kill_during_a_save_leaves_the_last_good_step(tmp_path, wait_s):
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "state")], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    while int(child.stdout.readline() or -1) < 2:
        assert child.poll() is None
    time.sleep(wait_s)
    child.send_signal(signal.SIGKILL)
    began = 2 + len(child.stdout.read().split())
    child.stdout.close()
    child.wait()
    manager = open_training(tmp_path / "state")
    like = {"x": [np.zeros(1_000_000, np.float32)] * 4, "step": 0}
    restored = restore_training(manager, like)
    assert restored is not None
    step, tree, _ = restored
    assert began - 1 <= step <= began + 1
    assert_same(tree, {"x": [np.full(1_000_000, step, np.float32)] * 4, "step": step})
    assert save_training(manager, step + 1, like)
    close_training(manager)


def test_an_interrupt_waits_for_what_orbax_does():
    done = []

    def work():
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.2)
        done.append(True)

    with pytest.raises(KeyboardInterrupt):
        _undisturbed(work)
    assert done
