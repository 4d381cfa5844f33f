"""A bundle on the disk."""

import pytest


@pytest.fixture
def bundle(tmp_path):
    from tests.world.bundles import make_world
    from worldsim.world import save_world

    save_world(make_world(), tmp_path / "pong")
    return tmp_path / "pong"
