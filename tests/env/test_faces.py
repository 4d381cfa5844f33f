"""One seed, one dream: the single, the batched and the pure form of a real world, in pixels and in latents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from worldsim.env import JaxWorldEnv, WorldEnv, WorldVectorEnv
from worldsim.initial import InitialContext
from worldsim.simulator import Simulator
from worldsim.world import load_world

ACTIONS = np.array([0, 1, 2, 2, 1])


@pytest.fixture(scope="module")
def sim(untrained_world):
    """A world that has learned nothing but to paint: an untrained decoder ends in zeros."""
    world = load_world(untrained_world)
    brush = world.params["tokenizer"]["out_proj"]["kernel"]
    world.params["tokenizer"]["out_proj"]["kernel"] = np.random.default_rng(0).normal(0, 0.05, brush.shape).astype("f4")
    return Simulator.from_world(world, num_denoise_steps=2)  # one step says nothing of its uncertainty


@pytest.fixture(scope="module")
def pixels(sim):
    return play_single(sim, "pixels")


@pytest.fixture(scope="module")
def latents(sim):
    return play_single(sim, "latent")


def play_single(sim, obs_type, seed=5):
    """Frames [6 ...], rewards and uncertainties [5] of a `WorldEnv`, and what it renders."""
    env = WorldEnv(sim, obs_type=obs_type, render_mode="rgb_array")
    frames, pictures, rewards, unsure = [env.reset(seed=seed)[0]], [env.render()], [], []
    for action in ACTIONS:
        obs, reward, terminated, truncated, info = env.step(action)
        assert env.observation_space.contains(obs) and not (terminated or truncated)
        frames.append(obs)
        pictures.append(env.render())
        rewards.append(reward)
        unsure.append(info["uncertainty"])
    return np.stack(frames), np.array(rewards), np.array(unsure), np.stack(pictures)


@pytest.mark.parametrize("obs_type", ["pixels", "latent"])
def test_the_pure_form_gives_the_transitions_of_the_single_one(sim, request, obs_type):
    wanted = request.getfixturevalue("pixels" if obs_type == "pixels" else "latents")
    env = JaxWorldEnv(sim, obs_type=obs_type)
    step = jax.jit(env.step)
    obs, state = jax.jit(env.reset)(jax.random.key(5))
    frames, rewards, unsure = [obs], [], []
    for action in ACTIONS:
        obs, state, reward, _, _, info = step(state.key, state, jnp.int32(action))
        frames.append(obs)
        rewards.append(reward)
        unsure.append(info["uncertainty"])
    agree(frames, wanted[0])
    agree(rewards, wanted[1])
    agree(unsure, wanted[2])


@pytest.mark.parametrize("obs_type", ["pixels", "latent"])
def test_a_world_of_a_batch_gives_the_transitions_of_a_single_one(sim, request, obs_type):
    wanted = request.getfixturevalue("pixels" if obs_type == "pixels" else "latents")
    env = WorldVectorEnv(3, sim, obs_type=obs_type)
    frames, rewards = [env.reset(seed=4)[0]], []
    for action in ACTIONS:
        obs, reward, *_ = env.step(np.array([0, action, 1]))
        assert env.observation_space.contains(obs)
        frames.append(obs)
        rewards.append(reward)
    agree(np.stack(frames)[:, 1], wanted[0])
    agree(np.stack(rewards)[:, 1], wanted[1])
    assert (np.stack(frames)[:, 0] != wanted[0]).any()


def agree(came, wanted):
    """Equal but for the order of sums, which another batch size may change: one grey level, or 1e-4."""
    came, wanted = np.stack([np.asarray(x, np.float64) for x in came]), np.asarray(wanted, np.float64)
    np.testing.assert_allclose(came, wanted, atol=1 if wanted.ndim == 4 else 1e-4)


def test_latents_are_the_same_dream_unpainted(sim, pixels, latents):
    z, rewards, unsure, pictures = latents
    assert z.dtype == np.float32 and z.ndim == 3
    np.testing.assert_allclose(rewards, pixels[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(unsure, pixels[2], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(sim.decode(z[1:]), pictures[1:])
    agree(pictures[1:], pixels[0][1:])
    np.testing.assert_array_equal(pictures[0], sim.reconstruct(pixels[0][None, :1])[0, 0])


def test_a_step_in_latents_runs_no_decoder(sim):
    state, _ = sim.reset(jax.random.key(0), batch_size=2)
    action = jnp.zeros((2, 1))

    def parameters_read(decode):
        program = jax.make_jaxpr(lambda p: sim._programs.step.__wrapped__(p, state, action, decode=decode))
        jaxpr = program(sim.params).jaxpr
        used = {id(x) for equation in jaxpr.eqns for x in equation.invars}
        names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(sim.params)]
        return {name for name, x in zip(names, jaxpr.invars, strict=True) if id(x) in used}

    painted = parameters_read(True) - parameters_read(False)
    assert any("out_proj" in name for name in painted) and all("tokenizer" in name for name in painted)
    assert not any("tokenizer" in name for name in parameters_read(False))


def test_a_prompt_begins_the_same_dream_in_a_batch_and_alone(sim):
    contexts = sim.world.initial_contexts
    options = {"initial": InitialContext.frames(contexts["obs"][0], contexts["prev_action"][0])}
    single, batch = WorldEnv(sim), WorldVectorEnv(3, sim)
    single.reset(seed=8, options=options)
    batch.reset(seed=7, options=options)
    agree(batch.step(np.array([0, 2, 0]))[0][1:2], single.step(2)[0][None])


def test_nothing_is_a_beginning_in_latents_too(sim):
    options = {"initial": InitialContext.noise()}
    picture, _ = WorldEnv(sim).reset(seed=3, options=options)
    z, _ = WorldEnv(sim, obs_type="latent").reset(seed=3, options=options)
    np.testing.assert_array_equal(sim.decode(z[None])[0], picture)
