"""Hashes of dreams and of small trainings, to see at once whether a change of the code changes what comes out.

    python experiments/goldens.py --check          # compares with results/goldens.json; fails where bits differ
    python experiments/goldens.py                  # writes it anew, after a change that is meant
    python experiments/goldens.py --only jump one  # some of them

Dreams: 32 frames of two worlds each, of every shipped world, and `minecraft` from two texts. Trainings: 200 steps on
synthetic games, of one game, of captions with a first-frame model, of a camera, and of several games with one camera;
what is hashed are the parameters, without their names. The trainings sum the squares of the gradient's global norm in
order of size, so that names of parameters, which order the leaves of a tree, do not decide its last bit. Hashes are of
one machine: another processor may round otherwise. Two idle cores take about ten minutes, most of it compilation.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

sys.path.insert(0, str(Path(__file__).parents[1]))

import worldsim
from tests.sphere import sphere_footage
from tests.worlds import RECIPE, bar_footage, land_footage
from worldsim.initial import InitialContext
from worldsim.model.camera.geometry import CameraConfig
from worldsim.train import StageConfig

RESULTS = Path(__file__).parent / "results" / "goldens.json"
WORLDS = ("snake", "jump", "pong", "minecraft")


def digest(x: Any) -> str:
    """A hash of an array's shape, dtype and bits."""
    x = np.ascontiguousarray(np.asarray(x))
    return hashlib.sha256(str((x.shape, str(x.dtype))).encode() + x.tobytes()).hexdigest()[:16]


def dream(name: str) -> dict[str, str]:
    """Hashes of what a shipped world dreams from its first two contexts."""
    sim = worldsim.load(name)
    obs, actions = (sim.world.initial_contexts[key][:2] for key in ("obs", "prev_action"))
    state, _ = sim.reset(jax.random.key(0), initial=InitialContext.frames(obs, actions))
    _, outs = sim.rollout(state, sim.action_spec.sample(np.random.default_rng(0), (2, 32)))
    return {key: digest(getattr(outs, key)) for key in ("obs", "reward", "terminated", "uncertainty")}


def dream_from_text() -> dict[str, str]:
    """Hashes of `minecraft` from two texts: the first frames, and eight frames after them."""
    sim = worldsim.load("minecraft")
    initial = InitialContext.from_text(["snow at noon", "desert at night"])
    state, obs = sim.reset(jax.random.key(0), initial=initial)
    _, outs = sim.rollout(state, sim.action_spec.sample(np.random.default_rng(1), (2, 8)))
    return {"obs": digest(obs), "rollout": digest(outs.obs)}


def train(footages: tuple[Callable[[Path], Any], ...], recipe: worldsim.Recipe) -> dict[str, str]:
    """One hash of the sorted hashes of the parameters after 200 steps."""
    with tempfile.TemporaryDirectory() as folder:
        data = [make(Path(folder) / f"footage-{i}").path for i, make in enumerate(footages)]
        world = worldsim.fit(data, Path(folder) / "run", preset=recipe, num_train_steps=200)
    leaves = sorted(digest(x) for x in jax.tree.leaves(world.params))
    return {"params": hashlib.sha256("\n".join(leaves).encode()).hexdigest()[:16], "arrays": str(len(leaves))}


ONE = replace(RECIPE, self_generated_fraction=0.25, bootstrap_start=0.25)
TEXT = replace(
    RECIPE,
    first_frame=replace(RECIPE.dynamics, width=32, num_layers=1, num_local=0, local_width=8),
    first_frame_stage=StageConfig(batch_size=16),
    first_frame_fraction=0.3,
)
CAMERA = replace(
    RECIPE,
    dynamics=replace(RECIPE.dynamics, predicts_variance=True),
    camera=CameraConfig(flow_width=16),
    num_denoise_steps=1,
    refresh_count=1,
)
SEVERAL = replace(
    RECIPE,
    tokenizer=replace(RECIPE.tokenizer, num_layers=(0, 0), num_local=1),
    tokenizer_fraction=0.5,
    flow_fraction=0.1,
    num_denoise_steps=2,
    bootstrap_start=0.5,
)
GOLDENS: dict[str, Callable[[], dict[str, str]]] = {
    **{name: partial(dream, name) for name in WORLDS},
    "minecraft from text": dream_from_text,
    "one": partial(train, (bar_footage,), ONE),
    "first-frame": partial(train, (land_footage,), TEXT),
    "camera": partial(train, (sphere_footage,), CAMERA),
    "several": partial(train, (bar_footage, sphere_footage), SEVERAL),
}


def clip_by_sorted_norm(max_norm: float) -> optax.GradientTransformation:
    """As `optax.clip_by_global_norm`, but the order of the leaves does not matter."""

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        parts = jnp.sort(jnp.stack([jnp.sum(jnp.square(x)) for x in jax.tree.leaves(updates)]))
        norm = jnp.sqrt(jnp.sum(parts))
        scale = jnp.where(norm < max_norm, 1.0, max_norm / norm)
        return jax.tree.map(lambda g: g * scale, updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--only", nargs="+", choices=GOLDENS, default=list(GOLDENS))
    args = parser.parse_args()
    jax.config.update("jax_numpy_rank_promotion", "raise")
    optax.clip_by_global_norm = clip_by_sorted_norm
    kept = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    differ = []
    for name in args.only:
        found = GOLDENS[name]()
        is_same = kept.get(name) == found
        print(f"{name}: {'the same bits' if is_same else 'other bits'}", flush=True)
        differ += [] if is_same else [name]
        if not args.check:
            kept[name] = found
            RESULTS.write_text(json.dumps({"command": "python experiments/goldens.py", **kept}, indent=1) + "\n")
    if args.check and differ:
        sys.exit(f"{', '.join(differ)} came out otherwise than before")


if __name__ == "__main__":
    main()
