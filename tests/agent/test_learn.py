"""From footage and a world to an agent that plays the real game better than its recording."""

import dataclasses
import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from tests.commands import run
from tests.worlds import SIZE
from worldsim.agent import (
    AgentConfig,
    PlanConfig,
    dream_return,
    fit_agent,
    load_agent,
    plan_policy,
    score_agent,
    score_policy,
)
from worldsim.agent.learn import make_phases
from worldsim.agent.score import summary, verdict
from worldsim.cli import console
from worldsim.simulator import Simulator
from worldsim.train.loop import Budget, Progress
from worldsim.world import load_world

CONFIG = AgentConfig(
    context=4, horizon=8, batch_size=16, width=32, learning_rate=3e-3, gamma=0.8, entropy=3e-3, clone_fraction=0.0
)


@pytest.fixture(scope="module")
def learned(trained_bar):
    """Footage of the bar game, and a world that has learned it."""
    return trained_bar.footage.path, trained_bar.run / "world"


def play_bar(agent, num_steps=30, num_games=32, seed=0):
    """Mean reward a step in the bar game itself: 1 where the bar stands at the left."""
    rng = np.random.default_rng(seed)
    place, state = rng.integers(4, size=num_games), agent.initial_state(num_games)
    rows, total = np.full((num_games, 1), np.nan, np.float32), []
    for t in range(num_steps):
        obs = np.full((num_games, *SIZE, 3), 30, np.uint8)
        for i, p in enumerate(place):
            obs[i, :, 4 * p : 4 * p + 4] = (200, 220, 240)
        state, rows = agent.act(jax.random.key(1000 * seed + t), state, obs, rows)
        place = (place + np.array([0, -1, 1])[np.asarray(rows)[:, 0].astype(int)]) % 4
        total.append(place == 0)
    return float(np.mean(total[5:]))


@pytest.fixture(scope="module")
def agent(learned, tmp_path_factory):
    data, world = learned
    return fit_agent(world, data, tmp_path_factory.mktemp("agent"), config=CONFIG, num_updates=250)


def test_an_agent_that_never_saw_the_game_while_learning_beats_random_keys_in_it(agent):
    assert play_bar(agent) > 0.6  # random keys: a quarter


def test_the_dream_promises_what_the_game_keeps(agent, learned):
    sim = Simulator.from_world(load_world(learned[1]))
    dreamt = dream_return(sim, agent, num_dreams=16, num_steps=30)
    assert np.mean(dreamt.returns) / 30 == pytest.approx(play_bar(agent), abs=0.25)


def test_cloning_does_as_the_recording_did(learned, tmp_path):
    from worldsim.data.store import Footage, FootageWriter

    source = Footage.open(learned[0])
    with FootageWriter(tmp_path / "left", source.meta) as writer:
        for i in range(len(source)):
            episode = source[i]
            writer.add(episode._replace(action=np.ones_like(episode.action)))
    config = dataclasses.replace(CONFIG, clone_fraction=0.99, ema_decay=0.8)
    cloned = fit_agent(learned[1], tmp_path / "left", tmp_path / "run", num_updates=60, config=config)
    obs = source[0].obs[:1]
    unknown = np.full((1, 1), np.nan, np.float32)
    acts = [int(cloned.act(jax.random.key(i), cloned.initial_state(1), obs, unknown)[1][0, 0]) for i in range(20)]
    assert np.mean(np.array(acts) == 1) > 0.8


@pytest.mark.parametrize("imagined_s, cloned_s", [(0.5, 0.5), (1.0, 0.1)])
def test_the_fraction_that_clones_is_of_updates_under_a_budget_of_time_too(monkeypatch, imagined_s, cloned_s):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("worldsim.agent.learn.time", SimpleNamespace(monotonic=lambda: clock.now))
    by_time, by_number = (make_phases(0.25, Budget(*budget)) for budget in ((None, 200.0), (400, None)))
    done = []
    while clock.now < 200:
        done.append(by_time(clock.now / 200, len(done))["imagines"])
        clock.now += imagined_s if done[-1] else cloned_s
    assert 1 - np.mean(done) == pytest.approx(0.25, abs=0.02) and done == [True] * 2 + sorted(done[2:])
    assert [by_number(i / 400, i)["imagines"] for i in range(400)] == [False] * 100 + [True] * 300


def test_scores_are_told_in_words():
    agent, same = ({"mean": x, "standard_error": 1.0, "per_1000_steps": 10 * x} for x in (5.0, 4.0))
    worse, dream = {**same, "mean": -3.0}, {**same, "per_1000_steps": 80.0}
    assert "within noise of random keys: +1 an episode" in verdict({"agent": agent, "random": same})[0]
    assert "better than random keys: +8" in verdict({"agent": agent, "random": worse})[0]
    assert "worse than random keys: -8" in verdict({"agent": worse, "random": agent})[0]
    assert verdict({"agent": agent, "dream": dream}) == ["Its dream promises 80 in 1,000 steps, the game pays 50."]


def test_the_bar_shows_return_and_entropy(capsys):
    bars, scalars = console.StageBars(), {"loss": 1.0, "return": 2.5, "entropy": 0.75}
    bars(Progress("agent", 1, 10, 1.0, 5.0, 9.0, "", scalars))
    bars.close()
    assert "return 2.5, entropy 0.75" in capsys.readouterr().err


def test_the_return_of_a_dream_reports_its_progress(agent, learned):
    told = []
    sim = Simulator.from_world(load_world(learned[1]))
    scores = dream_return(sim, agent, num_dreams=2, num_steps=3, on_progress=lambda *x: told.append(x))
    assert told == [(1, 3), (2, 3), (3, 3)] and summary(scores, "")["per_1000_steps"] == pytest.approx(
        1000 * sum(scores.returns) / sum(scores.lengths)
    )


def test_an_agent_survives_the_disk(agent, tmp_path):
    from worldsim.agent import save_agent

    save_agent(agent, tmp_path / "agent")
    back = load_agent(tmp_path)
    obs, rows = np.zeros((2, *SIZE, 3), np.uint8), np.zeros((2, 1), np.float32)
    one, other = (x.act(jax.random.key(0), x.initial_state(2), obs, rows) for x in (agent, back))
    assert all((np.asarray(a) == np.asarray(b)).all() for a, b in zip(one, other))
    assert back.card == agent.card


def test_a_run_that_was_stopped_goes_on_to_the_same_agent(learned, tmp_path):
    data, world = learned
    whole = fit_agent(world, data, tmp_path / "whole", config=CONFIG, num_updates=24)

    def stop(progress):
        if progress.step >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_agent(world, data, tmp_path / "cut", config=CONFIG, num_updates=24, on_progress=stop)
    again = fit_agent(world, data, tmp_path / "cut", config=CONFIG, num_updates=24, resume=True)
    same = jax.tree.map(lambda a, b: bool((np.asarray(a) == np.asarray(b)).all()), whole.params, again.params)
    assert all(jax.tree.leaves(same))


def test_pmpo_learns_too(learned, tmp_path):
    config = dataclasses.replace(CONFIG, objective="pmpo")
    agent = fit_agent(learned[1], learned[0], tmp_path, config=config, num_updates=250)
    assert play_bar(agent) > 0.5


def test_scores_of_the_real_game_are_the_same_for_the_same_seeds():
    pytest.importorskip("pyxel")
    card = load_world("jump").card
    one, two = (score_policy(card, "random", num_episodes=3, seed=5) for _ in range(2))
    assert one == two and all(length > 5 for length in one.lengths)
    assert summary(one, "jump")["num_episodes"] == 3


def test_an_agent_plays_the_real_game(tmp_path):
    pytest.importorskip("pyxel")
    import worldsim

    footage = worldsim.record("jump", tmp_path / "footage", num_frames=600, policy="random", seed=3)
    agent = fit_agent("jump", footage.path, tmp_path / "run", config=CONFIG, num_updates=2)
    scores = score_agent(agent, num_episodes=3, num_games=2, seed=5, max_steps=40)
    assert len(scores.returns) == 3 and max(scores.lengths) <= 40
    assert scores.video.shape == (scores.lengths[0], 48, 64, 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"game": "foo"}, "its game: expected bar, got foo"),
        ({"fps": 7.0}, "its fps: expected 10.0, got 7.0"),
        ({"size": (8, 8)}, "its frame size: expected 16x16, got 8x8"),
    ],
)
def test_footage_of_another_game_is_refused_before_anything_is_trained(learned, tmp_path, change, said):
    from tests.worlds import bar_episode
    from worldsim.data.store import Footage, FootageWriter

    meta = dataclasses.replace(Footage.open(learned[0]).meta, **change)
    with FootageWriter(tmp_path / "other", meta) as writer:
        episode = bar_episode(np.random.default_rng(0))
        obs = episode.obs[:, : meta.size[0], : meta.size[1]]
        for _ in range(2):
            writer.add(episode._replace(obs=obs))
    with pytest.raises(ValueError, match=said):
        fit_agent(learned[1], tmp_path / "other", tmp_path / "run", num_updates=2)
    assert not (tmp_path / "run").exists()


def test_footage_without_reward_or_end_is_refused(learned, tmp_path):
    from worldsim.data.store import Footage, FootageWriter

    source = Footage.open(learned[0])
    with FootageWriter(tmp_path / "dull", source.meta) as writer:
        for i in range(3):
            episode = source[i]
            writer.add(episode._replace(reward=0 * episode.reward))
    with pytest.raises(ValueError, match="nothing to learn from"):
        fit_agent(learned[1], tmp_path / "dull", tmp_path / "run", num_updates=2)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"horizon": 0}, "for horizon, got"),
        ({"objective": "clone"}, "reinforce or pmpo"),
        ({"gamma": 1.0}, "within 0..1"),
        ({"clone_fraction": 1.0}, "for clone_fraction, got"),
    ],
)
def test_bad_settings_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        AgentConfig(**settings)


def test_the_commands_train_and_refuse(capsys, learned, tmp_path):
    data, world = learned
    args = ("agent", "train", world, "--data", data, "--out", tmp_path / "run", "--num-updates", "2")
    status, out, _ = run(capsys, *args, "--json")
    assert status == 0 and json.loads(out)["world"]["name"] == "bar"
    status, _, err = run(capsys, *args)
    assert status == 2 and "--resume" in err
    status, _, err = run(capsys, "agent", "eval", tmp_path / "run", "--episodes", "1")
    assert status == 2 and "there is no game 'bar'" in err
    status, _, err = run(capsys, "agent", "eval", tmp_path, "--episodes", "1")
    assert status == 2 and "no agent at" in err


def test_damaged_agents_are_refused(agent, tmp_path):
    from worldsim.agent import save_agent

    save_agent(agent, tmp_path)
    card = json.loads((tmp_path / "agent.json").read_text())
    card["config"]["actor"]["width"] = 16
    (tmp_path / "agent.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match="other arrays"):
        load_agent(tmp_path)
    (tmp_path / "agent.json").write_text("{")
    with pytest.raises(ValueError, match="not the card of an agent"):
        load_agent(tmp_path)


def test_a_planner_keeps_the_bar_where_a_learned_world_pays_for_it(trained_bar):
    sim = Simulator.from_world(trained_bar.world)
    act = plan_policy(sim, jax.random.key(7), PlanConfig(horizon=5, holds=(1, 2, 3), replan_every=1))
    state, _ = sim.reset(jax.random.key(0), batch_size=1)
    rewards = []
    for _ in range(20):
        state, out = sim.step(state, act(state)[None], decode=False)
        rewards.append(float(out.reward[0]))
    assert sum(rewards) > 12, rewards  # random keys: 5
