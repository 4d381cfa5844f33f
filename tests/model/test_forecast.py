"""The forecast as a prior: a stream forecasts as a window does, and the denoiser follows it where it is sure."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.model.test_dynamics import BATCH, CONFIG, TOGETHER, window
from tests.nn.test_nn import randomised
from worldsim.diffusion.schedule import Levels
from worldsim.model.camera.geometry import CameraConfig
from worldsim.model.dynamics import Dynamics, ForecastConfig
from worldsim.model.forecast import Forecast, ForecastNet
from worldsim.model.generate import MAX_DREAMED, Model, Sampler, dream, observe
from worldsim.model.tokenizer import Tokenizer, TokenizerConfig

FORECAST = ForecastConfig(width=8, inner_width=16, num_blocks=1, num_surprises=1)
EXPECTING = dataclasses.replace(CONFIG, forecast=FORECAST)
TOKENIZER = Tokenizer(TokenizerConfig(size=(8, 16), patch=4, width=8, num_layers=(0, 0)), rngs=nnx.Rngs(0))


@pytest.mark.parametrize("changes", [{}, {"num_actions": 3}])
def test_a_stream_forecasts_as_a_window_does(changes):
    expecting = dataclasses.replace(EXPECTING, forecast=dataclasses.replace(FORECAST, **changes))
    model = randomised(Dynamics(expecting, rngs=nnx.Rngs(0)))
    z, levels, action = window(4)

    @jax.jit
    def both(z):
        past, _ = model.remember(z, jnp.full((BATCH, 4), CONFIG.context_tau), action, TOGETHER)
        cache, stream = model.empty_cache(BATCH), []
        for t in range(4):
            level, prediction = Levels(levels.tau[:, t], levels.step[:, t]), ((), cache.prior)
            now = model.look(cache, action[:, t], prediction[1])
            stream.append(model.step(z[:, t], level, action[:, t], cache, now)[0])
            at_past = Levels(jnp.full((BATCH,), CONFIG.context_tau), levels.step[:, t])
            states = model.step(z[:, t], at_past, action[:, t], cache, now)[2]
            prior = model.prior.update(TOKENIZER, cache.prior, z[:, t], prediction, action[:, t], cache.count)
            cache = model.commit(z[:, t], states, cache)._replace(prior=prior)
        return model.predict(z, levels, action, past), jnp.stack(stream, 1)

    whole, stream = both(z)
    np.testing.assert_allclose(stream, whole, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("grid", [(1, 2), (3, 5)])
def test_an_untrained_forecast_is_the_last_frame_on_any_grid(grid):
    net = ForecastNet(dataclasses.replace(EXPECTING, grid=grid), FORECAST, rngs=nnx.Rngs(0))
    before = jax.random.normal(jax.random.key(0), (2, FORECAST.num_frames, grid[0] * grid[1], 4))
    forecast = net(before, jnp.zeros((2, 1)))
    np.testing.assert_array_equal(forecast.mean, before[:, 0])
    assert forecast.log_variance.shape == (2, *grid, 1)


def test_the_denoiser_follows_the_forecast_where_it_is_sure_and_the_noisy_view_where_not():
    model = Dynamics(EXPECTING, rngs=nnx.Rngs(0))
    z, _, action = window(2)
    levels = Levels(jnp.full((BATCH, 2), 12), jnp.zeros((BATCH, 2), jnp.int32))

    @jax.jit
    def predicted(log_variance):
        past, _ = model.remember(z, jnp.full((BATCH, 2), CONFIG.context_tau), action, TOGETHER)
        forecast = Forecast(-z, jnp.full((BATCH, 2, 1, 2, 1), log_variance))
        return model.predict(0.75 * z, levels, action, past._replace(prior=forecast))[:, 1]

    sure, unsure = predicted(-7.0), predicted(1.0)
    assert np.abs(sure + z[:, 1]).mean() < 0.1
    assert (jnp.sign(unsure) == jnp.sign(z[:, 1])).mean() > 0.9


def test_the_first_frame_of_all_is_not_forecast():
    model = randomised(Dynamics(EXPECTING, rngs=nnx.Rngs(0)))
    cache = model.empty_cache(BATCH)
    prior = model.prior(cache.z, jnp.zeros((BATCH, 1, 1)), model.look(cache, jnp.zeros((BATCH, 1))), jnp.ones((4,)))
    assert not prior.tau.any() and not prior.mean.any() and not any(x.any() for x in prior.features)


def test_a_camera_and_a_forecast_exclude_each_other():
    with pytest.raises(ValueError, match="got both"):
        dataclasses.replace(EXPECTING, camera=CameraConfig(size=(8, 16), field_of_view=70.0, yaw=0, pitch=0))


def test_a_world_that_runs_away_stays_within_what_latents_are():
    model = randomised(Dynamics(EXPECTING, rngs=nnx.Rngs(0)))
    model.prior.net.out_proj.kernel[...] = 1e4 * model.prior.net.out_proj.kernel[...]
    keys = jax.random.split(jax.random.key(0), BATCH)
    cache = model.empty_cache(BATCH)
    for _ in range(12):
        z, _ = dream(Model(TOKENIZER, model), cache, jnp.zeros((BATCH, 1)), keys, Sampler(1))
        cache, _ = observe(Model(TOKENIZER, model), cache, z, jnp.zeros((BATCH, 1)), keys)
    assert np.abs(z).max() == MAX_DREAMED, "it did run away, and no further"
