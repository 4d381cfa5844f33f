"""Footage for the tests, made of random numbers."""

import numpy as np
import pytest

from tests.data.footage_factory import make_episode, make_meta
from worldsim.data.store import FootageWriter


@pytest.fixture
def write_footage(tmp_path):
    """Write random episodes of the given numbers of steps; gives the folder and the episodes."""

    def write(*lengths, folder="footage", **meta):
        rng = np.random.default_rng(0)
        episodes = [make_episode(rng, n, num_states=len(meta.get("state_names", ()))) for n in lengths]
        with FootageWriter(tmp_path / folder, make_meta(**meta)) as writer:
            for seed, episode in enumerate(episodes):
                writer.add(episode, seed=seed, policy="test")
        return tmp_path / folder, episodes

    return write
