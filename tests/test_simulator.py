"""A world that runs: pure, reproducible, forkable, and deaf to nonsense."""

import dataclasses
import pickle

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from tests.worlds import SIZE, bar_episode, change, equal, random_world
from worldsim.history import History, fork, state_to_arrays
from worldsim.initial import InitialContext, reset_keys
from worldsim.simulator import Simulator
from worldsim.world import World, load_world, save_arrays, save_world


@pytest.fixture(scope="module")
def sim():
    return Simulator.from_world(random_world(), num_denoise_steps=2)


def begin(sim, batch_size=3, seed=0):
    return sim.reset(jax.random.key(seed), batch_size=batch_size)


def test_the_same_key_prompt_and_actions_give_the_same_bits(sim):
    runs = []
    for _ in range(2):
        state, obs = begin(sim)
        state, out = sim.step(state, [0, 1, 2])
        runs.append((state, obs, out))
    assert equal(runs[0], runs[1])
    assert not np.array_equal(begin(sim)[0].cache.z, begin(sim, seed=1)[0].cache.z)


def test_shapes_and_dtypes_are_as_promised(sim):
    state, obs = begin(sim)
    assert obs.shape == (3, *SIZE, 3) and obs.dtype == jnp.uint8
    _, out = sim.step(state, np.zeros(3, int))
    assert out.obs.shape == obs.shape and out.obs.dtype == jnp.uint8
    assert out.reward.shape == out.uncertainty.shape == (3,)
    assert out.terminated.dtype == out.truncated.dtype == bool


def test_rollout_equals_a_loop_of_steps(sim):
    start, _ = begin(sim)
    actions = np.array([[0, 1, 2, 1]] * 3)
    end, outs = sim.rollout(start, actions)
    state = start
    for t in range(4):
        state, out = sim.step(state, actions[:, t])
        np.testing.assert_array_equal(out.obs, outs.obs[:, t])
    np.testing.assert_allclose(state.cache.z, end.cache.z, atol=1e-5)


def test_step_scans_inside_jit(sim):
    state, _ = begin(sim)

    @jax.jit
    def run(state):
        return jax.lax.scan(sim.step, state, jnp.zeros((4, 3), jnp.int32))

    _, out = run(state)
    np.testing.assert_array_equal(out.obs[0], sim.step(state, [0, 0, 0])[1].obs)


def test_a_world_does_not_depend_on_its_neighbours(sim):
    state, _ = begin(sim, batch_size=2)
    _, one = sim.step(state, [1, 0])
    _, other = sim.step(state, [1, 2])
    np.testing.assert_array_equal(one.obs[0], other.obs[0])


def test_worlds_of_a_batch_draw_noise_of_their_own(sim):
    prompt = bar_episode(np.random.default_rng(0)).obs[:3]
    state, _ = sim.reset(jax.random.key(0), batch_size=2, initial=InitialContext.frames(prompt))
    assert float(jnp.abs(state.cache.z[0] - state.cache.z[1]).max()) > 0


def test_a_fork_shares_the_past_and_nothing_else(sim):
    state, _ = begin(sim)
    twins = fork(state, jax.random.key(9), 2, index=1)
    np.testing.assert_array_equal(twins.cache.z[0], state.cache.z[1])
    np.testing.assert_array_equal(twins.cache.z[0], twins.cache.z[1])
    after, _ = sim.step(twins, [0, 0])
    assert float(jnp.abs(after.cache.z[0] - after.cache.z[1]).max()) > 0


def test_rewinding_replays_the_same_future(sim):
    history, (state, _) = History(10), begin(sim)
    history.push(state)
    pictures = []
    for _ in range(4):
        state, out = sim.step(state, [0, 1, 2])
        history.push(state)
        pictures.append(out.obs)
    back = history.rewind(2)
    np.testing.assert_array_equal(sim.step(back, [0, 1, 2])[1].obs, pictures[2])
    assert len(history) == 3 and equal(history.rewind(99), begin(sim)[0])


def test_states_go_to_disk_and_back(sim, tmp_path):
    state, _ = begin(sim)
    sim.save_state(state, tmp_path / "state.safetensors")
    again = sim.load_state(tmp_path / "state.safetensors")
    assert equal(state, again)
    assert equal(sim.step(state, [0, 1, 2]), sim.step(again, [0, 1, 2]))


@pytest.mark.parametrize("content", [b"", b"not a state", b"\xff" * 64])
def test_a_file_that_is_no_state_is_refused(sim, tmp_path, content):
    (tmp_path / "state").write_bytes(content)
    with pytest.raises(ValueError, match="state"):
        sim.load_state(tmp_path / "state")


@pytest.mark.parametrize("name", ["0", "1", "999"])
def test_a_state_is_refused_by_the_first_array_that_differs(sim, tmp_path, name):
    state, _ = sim.reset(jax.random.key(0))
    save_arrays(state_to_arrays(state) | {name: np.zeros((), np.int32)}, tmp_path / "x.state")
    with pytest.raises(ValueError, match=rf"x.state: expected a state .* as its array {name}, got int32 \[\]"):
        sim.load_state(tmp_path / "x.state")


def test_a_world_of_parts_that_do_not_fit_each_other_is_refused():
    world = random_world()
    config = {**world.card.config, "dynamics": {**world.card.config["dynamics"], "grid": (3, 4)}}
    with pytest.raises(ValueError, match="for dynamics.grid in the config of bar, got"):
        Simulator.from_world(change(world, config=config))


def test_a_world_can_start_from_nothing(sim):
    state, obs = sim.reset(jax.random.key(0), batch_size=2, initial=InitialContext.noise())
    assert obs.shape == (2, *SIZE, 3) and int(state.cache.count[0]) == 1


def test_a_prompt_counts_as_the_past(sim):
    episode = bar_episode(np.random.default_rng(0))
    state, obs = sim.reset(jax.random.key(0), initial=InitialContext.frames(episode.obs[:7]), batch_size=1)
    np.testing.assert_array_equal(obs[0], episode.obs[6])
    assert int(state.cache.count[0]) == 7 and int(state.frame_index[0]) == 0


def test_the_horizon_truncates_and_never_terminates():
    sim = Simulator.from_world(random_world(), horizon=2, num_denoise_steps=1)
    state, _ = begin(sim, batch_size=1)
    flags = []
    for _ in range(3):
        state, out = sim.step(state, [0])
        flags.append((bool(out.truncated[0]), bool(out.terminated[0])))
    assert flags == [(False, False), (True, False), (True, False)]


@pytest.mark.parametrize("action", [[0, 1], [0, 1, 3], [0, 1, -1], [[0.5], [0], [0]], [[0, 1], [0, 1], [0, 1]]])
def test_actions_out_of_range_or_shape_are_refused(sim, action):
    with pytest.raises(ValueError, match="action"):
        sim.step(begin(sim)[0], action)


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((4, 8, 8, 3), np.uint8),
        np.zeros((4, *SIZE, 3), np.float32),
        np.zeros((*SIZE, 3), np.uint8),
        np.zeros((0, *SIZE, 3), np.uint8),
    ],
)
def test_frames_of_another_size_dtype_or_length_are_refused(sim, frames):
    with pytest.raises(ValueError, match="expected uint8 frames"):
        sim.reset(jax.random.key(0), initial=InitialContext.frames(frames))


def test_no_two_uses_of_a_reset_share_a_key():
    for key, count in ((jax.random.key(0), 64), (jax.random.split(jax.random.key(1), 5), 5)):
        keys = reset_keys(key, count)
        bits = jax.random.key_data(jnp.concatenate([keys.worlds, keys.context[None]]))
        assert len({tuple(x) for x in np.asarray(bits).tolist()}) == count + 1
    with pytest.raises(ValueError, match="one for each of 4 worlds"):
        reset_keys(jax.random.split(jax.random.key(1), 5), 4)


def test_the_second_world_draws_noise_that_no_draw_of_contexts_knows(sim):
    """Once the draw of contexts and the noise of world 1 came from the same key."""
    key = jax.random.key(0)
    assert not np.array_equal(
        *(jax.random.key_data(k) for k in (jax.random.fold_in(key, 1), reset_keys(key, 2).context))
    )


@pytest.mark.parametrize("settings", [{"num_denoise_steps": 3}, {"num_denoise_steps": 0}, {"noise_scale": -1.0}])
def test_samplers_that_cannot_be_are_refused(settings):
    with pytest.raises(ValueError, match="expected"):
        Simulator.from_world(random_world(), **settings)


def test_weights_of_another_shape_are_refused_by_name():
    world = random_world()
    world.params["dynamics"]["out_proj"]["kernel"] = np.zeros((3, 3), np.float32)
    with pytest.raises(ValueError, match="expected shape .* for weights .*out_proj"):
        Simulator.from_world(world)


def test_a_bundle_runs_as_the_world_it_was_made_of(sim, tmp_path):
    save_world(sim.world, tmp_path / "bar")
    again = Simulator.from_world(load_world(tmp_path / "bar"), num_denoise_steps=2)
    assert isinstance(again.world, World)
    assert equal(sim.step(begin(sim)[0], [0, 1, 2]), again.step(begin(again)[0], [0, 1, 2]))


def test_teacher_forcing_sees_true_frames_only(sim):
    episode = bar_episode(np.random.default_rng(0))
    obs = episode.obs[None, :5]
    action = np.zeros((1, 5, 1), np.float32)
    one = sim.teacher_forced(obs, action, jax.random.key(0))
    np.testing.assert_array_equal(one[:, 0], obs[:, 0])
    changed = obs.copy()
    changed[:, 4] = 0
    np.testing.assert_array_equal(sim.teacher_forced(changed, action, jax.random.key(0)), one)


@pytest.fixture
def unchecked():
    """Call the library as its users do: tests check types otherwise, in words of their own."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda sim, state: sim.reset(0), TypeError, "expected a key for a reset, such as jax.random.key"),
        (lambda sim, state: sim.reset(jax.random.key(0), initial="snow"), TypeError, "InitialContext.* got str"),
        (lambda sim, state: sim.step(None, [0, 1, 2]), TypeError, "expected a SimState.* got NoneType"),
        (lambda sim, state: sim.step(state, ["stay", "left", "right"]), ValueError, "expected numbers.* 1 for left"),
        (lambda sim, state: sim.step(state, None), ValueError, "expected shape"),
        (lambda sim, state: sim.rollout(None, [[0]] * 3), TypeError, "expected a SimState"),
        (lambda sim, state: sim.rollout(state, []), ValueError, "at least one step of actions"),
        (lambda sim, state: sim.rollout(state, [[], [], []]), ValueError, "at least one step of actions"),
        (lambda sim, state: sim.save_state("state", state), TypeError, "expected a SimState.* got str"),
        (lambda sim, state: Simulator.from_world(sim.world, noise_scale="1"), TypeError, "a number for noise_scale"),
        (lambda sim, state: Simulator.from_world(sim.world, horizon=0), ValueError, "above 0 or None for horizon"),
    ],
)
def test_a_wrong_argument_is_named_in_our_words(sim, unchecked, wrong, error, message):
    state, _ = begin(sim)
    with pytest.raises(error, match=message):
        wrong(sim, state)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 64}, "expected height and width.* got 64"),
        ({"bogus": 1}, "expected game, size, .* got bogus"),
        ({"name": None}, "expected the path or name of a world.* got NoneType"),
    ],
)
def test_load_names_the_setting_that_does_not_fit(untrained_world, unchecked, settings, message):
    import worldsim

    with pytest.raises(TypeError, match=message):
        worldsim.load(**{"name": untrained_world} | settings)


def test_the_state_of_another_world_of_the_same_shapes_is_refused(sim, tmp_path):
    state, _ = begin(sim)
    sim.save_state(state, tmp_path / "state")
    for changes in ({"weights": dataclasses.replace(sim.card.weights, sha256="f00")}, {"game": "foo"}):
        card = dataclasses.replace(sim.card, **changes)
        other = Simulator.from_world(dataclasses.replace(sim.world, card=card), num_denoise_steps=2)
        with pytest.raises(ValueError, match="expected a state of bar, .* got one of 'bar, game bar, weights unsaved'"):
            other.load_state(tmp_path / "state")


def test_simulators_of_one_shape_share_their_programs(sim):
    again = Simulator.from_world(random_world(seed=1), num_denoise_steps=2)
    programs = sim._programs
    state, _ = begin(sim)
    sim.step(state, [0, 1, 2])
    compiled = programs.reset._cache_size(), programs.step._cache_size()
    mine, _ = begin(again)
    assert not np.array_equal(mine.cache.z, state.cache.z)
    assert not equal(again.step(mine, [0, 1, 2])[0].cache, sim.step(state, [0, 1, 2])[0].cache)
    assert again._programs is programs
    assert compiled == (programs.reset._cache_size(), programs.step._cache_size())
    assert Simulator.from_world(sim.world, num_denoise_steps=1)._programs is not programs


def test_a_simulator_survives_pickle(sim):
    state, _ = begin(sim)
    again = pickle.loads(pickle.dumps(sim))
    assert equal(sim.step(state, [0, 1, 2]), again.step(state, [0, 1, 2]))
