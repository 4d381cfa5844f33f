"""The tokenizer: grids, statistics, and a weight by which a ball counts as much as a paddle."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from worldsim.model.tokenizer import Tokenizer, TokenizerConfig, balanced_weight, rarity, reconstruction_loss
from worldsim.types import frame_to_obs, obs_to_frame

SMALL = {"width": 32, "num_layers": (1, 1), "head_dim": 16, "patch": 4, "latent_channels": 4}


@pytest.mark.parametrize("size", [(16, 16), (16, 24), (15, 17)])
def test_any_size_goes_in_and_comes_back(size):
    config = TokenizerConfig(size=size, **SMALL)
    tokenizer = Tokenizer(config, rngs=nnx.Rngs(0))
    frame = jnp.zeros((2, 3, *size, 3))
    z = jax.jit(tokenizer.encode)(frame)
    assert z.shape == (2, 3, config.grid[0] * config.grid[1], 16)
    assert jax.jit(tokenizer.decode)(z).shape == frame.shape


def test_a_frame_smaller_than_a_token_is_refused():
    with pytest.raises(ValueError, match="at least patch"):
        TokenizerConfig(size=(7, 16), **SMALL)


def test_a_frame_that_the_tokens_do_not_divide_is_coded_as_if_its_edge_went_on():
    odd, even = (Tokenizer(TokenizerConfig(size=s, **SMALL), rngs=nnx.Rngs(0)) for s in ((15, 16), (16, 16)))
    assert odd.config.grid == even.config.grid and odd.config.margin == (1, 0)
    frame = jax.random.uniform(jax.random.key(0), (2, 15, 16, 3))
    larger = jnp.concatenate([frame, frame[:, -1:]], 1)
    np.testing.assert_allclose(odd.encode(frame), even.encode(larger), atol=1e-6)
    z = odd.encode(frame)
    np.testing.assert_allclose(odd.decode(z), even.decode(z)[:, :15], atol=1e-6)


def test_a_latent_as_large_as_a_patch_is_the_patch_itself():
    sizes = {"width": 12, "num_layers": (0, 0), "patch": 2, "pack": 2, "latent_channels": 12}
    tokenizer = Tokenizer(config := TokenizerConfig(size=(15, 16), **sizes), rngs=nnx.Rngs(0))
    obs = np.random.default_rng(0).integers(0, 256, (3, 15, 16, 3), np.uint8)
    tokenizer.mean_picture[...] = obs_to_frame(obs.mean(0))
    assert config.is_exact
    np.testing.assert_array_equal(frame_to_obs(tokenizer.decode(tokenizer.encode(obs_to_frame(obs)))), obs)
    for less in ({"latent_channels": 11}, {"width": 11}, {"num_local": 1}):
        assert not dataclasses.replace(config, **less).is_exact


def test_untrained_tokenizer_paints_the_mean_picture():
    tokenizer = Tokenizer(TokenizerConfig(size=(16, 16), **SMALL), rngs=nnx.Rngs(0))
    picture = jax.random.uniform(jax.random.key(0), (16, 16, 3))
    tokenizer.mean_picture[...] = picture
    np.testing.assert_allclose(
        jax.jit(lambda x: tokenizer.decode(tokenizer.encode(x)))(jnp.ones((1, 16, 16, 3)))[0], picture, atol=1e-6
    )


def test_frames_are_coded_alone():
    tokenizer = Tokenizer(TokenizerConfig(size=(16, 16), **SMALL), rngs=nnx.Rngs(0))
    frames = jax.random.normal(jax.random.key(0), (4, 16, 16, 3))
    encode = jax.jit(tokenizer.encode)
    np.testing.assert_allclose(encode(frames)[2], encode(frames[2:3])[0], atol=1e-5)


def test_statistics_take_no_gradient():
    tokenizer = Tokenizer(TokenizerConfig(size=(16, 16), **SMALL), rngs=nnx.Rngs(0))
    graph, params = nnx.split(tokenizer)
    frames = jax.random.normal(jax.random.key(0), (2, 16, 16, 3))
    gradient = jax.jit(jax.grad(lambda p: (nnx.merge(graph, p).encode(frames) ** 2).sum()))(params)
    assert float(jnp.abs(gradient["latent_std"][...]).max()) == 0
    assert float(jnp.abs(gradient["to_latent"]["kernel"][...]).max()) > 0


def test_a_thing_that_is_rare_at_its_place_weighs_as_much_as_a_common_one():
    """The summed weight over the footage of a thing shown with probability p is p * (1 / p) of its deviation."""
    rng = np.random.default_rng(0)
    frames = np.full((2000, 4, 4, 3), -1.0, np.float32)
    frames[rng.random(2000) < 0.02, 1, 1] = 1.0
    frames[rng.random(2000) < 0.3, 2, 2] = 1.0
    weight = rarity(jnp.asarray(frames), frames.mean(0), frames.var(0), weight=1.0) - 1
    shown = np.asarray(weight[..., 0]) * (frames[..., 0] > 0)
    rare, common = shown[:, 1, 1].sum(), shown[:, 2, 2].sum()
    assert 0.6 < rare / common < 1.7
    assert float(weight[:, 3, 3].max()) == 0


def test_loss_ignores_the_scale_of_the_weights():
    frame, other = jax.random.normal(jax.random.key(0), (2, 3, 8, 8, 3))
    one = reconstruction_loss(frame, other, jnp.ones((3, 8, 8, 1)))
    np.testing.assert_allclose(reconstruction_loss(frame, other, jnp.full((3, 8, 8, 1), 7.0)), one, rtol=1e-5)
    np.testing.assert_allclose(one, (jnp.abs(other - frame) + (other - frame) ** 2).mean(), rtol=1e-5)


@pytest.mark.parametrize("num_layers", [(0, 1), (1, 1)])
def test_the_untrained_encoder_is_linear_and_codes_a_thing_alike_wherever_it_is(num_layers):
    tokenizer = Tokenizer(TokenizerConfig(size=(16, 16), **(SMALL | {"num_layers": num_layers})), rngs=nnx.Rngs(0))
    frames = jnp.zeros((3, 16, 16, 3)).at[0, 1:3, 1:3].set(1.0).at[1, 9:11, 9:11].set(1.0)
    frames = frames.at[2].set(frames[0] - 2 * frames[1])
    z = jax.jit(tokenizer.encode)(frames)
    np.testing.assert_allclose(z[2], z[0] - 2 * z[1], atol=1e-5)
    np.testing.assert_allclose(z[0, 0], z[1, 3], atol=1e-5)
    assert float(jnp.abs(z[0, 0]).max()) > 0.01


def test_a_ball_painted_where_there_is_none_weighs_as_much_as_a_missed_one():
    mean, variance = np.zeros((2, 2, 3), np.float32), np.full((2, 2, 3), 1e-3, np.float32)
    frame = jnp.zeros((1, 2, 2, 3)).at[0, 0, 0].set(1.0)
    painted = jnp.zeros((1, 2, 2, 3)).at[0, 1, 1].set(1.0)
    weight = balanced_weight(frame, painted, mean, variance, weight=1.0)[0, :, :, 0]
    np.testing.assert_allclose(weight[0, 0], weight[1, 1])
    assert float(weight[0, 0]) > 50 > 1.5 > float(weight[0, 1])
