"""The dynamics as a whole: what they start from, what they may attend to, and that a stream equals the window."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.nn.test_nn import randomised
from worldsim.diffusion.schedule import Levels
from worldsim.model.camera.geometry import CameraConfig
from worldsim.model.camera.prior import Warp
from worldsim.model.dynamics import Dynamics, DynamicsConfig
from worldsim.text.prompt import PromptConfig

CONFIG = DynamicsConfig(
    grid=(1, 2),
    token_dim=4,
    choice_sizes=(3,),
    width=32,
    head_dim=16,
    num_layers=4,
    time_every=2,
    window=4,
    num_sinks=1,
    has_memory=True,
    kv_groups=2,
)
BATCH = 2
TOGETHER = jnp.zeros((BATCH,), bool)


def window(length, seed=0):
    keys = jax.random.split(jax.random.key(seed), 3)
    z = jax.random.normal(keys[0], (BATCH, length, 2, 4))
    action = jax.random.randint(keys[1], (BATCH, length, 1), 0, 3).astype(jnp.float32)
    tau = jax.random.randint(keys[2], (BATCH, length), 0, 16)
    return z, Levels(tau, jnp.zeros((BATCH, length), jnp.int32)), action


@pytest.fixture(scope="module")
def model():
    return randomised(Dynamics(CONFIG, rngs=nnx.Rngs(0)))


def whole(model, z_past, z, levels, action, isolated=TOGETHER):
    """Predict z with z_past, at the level of the past, before it."""
    past, hidden = model.remember(z_past, jnp.full(z.shape[:2], CONFIG.context_tau), action, isolated)
    return model.predict(z, levels, action, past), hidden


def test_untrained_dynamics_copy_the_last_frame_when_little_moves():
    fresh = Dynamics(CONFIG, rngs=nnx.Rngs(0))
    fresh.change_var[...] = jnp.full((4,), 1e-3)
    z, _, action = window(3)
    levels = Levels(jnp.zeros((BATCH, 3), jnp.int32), jnp.zeros((BATCH, 3), jnp.int32))
    z_hat, _ = jax.jit(partial(whole, fresh))(z, z, levels, action)
    tau = CONFIG.context_tau / 16
    np.testing.assert_allclose(z_hat[:, 2], z[:, 1] * tau / (tau**2 + (1 - tau) ** 2), atol=1e-5)


def test_untrained_dynamics_follow_a_clean_view_of_the_present():
    fresh = Dynamics(CONFIG, rngs=nnx.Rngs(0))
    z, _, action = window(2)
    levels = Levels(jnp.full((BATCH, 2), 15), jnp.zeros((BATCH, 2), jnp.int32))
    z_hat, _ = jax.jit(partial(whole, fresh))(z, z, levels, action)
    np.testing.assert_allclose(z_hat, z, atol=0.3)


def test_no_gradient_flows_from_the_future_or_from_other_versions_of_the_past(model):
    z, levels, action = window(6)
    present, _, _ = window(6, seed=1)

    def early(z, present, action):
        z_hat, hidden = whole(model, z, present, levels, action)
        return (z_hat[:, 3] ** 2).sum() + (hidden[:, 2] ** 2).sum()

    for_past, for_present, for_action = jax.jit(jax.grad(early, (0, 1, 2)))(z, present, action)
    assert float(jnp.abs(for_past[:, 3:]).max()) == 0 and float(jnp.abs(for_past[:, :3]).min(axis=(0, 2, 3)).max()) > 0
    assert float(jnp.abs(for_present.at[:, 3].set(0)).max()) == 0 and float(jnp.abs(for_present[:, 3]).max()) > 0
    assert float(jnp.abs(for_action[:, 4:]).max()) == 0


def test_future_actions_do_not_change_the_past_and_present_ones_do(model):
    z, levels, action = window(6)
    call = jax.jit(partial(whole, model))
    one, _ = call(z, z, levels, action)
    other, _ = call(z, z, levels, action.at[:, 3].set((action[:, 3] + 1) % 3))
    np.testing.assert_array_equal(one[:, :3], other[:, :3])
    assert float(jnp.abs(one - other)[:, 3].max()) > 1e-4


def test_isolated_frames_equal_first_frames(model):
    z, levels, action = window(4)
    call = jax.jit(partial(whole, model))
    together, hidden = call(z, z, levels, action, ~TOGETHER)
    one = [x[:, 2:3] for x in (z, *levels, action)]
    first, first_hidden = call(one[0], one[0], Levels(*one[1:3]), one[3])
    np.testing.assert_allclose(together[:, 2], first[:, 0], atol=1e-4)
    np.testing.assert_allclose(hidden[:, 2], first_hidden[:, 0], atol=1e-3)


def test_streaming_equals_the_whole_past_frame_256_and_two_wraps(model):
    length = 262
    z, levels, action = window(length, seed=3)
    present, _, _ = window(length, seed=4)
    predicted, hidden = jax.jit(partial(whole, model))(z, present, levels, action)
    level = Levels(jnp.full((BATCH,), CONFIG.context_tau), jnp.zeros((BATCH,), jnp.int32))

    def step(cache, frame):
        z, z_tau, tau, action = frame
        z_hat, _, _ = model.step(z_tau, Levels(tau, level.step), action, cache)
        _, hidden, states = model.step(z, level, action, cache)
        return model.commit(z, states, cache), (z_hat, hidden)

    frames = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), (z, present, levels.tau, action))
    cache, (stream, stream_hidden) = jax.jit(lambda f: jax.lax.scan(step, model.empty_cache(BATCH), f))(frames)
    np.testing.assert_allclose(jnp.moveaxis(stream, 0, 1), predicted, atol=3e-4)
    np.testing.assert_allclose(jnp.moveaxis(stream_hidden, 0, 1), hidden, atol=3e-3)
    assert int(cache.count[0]) == length


@pytest.mark.parametrize("bad", [{"width": 40}, {"context_tau": 16}, {"num_levels": 12}, {"pack": 4}])
def test_configs_that_cannot_be_are_refused(bad):
    with pytest.raises(ValueError, match="must be"):
        DynamicsConfig(**{"grid": (1, 2), "token_dim": 4, "kv_groups": 2, "width": 64, **bad})


PROMPT = PromptConfig(
    attributes=(("sky", (("blue", "파란"), ("red", "붉은"))),),
    known=("blue", "red"),
    num_words=4,
    num_buckets=64,
    gram_width=8,
)
READING = dataclasses.replace(CONFIG, prompt=PROMPT)
SAID = PROMPT.read(["a red sky", "blue"], [{"sky": 1}, {}])


@pytest.fixture(scope="module")
def reader():
    return randomised(Dynamics(READING, rngs=nnx.Rngs(0)))


def test_dynamics_that_were_trained_on_no_prompts_predict_as_those_that_read_none():
    plain, reading = (Dynamics(config, rngs=nnx.Rngs(0)) for config in (CONFIG, READING))
    z, levels, action = window(4)

    @partial(jax.jit, static_argnums=0)
    def predicted(model, *prompt):
        past, _ = model.remember(z, levels.tau, action, TOGETHER, *prompt)
        return model.predict(z, levels, action, past)

    np.testing.assert_array_equal(predicted(reading, SAID), predicted(plain))
    assert plain.empty_cache(BATCH).prompt == ()
    with pytest.raises(ValueError, match="reads none"):
        plain.empty_cache(BATCH, SAID)


def test_a_stream_reads_its_prompt_as_a_window_does_and_rows_read_their_own(reader):
    z, levels, action = window(3)

    @jax.jit
    def both(prompt):
        past, _ = reader.remember(z, jnp.full((BATCH, 3), CONFIG.context_tau), action, TOGETHER, prompt)
        cache, stream = reader.empty_cache(BATCH, prompt), []
        for t in range(3):
            level = Levels(levels.tau[:, t], levels.step[:, t])
            stream.append(reader.step(z[:, t], level, action[:, t], cache)[0])
            at_past = Levels(jnp.full((BATCH,), CONFIG.context_tau), levels.step[:, t])
            cache = reader.commit(z[:, t], reader.step(z[:, t], at_past, action[:, t], cache)[2], cache)
        return reader.predict(z, levels, action, past), jnp.stack(stream, 1)

    whole, stream = both(SAID)
    np.testing.assert_allclose(stream, whole, atol=1e-4)
    nothing, _ = both(PROMPT.nothing(BATCH))
    assert float(jnp.abs(nothing - whole).max(axis=(1, 2, 3)).min()) > 1e-3, "both prompts say something"
    other, _ = both(PROMPT.read(["a red sky", "red"], [{"sky": 1}, {}]))
    np.testing.assert_array_equal(other[0], whole[0])
    assert float(jnp.abs(other - whole)[1].max()) > 1e-3


CAMERA = CameraConfig(size=(8, 16), field_of_view=70.0, yaw=0, pitch=0)
SEEING = dataclasses.replace(CONFIG, camera=CAMERA, predicts_variance=True)


def test_a_stream_reads_its_warps_as_a_window_does_and_does_not_forget_them():
    model = randomised(Dynamics(SEEING, rngs=nnx.Rngs(0)))
    z, levels, action = window(3)
    rng = np.random.default_rng(0)
    visible = jnp.asarray(rng.uniform(0, 1, (BATCH, 3, 1, 2)), jnp.float32)
    warp = Warp(jnp.asarray(rng.normal(size=z.shape), jnp.float32), visible, 0.5 * (1 - visible))

    @jax.jit
    def both(warp):
        past, _ = model.remember(z, jnp.full((BATCH, 3), CONFIG.context_tau), action, TOGETHER, (), warp)
        cache, stream = model.empty_cache(BATCH), []
        for t in range(3):
            level, now = Levels(levels.tau[:, t], levels.step[:, t]), Warp(*(x[:, t] for x in warp))
            stream.append(model.step(z[:, t], level, action[:, t], cache, now)[0])
            at_past = Levels(jnp.full((BATCH,), CONFIG.context_tau), levels.step[:, t])
            cache = model.commit(z[:, t], model.step(z[:, t], at_past, action[:, t], cache, now)[2], cache)
        return model.predict(z, levels, action, past), jnp.stack(stream, 1)

    whole, stream = both(warp)
    np.testing.assert_allclose(stream, whole, atol=1e-4, rtol=1e-4)
    other, _ = both(warp._replace(z=warp.z.at[:, 1].add(1.0)))
    changed = np.abs(other - whole).max((2, 3)) > 1e-3
    np.testing.assert_array_equal(changed, [[False, True, True]] * BATCH)


def test_untrained_dynamics_follow_the_warp_where_it_is_visible_and_not_where_unseen():
    model = Dynamics(SEEING, rngs=nnx.Rngs(0))
    model.prior.residual_var[...] = jnp.array([[1e-3], [0.1], [1.0]]) * jnp.ones((3, 4))
    z, _, action = window(2)
    levels = Levels(jnp.full((BATCH, 2), 12), jnp.zeros((BATCH, 2), jnp.int32))
    fractions = [jnp.full((BATCH, 2, 1, 2), x) for x in (1.0, 0.0)]

    @jax.jit
    def predicted(visible):
        warp = Warp(-z, visible, jnp.zeros_like(visible))
        past, _ = model.remember(z, jnp.full((BATCH, 2), CONFIG.context_tau), action, TOGETHER, (), warp)
        return model.predict(0.75 * z, levels, action, past)[:, 1]

    visible, unseen = (predicted(x) for x in fractions)
    assert np.abs(visible + z[:, 1]).mean() < 0.1
    assert (jnp.sign(unseen) == jnp.sign(z[:, 1])).mean() > 0.9
