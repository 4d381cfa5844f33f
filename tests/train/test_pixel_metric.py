"""A change of basis: the tokenizer paints the same, and latents are as far apart as their pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.nn.test_nn import randomised
from tests.sphere import paint
from worldsim.model.tokenizer import Tokenizer, TokenizerConfig
from worldsim.train.pixel_metric import pixel_metric, use_pixel_metric
from worldsim.types import obs_to_frame

OBS = np.stack([paint(yaw, yaw / 9 - 20, (16, 24)) for yaw in range(0, 360, 12)])


@pytest.fixture(scope="module")
def tokenizer():
    config = TokenizerConfig(
        size=(16, 24), width=32, num_layers=(0, 0), num_local=1, patch=4, latent_channels=4, pack=2
    )
    model = randomised(Tokenizer(config, rngs=nnx.Rngs(0)))
    model.from_latent.kernel[...] = model.from_latent.kernel[...] * jnp.array([[1.0], [3.0], [0.5], [0.3]])
    return model


def painted(tokenizer) -> np.ndarray:
    return np.asarray(jax.jit(lambda x: tokenizer.decode(tokenizer.encode(x)))(obs_to_frame(OBS)))


def test_pixel_metric_latents_paint_the_same_and_weigh_alike(tokenizer):
    before, metric = painted(tokenizer), np.asarray(pixel_metric(tokenizer, OBS))
    assert np.linalg.cond(metric) > 3, "the test needs a basis that is not that of pixels already"
    use_pixel_metric([tokenizer], [OBS])
    np.testing.assert_allclose(painted(tokenizer), before, atol=1e-3)
    np.testing.assert_allclose(pixel_metric(tokenizer, OBS), np.eye(4), atol=0.05)


def test_the_metric_is_what_small_steps_do_to_the_picture(tokenizer):
    metric, rng = np.asarray(pixel_metric(tokenizer, OBS)), np.random.default_rng(1)
    z = tokenizer.encode(obs_to_frame(OBS))
    step = 1e-3 * rng.normal(size=z.shape).astype(np.float32)
    moved = np.asarray(tokenizer.decode(z + step) - tokenizer.decode(z), np.float64)
    cells = step.reshape(-1, 4)
    expected = np.einsum("ni,ij,nj->", cells, metric, cells)
    assert float(jnp.square(moved).sum()) == pytest.approx(expected, rel=0.1)
