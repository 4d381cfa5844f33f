"""Scenes that the real game and a dream of it both play: looking around, walking, looking away and back.

- look: the camera turns by LOOK degrees a frame for a few frames; does the dream's picture move the right way? The
  real game does the same from the same moment. `sign_agrees` is a share of the dreams, 0.5 is chance.
- late: the same after a dream has gone on for four seconds of strolling and gazing; and whether the picture grows where
  the player then walks forward, and shrinks where it walks back.
- away: a quarter turn and back. PSNR of the dreamed frame at the return against the game's own, between that of the
  frame a quarter turn away (0) and that of the frame before turning (1). away_slow: as slowly as people turn.
- strips: docs/media/minecraft.png, one frame a second of eight dreams of 20 s, for the eye. Four begin from words, four
  from recorded contexts.

`minecraft.py` asks.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

import worldsim
from worldsim import metrics
from worldsim.evaluate.fitted.motion import shifts
from worldsim.evaluate.trial import CONTEXT, rollout
from worldsim.initial import InitialContext
from worldsim.recording.real import RealGame
from worldsim.video import strip
from worldsim.world import LearnedGame

LOOK, LOOK_FRAMES, PAUSE = 4.0, 4, 4
TURNS = {"right": ("yaw", 1), "left": ("yaw", -1), "down": ("pitch", 1), "up": ("pitch", -1)}
LATE_SECONDS, GLANCE, WALK_FRAMES = 4, 2.0, 8  # of a dream before it is asked; degrees a frame; frames of walking
WALKS = {"forward": 1, "back": -1}  # does the picture grow or shrink?
AWAY = {"away": (15.0, 6), "away_slow": (6.0, 15)}  # degrees a frame, frames
STRIPS = ("meadow", "snow at dusk", "desert at night", "lake", None, None, None, None)  # words, or a recorded context
STRIP_SECONDS = 20
PICTURE = Path(__file__).parents[1] / "docs" / "media" / "minecraft.png"


def stroll(spec: worldsim.controls.ActionSpec, count: int) -> list[np.ndarray]:
    """Actions of a player that looks to one side, walks while it looks back, and so on to the other side."""
    rows, second = [], 15
    for i in range(count):
        row, part = spec.noop.copy(), i // second % 4
        row[spec.column_names.index("yaw")] = GLANCE * (1, -1, -1, 1)[part]
        row[spec.column_names.index("forward")] = part % 2
        rows.append(row)
    return rows


def script(spec: worldsim.controls.ActionSpec, fps: float) -> tuple[np.ndarray, dict[str, int]]:
    """The actions of one scene, and where in them each question begins."""
    names, rows, begins = spec.column_names, [spec.noop] * (CONTEXT + PAUSE), {}

    def hold(count: int, **columns: float) -> None:
        row = spec.noop.copy()
        for column, value in columns.items():
            row[names.index(column)] = value
        rows.extend([row] * count)

    for name, (axis, sign) in TURNS.items():
        begins[name] = len(rows)
        hold(LOOK_FRAMES, **{axis: sign * LOOK})
        hold(PAUSE)
    for name, (degrees, count) in AWAY.items():
        hold(CONTEXT)
        begins[name] = len(rows)
        hold(count, yaw=degrees)
        hold(count, yaw=-degrees)
    late = {name: (LOOK_FRAMES, {axis: sign * LOOK}) for name, (axis, sign) in TURNS.items()}
    for name, (count, columns) in (late | {name: (WALK_FRAMES, {name: 1.0}) for name in WALKS}).items():
        hold(CONTEXT)
        begins[f"late_{name}"] = len(rows)
        rows.extend(stroll(spec, round(LATE_SECONDS * fps)))
        hold(count, **columns)
    return np.stack(rows), begins


def play_scenes(card: LearnedGame, rows: np.ndarray, num_scenes: int, seed: int) -> np.ndarray:
    """Let the real game play the script from many starts: uint8 [scenes t+1 h w c]."""
    scenes = []
    with closing(RealGame(card)) as game:
        for scene in range(num_scenes):
            frames = [game.reset(seed + scene).obs]
            for row in rows:
                game.send_step(row)
                frames.append(game.receive_step().obs)
            scenes.append(np.stack(frames))
    return np.stack(scenes)


def dream_segment(sim: worldsim.Simulator, real: np.ndarray, rows: np.ndarray, begin: int, count: int) -> np.ndarray:
    """Dream `count` frames of every scene from action `begin` on: uint8 [scenes count h w c]."""
    frames = slice(begin + 1 - CONTEXT, begin + 1 + count)
    led = np.concatenate([np.full((1, rows.shape[1]), np.nan, np.float32), rows])[frames]
    actions = np.broadcast_to(led, (len(real), *led.shape)).astype(np.float32)
    return np.asarray(rollout(sim, real[:, frames][:, :CONTEXT], actions, jax.random.key(0)).obs)


def measure_look(sim: worldsim.Simulator, real: np.ndarray, rows: np.ndarray, begins: dict) -> dict[str, Any]:
    """Does the picture move against the camera?"""
    films = {name: segment(sim, real, rows, begins[name], 0, LOOK_FRAMES) for name in TURNS}
    return agreement(films) | {"num_scenes": len(real), "degrees": LOOK * LOOK_FRAMES}


def measure_late(sim: worldsim.Simulator, real: np.ndarray, rows: np.ndarray, begins: dict) -> dict[str, Any]:
    """Does it still, seconds into a dream, and does walking forward move forward?"""
    before = round(LATE_SECONDS * sim.fps)
    films = {name: segment(sim, real, rows, begins[f"late_{name}"], before, LOOK_FRAMES) for name in TURNS}
    result = agreement(films)
    for name, sign in WALKS.items():
        found = segment(sim, real, rows, begins[f"late_{name}"], before, WALK_FRAMES)
        grown = {kind: expansion(film) * sign for kind, film in found.items()}
        walked = grown["real"] > 0  # it may stand before a wall
        result |= {f"{name}_dream": float((grown["dream"][walked] > 0).mean()), f"{name}_num": int(walked.sum())}
    return result | {"num_scenes": len(real), "seconds": LATE_SECONDS}


def segment(
    sim: worldsim.Simulator, real: np.ndarray, rows: np.ndarray, begin: int, skipped: int, count: int
) -> dict[str, np.ndarray]:
    """Frames after `skipped` of a dream, and of the game under the same actions, with the frame before them."""
    dream = dream_segment(sim, real, rows, begin, skipped + count)
    dream = np.concatenate([real[:, begin : begin + 1], dream], 1)
    return {"dream": dream[:, skipped:], "real": real[:, begin + skipped : begin + skipped + count + 1]}


def agreement(films: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    """The fraction of turns, of the dream and of the game, in which the picture moves against the camera."""
    result: dict[str, Any] = {}
    for name, kinds in films.items():
        axis, sign = TURNS[name]
        for kind, film in kinds.items():
            moved = np.sum([shifts(film[:, t], film[:, t + 1]) for t in range(film.shape[1] - 1)], axis=0)
            result[f"{name}_{kind}"] = float(np.mean(moved[:, ("yaw", "pitch").index(axis)] * sign < 0))
    for kind in ("dream", "real"):
        result[f"sign_agrees_{kind}"] = float(np.mean([result[f"{name}_{kind}"] for name in films]))
    return result


def expansion(film: np.ndarray) -> np.ndarray:
    """By how many pixels the halves of pictures `[n t h w c]` move apart, sideways and up and down, in all."""
    rows, columns = (n // 2 for n in film.shape[2:4])
    parts = [(0, film[:, :, :, :columns], film[:, :, :, columns:]), (1, film[:, :, :rows], film[:, :, rows:])]
    grown = np.zeros(len(film))
    for axis, first, second in parts:
        for t in range(0, film.shape[1] - 2, 2):  # every second frame, so that what is slow moves by a pixel
            one, other = (shifts(part[:, t], part[:, t + 2])[:, axis] for part in (first, second))
            grown += other - one
    return grown


def measure_away(
    sim: worldsim.Simulator, real: np.ndarray, rows: np.ndarray, begin: int, frames: int
) -> dict[str, Any]:
    """Is what was there there again?"""
    back = begin + 2 * frames
    dream = dream_segment(sim, real, rows, begin, 2 * frames)
    films = {"dream": dream[:, -1], "replay": real[:, begin], "unrelated": real[:, begin + frames]}
    films["copy_last_seen"] = np.asarray(sim.reconstruct(real[:, begin][:, None]))[:, 0]
    quality = {name: metrics.psnr(real[:, back], film).astype(np.float64) for name, film in films.items()}
    result = {f"psnr_{name}": float(x.mean()) for name, x in quality.items()}
    span = result["psnr_replay"] - result["psnr_unrelated"]
    spread = (quality["dream"] - quality["unrelated"]).std(ddof=1) / np.sqrt(len(real)) / span
    return result | {
        "score": (result["psnr_dream"] - result["psnr_unrelated"]) / span,
        "score_standard_error": float(spread),
        "num_scenes": len(real),
        "num_frames": frames,
    }


def ask_scenes(sim: worldsim.Simulator, count: int, keep: Callable[[str, dict[str, Any]], None]) -> None:
    """Play the scenes in the game and in dreams; `keep` is given the numbers of each question."""
    rows, begins = script(sim.action_spec, sim.fps)
    real = play_scenes(sim.card, rows, count, seed=50_000)
    keep("look", measure_look(sim, real, rows, begins))
    keep("late", measure_late(sim, real, rows, begins))
    for name, (_, frames) in AWAY.items():
        keep(name, measure_away(sim, real, rows, begins[name], frames))
    write_strips(sim, PICTURE)


def write_strips(sim: worldsim.Simulator, path: Path) -> None:
    """Write one frame a second of each of STRIPS, under a player that strolls."""
    count = round(STRIP_SECONDS * sim.fps)
    actions = np.stack(stroll(sim.action_spec, count))[None]
    strips = []
    for i, text in enumerate(STRIPS):
        initial = InitialContext.recorded() if text is None else InitialContext.from_text(text)
        state, obs = sim.reset(jax.random.key(i), batch_size=1, initial=initial)
        film = np.concatenate([np.asarray(obs)[:, None], np.asarray(sim.rollout(state, actions)[1].obs)], 1)
        strips.append(film[0, :: round(sim.fps)])
    Image.fromarray(strip([np.stack(strips)], num_clips=len(strips), num_columns=STRIP_SECONDS + 1, zoom=1)).save(path)
