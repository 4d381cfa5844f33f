"""A game that can be learned in seconds, footage of it, and a world of random weights."""

import dataclasses
import fcntl
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from worldsim.controls import ActionSpec, discrete
from worldsim.data.store import Footage, FootageMeta, FootageWriter
from worldsim.model.dynamics import DynamicsConfig
from worldsim.model.outcome import OutcomeConfig
from worldsim.model.tokenizer import Tokenizer, TokenizerConfig
from worldsim.nn.params import split
from worldsim.text.prompt import PromptConfig
from worldsim.train import PRESETS, Progress, Recipe, StageConfig, fit
from worldsim.train.games import fill_recipe
from worldsim.train.stages.dynamics import new_dynamics
from worldsim.types import Episode
from worldsim.world import Card, World

SIZE = (16, 16)
SPEC = discrete(("stay", "left", "right"), ((), ("ArrowLeft",), ("ArrowRight",)))
RECIPE: Recipe = dataclasses.replace(
    PRESETS["tiny"],
    tokenizer=TokenizerConfig(width=32, num_layers=(0, 1), head_dim=16, patch=4, latent_channels=4),
    dynamics=DynamicsConfig(width=32, num_layers=2, time_every=2, window=5, head_dim=16),
    outcome=OutcomeConfig(hidden=16),
    tokenizer_stage=StageConfig(batch_size=32),
    dynamics_stage=StageConfig(batch_size=16, ema=0.95),
    tokenizer_fraction=0.25,
    frames=6,
    num_evaluations=2,
    num_denoise_steps=2,
)
CHOOSES: Recipe = dataclasses.replace(RECIPE, num_denoise_steps=None)  # how many steps its worlds denoise in


def bar_episode(rng: np.random.Generator, num_steps: int = 40) -> Episode:
    """A white bar of four columns that the action moves by four pixels, around the edge and in again."""
    action = rng.integers(0, 3, num_steps)
    places = np.cumsum(np.concatenate([[rng.integers(4)], np.array([0, -1, 1])[action]])) % 4
    obs = np.full((num_steps + 1, *SIZE, 3), 30, np.uint8)
    for t, place in enumerate(places):
        obs[t, :, 4 * place : 4 * place + 4] = (200, 220, 240)
    reward = (places[1:] == 0).astype(np.float32)
    end = np.zeros(num_steps, bool)
    return Episode(obs, action[:, None].astype(np.float32), reward, end, np.arange(num_steps) == num_steps - 1)


def bar_footage(path, num_episodes: int = 12) -> Footage:
    """Record the bar game."""
    meta = FootageMeta(
        game="bar",
        title="Bar",
        size=SIZE,
        fps=10.0,
        action_spec=SPEC,
        state_names=(),
        objects={},
        recorder={"seed": 0},
        prompts=("bar",),
    )
    rng = np.random.default_rng(0)
    with FootageWriter(path, meta) as writer:
        for _ in range(num_episodes):
            writer.add(bar_episode(rng))
    return Footage.open(path)


COLOURS = {"desert": (210, 190, 80), "forest": (30, 120, 40), "sea": (20, 60, 200)}
LANDS = {
    "biome": {"en": list(COLOURS), "ko": ["사막", "숲", "바다"]},
    "time": {"en": ["day", "night"], "ko": ["낮", "밤"]},
}


def land_footage(path, num_episodes: int = 24, num_steps: int = 20) -> Footage:
    """Record the bar game in lands of three colours, by day and by night, which the state tells."""
    meta = FootageMeta(
        game="lands",
        title="Lands",
        size=SIZE,
        fps=10.0,
        action_spec=SPEC,
        state_names=tuple(LANDS),
        objects={},
        recorder={"seed": 0},
        prompts=("lands",),
        attributes=LANDS,
    )
    rng = np.random.default_rng(0)
    with FootageWriter(path, meta) as writer:
        for i in range(num_episodes):
            biome, time = i % 3, i // 3 % 2
            episode = bar_episode(rng, num_steps)
            bar = episode.obs[..., :1] > 100
            land = np.array(list(COLOURS.values())[biome]) * (0.3 if time else 1)
            obs = np.where(bar, episode.obs, land.astype(np.uint8))
            state = np.tile(np.float32([biome, time]), (len(obs), 1))
            writer.add(episode._replace(obs=obs, state=state))
    return Footage.open(path)


def once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return a folder that the first of all processes makes; the others wait for it. What fails is made anew."""
    with folder.with_suffix(".lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        if not lock.read():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            lock.write("made")
    return folder


class TrainedBar(NamedTuple):
    """A world that had some seconds to learn the bar game: where it lies, and what `fit` returned and reported."""

    footage: Footage
    run: Path
    world: World
    reports: list[Progress]

    @classmethod
    def read(cls, folder: Path) -> "TrainedBar":
        """Read what `train_bar` wrote."""
        world, reports = pickle.loads((folder / "returned.pickle").read_bytes())
        return cls(Footage.open(folder / "footage"), folder / "bar", world, reports)


def train_bar(folder: Path) -> None:
    """Train a world of the bar game in a folder."""
    reports: list[Progress] = []
    footage = bar_footage(folder / "footage", num_episodes=16)
    world = fit([footage.path], folder / "bar", preset=CHOOSES, num_train_steps=500, on_progress=reports.append)
    (folder / "returned.pickle").write_bytes(pickle.dumps((world, reports)))


def random_world(seed: int = 0, spec: ActionSpec = SPEC, prompt: PromptConfig | None = None) -> World:
    """A bundle that nobody trained."""
    configs = fill_recipe(RECIPE, SIZE, spec, prompt=prompt)
    tokenizer = Tokenizer(configs.tokenizer, rngs=nnx.Rngs(seed))
    dynamics, outcome = new_dynamics(configs, seed)
    modules = {"tokenizer": tokenizer, "dynamics": dynamics, "outcome": outcome}
    episode = bar_episode(np.random.default_rng(seed))
    action = np.concatenate([[[np.nan]], episode.action]).astype(np.float32)
    action = action if spec is SPEC else np.full((len(action), spec.size), np.nan, np.float32)
    contexts = {
        "obs": np.stack([episode.obs[i : i + 4] for i in (0, 8)]),
        "prev_action": np.stack([action[i : i + 4] for i in (0, 8)]),
    }
    card = Card(
        name="bar",
        title="Bar",
        prompts=("bar",),
        game="bar",
        size=SIZE,
        fps=10.0,
        action_spec=spec,
        config={name: dataclasses.asdict(module.config) for name, module in modules.items()},
        licence={"code": "MIT", "weights": "MIT", "assets": "none"},
    )
    params = {name: split(module)[1] for name, module in modules.items()}
    return World(card=card, params=params, initial_contexts=contexts)


def change(world: World, **changes) -> World:
    """The same world under a changed card."""
    return dataclasses.replace(world, card=dataclasses.replace(world.card, **changes))


def equal(a, b) -> bool:
    """Whether two trees have the same bits."""

    def plain(x):
        return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x

    return all(np.array_equal(plain(x), plain(y)) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))
