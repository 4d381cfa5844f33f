"""What moves without the camera's doing: told by a small net, learned from pictures alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.sphere import SPEC, paint
from worldsim.dynamics import Dynamics, DynamicsConfig
from worldsim.dynamics.cache import Glimpse
from worldsim.dynamics.camera import settled
from worldsim.dynamics.flow import FlowNet
from worldsim.glimpse import behold, coded
from worldsim.glimpse import paint as paint_frame
from worldsim.metrics import psnr
from worldsim.nn.camera import CameraConfig, empty_view, look, see, turned
from worldsim.nn.params import merge, split
from worldsim.tokenizer import Tokenizer, TokenizerConfig
from worldsim.train.flow import Clips, flow_loss, unrolled
from worldsim.train.steps import init_state, make_step

SIZE, MADE = (16, 24), 4  # frames that the net makes of one another
DRIFT = 9.0  # degrees to the right that all is blown a frame, while the button is held
CAMERA = CameraConfig(size=SIZE, field_of_view=72.0, yaw=1, pitch=2)
CONFIG = DynamicsConfig(
    grid=(2, 3),
    token_dim=16,
    pack=2,
    num_buttons=1,
    axis_bounds=tuple((x.low, x.high) for x in SPEC.axes),
    flow_width=16,
    camera=CAMERA,
)


def clips(num: int, seed: int) -> Clips:
    """A camera turns at random in a sky that drifts while the button is held."""
    rng, t = np.random.default_rng(seed), 2 + MADE
    action = np.zeros((num, t, 3), np.float32)
    action[..., 0] = rng.integers(0, 2, (num, 1))
    action[..., 1] = np.round(rng.uniform(-8, 8, (num, t)))
    ways = np.cumsum(action[..., 1] - DRIFT * action[..., 0], 1) + rng.uniform(0, 360, (num, 1))
    obs = np.stack([[paint(way, 0, SIZE) for way in clip] for clip in ways])
    return Clips(obs, action, np.zeros(num, np.float32))


@pytest.fixture(scope="module")
def net():
    return split(FlowNet(CONFIG, rngs=nnx.Rngs(0)))


def test_before_it_has_learned_nothing_moves(net):
    view = see(empty_view(1, CAMERA), jnp.asarray(paint(0, 0, SIZE))[None], jnp.zeros((1, 2)), CAMERA)
    action = jnp.array([[1.0, 5.0, 0.0]])
    heading = turned(view.heading, action, CAMERA)
    flow = merge(*net)(view, heading, action)
    assert flow.moved.shape == (1, *SIZE, 2) and not flow.moved.any() and not flow.stays.any()
    np.testing.assert_array_equal(look(view, heading, CAMERA, flow).frame, look(view, heading, CAMERA).frame)


def test_it_learns_what_blows_and_when(net):
    graph, params = net
    step, state, shown = make_step(flow_loss(graph), ema=0.9), init_state(jax.tree.map(jnp.copy, params)), clips(24, 99)
    run = jax.jit(lambda params, clips: unrolled(merge(graph, params), clips)[0])

    def quality(params) -> np.ndarray:
        return psnr(shown.obs[:, 2:], np.round(np.asarray(run(params, shown))).astype(np.uint8)).mean(1)

    for i in range(80):
        state, _ = step(state, clips(8, i), jax.random.key(i), jnp.float32(0.01))
    before, after, blown = quality(params), quality(state.ema), shown.prev_action[:, 0, 0] > 0
    assert (after - before)[blown].mean() > 2, "what the turn does not tell is told"
    assert after[~blown].mean() > before[~blown].mean() - 1, "and where nothing blows nothing is moved"


def test_a_frame_in_which_nothing_changes_is_as_sharp_as_it_was_seen():
    tokenizer = Tokenizer(
        TokenizerConfig(size=SIZE, width=16, num_layers=(0, 0), patch=4, latent_channels=4), rngs=nnx.Rngs(0)
    )
    dynamics = Dynamics(CONFIG, rngs=nnx.Rngs(1))
    frame = jnp.asarray(np.random.default_rng(0).integers(0, 256, (1, *SIZE, 3)).astype(np.uint8))
    view = see(empty_view(1, CAMERA), frame, jnp.zeros((1, 2)), CAMERA)
    sight = behold(dynamics, view, jnp.zeros((1, 3)))
    glimpse: Glimpse = coded(tokenizer, sight, CONFIG)
    np.testing.assert_array_equal(paint_frame(tokenizer, glimpse.z, view, sight, glimpse), frame)


def test_a_world_without_a_camera_has_no_flow():
    with pytest.raises(ValueError, match="camera"):
        FlowNet(DynamicsConfig(grid=(2, 3), token_dim=16), rngs=nnx.Rngs(0))


def test_small_differences_from_what_is_in_sight_are_none():
    config = dataclasses.replace(CONFIG, least_change=0.2)
    glimpse = jnp.asarray(np.random.default_rng(0).normal(size=(1, 6, 16)), jnp.float32)
    change = jnp.zeros((1, 6, 16)).at[0, 1].set(0.02).at[0, 4, :4].set(3.0)  # one token a little, one cell a lot
    found = settled(glimpse + change, glimpse, config) - glimpse
    assert jnp.abs(found[0, 1]).max() < 0.001
    np.testing.assert_allclose(found[0, 4, :4], 3.0, atol=0.02)
    assert not found[0, 0].any() and not found[0, 4, 4:].any()
    as_it_is = dataclasses.replace(CONFIG, least_change=0.0)
    np.testing.assert_array_equal(settled(glimpse + change, glimpse, as_it_is), glimpse + change)
