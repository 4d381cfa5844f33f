"""Train an agent of a world: first by cloning the recording's actions, then by imagined rollouts.

Every step takes windows of recorded latents. While cloning, the policy learns the recording's actions and the critic
its returns. After that, a window's first frames fill the states of world and policy, and the policy learns from the
rollout that they imagine from there. The resulting weights are a moving average, which is the slow critic too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import PRNGKeyArray, PyTree

from worldsim import backend, schema
from worldsim.agent.bundle import Agent, AgentCard, configs_of, digest_of, save_agent
from worldsim.agent.config import AGENT, RECENT, AgentConfig
from worldsim.agent.imagine import imagine
from worldsim.agent.objective import Trajectory, Weights, actor_critic_loss
from worldsim.agent.policy import ActorCritic, PolicyConfig
from worldsim.claim import claim, hold
from worldsim.data.dataset import Columns, ShuffledIndex, Windows, load_columns, split_episodes
from worldsim.data.store import Footage
from worldsim.model.generate import Sampler, bind
from worldsim.model.modules import Graphs, build_graphs, count_params, read_configs
from worldsim.nn.params import merge, split
from worldsim.places import as_path
from worldsim.train.loop import Budget, Progress, Stage, run_stage
from worldsim.train.optimizer import Fixed, Loss, TrainState, init_state, make_step
from worldsim.train.recipes import StageConfig
from worldsim.train.stages.tokenizer import encode_footage
from worldsim.types import Batch
from worldsim.world import World, check_same_game, load_world


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
    on_progress: Callable[[Progress], None] | None = None,
) -> Agent:
    """Train an agent in a world's dreams and write it to `out/agent`; the real game is not played.

    Args:
        world: a bundle, its path, name or prompt.
        data: footage of the world's game, whose frames imagined rollouts continue.
        out: the run folder.
        config: how the agent learns.
        minutes: training time; 10 by default. Exclusive with `num_updates`.
        num_updates: steps of training.
        seed: of weights, noise and data order.
        resume: go on from the checkpoints in `out`.
        init: an agent of the same world, or of one that it went on from, to go on from.
        on_progress: called now and then with a `Progress`.

    Raises:
        ValueError: bad settings, or footage of another game or without outcome.
        FileExistsError: `out` holds a run and `resume` is off.
        FloatingPointError: training diverged.
    """
    backend.prepare()
    world = world if isinstance(world, World) else load_world(world, count_params=count_params)
    footage = Footage.open(data)
    sampler = check(world, footage, config)
    if minutes is not None and num_updates is not None:
        raise ValueError("expected minutes or num_updates for a budget, got both.")
    budget = Budget(num_updates, None if num_updates is not None else 60 * (10.0 if minutes is None else minutes))
    if (num_updates if num_updates is not None else budget.seconds or 0) <= 0:
        raise ValueError(f"expected a budget above 0, got {minutes} minutes and {num_updates} updates.")
    out = as_path(out)
    spec = {"world": world.card.weights.sha256, "footage": footage.digest(), "config": asdict(config), "seed": seed}
    if init is not None:
        spec["init"] = digest_of(init)
    train, held = (load_columns(footage, part) for part in split_episodes(footage, seed=seed))
    stage, state, policy = _stage(world, train, held, config, sampler, budget, seed)
    if init is not None:
        state = _go_on(init, state, policy)
    with hold(out, "training in"):
        claim(out, spec, resume, file="agent_run.json", is_shared=True)
        trained = run_stage(stage, state, out / "actor", seed=seed, log=_log(out), on_progress=on_progress)
    training = {"minutes": round(trained.seconds / 60, 2), "seed": seed, **asdict(config)}
    card = _card(world, footage, policy, training)
    tokenizer = jax.tree.map(lambda x: np.asarray(x, np.float32), world.params["tokenizer"])
    return save_agent(Agent(card, {"actor": trained.params, "tokenizer": tokenizer}), out / "agent")


def _card(world: World, footage: Footage, policy: PolicyConfig, training: dict[str, object]) -> AgentCard:
    return AgentCard(
        game=world.card.game,
        title=world.card.title,
        action_spec=world.action_spec,
        size=world.card.size,
        fps=world.card.fps,
        footage=world.card.footage,
        config=schema.to_json({"actor": policy, "tokenizer": read_configs(world.card.config).tokenizer}),
        world={"name": world.card.name, "weights": world.card.weights.sha256},
        recording={
            "digest": footage.digest(),
            "policy": footage.meta.recorder.get("policy", "unknown"),
            "return": float(np.mean([e.return_ for e in footage.episodes])),
        },
        real_steps=footage.num_frames - len(footage),
        training=training,
    )


def check(world: World, footage: Footage, config: AgentConfig) -> Sampler:
    """Return the sampler of the imagined rollouts; refuse what cannot be trained on before anything is trained."""
    check_same_game(world.card, footage.meta, footage.path)
    if not any(episode.return_ for episode in footage.episodes) and not any(e.terminated for e in footage.episodes):
        raise ValueError(f"{footage.path} shows no reward and no end of a game: there is nothing to learn from.")
    steps = config.num_denoise_steps or world.card.sampler.num_denoise_steps
    levels = world.card.config["dynamics"]["num_levels"]
    if levels % steps:
        raise ValueError(f"expected a power of two in 1..{levels} for num_denoise_steps, got {steps}.")
    if config.max_uncertainty is not None and steps < 2:
        raise ValueError("expected two denoising steps or more for max_uncertainty: one gives no uncertainty.")
    return Sampler(steps, config.noise_scale)


def _stage(
    world: World, train: Columns, held: Columns, config: AgentConfig, sampler: Sampler, budget: Budget, seed: int
) -> tuple[Stage, TrainState, PolicyConfig]:
    configs = read_configs(world.card.config)
    graphs = build_graphs(configs, world.params)
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), world.params)
    latents = encode_footage(merge(graphs.tokenizer, params["tokenizer"]), (train, held))
    dynamics, spec = configs.dynamics, world.action_spec
    policy = PolicyConfig(
        num_latents=dynamics.num_latents,
        token_dim=dynamics.token_dim,
        choice_sizes=tuple(len(x.options) for x in spec.choices),
        num_buttons=len(spec.buttons),
        axis_values=tuple(tuple(x.tolist()) for x in spec.values(config.axis_bins)[spec.size - len(spec.axes) :]),
        width=config.width,
    )
    graph, start = split(ActorCritic(policy, rngs=nnx.Rngs(seed)))
    windows = Windows(train, config.context + config.horizon, min_real=config.context + 1)
    order = ShuffledIndex(len(windows), config.batch_size, seed)
    source = jnp.asarray(latents.train)

    def draw_windows(i: int) -> Batch:
        ids, rng = order.at(i), np.random.default_rng([seed, i, 3])
        latest = rng.integers(int((1 - RECENT) * len(windows)), len(windows), len(ids))
        return windows.batch(np.where(rng.random(len(ids)) < config.recent_fraction, latest, ids), obs=source)

    def evaluate(params: PyTree, step: int) -> tuple[float, str]:
        return float(step), ""  # the latest weights are kept: agents exploit what the dream itself says of them

    stage = Stage(
        "agent",
        StageConfig(batch_size=config.batch_size, learning_rate=config.learning_rate, warmup=0.02, decay=0.3),
        budget,
        config.batch_size * config.horizon,
        make_step(agent_loss(graph, graphs, config, sampler), make_optimizer(), ema=config.ema_decay, frozen=params),
        draw_windows,
        evaluate,
        flags=make_phases(config.clone_fraction, budget),
    )
    return stage, init_state(start, make_optimizer()), policy


def make_phases(clone_fraction: float, budget: Budget) -> Callable[[float, int], dict[str, bool]]:
    """Return the flags of a stage that clones for a fraction of its updates, also where the budget is in seconds.

    How many updates fit into seconds depends on the time of an imagined one, which is longer than a cloning one. The
    first two of a process are therefore imagined, and the second, which compiles nothing, is timed.
    """
    calls: list[float] = []

    def flags(progress: float, step: int) -> dict[str, bool]:
        if budget.seconds is None or not clone_fraction:
            return {"imagines": progress >= clone_fraction}
        calls.append(time.monotonic())
        if len(calls) <= 2:
            return {"imagines": True}
        num_left = budget.seconds * (1 - progress) / max(calls[2] - calls[1], 1e-6)
        return {"imagines": step >= clone_fraction * (step + num_left)}

    return flags


def _go_on(init: Agent, state: TrainState, policy: PolicyConfig) -> TrainState:
    """Take the weights of an earlier agent, with a fresh optimizer.

    Raises:
        ValueError: it is of another shape.
    """
    came, wanted = schema.to_json(configs_of(init.card)[0]), schema.to_json(policy)
    if came != wanted:
        differ = ", ".join(
            f"{name} {wanted[name]} got {came.get(name)}" for name in wanted if came.get(name) != wanted[name]
        )
        raise ValueError(f"expected an agent of the same shape to go on from, {differ}.")
    return init_state(jax.tree.map(jnp.asarray, init.params["actor"]), make_optimizer())


def make_optimizer() -> optax.GradientTransformation:
    """Adam at rate one, after clipping; the step scales the update."""
    return optax.chain(optax.clip_by_global_norm(10.0), optax.adam(1.0, eps=1e-5))


def agent_loss(graph: nnx.GraphDef, graphs: Graphs, config: AgentConfig, sampler: Sampler) -> Loss:
    """Return the loss of an actor-critic on windows of latents; `Fixed.frozen` are the parameters of the world.

    With `imagines` it acts in the world from the first frames of the windows on, else it clones the recorded actions.
    """
    first, weights = config.context, Weights(gamma=config.gamma, lam=config.lam, entropy=config.entropy)

    def loss(params: PyTree, batch: Batch, key: PRNGKeyArray, fixed: Fixed, *, imagines: bool):
        if imagines:
            path = imagine(
                bind(graphs, fixed.frozen),
                merge(graph, jax.lax.stop_gradient(params)),
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
        kind = config.objective if imagines else "clone"
        return actor_critic_loss(merge(graph, params), merge(graph, fixed.ema), path, first, kind, weights)

    return loss


def _log(out: Path) -> Callable[[int, dict[str, float]], None]:
    def log(step: int, scalars: dict[str, float]) -> None:
        with (out / "scalars.jsonl").open("a", encoding="utf-8") as file:
            print(json.dumps({"step": step, **scalars}), file=file)

    return log
