"""The stage of surprises: how often something enters, where, and what the forecast then draws there."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.worlds import RECIPE
from worldsim.data.dataset import Columns
from worldsim.model.config import DynamicsConfig, ForecastConfig
from worldsim.model.forecast import ForecastPrior
from worldsim.model.outcome import Outcome, OutcomeConfig
from worldsim.model.picture import RING, lay_out
from worldsim.nn.local import pack_cells
from worldsim.nn.params import merge, split
from worldsim.train import StageConfig
from worldsim.train.clips import cut_parts
from worldsim.train.games import Latents
from worldsim.train.loop import Budget
from worldsim.train.optimizer import init_state, is_kernel, make_step, muon
from worldsim.train.stages.forecast import forecast_loss
from worldsim.train.stages.surprise import RARE_FRACTION, draw_chances, find_all, set_codes, surprise_stage

SIDE, NUM, EPISODE = 6, 2000, 50
FORECAST = ForecastConfig(width=16, inner_width=16, num_blocks=1, num_surprises=1)
CONFIG = DynamicsConfig(grid=(3, 3), token_dim=4, pack=2, choice_sizes=(2,), width=32, head_dim=16, forecast=FORECAST)
STAGE = dataclasses.replace(
    RECIPE, forecast=FORECAST, forecast_frames=1, action_dropout=0.0, forecast_noise=0.1, forecast_side=99
)


def lamps(seed: int) -> tuple[np.ndarray, Columns]:
    """Cells all dark; in half of the frames that action 1 leads into, a lamp is lit in a column that is no last one."""
    rng = np.random.default_rng(seed)
    action = (rng.random(NUM) < 0.2).astype(np.float32)
    cells = np.zeros((NUM, SIDE, SIDE, 1), np.float32)
    lit = np.flatnonzero((action == 1) & (rng.random(NUM) < 0.5))
    cells[lit, rng.integers(0, SIDE, len(lit)), rng.integers(0, SIDE - 1, len(lit))] = 1.0
    bounds = np.arange(0, NUM + 1, EPISODE)
    terminated = np.zeros(NUM, bool)
    terminated[bounds[1:] - 1] = True
    columns = Columns(np.zeros((NUM, 1, 1, 3), np.uint8), action[:, None], action, terminated, None, bounds)
    return np.asarray(pack_cells(jnp.asarray(cells), CONFIG.pack)), columns


@pytest.fixture(scope="module")
def both() -> tuple[ForecastPrior, Outcome]:
    prior = ForecastPrior(CONFIG, rngs=nnx.Rngs(0))
    (z, columns), held = lamps(0), lamps(1)
    graph, params = split(prior.net)
    step = make_step(forecast_loss(graph, CONFIG, STAGE), muon(), ema=0.98, decay=is_kernel)
    state, rng = init_state(params), np.random.default_rng(0)
    for i in range(150):
        rows = rng.integers(0, NUM - 4, (32, 1)) + np.arange(4)
        clips = cut_parts(lay_out(z[rows], CONFIG), columns.prev_action[rows], 99, (2, 2), 3, rng)
        state, _ = step(state, clips, jax.random.key(i), jnp.float32(0.02 * (1 - i / 150)), goes_on=i > 30)
    prior.net = merge(graph, state.ema)
    outcome = Outcome(
        OutcomeConfig(hidden=16), d_in=8 + FORECAST.inner_width, d_summary=FORECAST.inner_width, rngs=nnx.Rngs(1)
    )
    recipe = dataclasses.replace(STAGE, surprise_stage=StageConfig(batch_size=32, ema=0.95))
    data, latents = (columns, held[1]), Latents(z, held[0])
    found = find_all(prior, data, latents)
    set_codes([prior], [found[0]], 0)
    stage = surprise_stage(prior, outcome, found, data, latents, recipe, Budget(400, None), 0)
    graph, params = split(prior.surprise)
    state = init_state({"surprise": params, "outcome": split(outcome)[1]})
    before = stage.evaluate(state.ema, 0)[0]
    for i in range(400):
        state, _ = stage.step(state, stage.batch(i), jax.random.key(i), jnp.float32(0.02 * (1 - i / 400)))
    assert stage.evaluate(state.ema, 400)[0] > before
    prior.surprise = merge(graph, state.ema["surprise"])
    return prior, merge(split(outcome)[0], state.ema["outcome"])


@pytest.fixture(scope="module")
def trained(both) -> ForecastPrior:
    return both[0]


def draw(prior: ForecastPrior, action: float, num: int = 512):
    """Forecast a frame after dark ones, many times."""
    before, one = jnp.zeros((num, 3, 9, 4)), jnp.ones((num, 1, 1))
    actions = jnp.full((num, 1), action)
    looked = prior.look(before, one, actions, ())
    return jax.jit(prior.draw)(before, one, actions, looked, jax.random.split(jax.random.key(0), num))


def test_a_lamp_is_lit_as_often_as_in_the_footage_where_it_may_be_and_only_where_the_action_has_it(trained):
    cells = np.asarray(lay_out(draw(trained, 1.0).mean, CONFIG))[:, RING:-RING, RING:-RING, 0]
    lit = cells > 0.5
    assert abs(lit.any((1, 2)).mean() - 0.5) < 0.1, "in half of the frames, though half of a batch was surprised"
    assert (lit.sum((1, 2)) <= 1).mean() > 0.95, "one lamp at most"
    assert cells[lit].mean() > 0.9, "as bright as it is"
    assert lit[..., :-1].any(0).mean() > 0.9 and lit[..., -1].mean() < 0.003, "anywhere but in the last column"
    assert (draw(trained, 0.0).mean < 0.5).all(2).all(1).mean() > 0.98


def test_the_forecast_alone_is_dark(trained):
    before, one = jnp.zeros((1, 3, 9, 4)), jnp.ones((1, 1, 1))
    assert np.abs(trained.look(before, one, jnp.ones((1, 1)), ()).mean).max() < 0.2


def test_rewards_and_ends_are_expected_as_often_as_they_are_though_a_batch_has_many(both):
    prior, outcome = both
    before, one = jnp.zeros((2, 3, 9, 4)), jnp.ones((2, 1, 1))
    actions = jnp.array([[0.0], [1.0]])
    [summary] = prior.summary(before, one, actions, prior.look(before, one, actions, ()))
    hidden = jnp.concatenate([jnp.zeros((2, 8)), summary], -1)
    reward, end = outcome.read(hidden)
    np.testing.assert_allclose(reward, [0, 1], atol=0.05)
    assert (abs(end - 1 / EPISODE) < 0.02).all(), "an end that nothing announces is as rare as in the footage"


def test_rare_frames_get_their_share_of_a_batch_and_the_logits_tell_by_how_much():
    surprised, pays, ends = np.arange(100) < 5, np.arange(100) == 90, np.zeros(100, bool)
    chance, more = draw_chances(np.stack([surprised, pays, ends], 1))
    assert abs(chance.sum() - 1) < 1e-9
    assert RARE_FRACTION < chance[surprised].sum() < RARE_FRACTION + 0.05 and chance[90] > RARE_FRACTION
    common = ~surprised & ~pays
    assert len(set(chance[common])) == 1
    np.testing.assert_allclose(np.exp(more[common, 0]), chance[0] / chance[50])
    np.testing.assert_allclose(np.exp(more[common, 1]), chance[90] / chance[50])
    assert 0 < more[90, 0] < more[50, 0], "what is drawn anyway is drawn not much more for a surprise"
    assert not more[:, 2].any()
