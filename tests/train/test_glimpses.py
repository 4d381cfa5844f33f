"""A camera in training and after it: glimpses tell the next frame, turns are learned, nothing is forgotten."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.sphere import paint, sphere_footage
from tests.worlds import PRESET
from worldsim.checkpoint import load_world
from worldsim.data.dataset import load_columns
from worldsim.data.store import Footage
from worldsim.dynamics import Dynamics
from worldsim.metrics import psnr
from worldsim.nn.params import split
from worldsim.simulator import Simulator
from worldsim.tokenizer import Tokenizer, TokenizerConfig
from worldsim.train import fit
from worldsim.train.glimpses import Glimpser, camera_config, surprises, true_pitch, with_camera
from worldsim.train.stages import dynamics_config, encode_footage

SEEING = dataclasses.replace(
    PRESET, dynamics={**PRESET.dynamics, "weighs": True, "flow_width": 16}, num_denoise_steps=1, dreams=1
)


@pytest.fixture(scope="module")
def footage(tmp_path_factory) -> Footage:
    return sphere_footage(tmp_path_factory.mktemp("sphere") / "footage")


@pytest.fixture(scope="module")
def trained(footage, tmp_path_factory):
    out, stages = tmp_path_factory.mktemp("runs") / "sphere", []
    world = fit(footage.path, out, preset=SEEING, num_train_steps=160, on_progress=lambda p: stages.append(p.stage))
    return world, out, [name for i, name in enumerate(stages) if stages[i - 1 : i] != [name]]


@pytest.fixture(scope="module")
def coded(footage):
    """Footage as an untrained tokenizer codes it, its glimpses, and the shape of the dynamics."""
    preset = with_camera(PRESET, footage.meta)
    tokenizer = Tokenizer(TokenizerConfig(size=footage.meta.size, **preset.tokenizer), rngs=nnx.Rngs(0))
    columns = load_columns(footage, [0, 1, 2])
    latents = encode_footage(tokenizer, columns, columns).train
    dynamics = Dynamics(dynamics_config(tokenizer.config, footage.meta.action_spec, preset), rngs=nnx.Rngs(1))
    glimpser = Glimpser(tokenizer, dynamics, footage.meta, columns)
    return latents, glimpser(split(dynamics)[1]), dynamics, columns


def test_a_glimpse_is_nearer_to_a_frame_than_the_frame_before(coded):
    latents, (glimpse, _), _, columns = coded
    inside = np.ones(len(latents), bool)
    inside[columns.bounds[:-1]] = False
    told = np.square(latents - glimpse.z)[inside].mean()
    assert told < 0.3 * np.square(latents[1:] - latents[:-1])[inside[1:]].mean()
    assert not glimpse.fresh[~inside].any() and not glimpse.old[~inside].any(), "before an episode nothing was seen"


def test_what_is_fresh_surprises_less_than_what_is_new(coded):
    latents, glimpses, dynamics, _ = coded
    fresh, _, new = np.asarray(surprises(latents, glimpses, dynamics.config)).mean(1)
    assert fresh < 0.2 * new


def test_a_camera_that_does_not_fit_its_footage_is_refused(footage):
    meta = footage.meta
    assert with_camera(PRESET, dataclasses.replace(meta, camera={})) is PRESET
    with pytest.raises(ValueError, match="lacks pitch"):
        camera_config(dataclasses.replace(meta, camera={"field_of_view": 70, "yaw": "turn"}))
    with pytest.raises(ValueError, match="turned by spin"):
        camera_config(dataclasses.replace(meta, camera={**meta.camera, "yaw": "spin"}))


def test_footage_without_a_true_pitch_is_seen_from_the_horizon(footage, coded):
    columns = coded[-1]
    np.testing.assert_allclose(np.degrees(true_pitch(footage.meta, columns)), columns.state[:, 0], atol=1e-4)
    meta = dataclasses.replace(footage.meta, camera={k: v for k, v in footage.meta.camera.items() if k != "state"})
    assert np.isnan(true_pitch(meta, columns)).all()


def test_a_camera_takes_its_own_glimpses_for_frames_now_and_then(coded):
    latents, (glimpse, seen), _, columns = coded
    own = np.isclose(seen, glimpse.z).all((1, 2))
    real = np.isclose(seen, latents, atol=0.02).all((1, 2))
    assert (own | real).all() and 0.2 < own.mean() < 0.7
    assert real[columns.bounds[:-1]].all(), "an episode begins with a frame"


def test_another_draw_dreams_in_other_places(footage, coded):
    preset = with_camera(PRESET, footage.meta)
    tokenizer = Tokenizer(TokenizerConfig(size=footage.meta.size, **preset.tokenizer), rngs=nnx.Rngs(0))
    glimpser = Glimpser(tokenizer, coded[2], footage.meta, coded[3])
    first, again, other = (glimpser(split(coded[2])[1], draw).seen for draw in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert 0.2 < (first != other).any((1, 2)).mean() < 0.9


def test_the_footage_is_dreamed_anew_while_the_dynamics_learn(footage, trained):
    assert trained[2] == ["tokenizer", "flow", "glimpses", "dynamics", "glimpses", "dynamics"]
    stages = []
    fit(
        footage.path,
        trained[1],
        preset=SEEING,
        num_train_steps=160,
        resume=True,
        on_progress=lambda p: stages.append(p.stage),
    )
    assert stages.count("glimpses") == 1, "what is done needs no new dreams"


def test_a_trained_world_turns_as_the_game_does(footage, trained):
    world, out, _ = trained
    card = load_world(out / "world").card["config"]["dynamics"]
    assert card["camera"] == {"size": [16, 24], "field_of_view": 72.0, "yaw": 1, "pitch": 2, "overlays": []}
    sim = Simulator.from_world(world)
    ways = np.cumsum([0.0, 0, 0, 0, 12, 12, -12, -12])
    real = np.stack([paint(90 + way, 0, (16, 24)) for way in ways])[None]
    action = np.zeros((1, 8, 3), np.float32)
    action[0, 4:, 1] = [12, 12, -12, -12]
    state, _ = sim.reset(jax.random.key(0), prompt=real[:, :4], prompt_actions=action[:, :4])
    right, left = (np.asarray(sim.rollout(state, sign * action[:, 4:])[1].obs) for sign in (1, -1))
    assert psnr(real[:, 4:6], right[:, :2]).mean() > 0.7 + psnr(real[:, 4:6], left[:, :2]).mean()


def test_training_leaves_it_the_pitch_that_it_could_tell(footage, trained):
    sim = Simulator.from_world(trained[0])
    columns = load_columns(footage, [0, 1, 2, 3])
    unknown = np.full((len(columns.obs), 1, 3), np.nan, np.float32)
    state, _ = sim.reset(jax.random.key(0), prompt=columns.obs[:, None], prompt_actions=unknown)
    told = np.degrees(state.cache.view.heading[:, 1])
    assert columns.state is not None and np.corrcoef(told, columns.state[:, 0])[0, 1] > 0.8
    assert told.std() > 0.5 * columns.state[:, 0].std()


def test_a_state_is_kept_with_what_its_camera_saw(trained, tmp_path):
    sim = Simulator.from_world(trained[0])
    state, _ = sim.reset(jax.random.key(0), batch_size=2)
    sim.save_state(state, tmp_path / "state")
    again = sim.load_state(tmp_path / "state")
    turn = np.float32([[0, 10, 0]] * 2)
    for a, b in zip(sim.step(state, turn)[1], sim.step(again, turn)[1], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(
        sim.step(state, turn)[0].cache.view.heading - state.cache.view.heading, [[np.radians(10), 0]] * 2, atol=1e-5
    )


def test_from_nothing_the_first_frame_says_where_the_camera_looks(trained):
    sim = Simulator.from_world(trained[0])
    state, obs = sim.reset(jax.random.key(0), batch_size=2, prompt="nothing")
    assert obs.shape == (2, 16, 24, 3)
    np.testing.assert_array_equal(state.cache.view.frame, obs)
    assert jnp.isfinite(state.cache.view.heading).all()
