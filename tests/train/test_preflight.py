"""What cannot be trained on is said before anything is trained, with what helps."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.worlds import RECIPE, bar_episode, bar_footage
from worldsim.data.store import Footage, FootageWriter
from worldsim.model.outcome import symexp, two_hot
from worldsim.train import check_data, fit
from worldsim.train.contexts import NUM_CONTEXTS, pick_contexts
from worldsim.train.evaluation import _lengths
from worldsim.train.games import configs_of, load_games
from worldsim.train.preflight import estimates
from worldsim.types import CONTEXT


def footage_of(path, change, num_episodes: int = 4, num_steps: int = 12) -> Footage:
    """The bar game with changed episodes."""
    meta, rng = bar_footage(path.with_name("bar")).meta, np.random.default_rng(0)
    with FootageWriter(path, meta) as writer:
        for i in range(num_episodes):
            writer.add(change(i, bar_episode(rng, num_steps)))
    return Footage.open(path)


def test_an_action_that_the_game_does_not_have_names_its_episode(tmp_path):
    footage_of(tmp_path / "f", lambda i, e: e._replace(action=e.action + 7 * (i == 2)))
    with pytest.raises(ValueError, match=r"episode 000002: expected action column 0"):
        fit([tmp_path / "f"], tmp_path / "run", preset=RECIPE, num_train_steps=4)
    assert not (tmp_path / "run").exists()


def test_large_rewards_get_bins_of_their_own(tmp_path):
    footage = footage_of(tmp_path / "f", lambda i, e: e._replace(reward=e.reward * 1000))
    outcome = configs_of([footage], RECIPE)[0].outcome
    for reward in (1000.0, -1000.0, 1.0):
        shares = two_hot(jnp.float32(reward), outcome)
        bins = jnp.linspace(-outcome.limit, outcome.limit, outcome.num_bins)
        assert float(symexp(shares @ bins)) == pytest.approx(reward, rel=1e-3)
    assert 2 * outcome.limit / (outcome.num_bins - 1) <= 2 * RECIPE.outcome.limit / (RECIPE.outcome.num_bins - 1)
    small = footage_of(tmp_path / "g", lambda i, e: e)
    assert configs_of([small], RECIPE)[0].outcome == RECIPE.outcome


def game_of(footage):
    return load_games([footage], configs_of([footage], RECIPE), 0)[0]


@pytest.mark.parametrize("num_steps", [1, 4])
def test_worlds_begin_from_what_short_episodes_have(tmp_path, num_steps):
    footage = footage_of(tmp_path / "f", lambda i, e: e, num_steps=num_steps)
    game = game_of(footage)
    contexts, held = pick_contexts(game), game.data[1]
    assert contexts["obs"].shape[:2] == (4, num_steps)
    context, horizon = _lengths(held)
    assert context >= 1 and horizon >= 1 and context + horizon <= num_steps + 1
    assert any("begin from" in note for note in check_data([footage.path], RECIPE).notes)


def test_worlds_do_not_begin_in_the_dark(tmp_path):
    def half_dark(i, episode):
        is_dark = np.arange(len(episode.obs)) // CONTEXT % 2 == 1
        return episode._replace(obs=np.where(is_dark[:, None, None, None], episode.obs // 64, episode.obs))

    footage = footage_of(tmp_path / "f", half_dark, num_steps=20 * CONTEXT)
    contexts = pick_contexts(game_of(footage))
    assert contexts["obs"].shape[:2] == (NUM_CONTEXTS, CONTEXT)
    assert contexts["obs"][:, -1].max((1, 2, 3)).min() > 100


def test_memory_is_refused_before_training_with_what_helps(tmp_path, monkeypatch):
    footage = footage_of(tmp_path / "f", lambda i, e: e)
    found = check_data([footage.path], "tiny")
    assert found.num_frames == footage.num_frames and found.tokens == (1,) and found.step_bytes > 1e6
    monkeypatch.setattr("worldsim.train.preflight.free_bytes", lambda: found.step_bytes)
    with pytest.raises(MemoryError, match=r"16x16 takes about .* --size \d+ \d+"):
        fit([footage.path], tmp_path / "run", preset="tiny", num_train_steps=4)
    assert not (tmp_path / "run").exists()
    assert estimates(footage)["base"]["step_gb"] > estimates(footage)["tiny"]["step_gb"]
