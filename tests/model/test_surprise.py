"""What enters by chance: surprises are found where the forecast is wrong, and drawn as often as the network says."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tests.model.test_dynamics import BATCH, CONFIG, window
from tests.nn.test_nn import randomised
from worldsim.model.dynamics import Dynamics, ForecastConfig
from worldsim.model.forecast import ForecastNet
from worldsim.model.picture import RING, lay_out, put_back, shows_picture
from worldsim.model.surprise import APART, SURPRISE, Scene, SurpriseNet, contents_of, find_surprises, mark
from worldsim.nn.local import unpack

FORECAST = ForecastConfig(width=8, inner_width=16, num_blocks=1)
CHANCY = dataclasses.replace(CONFIG, forecast=FORECAST)
SIZE = 6, 7


def test_surprises_are_the_worst_cells_first_apart_and_none_where_the_forecast_is_near():
    truth = np.zeros((2, *SIZE, 3), np.float32)
    truth[0, 1, 2], truth[0, 1, 2 + APART], truth[0, 5, 6] = 5.0, 4.0, 2 * SURPRISE**0.5
    truth[1] = (SURPRISE / 2) ** 0.5
    expected, still, none = np.zeros_like(truth), np.zeros((2, 3, *SIZE, 3), np.float32), SIZE[0] * SIZE[1]
    found = find_surprises(*map(jnp.asarray, (truth, expected, still)), 3)
    np.testing.assert_array_equal(found, [[1 * 7 + 2, 5 * 7 + 6, none], [none, none, none]])


def test_what_just_moved_is_no_surprise():
    truth, before = np.zeros((1, *SIZE, 3), np.float32), np.zeros((1, 3, *SIZE, 3), np.float32)
    truth[0, 3, 1] = truth[0, 3, 5] = 1.0
    before[0, 0, 3, 0] = before[0, 1, 2, 0] = 1.0  # something on its way to one of both
    truth, before = jnp.asarray(truth), jnp.asarray(before)
    found = find_surprises(truth, jnp.zeros_like(truth), before, 2)
    np.testing.assert_array_equal(found, [[3 * 7 + 5, 42]])
    np.testing.assert_array_equal(find_surprises(truth, jnp.zeros_like(truth), before[:, :1], 1), [[3 * 7 + 1]])


def test_marks_are_one_in_their_cells_and_nowhere_where_there_are_none():
    contents = jax.random.normal(jax.random.key(0), (2, 3, 2))
    marked = mark(jnp.array([[9, 42, 3], [42, 42, 42]]), contents, SIZE)
    assert marked.shape == (2, *SIZE, 3)
    assert np.flatnonzero(marked[0, ..., 0]).tolist() == [3, 9] and marked[..., 0].max() == 1 and not marked[1].any()
    np.testing.assert_allclose(contents_of(marked[..., 1:], jnp.array([[9, 3]] * 2))[0], contents[0, [0, 2]])


def test_surprises_are_drawn_as_often_as_they_are_probable_and_each_world_by_its_own_key():
    net = SurpriseNet(CHANCY, FORECAST, rngs=nnx.Rngs(0))
    net.none_proj.bias[...] = jnp.full((1,), np.log(SIZE[0] * SIZE[1]), jnp.float32)
    num = 2048
    cells = jnp.zeros((num, *SIZE, CHANCY.token_dim // CHANCY.pack**2))
    scene = Scene(cells, cells, jnp.zeros((num, *SIZE, 1)), jnp.zeros((num, 1)))
    keys = jax.random.split(jax.random.key(0), num)
    net.codes[...] = jnp.arange(len(net.codes[...]))[:, None] * jnp.ones_like(net.codes[...])
    drawn = jax.jit(net.draw)(scene, keys)
    marked = drawn[..., :1]
    assert set(np.unique(drawn[..., 1][marked[..., 0] > 0])) == set(range(FORECAST.num_codes)), "any code"
    counts = np.asarray(marked.sum((1, 2, 3)))
    assert abs((counts == 0).mean() - 0.5) < 0.05, "none is as probable as all cells together"
    assert abs((counts == 1).mean() - 0.25) < 0.05 and counts.max() == FORECAST.num_surprises
    where = np.asarray(marked[counts == 1].sum((0, 3)))
    assert where.min() > 0 and where.max() < 5 * where.mean(), "an untrained network prefers no cell"
    half = jax.tree.map(lambda x: x[: num // 2], scene)
    np.testing.assert_array_equal(net.draw(half, keys[: num // 2]), drawn[: num // 2])


def test_the_picture_lies_in_a_ring_whose_cells_stay_as_they_are():
    config = dataclasses.replace(
        CHANCY, pack=2, token_dim=8, grid=(2, 3), forecast=dataclasses.replace(FORECAST, size=(3, 5))
    )
    z = jax.random.normal(jax.random.key(0), (2, 6, 8))
    cells = lay_out(z, config)
    assert cells.shape == (2, 3 + 2 * RING, 5 + 2 * RING, 2)
    np.testing.assert_array_equal(cells, lay_out(np.asarray(z), config))
    whole = unpack(z, config.grid, config.pack)
    np.testing.assert_array_equal(put_back(cells, whole), whole)
    inside = shows_picture(config, cells.shape[1:3])
    assert inside.sum() == 15 and not (cells * (1 - inside[None])).any()
    part = shows_picture(config, (4, 4), jnp.array([[2, 4]]))[0]
    np.testing.assert_array_equal(part, inside[2:6, 4:8])
    net = randomised(ForecastNet(config, config.forecast, rngs=nnx.Rngs(0)))
    mean = unpack(net(jnp.stack([z] * 3, 1), jnp.zeros((2, 1))).mean, config.grid, config.pack)
    assert (mean[:, :3, :5] != whole[:, :3, :5]).any()
    np.testing.assert_array_equal(mean[:, 3:], whole[:, 3:])
    np.testing.assert_array_equal(mean[:, :, 5:], whole[:, :, 5:])


def test_a_known_frame_draws_nothing_and_a_dreamed_one_is_forecast_anew_with_its_surprises():
    model = randomised(Dynamics(CHANCY, rngs=nnx.Rngs(0)))
    z, _, action = window(1)
    cache = model.empty_cache(BATCH)
    cache = cache._replace(count=cache.count + 1, z=jnp.repeat(z, CHANCY.num_before, 1))
    keys = jax.random.split(jax.random.key(1), BATCH)
    known = model.look(cache, action[:, 0])
    for logit, is_same in ((50.0, True), (-50.0, False)):
        model.prior.surprise.none_proj.bias[...] = jnp.full((1,), logit)
        dreamed = model.draw(cache, action[:, 0], known, keys)
        assert np.array_equal(dreamed.mean, known.mean) == is_same
