"""Footage for the tests: recorded once from a toy game, or made of random numbers."""

import numpy as np
import pytest

from tests.data.footage_factory import TOY, make_episode, make_meta
from worldsim.data.record import record
from worldsim.data.store import FootageWriter


@pytest.fixture(scope="session")
def toy_footage(tmp_path_factory):
    """300 frames of the toy game, recorded by one worker in one go."""
    return record(TOY, tmp_path_factory.mktemp("toy") / "footage", num_frames=300, policy="random", seed=3)


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
