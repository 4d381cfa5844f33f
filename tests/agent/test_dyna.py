"""The loop of playing, learning the world and dreaming: what is played counts, what is finished is not done again."""

import dataclasses

import numpy as np
import pytest

from tests.commands import run
from tests.contracts.bar_env import ID
from tests.worlds import RECIPE
from worldsim.agent import AgentConfig, fit_agent, fit_online, load_agent, record_game
from worldsim.data.store import Footage
from worldsim.train import fit
from worldsim.world import load_world

CONFIG = AgentConfig(context=4, horizon=4, batch_size=4, width=16, clone_fraction=0.5)
MINUTES = 0.02


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bar") / "footage"
    return record_game(ID, folder, num_frames=400, policy="random", seed=3, max_episode_len=40)


@pytest.fixture(scope="module")
def world(footage, tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    fit([footage.path], folder, preset=RECIPE, num_train_steps=20, name="bar")
    return folder / "world"


@pytest.fixture(scope="module")
def agent(footage, world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("agent")
    fit_agent(world, footage.path, folder, config=CONFIG, num_updates=2)
    return folder


def test_what_an_agent_plays_is_recorded_and_is_the_same_for_the_same_seed(agent, tmp_path):
    how = {"num_frames": 60, "policy": f"agent:{agent}", "seed": 1, "max_episode_len": 40}
    one, other = (record_game(ID, tmp_path / name, **how) for name in ("one", "other"))
    assert one.digest() == other.digest() and one.episodes[0].policy.startswith("agent:")
    again = record_game(ID, tmp_path / "third", **{**how, "seed": 2})
    assert not np.array_equal(again[0].action, one[0].action)


def test_an_agent_of_another_game_records_nothing(agent, tmp_path):
    with pytest.raises(ValueError, match="other controls|expected frames"):
        record_game("vases", tmp_path / "out", num_frames=60, policy=f"agent:{agent}")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="no agent at"):
        record_game(ID, tmp_path / "out", num_frames=60, policy=f"agent:{tmp_path}")


def test_the_loop_plays_the_real_game_and_leaves_the_footage_as_it_was(footage, world, tmp_path):
    before, played = footage.digest(), []
    how = dict(
        num_steps=60, num_rounds=1, config=CONFIG, world_minutes=MINUTES, agent_minutes=MINUTES, max_episode_len=40
    )
    fit_online(world, footage.path, tmp_path / "run", on_record=lambda done, wanted: played.append(done), **how)
    own = Footage.open(tmp_path / "run" / "footage")
    assert Footage.open(footage.path).digest() == before
    assert own.num_frames >= footage.num_frames + 60
    assert [e.policy.split(":")[0] for e in own.episodes][-1] == "agent"
    after = load_world(tmp_path / "run" / "round-1" / "world" / "world")
    assert after.card.training["init"] and after.card.footage.digest == own.digest()
    card = load_agent(tmp_path / "run").card
    assert card.world["weights"] == after.card.weights.sha256
    assert card.real_steps == own.num_frames - len(own)
    with pytest.raises(FileExistsError):
        fit_online(world, footage.path, tmp_path / "run", **how)
    stamp = (tmp_path / "run" / "round-1" / "agent" / "agent.json").stat().st_mtime_ns
    fit_online(world, footage.path, tmp_path / "run", resume=True, **how)
    assert (tmp_path / "run" / "round-1" / "agent" / "agent.json").stat().st_mtime_ns == stamp


def test_an_agent_goes_on_from_another_of_its_shape_only(agent, footage, world, tmp_path):
    first = load_agent(agent)
    wider = dataclasses.replace(CONFIG, width=24)
    with pytest.raises(ValueError, match="width 24 got 16"):
        fit_agent(world, footage.path, tmp_path / "wider", config=wider, num_updates=2, init=first)
    config = dataclasses.replace(CONFIG, learning_rate=1e-9, clone_fraction=0.0, recent_fraction=1.0)
    after = fit_agent(world, footage.path, tmp_path / "on", config=config, num_updates=2, init=first)
    one, other = (x.params["actor"]["actor_head"]["kernel"] for x in (first, after))
    np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=1e-6)


def test_a_dream_can_be_played_by_an_agent(agent, world, tmp_path, capsys):
    out = tmp_path / "dream.mp4"
    run(capsys, "rollout", str(world), "--out", str(out), "--frames", "4", "--actions", f"agent:{agent}")
    assert out.is_file()
