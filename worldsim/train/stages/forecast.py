"""The stage of the forecast, before the dynamics: regression of the next frame's latents.

A step is given parts of frames, mostly such where something changes (`worldsim.train.clips`); in a part's margin, which
lacks what lies beyond, nothing is learned and the recorded frame is gone on with.

A network that only ever met recorded frames goes on from its own, a few frames later, with errors that it never met. So
once it knows how things move, clips go on for `Recipe.forecast_frames` frames, each forecast from those before, and
each is trained on; no gradient goes from one frame to another. From then on it is also told some of its surprises
(`worldsim.model.surprise`), and learns what enters where it is told so.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from worldsim.data.dataset import Columns, ShuffledIndex, Windows
from worldsim.metrics import psnr
from worldsim.model.config import DynamicsConfig
from worldsim.model.forecast import earlier_actions
from worldsim.model.generate import MAX_LATENT
from worldsim.model.picture import RING, lay_out, shows_picture
from worldsim.model.surprise import contents_of, find_surprises, mark
from worldsim.model.tokenizer import Tokenizer
from worldsim.nn.params import merge, split
from worldsim.train.clips import Clips, cut_parts, find_ends, find_entries
from worldsim.train.evaluation import Show, fidelity, pixel_statistics
from worldsim.train.games import Latents
from worldsim.train.loop import Budget, Stage
from worldsim.train.optimizer import Fixed, Loss, is_kernel, make_step, muon
from worldsim.train.recipes import Recipe
from worldsim.types import frame_to_obs
from worldsim.video import strip

NUM_CLIPS, HORIZON = 64, 8  # of an evaluation
END_FRACTION = 0.125  # of the clips end with the end of an episode: few frames do, and a dream lives on behind it
TOLD_FRACTION = 0.5  # of the surprises are marked; the rest is for the forecast to learn, as far as it can
ENTRY_FRACTION = 0.2  # of the clips, those of ends too, are replaced by such in which something enters
YOUNG_FRACTION = 0.1  # of the windows, which begin with the first frame of all: there is none before it


def forecast_stage(
    graph: nnx.GraphDef,
    dynamics: DynamicsConfig,
    tokenizer: Tokenizer,
    data: tuple[Columns, Columns],
    latents: Latents,
    recipe: Recipe,
    budget: Budget,
    seed: int,
    show: Show,
) -> Stage:
    """Return the stage of a ForecastNet; evaluated by the fidelity of frames that it makes of each other, held out."""
    config, num_made = recipe.forecast_stage, recipe.forecast_frames
    num_given = _num_given(dynamics)
    windows = _windows(data[0], length := num_given + num_made)
    order = ShuffledIndex(len(windows), config.batch_size, seed)
    rare = (
        (find_ends(data[0], length), END_FRACTION),
        (find_entries(data[0], latents.train, dynamics, num_given, length), ENTRY_FRACTION),
    )

    def clips(step: int) -> Clips:
        rng, rows = np.random.default_rng([seed, step]), windows.rows(order.at(step))[0]
        for others, fraction in rare:
            is_other = rng.random(len(rows)) < fraction * (len(others) > 0)
            rows[is_other] = others[rng.integers(max(len(others), 1), size=is_other.sum())]
        z, prev_action = _read(data[0], latents.train, rows)
        return cut_parts(
            lay_out(z, dynamics), prev_action, recipe.forecast_side, recipe.forecast_margin, num_given, rng
        )

    return Stage(
        "forecast",
        config,
        budget,
        config.batch_size,
        make_step(forecast_loss(graph, dynamics, recipe), muon(), ema=config.ema, decay=is_kernel),
        clips,
        _evaluation(graph, num_given, tokenizer, data, latents, show),
        flags=lambda progress, step: {"goes_on": progress >= recipe.forecast_goes_on},
        num_evaluations=recipe.num_evaluations,
    )


def forecast_loss(graph: nnx.GraphDef, config: DynamicsConfig, recipe: Recipe) -> Loss:
    """Return the loss of a ForecastNet on Clips: the squared error, and the likelihood of the size of the first one.

    With `goes_on` half of the clips are forecast for all of their frames, else all of them for the last one, which may
    be the last of an episode as no other is. Then it is also told TOLD_FRACTION of its surprises.
    """
    num_given = _num_given(config)
    num_surprises = 0 if config.forecast is None else config.forecast.num_surprises

    def loss(params: PyTree, clips: Clips, key: PRNGKeyArray, fixed: Fixed, *, goes_on: bool):
        net, num_made = merge(graph, params), recipe.forecast_frames if goes_on else 1
        cells, prev_action, corner, frames = (jnp.asarray(x[: len(x) // 2] if goes_on else x) for x in clips)
        key_young, key_action, key_level, key_noise, key_told = jax.random.split(key, 5)
        hidden = jax.random.bernoulli(key_action, recipe.action_dropout, (len(cells), 1))
        is_young = jax.random.bernoulli(key_young, YOUNG_FRACTION, (len(cells), 1, 1, 1, 1))
        level = recipe.forecast_noise * jax.random.uniform(key_level, (len(cells), 1, 1, 1, 1))
        counts = _inside(corner, (cells.shape[2], cells.shape[3]), recipe.forecast_margin, config)
        first = num_given + recipe.forecast_frames - num_made
        before = jnp.flip(cells[:, first - num_given : first], 1)
        whole = jnp.flip(frames[:, first - num_given : first], 1)
        before, whole = (x.at[:, 1:].multiply(~is_young) for x in (before, whole))
        came_before = is_young[:, :, 0, 0] & (jnp.arange(prev_action.shape[1])[None, :, None] < first)
        shown = jnp.where(hidden[:, None] | came_before, jnp.nan, prev_action)
        before_it = earlier_actions(shown, len(net.earlier))
        errors, likelihood = [], jnp.float32(0)
        for i in range(num_made):
            truth = cells[:, first + i]
            seen = before + level * jax.random.normal(jax.random.fold_in(key_noise, i), before.shape)
            action, earlier = shown[:, first + i], before_it[:, first + i]
            marked = None
            if goes_on and num_surprises:
                expected = jax.lax.stop_gradient(net.forecast(seen, action, corner, whole=whole, earlier=earlier)[0])
                known = jnp.where(counts > 0, truth, expected)
                found = find_surprises(known, expected, before, num_surprises)
                is_told = jax.random.bernoulli(jax.random.fold_in(key_told, i), TOLD_FRACTION, found.shape)
                told = jnp.where(is_told, found, truth.shape[1] * truth.shape[2])
                marked = mark(told, contents_of(truth, found), truth.shape[1:3])
            mean, log_variance = net.forecast(seen, action, corner, marked, whole, earlier)
            squared = (mean - truth) ** 2
            errors.append((counts * squared).mean() / counts.mean())
            likelihood = _likelihood(squared, log_variance, counts) if i == 0 else likelihood
            made = jnp.clip(jax.lax.stop_gradient(mean), -MAX_LATENT, MAX_LATENT)
            made = jnp.where(counts > 0, made, truth)
            before = jnp.concatenate([made[:, None], before[:, :-1]], 1)
            whole = jnp.concatenate([_paste(made, frames[:, first + i], corner)[:, None], whole[:, :-1]], 1)
        error = jnp.stack(errors).mean()
        return error + likelihood, {"error": error}

    return loss


def _inside(
    corner: Int[Array, "b 2"], size: tuple[int, int], margin: tuple[int, int], config: DynamicsConfig
) -> Float[Array, "b y x 1"]:
    """Return 1 for the cells of parts that show the picture and whose neighbours are known, as the ring's are."""
    known = []
    for axis, num in enumerate(config.picture):
        at, first = jnp.arange(size[axis])[None], corner[:, axis, None]
        is_last = first + size[axis] >= num + 2 * RING
        known.append(((at >= margin[axis]) | (first == 0)) & ((at < size[axis] - margin[axis]) | is_last))
    known = (known[0][:, :, None] & known[1][:, None])[..., None]
    return known.astype(jnp.float32) * shows_picture(config, size, corner)


def _paste(
    part: Float[Array, "b y x c"], whole: Float[Array, "b v u c"], corner: Int[Array, "b 2"]
) -> Float[Array, "b v u c"]:
    """Put parts back where they were cut out."""
    return jax.vmap(lambda x, into, at: jax.lax.dynamic_update_slice(into, x, (*at, 0)))(part, whole, corner)


def _likelihood(
    squared: Float[Array, "b y x c"], log_variance: Float[Array, "b y x 1"], counts: Float[Array, "b y x 1"]
) -> Float[Array, ""]:
    """Return how badly the predicted variances fit the errors of cells; the mean forecast takes no gradient of it."""
    by_cell = jax.lax.stop_gradient(squared).mean(-1, keepdims=True)
    return 0.5 * (counts * (by_cell * jnp.exp(-log_variance) + log_variance)).mean() / counts.mean()


def _evaluation(
    graph: nnx.GraphDef,
    num_given: int,
    tokenizer: Tokenizer,
    data: tuple[Columns, Columns],
    latents: Latents,
    show: Show,
):
    horizon = min(HORIZON, max(1, data[1].longest - num_given))
    windows, statistics = _windows(data[1], num_given + horizon), pixel_statistics(data[0])
    ids = np.linspace(0, len(windows) - 1, min(NUM_CLIPS, len(windows))).astype(int)
    rows = windows.rows(ids)[0]
    (z, prev_action), frames = _read(data[1], latents.held, rows), data[1].obs[rows]
    future, last = frames[:, num_given:], frames[:, num_given - 1 : num_given]
    copy = psnr(future, np.repeat(last, horizon, 1)).mean()
    token_graph, token_params = split(tokenizer)

    @jax.jit
    def run(params: PyTree, token_params: PyTree, z: Array, prev_action: Array):
        net = merge(graph, params)
        earlier = earlier_actions(prev_action, len(net.earlier))

        def by_time(x: Array) -> Array:
            return jnp.moveaxis(x[:, num_given:], 1, 0)

        def step(before, actions):
            action, earlier = actions
            made = jnp.clip(net(before, action, earlier=earlier).mean, -MAX_LATENT, MAX_LATENT)
            return jnp.concatenate([made[:, None], before[:, :-1]], 1), made

        _, made = jax.lax.scan(step, jnp.flip(z[:, :num_given], 1), (by_time(prev_action), by_time(earlier)))
        return frame_to_obs(merge(token_graph, token_params).decode(jnp.moveaxis(made, 0, 1)))

    def evaluate(params: PyTree, step: int) -> tuple[float, str]:
        made = np.asarray(run(params, token_params, z, prev_action))
        show(step, strip([future, made]))
        return fidelity(
            future, made, statistics
        ), f"{horizon} frames {psnr(future, made).mean():.1f} dB, copy-last {copy:.1f}"

    return evaluate


def _windows(columns: Columns, num_frames: int) -> Windows:
    return Windows(columns, num_frames, min_real=num_frames)


def _num_given(config: DynamicsConfig) -> int:
    assert config.forecast is not None
    return config.forecast.num_frames


def _read(
    columns: Columns, latents: Float[np.ndarray, "n m c"], rows: Int[np.ndarray, "b t"]
) -> tuple[Float[np.ndarray, "b t m c"], Float[np.ndarray, "b t a"]]:
    return np.asarray(latents[rows], np.float32), columns.prev_action[rows]
