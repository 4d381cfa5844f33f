"""Training: learns what is learnable, goes on where it stopped, and refuses what it cannot do."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests import worlds
from tests.worlds import CHOOSES, RECIPE, bar_footage, land_footage
from worldsim.controls import discrete
from worldsim.data.dataset import Windows, load_columns
from worldsim.initial import InitialContext
from worldsim.nn.params import split
from worldsim.simulator import Simulator
from worldsim.train import PRESETS, Progress, StageConfig, fit
from worldsim.train.games import fill_recipe
from worldsim.train.loop import Budget
from worldsim.train.losses import TrainBatch, dynamics_loss
from worldsim.train.optimizer import init_state, is_kernel, make_step, muon, schedule
from worldsim.train.recipes import get_recipe
from worldsim.train.stages.dynamics import new_dynamics
from worldsim.types import Batch
from worldsim.world import load_world


@pytest.fixture(scope="module")
def footage(trained_bar):
    return trained_bar.footage


@pytest.fixture(scope="module")
def trained(trained_bar):
    """A world that had some seconds to learn the bar, and what its progress said."""
    return trained_bar.run, trained_bar.world, trained_bar.reports


def same(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_a_world_trained_for_seconds_beats_copy_last_under_the_right_actions_only(footage, trained):
    sim = Simulator.from_world(trained[1])
    columns = load_columns(footage, [0])
    batch = Windows(columns, 12, min_real=12).batch(np.arange(0, 24))
    state, last = sim.reset(
        jax.random.key(0), initial=InitialContext.frames(batch.obs[:, :4], batch.prev_action[:, :4])
    )
    real = batch.obs[:, 4:].astype(float)

    def error(actions) -> float:
        return float(np.mean((np.asarray(sim.rollout(state, actions)[1].obs) - real) ** 2))

    dreamt = error(batch.prev_action[:, 4:])
    assert dreamt < 0.3 * float(np.mean((np.asarray(last)[:, None] - real) ** 2))
    assert dreamt < 0.3 * error((batch.prev_action[:, 4:] + 1) % 3)


def test_the_run_leaves_bundle_pictures_and_scalars(trained):
    out, world, reports = trained
    assert same(load_world(out / "world").params, world.params)
    assert list((out / "strips").glob("tokenizer-*.png")) and list((out / "strips").glob("dynamics-*.png"))
    assert list((out / "log").glob("events*"))
    assert world.card.held_out_episodes and world.card.sampler.num_denoise_steps in (1, 2, 4)
    assert {r.stage for r in reports} == {"tokenizer", "dynamics"}
    assert reports[-1].seconds_left < reports[1].seconds_left and reports[-1].frames_per_s > 0


SMALLEST = dataclasses.replace(
    RECIPE,
    tokenizer=dataclasses.replace(RECIPE.tokenizer, num_layers=(0, 0)),
    dynamics=dataclasses.replace(RECIPE.dynamics, num_layers=1, time_every=1, num_local=0, local_width=8),
)


def test_stopping_anywhere_and_resuming_equals_never_having_stopped(tmp_path):
    footage = land_footage(tmp_path / "lands")  # with captions
    whole = fit([footage.path], tmp_path / "whole", preset=SMALLEST, num_train_steps=40, name="w")

    def stop_at(stage, step):
        def report(progress: Progress) -> None:
            if progress.stage == stage and progress.step >= step:
                raise KeyboardInterrupt

        return report

    for stage, step in (("tokenizer", 2), ("tokenizer", 10), ("dynamics", 1), ("dynamics", 20)):
        with pytest.raises(KeyboardInterrupt):
            fit(
                [footage.path],
                tmp_path / "cut",
                preset=SMALLEST,
                num_train_steps=40,
                name="w",
                resume=(tmp_path / "cut").exists(),
                on_progress=stop_at(stage, step),
            )
    again = fit([footage.path], tmp_path / "cut", preset=SMALLEST, num_train_steps=40, name="w", resume=True)
    assert same(whole.params, again.params)
    assert again.card.config["dynamics"]["prompt"]["attributes"][0][0] == "biome"


def test_a_budget_in_minutes_ends_on_time_and_resumes(footage, tmp_path):
    reports: list[Progress] = []
    fit([footage.path], tmp_path / "run", preset=RECIPE, minutes=0.1, on_progress=reports.append)
    seconds = {r.stage: r for r in reports}
    assert set(seconds) == {"tokenizer", "dynamics"}
    world = fit([footage.path], tmp_path / "run", preset=RECIPE, minutes=0.1, resume=True)
    assert same(world.params, load_world(tmp_path / "run" / "world").params)


def test_divergence_ends_training_and_names_the_step_and_the_metric(footage, tmp_path):
    wild = dataclasses.replace(RECIPE, tokenizer_stage=StageConfig(batch_size=4, learning_rate=float("nan")))
    with pytest.raises(FloatingPointError, match=r"loss of the tokenizer is nan at step \d+"):
        fit([footage.path], tmp_path / "run", preset=wild, num_train_steps=20)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"minutes": 1.0, "num_train_steps": 5}, "got both"),
        ({"num_train_steps": 1}, "at least 2"),
        ({"minutes": 0.0}, "above 0"),
        ({"preset": "huge"}, "tiny, pixels, small, base, game"),
        ({"resume": True}, "no run to resume"),
        ({"name": "no/slash"}, "letters, digits"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(footage, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        fit([footage.path], tmp_path / "run", **{"preset": RECIPE, **settings})
    assert not (tmp_path / "run").exists()


def test_a_run_is_never_trained_over(footage, trained):
    out = trained[0]
    with pytest.raises(FileExistsError, match="already holds a run"):
        fit([footage.path], out, preset=CHOOSES, num_train_steps=10)
    with pytest.raises(ValueError, match="another seed"):
        fit([footage.path], out, preset=CHOOSES, num_train_steps=10, seed=5, resume=True)


def test_footage_that_cannot_be_trained_on_leaves_no_run_behind(tmp_path):
    one = bar_footage(tmp_path / "one", num_episodes=1)
    with pytest.raises(ValueError, match="at least 2 episodes"):
        fit([one.path], tmp_path / "run", preset=RECIPE, num_train_steps=4)
    assert not (tmp_path / "run").exists()


def test_a_folder_of_something_else_is_left_alone(footage, tmp_path):
    (tmp_path / "thesis.txt").write_text("ten years")
    with pytest.raises(FileExistsError, match="not empty"):
        fit([footage.path], tmp_path, preset=RECIPE, num_train_steps=4)


def test_the_rate_rises_stays_and_falls_to_nothing():
    config = StageConfig(batch_size=1, learning_rate=1.0, warmup=0.1, decay=0.5)
    rates = [schedule(config, p) for p in (0.0, 0.05, 0.2, 0.5, 0.75, 1.0)]
    assert rates[0] < rates[1] < rates[2] == rates[3] == 1 and rates[4] == 0.5 and rates[5] == 0
    assert Budget(10, None).progress(5, 99.0) == 0.5 and Budget(None, 60.0).progress(5, 30.0) == 0.5


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_fits_the_footage_of_real_games(name):
    recipe = get_recipe(name)
    for size in ((64, 64), (48, 64), (64, 112)):
        configs = fill_recipe(recipe, size, discrete(("a", "b")))
        grid = configs.tokenizer.grid
        assert configs.dynamics.num_latents == grid[0] * grid[1]
        assert recipe.frames > configs.dynamics.window, "a full past must be common in training"


def test_run_settings_are_kept(trained):
    assert json.loads((trained[0] / "run.json").read_text())["seed"] == 0


def test_a_large_preset_builds_and_takes_a_step_in_the_abstract():
    """Shapes only: nothing of that size is allocated here."""
    recipe = get_recipe("base")
    configs = fill_recipe(recipe, (64, 64), discrete(("a", "b")))
    config = configs.dynamics

    modules = nnx.eval_shape(lambda: new_dynamics(configs, 0))
    (graph, params), (outcome_graph, outcome_params) = (split(m) for m in modules)
    state = jax.eval_shape(init_state, {"dynamics": params, "outcome": outcome_params})
    count = sum(x.size for x in jax.tree.leaves(params))
    assert count > 15e6
    b, t = 4, recipe.frames
    shape = jax.ShapeDtypeStruct
    batch = Batch(
        shape((b, t, config.num_latents, config.token_dim), jnp.float32),
        shape((b, t, 1), jnp.float32),
        shape((b, t), jnp.float32),
        shape((b, t), bool),
        shape((b, t), bool),
    )
    step = make_step(dynamics_loss((graph, outcome_graph), recipe), muon(), ema=0.999, decay=is_kernel)
    key = jax.eval_shape(lambda: jax.random.key(0))
    after, scalars = jax.eval_shape(
        lambda s, b, k, r: step(s, b, k, r, bootstrap=True), state, TrainBatch(batch), key, shape((), jnp.float32)
    )
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state) and scalars["loss"].shape == ()


def test_weights_are_chosen_by_the_ball_and_not_by_the_wall():
    """A frame that lost its ball has the higher PSNR than one with a little noise all over, and the lower fidelity."""
    from worldsim.metrics import psnr
    from worldsim.train.evaluation import fidelity

    rng = np.random.default_rng(0)
    real = np.full((400, 16, 16, 3), 100, np.uint8)
    real[np.arange(400), rng.integers(16, size=400), rng.integers(16, size=400)] = 250
    frames = real / 127.5 - 1
    statistics = (frames.mean(0).astype(np.float32), frames.var(0).astype(np.float32))
    ballless = np.full_like(real, 100)
    noisy = np.clip(real + rng.normal(0, 12, real.shape), 0, 255).astype(np.uint8)
    assert psnr(real, ballless).mean() > psnr(real, noisy).mean()
    assert fidelity(real, ballless, statistics) < fidelity(real, noisy, statistics)


def test_going_on_keeps_shape_and_tokenizer_and_says_where_it_came_from(footage, trained, tmp_path):
    origin = trained[1]
    world = fit([footage.path], tmp_path / "more", preset=RECIPE, num_train_steps=20, init=origin)
    for name in ("in_proj", "latent_mean", "latent_std"):
        assert same(world.params["tokenizer"][name], origin.params["tokenizer"][name])
    assert world.card.training["init"]["weights"] == origin.card.weights.sha256
    assert world.card.config["dynamics"] == origin.card.config["dynamics"]


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_going_on_keeps_what_it_had_where_training_spoils_it(footage, trained, tmp_path, rate):
    stage = dataclasses.replace(RECIPE.dynamics_stage, learning_rate=rate)
    preset = dataclasses.replace(RECIPE, dynamics_stage=stage)
    world = fit([footage.path], tmp_path / "run", preset=preset, num_train_steps=6, init=trained[1])
    for a, b in zip(jax.tree.leaves(world.params), jax.tree.leaves(trained[1].params), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": (16, 32)}, "in its frame size"),
        ({"action_spec": discrete(("stay", "jump"))}, "in its controls"),
        ({"held_out_episodes": ("000099",), "training": {"seed": 5}}, "its seed, 5"),
    ],
)
def test_going_on_with_a_world_of_something_else_is_refused(footage, trained, tmp_path, change, message):
    origin = worlds.change(trained[1], **change)
    with pytest.raises(ValueError, match=message):
        fit([footage.path], tmp_path / "run", preset=RECIPE, num_train_steps=4, init=origin)
    assert not (tmp_path / "run").exists()
