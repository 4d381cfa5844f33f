"""Motion: pixels go where the displacements say, whatever lies behind them, and what is far away has a gradient."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from worldsim.model.config import DynamicsConfig, ForecastConfig
from worldsim.model.motion import Motion, advect
from worldsim.model.picture import RING
from worldsim.nn.params import merge, split

REACH = (3, 2)
FORECAST = ForecastConfig(reach=REACH, cell_side=2)
CONFIG = DynamicsConfig(grid=(4, 5), token_dim=12, forecast=FORECAST)
SIZE = (4 + 2 * RING, 5 + 2 * RING)


def displaced(down: int, across: int, size=SIZE) -> jax.Array:
    """Weights that move all by as many pixels."""
    return jnp.zeros((*size, 7, 5)).at[..., REACH[0] + down, REACH[1] + across].set(1.0).reshape(*size, 35)


def test_a_picture_is_moved_by_whole_pixels_and_goes_on_beyond_its_edge():
    picture = jax.random.normal(jax.random.key(0), (2, 16, 18, 3))
    moved = advect(picture, jnp.broadcast_to(displaced(3, -1), (2, *SIZE, 35)), REACH, 2)
    np.testing.assert_allclose(moved[:, 3:, :-1], picture[:, :-3, 1:], atol=1e-6)
    np.testing.assert_allclose(moved[:, :3, :-1], jnp.repeat(picture[:, :1, 1:], 3, 1), atol=1e-6)


def test_each_cell_is_moved_by_its_own_displacement_and_their_mean_is_taken():
    picture = jax.random.normal(jax.random.key(0), (16, 18, 3))
    weights = jnp.concatenate([displaced(0, 0)[:4], 0.5 * (displaced(1, 0) + displaced(0, 2))[4:]])
    moved = advect(picture, weights, REACH, 2)
    np.testing.assert_allclose(moved[:8], picture[:8], atol=1e-6)
    np.testing.assert_allclose(moved[8:, 2:], (picture[7:-1, 2:] + picture[8:, :-2]) / 2, atol=1e-6)


def test_a_thing_keeps_its_colour_before_any_background():
    motion = Motion(8, 12, CONFIG, FORECAST, rngs=nnx.Rngs(0))
    mean, thing = jax.random.normal(jax.random.key(1), (2, 4, 5, 12))
    ring = [(RING, RING), (RING, RING), (0, 0)]
    motion.set_base(jnp.pad(-mean, ring))  # a frame of zeros, as a deviation from the mean picture
    motion.logits.bias[...] = 100 * displaced(2, 0, (1, 1)).ravel()
    moved = motion(jnp.zeros((*SIZE, 8)), jnp.pad(thing - mean, ring))[RING:-RING, RING:-RING] + mean
    np.testing.assert_allclose(moved[1:], thing[:-1], atol=1e-4)


def test_a_part_is_moved_as_the_whole_is():
    motion = Motion(8, 12, CONFIG, FORECAST, rngs=nnx.Rngs(0))
    motion.set_base(jax.random.normal(jax.random.key(0), (*SIZE, 12)))
    last, corner = jax.random.normal(jax.random.key(1), (2, *SIZE, 12)), jnp.array([[2, 2], [2, 0]])
    whole = motion(jnp.zeros((2, *SIZE, 8)), last)
    part = jax.vmap(lambda x, at: jax.lax.dynamic_slice(x, (*at, 0), (6, 6, 12)))
    moved = motion(jnp.zeros((2, 6, 6, 8)), part(last, corner), corner)
    np.testing.assert_allclose(moved[:, 2:-2, 2:-2], part(whole, corner)[:, 2:-2, 2:-2], atol=1e-5)


def test_before_training_nearly_all_stays_and_a_far_displacement_has_a_gradient():
    motion = Motion(8, 12, CONFIG, FORECAST, rngs=nnx.Rngs(0))
    dot = jnp.zeros((*SIZE, 12)).at[3, 4].set(1.0)
    features = jnp.ones((*SIZE, 8))
    np.testing.assert_allclose(motion(features, dot), dot, atol=0.05)
    wanted = jnp.roll(dot, 1, 0)  # a cell, two pixels, down

    graph, params = split(motion)
    gradient = jax.grad(lambda params: jnp.square(merge(graph, params)(features, dot) - wanted).sum())(params)
    gradient = gradient["logits"]["bias"].reshape(7, 5)
    assert np.unravel_index(gradient.argmin(), gradient.shape) == (REACH[0] + 2, REACH[1])


def test_weights_of_several_games_have_one_mean_colour():
    several = dataclasses.replace(CONFIG, choice_sizes=(2, 2), columns=(0,))
    motion = Motion(8, 12, several, FORECAST, rngs=nnx.Rngs(0))
    motion.set_base(-jnp.ones((*SIZE, 12)))
    assert motion.base[...].shape == (1, 1, 12) and (motion.base[...] == 1).all()
