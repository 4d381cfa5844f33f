"""One dream for `worldsim rollout`: find the start, find the actions, step the world."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, UInt8

import worldsim
from worldsim.agent import pilot_of
from worldsim.checkpoint import words_of
from worldsim.data.policies import AGENT
from worldsim.data.store import Footage
from worldsim.play.picture import decode
from worldsim.types import ActionSpec
from worldsim.video import read_prompt

CONTEXT_LEN = 8  # recorded frames that a dream sees before it goes on alone
STILL, MAX_PICTURE_BYTES = (".png", ".jpg", ".jpeg", ".webp", ".bmp"), 64 << 20
MAX_NAME = 1024  # characters of a path
HOLD = 4  # frames that a random action is held


class Dream(NamedTuple):
    """What a dream looked like."""

    obs: UInt8[np.ndarray, "t h w c"]
    real: UInt8[np.ndarray, "t h w c"] | None
    fps: float
    seconds: float


class Start(NamedTuple):
    """Frames to begin with, how they came about, and what was done and seen after them."""

    prompt: Any  # uint8 [t h w c], "nothing" or None
    prompt_actions: Any  # float32 [t a] or None
    next_actions: Any = None  # float32 [t a] that was done next, where it is known
    next_obs: Any = None  # uint8 [t h w c] that was seen next


def dream(
    world: str,
    *,
    num_frames: int,
    prompt: str | None = None,
    actions: str = "random",
    seed: int = 0,
    real: Path | None = None,
    num_denoise_steps: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Dream:
    """Dream `num_frames` frames; `real` is footage whose clip is dreamt again under its own actions.

    Raises:
        ValueError: frames, prompt, actions or footage that do not fit the world.
    """
    if num_frames < 1:
        raise ValueError(f"a dream wants at least 1 frame, got {num_frames}.")
    if real is not None and (prompt is not None or actions != "random"):
        raise ValueError("--side-by-side takes prompt and actions from its footage; leave out --prompt and --actions.")
    sim = worldsim.load(world, num_denoise_steps=num_denoise_steps)
    if prompt is None and real is None and sim.config.prompt is not None:
        prompt = words_of(world)
    rng = np.random.default_rng(seed)
    start = find_start(prompt if real is None else str(real), sim, 1 if real is None else num_frames, rng)
    rows = start.next_actions if real is not None else None
    act = _player(actions, sim, num_frames - 1, seed, rng) if rows is None else lambda i, frame, row: rows[i]
    num_steps = num_frames - 1 if rows is None else min(len(rows), num_frames - 1)
    began = time.perf_counter()
    state, obs = sim.reset(jax.random.key(seed), batch_size=1, prompt=start.prompt, prompt_actions=start.prompt_actions)
    frames = [np.asarray(obs[0])]
    row = np.full(sim.action_spec.size, np.nan, np.float32)
    for i in range(num_steps):
        row = act(i, frames[-1], row)
        state, out = sim.step(state, row[None])
        frames.append(np.asarray(out.obs[0]))
        if on_progress is not None:
            on_progress(i + 2, num_frames)
    seen = None if real is None else np.concatenate([start.prompt[-1:], start.next_obs])[:num_frames]
    return Dream(np.stack(frames), seen, sim.fps, time.perf_counter() - began)


def _player(actions: str, sim: Any, count: int, seed: int, rng: np.random.Generator) -> Callable[..., Any]:
    """What gives the row of step i for the present frame and the row that led to it."""
    if actions.startswith(AGENT):
        pilot = pilot_of(actions.removeprefix(AGENT), sim.action_spec, sim.size, seed)
        return lambda i, frame, row: pilot(frame, row)
    rows = find_actions(actions, sim.action_spec, count, rng)
    return lambda i, frame, row: rows[i]


def find_start(prompt: str | None, sim: Any, num_frames: int, rng: np.random.Generator) -> Start:
    """Turn --prompt into frames that fit the world. A still picture of another size is cut and scaled to it.

    Raises:
        ValueError: not a picture, video or footage folder, or one of another size or other controls.
    """
    if prompt is None or prompt == "nothing":
        return Start(prompt, None)
    exists = len(prompt) < MAX_NAME and Path(prompt).exists()
    if sim.config.prompt is not None and not exists:
        return Start(prompt, None)  # words
    if len(prompt) >= MAX_NAME:
        raise ValueError(f"this world reads no words, and {prompt[:40]!r}... is too long for a file.")
    if exists and Path(prompt).suffix.lower() in STILL:
        try:
            return Start(decode(Path(prompt).read_bytes(), sim.size, MAX_PICTURE_BYTES)[None], None)
        except ValueError as error:
            raise ValueError(f"{prompt}: {error}") from error
    if not Path(prompt).is_dir():
        frames = read_prompt(prompt)
        check_size(frames.shape[1:3], sim.size, prompt)
        return Start(frames, None)
    footage = Footage.open(prompt)
    check_size(footage.meta.size, sim.size, prompt)
    if footage.meta.action_spec != sim.action_spec:
        wanted, came = sim.action_spec.to_json(), footage.meta.action_spec.to_json()
        raise ValueError(
            f"{prompt} has other controls than the world: wanted {str(wanted)[:150]}, got {str(came)[:150]}."
        )
    return _clip(footage, held_out(footage, sim.card), num_frames, rng)


def check_size(size: tuple[int, ...], wanted: tuple[int, int], name: str) -> None:
    """Refuse frames of another size than the world's."""
    if tuple(size) != tuple(wanted):
        raise ValueError(
            f"this world wants frames of {wanted[0]}x{wanted[1]} (height x width), {name} has {size[0]}x{size[1]}."
        )


def held_out(footage: Footage, card: dict[str, Any]) -> list[int]:
    """The episodes that the world did not train on, so that nobody admires a memory."""
    if card["footage"].get("digest") == footage.digest():
        names = card["training"].get("held_out_episodes", ())
        return [i for i, episode in enumerate(footage.episodes) if episode.name in names]
    return list(range(len(footage)))


def _clip(footage: Footage, ids: list[int], num_frames: int, rng: np.random.Generator) -> Start:
    length = CONTEXT_LEN + num_frames - 1
    fits = [i for i in ids if footage.episodes[i].length >= length]
    if not fits:
        longest = max((footage.episodes[i].length for i in ids), default=0)
        raise ValueError(
            f"a clip of {CONTEXT_LEN} + {num_frames - 1} frames fits into no held-out episode of {footage.path}: "
            f"the longest has {longest}. Ask for fewer --frames."
        )
    episode = footage.read(int(rng.choice(fits)))
    first = int(rng.integers(len(episode.obs) - length + 1))
    unknown = np.full((1, episode.action.shape[1]), np.nan, np.float32)
    arrival = np.concatenate([unknown, episode.action])[first : first + length]
    obs = episode.obs[first : first + length]
    return Start(obs[:CONTEXT_LEN], arrival[:CONTEXT_LEN], arrival[CONTEXT_LEN:], obs[CONTEXT_LEN:])


def find_actions(text: str, spec: ActionSpec, count: int, rng: np.random.Generator) -> Float[np.ndarray, "t a"]:
    """Turn --actions into checked rows.

    Raises:
        ValueError: no such file, too few actions in it, or one that the world does not have.
    """
    if text == "noop":
        return np.tile(spec.noop, (count, 1))
    if text == "random":
        return np.repeat(spec.sample(rng, (-(-count // HOLD),)), HOLD, axis=0)[:count]
    path = Path(text)
    if not path.is_file():
        raise ValueError(f"--actions wants random, noop, agent:PATH or a file, got {text!r}.")
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if len(lines) < count:
        raise ValueError(f"{path} wants {count} actions, one a line for each frame after the first, has {len(lines)}.")
    return spec.rows(np.stack([_row(line, spec, path) for line in lines[:count]]), batch_shape=(count,))


def _row(line: str, spec: ActionSpec, path: Path) -> Float[np.ndarray, " a"]:
    labels = spec.choices[0].labels if spec.is_discrete else ()
    if line in labels:
        return np.array([labels.index(line)], np.float32)
    try:
        row = np.array([float(x) for x in line.replace(",", " ").split()], np.float32)
    except ValueError:
        row = np.zeros(0, np.float32)
    if len(row) != spec.size:
        names = f"one of {', '.join(labels)}, or {spec.size} number" if labels else f"{spec.size} numbers"
        raise ValueError(f"{path}: an action wants {names}, got {line[:80]!r}.")
    return row
