"""The policy, its distribution, and what makes it better."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from worldsim.agent.objective import Trajectory, Weights, actor_critic_loss, lambda_returns
from worldsim.agent.policy import ActorCritic, PolicyConfig, entropy, log_prob, sample_action, value_of

CONFIG = PolicyConfig(num_latents=4, token_dim=3, choice_sizes=(3,), num_buttons=1, width=8)
B, T = 5, 7


@pytest.fixture(scope="module")
def model():
    """A policy with preferences, and a critic that expects nothing."""
    made = ActorCritic(CONFIG, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    made.actor_head.kernel[...] = jnp.asarray(rng.normal(size=made.actor_head.kernel.shape), jnp.float32)
    return made


def path(seed=0, **changes):
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.integers(3, size=(B, T)), rng.integers(2, size=(B, T))], -1)
    made = {
        "z": rng.normal(size=(B, T, 4, 3)),
        "prev_action": rows,
        "reward": rng.normal(size=(B, T)),
        "alive": np.ones((B, T)),
        "mask": np.ones((B, T)),
    } | changes
    return Trajectory(**{name: jnp.asarray(x, jnp.float32) for name, x in made.items()})


def test_drawn_rows_are_legal_and_as_likely_as_their_log_probability_says():
    logits = jnp.log(jnp.array([[0.2, 0.5, 0.3, 0.9, 0.1]]))
    rows = np.asarray(sample_action(jax.random.key(0), jnp.repeat(logits, 20_000, 0), CONFIG))
    assert rows.shape == (20_000, 2)
    share = np.mean((rows == (1, 0)).all(1))
    said = float(jnp.exp(log_prob(logits, jnp.array([[1.0, 0.0]]), CONFIG))[0])
    assert said == pytest.approx(0.45, abs=1e-5) and share == pytest.approx(said, abs=0.02)


def test_entropy_is_that_of_all_controls_together():
    even = jnp.log(jnp.array([[1 / 3] * 3 + [0.5] * 2]))
    assert float(entropy(even, CONFIG)[0]) == pytest.approx(np.log(6), abs=1e-5)


def test_an_unknown_action_counts_as_certain():
    logits = jnp.log(jnp.array([[0.2, 0.5, 0.3, 0.9, 0.1]]))
    assert float(log_prob(logits, jnp.array([[jnp.nan, jnp.nan]]), CONFIG)[0]) == 0


def test_states_over_a_window_are_those_of_step_after_step(model):
    p = path()
    unroll, step = jax.jit(model.unroll), jax.jit(lambda state, z, row: model.step(state, model.embed(z, row)))
    whole, state = unroll(p.z, p.prev_action), model.initial_state(B)
    for t in range(T):
        state = step(state, p.z[:, t], p.prev_action[:, t])
        np.testing.assert_allclose(whole[:, t], state, atol=1e-5)


def test_lambda_returns_are_those_of_the_definition():
    rng = np.random.default_rng(1)
    reward, value, alive = rng.normal(size=(3, B, T))
    alive, mask = np.clip(np.abs(alive), 0, 1), np.ones((B, T))
    got = lambda_returns(*(jnp.asarray(x, jnp.float32) for x in (reward, alive, value, mask)), 0.9, 0.8)
    want, ahead = np.zeros((B, T)), value[:, -1]
    for t in reversed(range(T)):
        ahead = want[:, t] = reward[:, t] + 0.9 * alive[:, t] * (0.2 * value[:, t] + 0.8 * ahead)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_what_comes_after_the_end_or_after_a_frame_that_is_not_believed_changes_no_return_before_it():
    p, other = path(0), path(0)._replace(reward=path(0).reward.at[:, 5:].add(10.0))
    for name in ("alive", "mask"):
        cut = {name: p.alive.at[:, 4].set(0.0)}
        returns = [
            lambda_returns(
                x.reward, **({"alive": x.alive, "mask": x.mask} | cut), value=jnp.zeros((B, T)), gamma=0.9, lam=0.95
            )
            for x in (p, other)
        ]
        np.testing.assert_allclose(returns[0][:, :5], returns[1][:, :5], atol=1e-5)
        assert not np.allclose(returns[0][:, 5:], returns[1][:, 5:])


@pytest.mark.parametrize("kind", ["reinforce", "pmpo"])
def test_an_action_that_paid_becomes_likelier_and_one_that_cost_less_likely(model, kind):
    rows = np.zeros((B, T, 2))
    rows[: B // 2 + 1, :, 0] = 1
    p = path(0, prev_action=rows, reward=np.where(rows[..., 0] == 1, 1.0, -1.0))
    graph, params = nnx.split(model)

    def loss(params):
        now = nnx.merge(graph, params)
        return actor_critic_loss(now, model, p, 2, kind, Weights(entropy=0.0, slow_critic=0.0))[1]["actor"]

    step = jax.tree.map(lambda x, g: x - 0.01 * g, params, jax.jit(jax.grad(loss))(params))

    @jax.jit
    def chance(params):
        now = nnx.merge(graph, params)
        logits = now.logits(now.unroll(p.z, p.prev_action))[:, 1:-1]
        return jnp.exp(log_prob(logits, p.prev_action[:, 2:], CONFIG))

    change = np.asarray(chance(step) - chance(params))
    assert change[rows[:, 2:, 0] == 1].mean() > 0 > change[rows[:, 2:, 0] == 0].mean()


def test_frames_that_fill_the_state_get_no_blame(model):
    p = path()
    changed = p._replace(reward=p.reward.at[:, :3].add(100.0))
    loss = jax.jit(lambda x: actor_critic_loss(model, model, x, 3, "reinforce", Weights())[0])
    losses = [float(loss(x)) for x in (p, changed)]
    assert losses[0] == pytest.approx(losses[1])


def test_the_critic_starts_at_nothing():
    fresh = ActorCritic(CONFIG, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(value_of(fresh.value_logits(jnp.ones((2, 8)))), 0.0, atol=1e-3)


def test_an_axis_is_drawn_from_its_values_and_read_at_the_nearest():
    config = PolicyConfig(
        num_latents=4, token_dim=3, choice_sizes=(3,), axis_values=((-10.0, 0.0, 10.0), (0.0, 1.0)), width=8
    )
    logits = jnp.log(jnp.array([[0.2, 0.5, 0.3, 0.1, 0.6, 0.3, 0.75, 0.25]]))
    rows = np.asarray(sample_action(jax.random.key(0), jnp.repeat(logits, 20_000, 0), config))
    assert set(rows[:, 1]) == {-10.0, 0.0, 10.0} and set(rows[:, 2]) == {0.0, 1.0}
    for asked, read in (([1.0, 10.0, 1.0], [1.0, 10.0, 1.0]), ([1.0, 6.0, 0.8], [1.0, 10.0, 1.0])):
        said = float(jnp.exp(log_prob(logits, jnp.array([asked]), config))[0])
        assert said == pytest.approx(0.5 * 0.3 * 0.25, abs=1e-5)
        assert np.mean((rows == np.float32(read)).all(1)) == pytest.approx(said, abs=0.01)
    made = ActorCritic(config, rngs=nnx.Rngs(0))
    assert made.embed(jnp.zeros((1, 4, 3)), jnp.asarray(rows[:1])).shape == (1, 8)
