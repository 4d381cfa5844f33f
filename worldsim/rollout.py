"""Dream a video: find the context that it starts from, find the actions, step the world."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, UInt8

import worldsim
from worldsim.agent import load_policy, plan_policy
from worldsim.controls import ActionSpec
from worldsim.initial import InitialContext, read_clip
from worldsim.places import as_path
from worldsim.play.frames import decode_picture
from worldsim.recording.policies import AGENT
from worldsim.simulator import Simulator
from worldsim.types import CONTEXT
from worldsim.video import read_prompt
from worldsim.world import parse_prompt

STILL = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_MAX_PICTURE = 64 << 20, 32_000_000  # bytes, pixels
MAX_NAME = 1024  # characters of a path
HOLD = 4  # frames that a random action is held
PLAN = "plan"  # what names the planner where actions are named

StepPolicy = Callable[[int, Any, Any, Any], Any]
"""Gives the action row of step i from the state, the present frame and the row that led to it."""


class Dream(NamedTuple):
    """A dreamed video, beside the recorded one where there is any."""

    obs: UInt8[np.ndarray, "t h w c"]
    real: UInt8[np.ndarray, "t h w c"] | None
    fps: float
    seconds: float
    begins: str  # with what: "recorded" frames, "generated" ones, or a "saved" state


def dream(
    world: str,
    *,
    num_frames: int,
    prompt: str | None = None,
    actions: str = "random",
    seed: int = 0,
    real: Path | None = None,
    num_denoise_steps: int | None = None,
    from_state: Path | None = None,
    save_state: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Dream:
    """Dream a video of `num_frames` frames.

    Args:
        world: its path, name or prompt.
        num_frames: frames of the video, the last one of its context included.
        prompt: where to start, as `find_initial` reads it.
        actions: random, noop, plan (`worldsim.agent.plan`), agent:PATH or a file of actions.
        seed: of the context, the random actions, and the noise of the dream and of plans.
        real: footage whose clip is dreamed again under its own actions.
        num_denoise_steps: denoising steps a frame; the world's own by default.
        from_state: a file of `Simulator.save_state` to go on from, in place of a prompt.
        save_state: where to write the state after the last frame.
        on_progress: called with frames dreamed and wanted.

    Raises:
        ValueError: frames, prompt, actions, state or footage that do not fit the world.
    """
    _check(num_frames, prompt, actions, real, from_state)
    sim = worldsim.load(world, num_denoise_steps=num_denoise_steps)
    rng = np.random.default_rng(seed)
    if prompt is None and real is None and sim.config.prompt is not None:
        prompt = parse_prompt(world)
    if real is None:
        initial = find_initial(prompt, sim, rng)
        act, seen = _policy(actions, sim, num_frames - (from_state is None), seed, rng), None
    else:
        clip = read_clip(str(real), sim.card, num_frames, rng)
        initial = InitialContext.frames(clip.obs[:CONTEXT], clip.prev_action[:CONTEXT])
        act, seen = _replay(clip.prev_action[CONTEXT:]), clip.obs[CONTEXT - 1 :]
    began = time.perf_counter()
    frames, row = [], np.full(sim.action_spec.size, np.nan, np.float32)
    if from_state is None:
        state, obs = sim.reset(jax.random.key(seed), batch_size=1, initial=initial)
        frames.append(np.asarray(obs[0]))
    else:
        state = sim.load_state(from_state)
    for i in range(num_frames - len(frames)):
        row = act(i, state, frames[-1] if frames else None, row)
        state, out = sim.step(state, row[None])
        frames.append(np.asarray(out.obs[0]))
        if on_progress is not None:
            on_progress(len(frames), num_frames)
    if save_state is not None:
        sim.save_state(state, save_state)
    begins = "saved" if from_state is not None else _beginning(initial, sim)
    return Dream(np.stack(frames), seen, sim.fps, time.perf_counter() - began, begins)


def _beginning(initial: InitialContext, sim: Simulator) -> str:
    if not initial.is_generated:
        return "recorded"
    return "recorded" if isinstance(initial.text, str) and sim.recalls(initial.text) else "generated"


def _check(num_frames: int, prompt: str | None, actions: str, real: Path | None, from_state: Path | None) -> None:
    if num_frames < 1:
        raise ValueError(f"expected at least 1 frame for a dream, got {num_frames}.")
    if real is not None and (prompt is not None or actions != "random" or from_state is not None):
        raise ValueError(
            "--side-by-side takes prompt and actions from its footage; leave out --prompt, --actions and --from-state."
        )
    if from_state is not None and (prompt is not None or actions.startswith(AGENT)):
        raise ValueError("--from-state shows no frame; leave out --prompt and agents.")


def _policy(actions: str, sim: Simulator, count: int, seed: int, rng: np.random.Generator) -> StepPolicy:
    if actions == PLAN:
        planned = plan_policy(sim, jax.random.fold_in(jax.random.key(seed), 1))  # 0 is the stream of the world's noise
        return lambda i, state, frame, row: planned(state)
    if not actions.startswith(AGENT):
        return _replay(find_actions(actions, sim.action_spec, count, rng))
    policy = load_policy(actions.removeprefix(AGENT), sim.action_spec, sim.size, seed)
    return lambda i, state, frame, row: policy(frame, row)


def _replay(rows: Float[np.ndarray, "t a"]) -> StepPolicy:
    return lambda i, state, frame, row: rows[i]


def find_initial(prompt: str | None, sim: Simulator, rng: np.random.Generator) -> InitialContext:
    """Return what --prompt means: None, "nothing" (noise), a picture, a video, a footage folder, or a text.

    A still picture of another size is cut and scaled to the world's.

    Raises:
        ValueError: not a picture, video or footage folder, or one of another size or other controls.
    """
    if prompt is None:
        return InitialContext.recorded()
    if prompt == "nothing":
        return InitialContext.noise()
    exists = len(prompt) < MAX_NAME and Path(prompt).exists()
    if sim.config.prompt is not None and not exists:
        return InitialContext.from_text(prompt)
    if len(prompt) >= MAX_NAME:
        raise ValueError(
            f"expected a picture, a video or a footage folder for a world that reads no text, got {prompt[:40]!r}..."
        )
    if exists and Path(prompt).suffix.lower() in STILL:
        try:
            return InitialContext.frames(decode_picture(Path(prompt).read_bytes(), sim.size, *_MAX_PICTURE)[None])
        except ValueError as error:
            raise ValueError(f"{prompt}: {error}") from error
    if not Path(prompt).is_dir():
        frames = read_prompt(prompt)
        (h, w), (came_h, came_w) = sim.size, frames.shape[1:3]
        if (h, w) != (came_h, came_w):
            raise ValueError(f"expected frames of {h}x{w} (height x width), {prompt} has {came_h}x{came_w}.")
        return InitialContext.frames(frames)
    clip = read_clip(prompt, sim.card, 1, rng)
    return InitialContext.frames(clip.obs, clip.prev_action)


def find_actions(text: str, spec: ActionSpec, count: int, rng: np.random.Generator) -> Float[np.ndarray, "t a"]:
    """Turn --actions into checked rows.

    Raises:
        ValueError: no such file, too few actions in it, or one that the world does not have.
    """
    if text == "noop":
        return np.tile(spec.noop, (count, 1))
    if text == "random":
        return np.repeat(spec.sample(rng, (-(-count // HOLD),)), HOLD, axis=0)[:count]
    path = as_path(text)
    if not path.is_file():
        raise ValueError(f"expected random, noop, plan, agent:PATH or a file for --actions, got {text!r}.")
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if len(lines) < count:
        raise ValueError(f"expected {count} actions in {path}, one a line for each new frame, got {len(lines)}.")
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
        raise ValueError(f"{path}: expected {names} for an action, got {line[:80]!r}.")
    return row
