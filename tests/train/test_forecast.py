"""The stage of the forecast: it learns what the action moves, says where it is unsure, and is left alone afterwards."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import worldsim
from tests.worlds import RECIPE, bar_footage
from worldsim.data.dataset import Columns
from worldsim.model.config import DynamicsConfig, ForecastConfig
from worldsim.model.dynamics import Dynamics
from worldsim.model.forecast import ForecastNet
from worldsim.model.outcome import Outcome
from worldsim.model.picture import RING
from worldsim.nn.local import pack_cells
from worldsim.nn.params import merge, split
from worldsim.train import StageConfig, fit
from worldsim.train.clips import MARGIN, Clips, cut_parts, entries, find_ends, find_entries
from worldsim.train.losses import TrainBatch, dynamics_loss
from worldsim.train.optimizer import Fixed, init_state, is_kernel, make_step, muon
from worldsim.train.stages.forecast import _inside, _paste, forecast_loss
from worldsim.types import Batch
from worldsim.world import load_world

SIDE, NUM_STEPS = 4, 350
FORECAST = ForecastConfig(width=16, inner_width=16, num_blocks=1)
CONFIG = DynamicsConfig(
    grid=(2, 2), token_dim=4, pack=2, choice_sizes=(3,), width=32, head_dim=16, window=4, forecast=FORECAST
)
STAGE = dataclasses.replace(
    RECIPE, forecast=FORECAST, forecast_frames=2, action_dropout=0.0, forecast_noise=0.1, forecast_side=SIDE
)


def clips(num: int, seed: int) -> Clips:
    """A lit column that the action moves, around the edge and in again, above a row that is drawn anew every frame."""
    rng, length = np.random.default_rng(seed), FORECAST.num_frames + STAGE.forecast_frames
    action = rng.integers(0, 3, (num, length, 1)).astype(np.float32)
    place = (rng.integers(0, SIDE, (num, 1)) + np.cumsum(action[..., 0] - 1, 1)).astype(int) % SIDE
    cells = np.repeat(np.eye(SIDE, dtype=np.float32)[place][:, :, None], SIDE, 2)
    cells[:, :, -1] = rng.integers(0, 2, (num, length, SIDE))
    ring = [(0, 0), (0, 0), (RING, RING), (RING, RING), (0, 0)]
    return cut_parts(
        np.pad(cells[..., None], ring), action, SIDE + 2 * RING, (MARGIN, MARGIN), FORECAST.num_frames, rng
    )


@pytest.fixture(scope="module")
def trained():
    graph, params = split(ForecastNet(CONFIG, FORECAST, rngs=nnx.Rngs(0)))
    loss = forecast_loss(graph, CONFIG, STAGE)
    step = make_step(loss, muon(), ema=0.98, decay=is_kernel)
    state = init_state(params)
    for i in range(NUM_STEPS):
        state, _ = step(
            state, clips(32, i), jax.random.key(i), jnp.float32(0.02 * (1 - i / NUM_STEPS)), goes_on=2 * i > NUM_STEPS
        )
    return merge(graph, state.ema)


def test_it_learns_what_the_action_moves_and_says_where_it_is_unsure(trained):
    shown = clips(64, 1000)
    before = jnp.flip(jnp.asarray(shown.cells[:, : FORECAST.num_frames]), 1)
    mean, log_variance = trained.forecast(before, jnp.asarray(shown.prev_action[:, FORECAST.num_frames]))
    inner = slice(RING, -RING)
    error = np.square(mean - shown.cells[:, FORECAST.num_frames])[:, inner, inner].mean((0, 2, 3))
    assert error[:-1].max() < 0.02 and error[-1] > 0.2
    variance = np.exp(log_variance[:, inner, inner, 0]).mean((0, 2))
    assert variance[:-1].max() < 0.1, "what follows from the past is sure"
    assert 0.1 < variance[-1] < 0.4, "what is drawn anew is known to be: a fair coin has a quarter"


def test_parts_of_frames_are_cut_where_something_changes():
    cells = np.zeros((64, 3, 20, 30, 1), np.float32)
    rng = np.random.default_rng(0)
    spots = rng.integers(0, (20, 30), (64, 2))
    cells[np.arange(64), 2, spots[:, 0], spots[:, 1]] = 1.0
    parts = cut_parts(cells, np.zeros((64, 3, 1), np.float32), 8, (2, 2), 2, rng)
    assert parts.cells.shape == (64, 3, 8, 8, 1) and (parts.corner % 2 == 0).all()
    assert (parts.cells[:, 2].sum((1, 2, 3)) == 1).mean() > 0.9
    for cut, whole, (top, left) in zip(parts.cells, cells, parts.corner):
        np.testing.assert_array_equal(cut, whole[:, top : top + 8, left : left + 8])


def test_parts_reach_the_last_row_and_column_of_frames_of_any_size():
    config = dataclasses.replace(CONFIG, grid=(9, 11), pack=1)
    cells = np.zeros((64, 3, 9 + 2 * RING, 11 + 2 * RING, 1), np.float32)
    cells[:, 2, -1 - RING, -1 - RING] = 1.0
    parts = cut_parts(cells, np.zeros((64, 3, 1), np.float32), 8, (2, 2), 2, np.random.default_rng(0))
    counts = np.asarray(_inside(jnp.asarray(parts.corner), (8, 8), (2, 2), config))
    assert (counts * parts.cells[:, 2]).sum() > 0.85 * 64, "what changes there is learned"
    pasted = _paste(jnp.asarray(parts.cells[:, 2]), jnp.asarray(parts.whole[:, 1]), jnp.asarray(parts.corner))
    holds = parts.cells[:, 2].any((1, 2, 3))
    np.testing.assert_array_equal(pasted[holds], parts.whole[holds, 2])


def test_the_ends_of_episodes_are_found_where_the_game_was_over_and_they_are_long_enough():
    terminated = np.zeros(20, bool)
    terminated[[6, 9, 19]] = True  # the episode of rows 10 to 15 was cut
    columns = Columns(*[np.zeros((20, 1))] * 3, terminated, None, np.array([0, 7, 10, 16, 20]))
    np.testing.assert_array_equal(find_ends(columns, 4), [[3, 4, 5, 6], [16, 17, 18, 19]])
    assert find_ends(columns, 8).shape == (0, 8)


def entering(num: int) -> np.ndarray:
    """A dot that moves down a column, and in frame 4 another that enters far from it; cells `[num y x 1]`."""
    cells = np.zeros((num, 12, 12, 1), np.float32)
    cells[np.arange(num), np.arange(num), 1] = 1.0
    cells[4:, 8, 9] = 1.0
    return cells


def test_what_enters_is_told_from_what_moves_and_parts_are_cut_around_it_as_often():
    found = entries(entering(8))
    assert np.argwhere(found).tolist() == [[2, 8, 9]], "frames count from the third"
    rng = np.random.default_rng(0)
    shown = np.repeat(entering(8)[None], 128, 0)
    parts = cut_parts(shown, np.zeros((128, 8, 1), np.float32), 6, (2, 2), 2, rng)
    holds = ((parts.corner <= (8, 9)) & (parts.corner + 6 > (8, 9))).all(1)
    assert 0.35 < holds.mean() < 0.65


def test_clips_in_which_something_enters_lie_within_their_episode_and_show_it_late():
    config = dataclasses.replace(CONFIG, grid=(6, 6))
    cells = np.concatenate([entering(8), entering(3), entering(8)])
    z = np.asarray(pack_cells(jnp.asarray(cells), config.pack))
    columns = Columns(*[np.zeros((19, 1))] * 3, np.zeros(19, bool), None, np.array([0, 8, 11, 19]))
    rows = find_entries(columns, z, config, 2, 5)
    np.testing.assert_array_equal(rows[:, 0], [2, 13])
    assert all(4 in row or 15 in row for row in rows)
    assert find_entries(columns, z, config, 2, 9).shape == (0, 9)


def test_what_lies_beyond_a_part_of_a_frame_changes_nothing():
    wide = dataclasses.replace(CONFIG, grid=(8, 8))
    graph, params = split(ForecastNet(wide, FORECAST, rngs=nnx.Rngs(0)))
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(4, FORECAST.num_frames + 2, 8, 8, 1)).astype(np.float32)
    nowhere = np.zeros((4, cells.shape[1], 8 + 2 * RING, 8 + 2 * RING, 1), np.float32)
    shown = Clips(cells, np.zeros((4, cells.shape[1], 1), np.float32), np.array([[4, 4]] * 4), nowhere)
    spoiled = shown._replace(cells=cells.copy())
    spoiled.cells[:, -1, :MARGIN] += 1.0
    loss = forecast_loss(graph, wide, STAGE)
    errors = [
        loss(params, x, jax.random.key(0), Fixed(params, ()), goes_on=False)[1]["error"] for x in (shown, spoiled)
    ]
    assert errors[0] == errors[1]


def far_away(num: int, seed: int) -> Clips:
    """A cell that is lit, or goes out, as another one across the picture was, where no convolution reaches from it."""
    rng, length = np.random.default_rng(seed), FORECAST.num_frames + STAGE.forecast_frames
    cells = np.zeros((num, length, 24, 24, 1), np.float32)
    cells[:, :, 21, 21, 0] = rng.integers(0, 2, (num, length))
    cells[:, 1:, 2, 2] = cells[:, :-1, 21, 21]
    whole = np.pad(cells, [(0, 0), (0, 0), (RING, RING), (RING, RING), (0, 0)])
    return Clips(whole[:, :, :8, :8], np.zeros((num, length, 1), np.float32), np.zeros((num, 2), int), whole)


@pytest.mark.parametrize("width", [0, 16])
def test_only_an_overview_sees_across_the_picture(width):
    seeing = dataclasses.replace(FORECAST, overview_width=width)
    wide = dataclasses.replace(CONFIG, grid=(12, 12), forecast=seeing)
    graph, params = split(ForecastNet(wide, seeing, rngs=nnx.Rngs(0)))
    step = make_step(forecast_loss(graph, wide, STAGE), muon(), ema=0.9, decay=is_kernel)
    state = init_state(params)
    for i in range(150):
        rate = jnp.float32(0.02 * (1 - i / 150))
        state, _ = step(state, far_away(32, i), jax.random.key(i), rate, goes_on=False)
    net, shown = merge(graph, state.ema), far_away(64, 1000)
    before = pack_cells(jnp.asarray(shown.whole[:, 2::-1, RING:-RING, RING:-RING]), CONFIG.pack)
    made = net(before, jnp.zeros((64, 1))).mean.reshape(64, 12, 12, 2, 2)[:, 1, 1, 0, 0]
    error = float(jnp.square(made - shown.cells[:, 3, 2 + RING, 2 + RING, 0]).mean())
    assert error < 0.05 if width else error > 0.15


def test_a_world_with_a_forecast_trains_in_its_order_is_saved_and_dreams(tmp_path):
    footage, reports = bar_footage(tmp_path / "footage"), []
    recipe = dataclasses.replace(RECIPE, forecast=FORECAST, forecast_stage=StageConfig(batch_size=8))
    world = fit([footage.path], tmp_path / "run", preset=recipe, num_train_steps=20, on_progress=reports.append)
    assert list(dict.fromkeys(report.stage for report in reports)) == ["tokenizer", "forecast", "surprise", "dynamics"]
    loaded = load_world(tmp_path / "run" / "world")
    assert loaded.card.config["dynamics"]["forecast"] == {
        "width": 16,
        "inner_width": 16,
        "num_blocks": 1,
        "num_frames": 3,
        "num_actions": 1,
        "overview_width": 0,
        "num_surprises": 3,
        "num_codes": 32,
        "size": [-(-side // recipe.tokenizer.patch) for side in footage.meta.size],
    }
    assert loaded.card.weights.num_params == world.card.weights.num_params
    sim = worldsim.Simulator.from_world(loaded)
    state, _ = sim.reset(jax.random.key(0), batch_size=2)
    assert sim.rollout(state, np.ones((2, 3)))[1].obs.shape == (2, 3, *footage.meta.size, 3)


def test_the_dynamics_leave_the_forecast_as_it_is():
    dynamics = Dynamics(CONFIG, rngs=nnx.Rngs(1))
    outcome = Outcome(RECIPE.outcome, d_in=dynamics.hidden_dim, d_summary=dynamics.summary_dim, rngs=nnx.Rngs(2))
    parts = split(dynamics), split(outcome)
    loss = dynamics_loss((parts[0][0], parts[1][0]), STAGE)
    params = {"dynamics": parts[0][1], "outcome": parts[1][1]}
    shown = clips(4, 0)
    z, length = pack_cells(jnp.asarray(shown.cells[:, :, RING:-RING, RING:-RING]), CONFIG.pack), shown.cells.shape[1]
    nothing = np.zeros((4, length), np.float32)
    batch = jax.tree.map(jnp.asarray, TrainBatch(Batch(z, shown.prev_action, nothing, nothing > 0, nothing == 0)))
    gradient = jax.jit(jax.grad(lambda p: loss(p, batch, jax.random.key(0), Fixed(p, ()), bootstrap=True)[0]))(params)
    assert all(not x.any() for x in jax.tree.leaves(gradient["dynamics"]["prior"]))
    assert any(x.any() for x in jax.tree.leaves(gradient["dynamics"]["out_proj"]))
