"""From footage and a world to an agent: first it does as the recording did, then it dreams and does better.

Every step takes windows of recorded latents. While cloning, the policy learns the recording's actions and the critic
its returns; after that, world and policy are burnt in on the window's first frames, and the policy dreams on from there
and learns from the dream. The weights that come out are a moving average, which is the slow critic too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from worldsim.agent.bundle import Agent, config_of, digest_of, save_agent
from worldsim.agent.imagine import imagine
from worldsim.agent.objective import Kind, Trajectory, Weights, actor_critic_loss
from worldsim.agent.policy import ActorCritic, PolicyConfig, check_drivable
from worldsim.checkpoint import World, load_world
from worldsim.data.dataset import Columns, ShuffledIndex, Windows, load_columns, split_episodes
from worldsim.data.store import Footage
from worldsim.generation import Sampler, bind
from worldsim.modules import build_graphs, read_configs
from worldsim.nn.params import merge, split
from worldsim.train.loop import Budget, Progress, Stage, run_stage
from worldsim.train.presets import StageConfig
from worldsim.train.stages import encode_footage
from worldsim.train.steps import TrainState
from worldsim.types import Batch


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """How an agent learns."""

    context: int = 8
    """Recorded frames that world and policy are burnt in on before every dream."""
    horizon: int = 16
    """Frames of a dream."""
    batch_size: int = 32
    """Dreams side by side."""
    objective: Kind = "reinforce"
    """reinforce: advantage scaled by the spread of returns; pmpo: its sign alone."""
    clone_share: float = 0.15
    """Share of the time in which it does as the recording did."""
    gamma: float = 0.985
    lam: float = 0.95
    entropy: float = 3e-3
    learning_rate: float = 5e-4
    slow: float = 0.98
    """Decay of the moving average of the weights."""
    num_denoise_steps: int | None = None
    """K of the dreams; the world's own by default."""
    noise_scale: float = 1.0
    """Temperature of the dreams: above 1 they vary more, so that an agent cannot exploit what is over-certain."""
    max_uncertainty: float | None = None
    """Dreamed frames that are less certain are not believed; wants K above 1."""
    width: int = 192
    """Of the policy."""
    recent_share: float = 0.0
    """Share of dreams that begin in the latest RECENT of the footage, beside those that begin anywhere."""

    def __post_init__(self):
        for name in ("context", "horizon", "batch_size", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} wants at least 1, got {getattr(self, name)}.")
        if self.objective not in ("reinforce", "pmpo"):
            raise ValueError(f"objective wants reinforce or pmpo, got {self.objective!r}.")
        if not 0 <= self.recent_share <= 1:
            raise ValueError(f"recent_share wants 0 up to 1, got {self.recent_share}.")
        if not 0 <= self.clone_share < 1:
            raise ValueError(f"clone_share wants 0 up to less than 1, got {self.clone_share}.")
        if not 0 < self.gamma < 1 or not 0 <= self.lam <= 1:
            raise ValueError(f"gamma and lam want to be within 0..1, got {self.gamma} and {self.lam}.")


AGENT = AgentConfig()
RECENT = 0.2  # of the footage, by its episodes' order


def fit_agent(
    world: World | str | Path,
    data: Path | str,
    out: Path | str,
    *,
    config: AgentConfig = AGENT,
    minutes: float | None = None,
    num_updates: int | None = None,
    seed: int = 0,
    resume: bool = False,
    init: Agent | None = None,
    real_steps: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Agent:
    """Train an agent in a world's dreams and write it to `out/agent`. The real game is never played.

    Args:
        world: a bundle, its path, name or prompt.
        data: footage of the world's game, where dreams begin.
        out: the run folder.
        config: how it learns.
        minutes: training time; 10 by default. Exclusive with `num_updates`.
        num_updates: steps of training.
        seed: of weights, noise and data order.
        resume: go on from the checkpoints in `out`.
        init: an agent of the same world, or of one that it went on from, to go on from.
        real_steps: of the game that world and agent have learned from, for the card; the footage's by default.
        on_progress: called now and then with a `Progress`.

    Raises:
        ValueError: bad settings, controls that an agent cannot drive, or footage of another game or without outcome.
        FileExistsError: `out` holds a run and `resume` is off.
        FloatingPointError: training diverged.
    """
    world = world if isinstance(world, World) else load_world(world)
    footage = Footage.open(data)
    sampler = check(world, footage, config)
    if minutes is not None and num_updates is not None:
        raise ValueError("a budget wants minutes or num_updates, got both.")
    budget = Budget(num_updates, None if num_updates is not None else 60 * (10.0 if minutes is None else minutes))
    if (num_updates if num_updates is not None else budget.seconds or 0) <= 0:
        raise ValueError(f"a budget wants more than nothing, got {minutes} minutes and {num_updates} updates.")
    out = Path(out)
    spec = {
        "world": world.card["weights"]["sha256"],
        "footage": footage.digest(),
        "config": asdict(config),
        "seed": seed,
    }
    if init is not None:
        spec["init"] = digest_of(init)
    _claim(out, spec, resume)
    train, held = (load_columns(footage, part) for part in split_episodes(footage, seed=seed))
    stage, state, policy = _stage(world, train, held, config, sampler, budget, seed)
    if init is not None:
        state = _go_on(init, state, policy)
    trained = run_stage(stage, state, out / "actor", seed=seed, log=_log(out), on_progress=on_progress)
    card = {
        "game": world.card["game"],
        "title": world.card["title"],
        "action_spec": world.card["action_spec"],
        "size": world.card["size"],
        "fps": world.card["fps"],
        "footage": world.card["footage"],
        "config": config_of(policy, read_configs(world.card["config"]).tokenizer),
        "world": {"name": world.card["name"], "weights": world.card["weights"]["sha256"]},
        "recording": {
            "digest": footage.digest(),
            "policy": footage.meta.recorder.get("policy", "unknown"),
            "return": float(np.mean([e.return_ for e in footage.episodes])),
        },
        "real_steps": footage.num_frames - len(footage) if real_steps is None else real_steps,
        "training": {"minutes": round(trained.seconds / 60, 2), "seed": seed, **asdict(config)},
    }
    tokenizer = jax.tree.map(lambda x: np.asarray(x, np.float32), world.params["tokenizer"])
    return save_agent(Agent(card, {"actor": trained.params, "tokenizer": tokenizer}), out / "agent")


def check(world: World, footage: Footage, config: AgentConfig) -> Sampler:
    """Refuse before anything is trained."""
    card, meta = world.card, footage.meta
    check_drivable(world.action_spec)
    for name, came in (("game", meta.game), ("size", list(meta.size)), ("fps", meta.fps)):
        if card[name] != came:
            raise ValueError(f"{footage.path} is of another {name} than the world: wanted {card[name]}, got {came}.")
    if meta.action_spec != world.action_spec:
        raise ValueError(f"{footage.path} has other controls than the world.")
    if not any(episode.return_ for episode in footage.episodes) and not any(e.terminated for e in footage.episodes):
        raise ValueError(f"{footage.path} shows no reward and no end of a game: there is nothing to learn from.")
    steps = config.num_denoise_steps or card["config"]["sampler"]["num_denoise_steps"]
    levels = card["config"]["dynamics"]["num_levels"]
    if levels % steps:
        raise ValueError(f"num_denoise_steps wants a power of two in 1..{levels}, got {steps}.")
    if config.max_uncertainty is not None and steps < 2:
        raise ValueError("max_uncertainty wants a world of two denoising steps or more: one says nothing of it.")
    return Sampler(steps, config.noise_scale)


def _claim(out: Path, spec: dict[str, Any], resume: bool) -> None:
    file, text = out / "agent_run.json", json.dumps(spec, indent=1, sort_keys=True)
    if file.is_file() and not resume:
        raise FileExistsError(f"{out} holds a run; go on with it by --resume, or choose another folder.")
    if file.is_file() and file.read_text(encoding="utf-8") != text:
        raise ValueError(f"{out} holds a run of other settings, world or footage; choose another folder.")
    out.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def _stage(
    world: World, train: Columns, held: Columns, config: AgentConfig, sampler: Sampler, budget: Budget, seed: int
) -> tuple[Stage, TrainState, PolicyConfig]:
    configs = read_configs(world.card["config"])
    graphs = build_graphs(configs, world.params)
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), world.params)
    latents = encode_footage(merge(graphs.tokenizer, params["tokenizer"]), train, held, keep_statistics=True)
    dynamics = configs.dynamics
    policy = PolicyConfig(
        num_latents=dynamics.num_latents,
        token_dim=dynamics.token_dim,
        choice_sizes=dynamics.choice_sizes,
        num_buttons=dynamics.num_buttons,
        width=config.width,
    )
    graph, start = split(ActorCritic(policy, rngs=nnx.Rngs(seed)))
    optimizer = make_optimizer()
    state = TrainState(start, jax.tree.map(jnp.copy, start), optimizer.init(start))
    windows = Windows(train, config.context + config.horizon, min_real=config.context + 1)
    order = ShuffledIndex(len(windows), config.batch_size, seed)
    source = jnp.asarray(latents.train)

    def draw_windows(i: int) -> Any:
        ids, rng = order.at(i), np.random.default_rng([seed, i, 3])
        latest = rng.integers(int((1 - RECENT) * len(windows)), len(windows), len(ids))
        return windows.batch(np.where(rng.random(len(ids)) < config.recent_share, latest, ids), obs=source)

    update = make_update(graph, graphs, params, config, sampler)

    def step(state: TrainState, batch: Any, key: Any, rate: Any, bootstrap: bool = False):
        return update(state, batch, key, rate, dreams=bootstrap)

    def judge(params: Any, step: int) -> tuple[float, str]:
        return float(step), ""  # the latest is kept: a dream's own verdict is what gets exploited

    stage = Stage(
        "agent",
        StageConfig(batch_size=config.batch_size, learning_rate=config.learning_rate, warmup=0.02, decay=0.3),
        budget,
        config.batch_size * config.horizon,
        step,
        draw_windows,
        judge,
        bootstrap_from=config.clone_share,
    )
    return stage, state, policy


def _go_on(init: Agent, state: TrainState, policy: PolicyConfig) -> TrainState:
    """Take the weights of an earlier agent, with a fresh optimizer.

    Raises:
        ValueError: it is of another shape.
    """
    came, wanted = json.loads(json.dumps([init.card["config"]["actor"], asdict(policy)]))  # lists, from disk or not
    if came != wanted:
        differ = ", ".join(
            f"{name} {wanted[name]} got {came.get(name)}" for name in wanted if came.get(name) != wanted[name]
        )
        raise ValueError(f"the agent to go on from is of another shape: wanted {differ}.")
    params = jax.tree.map(jnp.asarray, init.params["actor"])
    return TrainState(params, jax.tree.map(jnp.copy, params), make_optimizer().init(params))


def make_optimizer() -> optax.GradientTransformation:
    """Adam at rate one, after clipping; the step scales the update by the schedule's rate."""
    return optax.chain(optax.clip_by_global_norm(10.0), optax.adam(1.0, eps=1e-5))


def make_update(graph: nnx.GraphDef, graphs: Any, world: Any, config: AgentConfig, sampler: Sampler) -> Callable:
    """Compile `update(state, batch, key, rate, dreams) -> (state, scalars)`."""
    optimizer, first = make_optimizer(), config.context
    weights = Weights(gamma=config.gamma, lam=config.lam, entropy=config.entropy)

    def update(state: TrainState, batch: Batch, key: Any, rate: Any, world: Any, dreams: bool):
        actor, slow = merge(graph, state.params), merge(graph, state.ema)
        if dreams:
            path = imagine(
                bind(graphs, world),
                actor,
                batch.obs[:, :first],
                batch.prev_action[:, :first],
                key,
                config.horizon,
                sampler,
                config.max_uncertainty,
            )
        else:
            alive, mask = 1.0 - batch.terminated.astype(jnp.float32), batch.mask.astype(jnp.float32)
            path = Trajectory(batch.obs, batch.prev_action, batch.reward, alive, mask)
        kind = config.objective if dreams else "clone"

        def loss(params):
            return actor_critic_loss(merge(graph, params), slow, path, first, kind, weights)

        (value, scalars), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
        change, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = jax.tree.map(lambda p, c: p + rate * c, state.params, change)
        average = jax.tree.map(lambda e, p: config.slow * e + (1 - config.slow) * p, state.ema, params)
        return TrainState(params, average, opt_state), scalars | {"loss": value}

    compiled = jax.jit(update, static_argnames="dreams", donate_argnums=0)
    return lambda state, batch, key, rate, dreams: compiled(state, batch, key, rate, world, dreams=dreams)


def _log(out: Path) -> Callable[[int, dict[str, float]], None]:
    def log(step: int, scalars: dict[str, float]) -> None:
        with (out / "scalars.jsonl").open("a", encoding="utf-8") as file:
            print(json.dumps({"step": step, **scalars}), file=file)

    return log
