"""Footage made of random numbers, and the name of the toy game."""

import numpy as np

from worldsim.controls import discrete
from worldsim.data.store import FootageMeta
from worldsim.types import Episode

TOY = "tests.contracts.toy_env:worldsim_test/Toy-v0"


def make_meta(size=(8, 6), num_actions=3, state_names=(), **changes):
    fields = {"game": "test", "title": "Test", "size": size, "fps": 10.0, "objects": {}, "recorder": {"seed": 0}}
    spec = discrete(tuple(str(i) for i in range(num_actions)))
    return FootageMeta(**{**fields, "action_spec": spec, "state_names": tuple(state_names), **changes})


def make_episode(rng, num_steps, size=(8, 6), num_states=0):
    obs = rng.integers(0, 256, (num_steps + 1, *size, 3), dtype=np.uint8)
    action = rng.integers(0, 3, (num_steps, 1)).astype(np.float32)
    reward = rng.normal(size=num_steps).astype(np.float32)
    last = np.arange(num_steps) == num_steps - 1
    state = rng.normal(size=(num_steps + 1, num_states)).astype(np.float32) if num_states else None
    return Episode(obs, action, reward, last, np.zeros(num_steps, bool), state)


def assert_same_episode(a: Episode, b: Episode) -> None:
    for name, x, y in zip(Episode._fields, a, b, strict=True):
        assert (x is None) == (y is None), name
        if x is not None:
            assert x.dtype == y.dtype, name
            np.testing.assert_array_equal(x, y, err_msg=name)
