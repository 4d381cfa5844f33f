"""FlowNet: motion beside the camera's turn, learned from frames alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.sphere import SPEC, paint
from worldsim.metrics import psnr
from worldsim.model.camera.flow import FlowNet
from worldsim.model.camera.geometry import CameraConfig, empty_state, remember, turn, warp
from worldsim.model.camera.prior import Warp
from worldsim.model.dynamics import Dynamics, DynamicsConfig
from worldsim.model.tokenizer import Tokenizer, TokenizerConfig
from worldsim.nn.params import merge, split
from worldsim.train.optimizer import init_state, is_kernel, make_step, muon
from worldsim.train.stages.camera import Clips, flow_loss, unrolled

SIZE, MADE = (16, 24), 4  # frames that the net makes of one another
DRIFT = 9.0  # degrees to the right that all is blown a frame, while the button is held
CAMERA = CameraConfig(size=SIZE, field_of_view=72.0, yaw=1, pitch=2, flow_width=16)
# A step takes a second as tests compile programs (conftest.py), and 0.04 where compiling takes eight seconds more.
OPTIMIZED = {"xla_backend_optimization_level": 2, "xla_cpu_use_fusion_emitters": True}
CONFIG = DynamicsConfig(
    grid=(2, 3),
    token_dim=16,
    pack=2,
    num_buttons=1,
    axis_bounds=tuple((x.low, x.high) for x in SPEC.axes),
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
    return split(FlowNet(CONFIG, CAMERA, rngs=nnx.Rngs(0)))


@pytest.mark.parametrize("is_separable", [False, True])
def test_before_it_has_learned_nothing_moves(is_separable):
    camera = dataclasses.replace(CAMERA, flow_separable=is_separable)
    net = split(FlowNet(CONFIG, camera, rngs=nnx.Rngs(0)))
    assert ("taps" in str(jax.tree.structure(net[1]))) == is_separable
    state = remember(empty_state(1, CAMERA), jnp.asarray(paint(0, 0, SIZE))[None], jnp.zeros((1, 2)), CAMERA)
    action = jnp.array([[1.0, 5.0, 0.0]])
    heading = turn(state.heading, action, CAMERA)
    flow = merge(*net)(state, heading, action)
    assert flow.moved.shape == (1, *SIZE, 2) and not flow.moved.any() and not flow.static.any()
    np.testing.assert_array_equal(warp(state, heading, CAMERA, flow).frame, warp(state, heading, CAMERA).frame)


def test_it_learns_what_blows_and_when(net):
    graph, params = net
    step = jax.jit(make_step(flow_loss(graph), muon(), ema=0.9, decay=is_kernel), compiler_options=OPTIMIZED)
    state, shown = init_state(jax.tree.map(jnp.copy, params)), clips(24, 99)
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
    state = remember(empty_state(1, CAMERA), frame, jnp.zeros((1, 2)), CAMERA)
    prediction = dynamics.prior.predict(tokenizer, state, jnp.zeros((1, 3)))
    np.testing.assert_array_equal(dynamics.prior.paint(tokenizer, prediction[1].z, state, prediction), frame)


def test_frames_that_are_kept_larger_are_shown_as_they_were_and_turn_as_the_world_does():
    camera = dataclasses.replace(CAMERA, supersampling=2)
    tokenizer = Tokenizer(
        TokenizerConfig(size=SIZE, width=16, num_layers=(0, 0), patch=4, latent_channels=4), rngs=nnx.Rngs(0)
    )
    prior = Dynamics(dataclasses.replace(CONFIG, camera=camera), rngs=nnx.Rngs(1)).prior
    state, noop, turned = prior.empty_state(1), jnp.zeros((1, 3)), jnp.array([[0.0, 6.0, 0.0]])
    assert state.frame.shape == (1, 32, 48, 3)
    real = jnp.asarray(paint(0, 0, SIZE))[None]
    z = tokenizer.encode(real / 127.5 - 1)
    first = prior.predict(tokenizer, state, noop)
    state = prior.update(tokenizer, state, z, first, noop, jnp.zeros((1,), int), real=real, knows_pitch=True)
    assert np.abs(np.asarray(prior.render(tokenizer, state, z), int) - np.asarray(real)).max() <= 1
    ahead = prior.predict(tokenizer, state, turned)
    shown = prior.paint(tokenizer, ahead[1].z, state, ahead)
    assert shown.shape == real.shape and ahead[1].visible.shape == (1, 4, 6)
    error = np.abs(np.asarray(shown, int) - paint(6, 0, SIZE))[0]
    assert error[:, :-4].mean() < 2, "and what is known of the turned frame is there"
    kept = prior.update(tokenizer, state, ahead[1].z, ahead, turned, jnp.ones((1,), int))
    np.testing.assert_array_equal(prior.render(tokenizer, kept, z), shown)


def test_a_world_without_a_camera_has_no_flow_and_expects_the_last_frame():
    dynamics = Dynamics(DynamicsConfig(grid=(2, 3), token_dim=16), rngs=nnx.Rngs(0))
    assert not split(dynamics.prior)[1] and dynamics.prior.empty_state(2) == ()
    before, tau = jnp.arange(192.0).reshape(1, 2, 6, 16), jnp.ones((1, 1, 1))
    np.testing.assert_array_equal(dynamics.prior(before, tau, (), jnp.ones((16,))).mean, before[:, 0])


def test_small_deviations_from_the_warp_are_shrunk_to_nothing():
    def shrunk(threshold: float, change):
        camera = dataclasses.replace(CAMERA, shrink_threshold=threshold)
        prior = Dynamics(dataclasses.replace(CONFIG, camera=camera), rngs=nnx.Rngs(0)).prior
        frame = jnp.zeros((1, *SIZE, 3), jnp.uint8)
        state = remember(prior.empty_state(1), frame, jnp.zeros((1, 2)), camera)
        return prior.shrink(warp_z + change, state, Warp(warp_z, (), ()))

    warp_z = jnp.asarray(np.random.default_rng(0).normal(size=(1, 6, 16)), jnp.float32)
    change = jnp.zeros((1, 6, 16)).at[0, 1].set(0.02).at[0, 4, :4].set(3.0)  # one token a little, one cell a lot
    found = shrunk(0.2, change) - warp_z
    assert jnp.abs(found[0, 1]).max() < 0.001
    np.testing.assert_allclose(found[0, 4, :4], 3.0, atol=0.02)
    assert not found[0, 0].any() and not found[0, 4, 4:].any()
    np.testing.assert_array_equal(shrunk(0.0, change), warp_z + change)
