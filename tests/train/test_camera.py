"""A camera in training and after it: warps predict the next frame, turns are learned, nothing is forgotten."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.sphere import paint, sphere_footage
from tests.worlds import RECIPE
from worldsim.data.dataset import load_columns
from worldsim.data.store import Footage
from worldsim.initial import InitialContext
from worldsim.metrics import psnr
from worldsim.model.camera.geometry import CameraConfig
from worldsim.model.dynamics import Dynamics
from worldsim.model.tokenizer import Tokenizer
from worldsim.nn.params import split
from worldsim.simulator import Simulator
from worldsim.train import fit
from worldsim.train.games import camera_config, configs_of
from worldsim.train.stages.tokenizer import encode_games
from worldsim.train.stages.warps import FootageWarper, region_errors, true_pitch
from worldsim.world import load_world

CAMERA = dataclasses.replace(
    RECIPE,
    dynamics=dataclasses.replace(RECIPE.dynamics, predicts_variance=True),
    camera=CameraConfig(flow_width=8),
    flow_frames=2,
    num_denoise_steps=1,
    refresh_count=1,
)


@pytest.fixture(scope="module")
def footage(tmp_path_factory) -> Footage:
    return sphere_footage(tmp_path_factory.mktemp("sphere") / "footage")


@pytest.fixture(scope="module")
def trained(footage, tmp_path_factory):
    out, stages = tmp_path_factory.mktemp("runs") / "sphere", []
    world = fit([footage.path], out, preset=CAMERA, num_train_steps=160, on_progress=lambda p: stages.append(p.stage))
    return world, out, [name for i, name in enumerate(stages) if stages[i - 1 : i] != [name]]


@pytest.fixture(scope="module")
def warped(footage):
    """Footage as an untrained tokenizer encodes it, its warps, and untrained dynamics."""
    configs = configs_of([footage], RECIPE)[0]
    tokenizer = Tokenizer(configs.tokenizer, rngs=nnx.Rngs(0))
    columns = load_columns(footage, [0, 1, 2])
    latents = encode_games([tokenizer], [(columns, columns)], set_statistics=True)[0].train
    dynamics = Dynamics(configs.dynamics, rngs=nnx.Rngs(1))
    warper = FootageWarper(tokenizer, dynamics, footage.meta, columns, split(dynamics)[1])
    return latents, warper, dynamics, columns


def test_a_warp_is_nearer_to_a_frame_than_the_frame_before(warped):
    latents, warper, _, columns = warped
    inside = np.ones(len(latents), bool)
    inside[columns.bounds[:-1]] = False
    error = np.square(latents - warper.inputs.z)[inside].mean()
    assert error < 0.3 * np.square(latents[1:] - latents[:-1])[inside[1:]].mean()
    assert not warper.inputs.visible[~inside].any() and not warper.inputs.remembered[~inside].any(), "nothing was seen"


def test_visible_regions_have_smaller_errors_than_unseen_ones(warped):
    latents, warper, dynamics, _ = warped
    visible, _, unseen = np.asarray(region_errors(latents, warper.inputs, dynamics.config)).mean(1)
    assert visible < 0.2 * unseen


def test_a_camera_that_does_not_fit_its_footage_is_refused(footage):
    meta = footage.meta
    assert configs_of([footage], RECIPE)[0].dynamics.camera == camera_config(meta, RECIPE.camera)
    with pytest.raises(ValueError, match="lacks pitch"):
        camera_config(dataclasses.replace(meta, camera={"field_of_view": 70, "yaw": "turn"}), RECIPE.camera)
    with pytest.raises(ValueError, match="hud_regions.*got overlays too"):
        camera_config(dataclasses.replace(meta, camera={**meta.camera, "overlays": []}), RECIPE.camera)
    with pytest.raises(ValueError, match="got spin"):
        camera_config(dataclasses.replace(meta, camera={**meta.camera, "yaw": "spin"}), RECIPE.camera)


def test_footage_without_a_camera_has_a_static_one_beside_others(footage):
    meta = dataclasses.replace(footage.meta, camera={})
    assert camera_config(meta, RECIPE.camera) == dataclasses.replace(RECIPE.camera, size=meta.size)


def test_footage_without_a_true_pitch_is_seen_from_the_horizon(footage, warped):
    columns = warped[-1]
    np.testing.assert_allclose(np.degrees(true_pitch(footage.meta, columns)), columns.state[:, 0], atol=1e-4)
    meta = dataclasses.replace(footage.meta, camera={k: v for k, v in footage.meta.camera.items() if k != "state"})
    assert np.isnan(true_pitch(meta, columns)).all()


def test_some_of_the_context_is_generated(warped):
    latents, warper, _, columns = warped
    generated = np.isclose(warper.context, warper.inputs.z).all((1, 2))
    real = np.isclose(warper.context, latents, atol=0.02).all((1, 2))
    assert (generated | real).all() and 0.2 < generated.mean() < 0.7
    assert real[columns.bounds[:-1]].all(), "an episode begins with a frame"


def test_another_draw_generates_context_in_other_places(warped):
    warper, params, contexts = warped[1], split(warped[2])[1], []
    for draw in (0, 0, 1):
        warper.refresh(params, draw)
        contexts.append(warper.context)
    warper.refresh(params)
    np.testing.assert_array_equal(contexts[0], contexts[1])
    assert 0.2 < (contexts[0] != contexts[2]).any((1, 2)).mean() < 0.9


def test_the_context_is_generated_anew_while_the_dynamics_train(footage, trained):
    assert trained[2] == ["tokenizer", "flow", "warps", "dynamics", "warps", "dynamics"]
    stages = []
    fit(
        [footage.path],
        trained[1],
        preset=CAMERA,
        num_train_steps=160,
        resume=True,
        on_progress=lambda p: stages.append(p.stage),
    )
    assert stages.count("warps") == 1, "what is done needs no new dreams"


def test_a_trained_world_turns_as_the_game_does(footage, trained):
    world, out, _ = trained
    card = load_world(out / "world").card.config["dynamics"]
    expected = {"size": [16, 24], "field_of_view": 72.0, "yaw": 1, "pitch": 2, "hud_regions": []}
    assert card["camera"] == {
        **expected,
        "flow_width": 8,
        "flow_separable": False,
        "shrink_threshold": 0.2,
        "supersampling": 1,
    }
    sim = Simulator.from_world(world)
    ways = np.cumsum([0.0, 0, 0, 0, 12, 12, -12, -12])
    real = np.stack([paint(90 + way, 0, (16, 24)) for way in ways])[None]
    action = np.zeros((1, 8, 3), np.float32)
    action[0, 4:, 1] = [12, 12, -12, -12]
    state, _ = sim.reset(jax.random.key(0), initial=InitialContext.frames(real[:, :4], action[:, :4]))
    right, left = (np.asarray(sim.rollout(state, sign * action[:, 4:])[1].obs) for sign in (1, -1))
    assert psnr(real[:, 4:6], right[:, :2]).mean() > 0.7 + psnr(real[:, 4:6], left[:, :2]).mean()


def test_training_keeps_the_pitch_that_pitch_net_learned(footage, trained):
    sim = Simulator.from_world(trained[0])
    columns = load_columns(footage, [0, 1, 2, 3])
    unknown = np.full((len(columns.obs), 1, 3), np.nan, np.float32)
    state, _ = sim.reset(jax.random.key(0), initial=InitialContext.frames(columns.obs[:, None], unknown))
    told = np.degrees(state.cache.prior.heading[:, 1])
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
        sim.step(state, turn)[0].cache.prior.heading - state.cache.prior.heading, [[np.radians(10), 0]] * 2, atol=1e-5
    )


def test_from_nothing_the_first_frame_says_where_the_camera_looks(trained):
    sim = Simulator.from_world(trained[0])
    state, obs = sim.reset(jax.random.key(0), batch_size=2, initial=InitialContext.noise())
    assert obs.shape == (2, 16, 24, 3)
    np.testing.assert_array_equal(state.cache.prior.frame, obs)
    assert jnp.isfinite(state.cache.prior.heading).all()
