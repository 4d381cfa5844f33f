"""The stage of surprises, after the forecast and before the dynamics: in which cells is the forecast surprised?

The surprises of all recorded frames are found once. Few frames have any, few pay and few end an episode, so a part of
every batch is such frames, and the logits of what is rare are raised in training by as much as that makes it more
frequent: what is learned is as frequent as in the footage (logit adjustment, Menon et al. 2021, arXiv 2007.07314). The
outcome heads learn rewards and ends here as well, from the summary of the frame; the dynamics see too few of either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree
from scipy.cluster.vq import kmeans2

from worldsim.data.dataset import Columns, Windows
from worldsim.model.forecast import Forecast, ForecastPrior
from worldsim.model.outcome import Outcome, outcome_loss
from worldsim.model.picture import lay_out
from worldsim.model.surprise import Scene, SurpriseNet, contents_of, find_surprises, mark
from worldsim.nn.params import merge, split
from worldsim.train.games import Latents
from worldsim.train.loop import Budget, Stage
from worldsim.train.optimizer import Fixed, Loss, is_kernel, make_step, muon
from worldsim.train.recipes import Recipe

MAX_FRAMES = 20_000  # in which surprises are looked for, evenly over the footage
CHUNK = 64
HELD_FRAMES = 512
RARE_FRACTION = 0.2  # of a batch for each kind of rare frame: those that surprise, pay, or end an episode


class Moments(NamedTuple):
    """Frames, those before them, latest first, and what happened in them."""

    before: Float[PyTree, "b k n c"]
    prev_action: Float[PyTree, "b a"]
    earlier: Float[PyTree, "b p a"]
    surprises: Int[PyTree, "b s"] = ()
    contents: Float[PyTree, "b s e"] = ()
    reward: Float[PyTree, " b"] = ()
    terminated: Bool[PyTree, " b"] = ()
    more_frequent: Float[PyTree, "b 3"] = ()  # in logits: surprise, reward and end in batches, than in the footage


class Found(NamedTuple):
    """The windows of footage that were looked at, and the surprises of the last frame of each."""

    rows: Int[np.ndarray, "n t"]
    surprises: Int[np.ndarray, "n s"]
    contents: Float[np.ndarray, "n s e"]
    is_surprised: Bool[np.ndarray, " n"]
    none: int
    """The number that stands for no surprise."""


def surprise_stage(
    prior: ForecastPrior,
    outcome: Outcome,
    surprises: tuple[Found, Found],
    data: tuple[Columns, Columns],
    latents: Latents,
    recipe: Recipe,
    budget: Budget,
    seed: int,
) -> Stage:
    """Return the stage of the SurpriseNet of a trained prior; evaluated by the likelihood of held-out surprises.

    `surprises` are those of the footage for training and held out, and its codes are set (`set_codes`).
    """
    config, (graph, frozen) = recipe.surprise_stage, split(prior)
    found, held = surprises
    last = found.rows[:, -1]
    kinds = np.stack([found.is_surprised, data[0].reward[last] != 0, data[0].terminated[last]], 1)
    chance, more_frequent = draw_chances(kinds)

    def batch(step: int) -> Moments:
        rng = np.random.default_rng([seed, step])
        which = np.searchsorted(np.cumsum(chance), rng.random(config.batch_size), side="right")
        which = np.minimum(which, len(chance) - 1)
        return _moments(found, which, data[0], latents.train)._replace(more_frequent=more_frequent[which])

    return Stage(
        "surprise",
        config,
        budget,
        config.batch_size,
        make_step(
            surprise_loss((graph, split(outcome)[0]), recipe), muon(), ema=config.ema, frozen=frozen, decay=is_kernel
        ),
        batch,
        _evaluation(graph, frozen, held, data[1], latents.held),
        num_evaluations=min(recipe.num_evaluations, 4),
    )


def find_all(prior: ForecastPrior, data: tuple[Columns, Columns], latents: Latents) -> tuple[Found, Found]:
    """Find the surprises of a trained prior in footage for training and held out."""
    train, held = (_find(prior, x, z, n) for x, z, n in zip(data, latents, (MAX_FRAMES, HELD_FRAMES), strict=True))
    return train, held


def set_codes(priors: Sequence[ForecastPrior], found: Sequence[Found], seed: int) -> None:
    """Let the codes of priors, which share them, be the means of clusters of what their surprises hold."""
    num = len(priors[0].surprise.codes[...])
    contents = np.concatenate([x.contents[x.surprises < x.none] for x in found])
    if not len(contents):
        return
    rng = np.random.default_rng(seed)
    contents = contents[rng.permutation(len(contents))[:MAX_FRAMES]]
    contents = np.resize(contents, (max(num, len(contents)), contents.shape[1]))
    contents = contents + 1e-3 * rng.normal(size=contents.shape)  # those of drawn pictures are all alike
    codes = kmeans2(contents, num, minit="++", rng=rng)[0]
    for prior in priors:
        prior.surprise.codes[...] = jnp.asarray(codes, jnp.float32)


def draw_chances(kinds: Bool[np.ndarray, "n k"]) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n k"]]:
    """Return how probably each frame is drawn, and by how much, in logits, more so for being of each kind.

    A frame is drawn as any other, and the frames of each kind, which are rare, together RARE_FRACTION of the time.
    """
    share = RARE_FRACTION * kinds.any(0) / np.maximum(kinds.sum(0), 1)
    common = (1 - RARE_FRACTION * kinds.any(0).sum()) / len(kinds)
    chance = common + kinds @ share
    return chance, np.log1p(share / (chance[:, None] - kinds * share))


def surprise_loss(graphs: tuple[nnx.GraphDef, nnx.GraphDef], recipe: Recipe) -> Loss:
    """Return the loss of a SurpriseNet on Moments: cross-entropy of every surprise, and of there being no other.

    And that of outcome heads on its summary. Params has both, as "surprise" and "outcome"; `Fixed.frozen` has those of
    the prior.
    """

    def loss(params: PyTree, moments: Moments, key: PRNGKeyArray, fixed: Fixed):
        prior: ForecastPrior = merge(graphs[0], {**fixed.frozen, "surprise": params["surprise"]})
        heads: Outcome = merge(graphs[1], params["outcome"])
        key_level, key_noise, key_action, key_turn = jax.random.split(key, 4)
        moments = jax.tree.map(jnp.asarray, moments)
        level = recipe.forecast_noise * jax.random.uniform(key_level, (len(moments.before), 1, 1, 1))
        hidden = jax.random.bernoulli(key_action, recipe.action_dropout, (len(moments.before), 1))
        seen = moments.before + level * jax.random.normal(key_noise, moments.before.shape)
        seen = moments._replace(
            before=seen,
            prev_action=jnp.where(hidden, jnp.nan, moments.prev_action),
            earlier=jnp.where(hidden[..., None], jnp.nan, moments.earlier),
        )
        scene = _scene(prior, seen)
        surprise = _one_of_them(prior.surprise, scene, moments, key_turn).mean()
        bins, end = heads.of_summary(prior.surprise.summary(scene))
        bins = bins.at[:, bins.shape[-1] // 2].add(-moments.more_frequent[:, 1])  # that of no reward
        end = end + moments.more_frequent[:, 2]
        outcome = outcome_loss(bins, end, moments.reward, moments.terminated, jnp.ones(len(end)), heads.config)
        return surprise + outcome, {"surprise": surprise, "outcome": outcome}

    return loss


def _scene(prior: ForecastPrior, moments: Moments) -> Scene:
    forecast = jax.lax.stop_gradient(_forecast(prior, moments))
    return prior.scene(moments.before, moments.prev_action, forecast)


def _forecast(prior: ForecastPrior, moments: Moments) -> Forecast:
    return prior.net(moments.before, moments.prev_action, earlier=moments.earlier)


def _all_of_them(net: SurpriseNet, scene: Scene, moments: Moments) -> Float[Array, " b"]:
    """Return how improbable the surprises of frames are, in nats."""
    num = _num_turns(net, scene, moments.surprises)
    turns = [_turn(net, scene, moments, jnp.full(len(num), turn)) for turn in range(net.num)]
    return jnp.stack([jnp.where(num > turn, x, 0) for turn, x in enumerate(turns)]).sum(0)


def _one_of_them(net: SurpriseNet, scene: Scene, moments: Moments, key: PRNGKeyArray) -> Float[Array, " b"]:
    """Return an estimate of the same that costs one pass: of one turn of each frame, drawn at random."""
    num = _num_turns(net, scene, moments.surprises)
    turn = jnp.floor(num * jax.random.uniform(key, num.shape)).astype(jnp.int32)
    return num * _turn(net, scene, moments, turn)


def _num_turns(net: SurpriseNet, scene: Scene, surprises: Int[Array, "b s"]) -> Int[Array, " b"]:
    """Return how often is drawn for each frame, the last time mostly none."""
    return jnp.minimum((surprises < _none(scene)).sum(-1) + 1, net.num)


def _turn(net: SurpriseNet, scene: Scene, moments: Moments, turn: Int[Array, " b"]) -> Float[Array, " b"]:
    """Return how improbable a surprise of each frame is after those before it, and what it holds, in nats."""
    none, at, more = _none(scene), moments.surprises, moments.more_frequent
    code = net.nearest_code(moments.contents)
    earlier = jnp.where(jnp.arange(net.num)[None] < turn[:, None], at, none)
    logits, codes = net(scene, mark(earlier, jax.lax.stop_gradient(net.codes[...])[code], scene.mean.shape[-3:-1]))
    logits = logits.at[:, none].add(-more[:, 0] * (turn == 0))
    target, code = (jnp.take_along_axis(x, turn[:, None], -1)[:, 0] for x in (at, code))
    codes = jnp.take_along_axis(codes, jnp.minimum(target, none - 1)[:, None, None], -2)[:, 0]
    where = optax.softmax_cross_entropy_with_integer_labels(logits, target)
    return where + jnp.where(target < none, optax.softmax_cross_entropy_with_integer_labels(codes, code), 0)


def _none(scene: Scene) -> int:
    return scene.mean.shape[-3] * scene.mean.shape[-2]


def _find(prior: ForecastPrior, columns: Columns, latents: Float[np.ndarray, "n m c"], limit: int) -> Found:
    """Find the surprises of recorded frames, at most `limit` of them, evenly over the footage."""
    net, num = prior.net, prior.surprise.num
    windows = Windows(columns, net.num_frames + 1, min_real=net.num_frames + 1)
    ids = np.linspace(0, len(windows) - 1, min(limit, len(windows))).astype(int)
    rows = windows.rows(ids)[0]
    graph, params = split(prior)

    @jax.jit
    def find(params, moments: Moments, z):
        prior: ForecastPrior = merge(graph, params)
        truth = prior.cells(jnp.asarray(z))
        expected = prior.cells(_forecast(prior, moments).mean)
        at = find_surprises(truth, expected, prior.cells(jnp.asarray(moments.before)), num)
        return at, contents_of(truth, at)

    chunks = _chunks(rows, columns, latents)
    found = [[np.asarray(x)[:count] for x in find(params, *part)] for part, count in chunks]
    at, contents = map(np.concatenate, zip(*found, strict=True))
    none = int(np.prod(lay_out(latents[:1], net.config).shape[1:3]))
    return Found(rows, at, contents, at[:, 0] < none, none)


def _chunks(rows, columns: Columns, latents) -> Iterator[tuple[tuple[Moments, np.ndarray], int]]:
    """Cut windows into chunks of one length, the last one filled up; with the frames to be forecast."""
    for first in range(0, len(rows), CHUNK):
        part = rows[np.minimum(np.arange(first, first + CHUNK), len(rows) - 1)]
        z = np.asarray(latents[part], np.float32)
        moments = Moments(z[:, -2::-1], *_actions(part, columns))
        yield (moments, z[:, -1]), min(CHUNK, len(rows) - first)


def _actions(rows, columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Return the action into the last frame of each window, and those before it, latest first."""
    latest_first = columns.prev_action[rows[:, ::-1]]
    return latest_first[:, 0], latest_first[:, 1:]


def _moments(found: Found, which: Int[np.ndarray, " b"], columns: Columns, latents) -> Moments:
    rows = found.rows[which]
    z = np.asarray(latents[rows[:, :-1]], np.float32)
    last = rows[:, -1]
    return Moments(
        z[:, ::-1],
        *_actions(rows, columns),
        found.surprises[which],
        found.contents[which],
        columns.reward[last],
        columns.terminated[last],
        np.zeros((len(which), 3)),
    )


def _evaluation(graph: nnx.GraphDef, frozen: PyTree, held: Found, columns: Columns, latents):
    @jax.jit
    def run(params: PyTree, moments: Moments):
        prior = merge(graph, {**frozen, "surprise": params["surprise"]})
        return _all_of_them(prior.surprise, _scene(prior, moments), moments)

    def evaluate(params: PyTree, step: int) -> tuple[float, str]:
        every = np.arange(len(held.rows))
        chunks = [every[np.minimum(np.arange(i, i + CHUNK), len(every) - 1)] for i in range(0, len(every), CHUNK)]
        nats = np.concatenate([run(params, _moments(held, x, columns, latents)) for x in chunks])[: len(every)]
        surprised = nats[held.is_surprised].mean() if held.is_surprised.any() else 0.0
        frequency = held.is_surprised.mean()
        return -float(
            nats.mean()
        ), f"{nats.mean():.3f} nats a frame, {surprised:.1f} in the {frequency:.1%} that surprise"

    return evaluate
