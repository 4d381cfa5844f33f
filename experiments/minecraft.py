"""What a world knows of a 3D block game: fidelity, digging, prompts, and what `luanti_scenes` asks of it.

    python experiments/train_worlds.py minecraft --runs runs --quick    # first: records and trains
    python experiments/minecraft.py --runs runs --ship

- dig: a classifier of (frame before, frame after) at the crosshair learns from recorded frames whether a block has
  gone; asked of the dream in its place it gives precision and recall against what happened in the game. Its own on
  held-out recorded frames are the ceiling.
- prompts, from nothing, without a frame: the share that a classifier of recorded frames of several games takes for
  this one, and how often one of all frames that the world learned from finds the biome and the time of day that were
  asked for. Dusk and dawn have the same light, so that even a perfect judge of them guesses.

Writes experiments/results/minecraft.json.
"""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import jax
import numpy as np
from classify import fit_classifier
from luanti_scenes import ask_scenes
from train_worlds import trained, write_bundle

import worldsim
from worldsim.cli.console import Counter
from worldsim.data.dataset import Columns, load_columns
from worldsim.data.store import Footage
from worldsim.evaluate import EvalOptions, bench, evaluate, hardware
from worldsim.evaluate.metrics.inverse import balanced_accuracy
from worldsim.evaluate.reference import held_out_columns
from worldsim.evaluate.trial import CONTEXT, draw_windows, rollout
from worldsim.initial import InitialContext

TRAINING = "python experiments/train_worlds.py minecraft"
QUESTIONS = ("fidelity", "control", "outcome", "speed", "dig", "game", "words", "look", "late", "away", "away_slow")
RESULTS = Path(__file__).parent / "results" / "minecraft.json"
DIG_FRAMES, LATE, DIG_CROP, STILL = 10, 2, 24, 2.0  # frames dreamed and waited, pixels at the crosshair, degrees
AFTER, LEAST_FRAMES = 8, 500  # frames after the first from nothing; recorded frames of a label that is asked for
OTHERS = ("jump", "pong", "breakout", "doom-takecover")


def dig_windows(columns: Columns, names: tuple[str, ...], spec: Any, num: int, seed: int) -> tuple[Any, Any]:
    """Rows of windows in which the dig key is held and the camera stands still, as many with a block dug as without.

    The server tells of a block up to LATE frames after it has gone from the picture: what cannot be told is left out.
    """
    assert columns.state is not None
    end = CONTEXT + DIG_FRAMES
    rows = draw_windows(columns, end + LATE, len(columns.obs), seed)
    state = columns.state[rows]
    angles = state[:, CONTEXT - 1 : end][..., [names.index("yaw"), names.index("pitch")]]
    turned = np.abs((angles - angles[:, :1] + 180) % 360 - 180).max((1, 2))
    is_held = columns.prev_action[rows[:, CONTEXT:end], spec.column_names.index("dig")].max(1) > 0
    told = state[..., names.index("dug")] > 0
    dug = told[:, CONTEXT + LATE : end].any(1) & ~told[:, CONTEXT - 1 : CONTEXT + LATE].any(1)
    whole = ~told[:, CONTEXT - 1 :].any(1)
    still, rng = (turned <= STILL) & is_held, np.random.default_rng(seed)
    sides = [rng.permutation(np.flatnonzero(still & side)) for side in (dug, whole)]
    count = min(num // 2, *(len(side) for side in sides))
    pick = np.concatenate([side[:count] for side in sides])
    return rows[pick, :end], dug[pick]


def at_crosshair(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The middle of two pictures `[n h w c]`, one behind the other."""
    y, x, half = before.shape[1] // 2, before.shape[2] // 2, DIG_CROP // 2
    return np.concatenate([p[:, y - half : y + half, x - half : x + half] for p in (before, after)], -1)


def precision_recall(truth: np.ndarray, guess: np.ndarray) -> dict[str, float]:
    """Of a yes or no."""
    hits = float((truth & guess).sum())
    return {"precision": hits / max(float(guess.sum()), 1.0), "recall": hits / max(float(truth.sum()), 1.0)}


def measure_dig(sim: Any, names: tuple[str, ...], calibration: Columns, held: Columns, num: int) -> dict[str, Any]:
    """Has the block gone where it has gone?"""
    spec, last = sim.action_spec, CONTEXT + DIG_FRAMES - 1
    rows, dug = dig_windows(calibration, names, spec, 4000, 1)
    crops = at_crosshair(calibration.obs[rows[:, CONTEXT - 1]], calibration.obs[rows[:, last]])
    judge = fit_classifier(crops, dug)
    rows, dug = dig_windows(held, names, spec, num, 2)
    before, after = held.obs[rows[:, CONTEXT - 1]], held.obs[rows[:, last]]
    parts = [
        np.asarray(rollout(sim, held.obs[part[:, :CONTEXT]], held.prev_action[part], jax.random.key(i)).obs)[:, -1]
        for i, part in enumerate(np.array_split(rows, max(1, len(rows) // 32)))
    ]
    films = {"dream": np.concatenate(parts), "real": after, "copy_last": before}
    films["reconstruction"] = np.asarray(sim.reconstruct(after[:, None]))[:, 0]
    result: dict[str, Any] = {"num_windows": len(rows), "num_dug": int(dug.sum())}
    for name, film in films.items():
        found = precision_recall(dug, judge(at_crosshair(before, film)))
        result |= {f"{key}_{name}": value for key, value in found.items()}
    return result


def dream_from_words(sim: worldsim.Simulator, text: str | None, num: int, seed: int) -> np.ndarray:
    """The picture after a few frames of doing nothing, from nothing but words: uint8 [num h w c]."""
    key = jax.random.key(seed)
    state, _ = sim.reset(
        key,
        batch_size=num,
        initial=InitialContext.noise() if text is None else InitialContext.from_text(text, generate=True),
    )
    rows = np.broadcast_to(sim.action_spec.noop, (num, AFTER, sim.action_spec.size)).astype(np.float32)
    return np.asarray(sim.rollout(state, rows)[1].obs[:, -1])


def measure_game(sim: worldsim.Simulator, calibration: Columns, runs: Path, num: int) -> dict[str, Any]:
    """Does a dream without any frame look like this game, to a judge that knows several?"""
    rng, (height, width) = np.random.default_rng(0), sim.size
    frames = [calibration.obs[rng.permutation(len(calibration.obs))[:3000]]]
    for game in OTHERS:
        footage = worldsim.record(game, runs / f"other-{game}", num_frames=1500, policy="random", size=(height, width))
        frames.append(load_columns(footage, range(len(footage))).obs)
    labels = np.repeat(np.arange(len(frames)), [len(x) for x in frames])
    judge = fit_classifier(np.concatenate(frames), labels)
    dreams = dream_from_words(sim, "minecraft" if sim.config.prompt is not None else None, num, 1)
    return {"share_this_game": float((judge(dreams) == 0).mean()), "num_dreams": num, "others": list(OTHERS)}


def measure_words(sim: worldsim.Simulator, footage: Footage, held: Columns, num: int) -> dict[str, Any]:
    """Do dreams show the biome and the time of day that were asked for?"""
    meta, held_out = footage.meta, sim.card.held_out_episodes
    learned = load_columns(footage, [i for i, e in enumerate(footage.episodes) if e.name not in held_out])
    result: dict[str, Any] = {}
    for name in ("biome" if "biome" in meta.attributes else "place", "time"):
        column, words = meta.state_names.index(name), meta.attributes[name]["en"]
        assert learned.state is not None and held.state is not None
        label, other = (x.state[:, column].astype(int) for x in (learned, held))  # type: ignore[index]
        counts = np.bincount(label, minlength=len(words))
        known = [i for i in np.flatnonzero(counts >= LEAST_FRAMES) if words[i] != "unknown"]
        pick = np.flatnonzero(np.isin(label, known))
        judge = fit_classifier(learned.obs[pick], label[pick], num_steps=1500)
        asked = np.flatnonzero(np.isin(other, known))
        asked = np.random.default_rng(0).permutation(asked)[:2000]
        result[f"{name}_accuracy_real"] = balanced_accuracy(other[asked], judge(held.obs[asked]))
        shares, taken_for = {}, {}
        for i in known:
            guess = judge(dream_from_words(sim, f"minecraft, {words[i]}", num, int(i)))
            shares[words[i]] = float((guess == i).mean())
            taken_for[words[i]] = {words[k]: float((guess == k).mean()) for k in known if (guess == k).any()}
        result |= {
            f"{name}_recovered": float(np.mean(list(shares.values()))),
            f"{name}_chance": 1 / len(known),
            f"{name}_by_label": shares,
            f"{name}_taken_for": taken_for,
        }
    return result | {"num_dreams_a_label": num}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", help="name or path of the world; the one in --runs by default")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the footage")
    parser.add_argument("--scenes", type=int, default=32)
    parser.add_argument("--ship", action="store_true", help="write checkpoints/minecraft with these numbers")
    parser.add_argument("--only-scenes", action="store_true", help="ask what wants the running game; keep the rest")
    parser.add_argument("--only-prompts", action="store_true", help="ask what comes of words alone; keep the rest")
    parser.add_argument("--history", default="", help="what was done otherwise than the recipe says, for the card")
    args = parser.parse_args()
    run = args.runs / "world-minecraft"
    sim = worldsim.load(args.world or trained(run))
    footage = Footage.open(args.runs / "footage-minecraft")
    calibration, held, _ = held_out_columns(sim, footage)
    result: dict[str, Any] = json.loads(RESULTS.read_text()) if args.only_scenes or args.only_prompts else {}
    result |= {"command": "python experiments/minecraft.py --runs runs --ship", **hardware()}

    def keep(name: str, found: dict[str, Any]) -> None:
        result[name] = found
        print(name, json.dumps(found), flush=True)
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")

    if not args.only_scenes and not args.only_prompts:
        _ask_offline(sim, footage, calibration, held, keep)
    if not args.only_scenes:
        keep("game", measure_game(sim, calibration, args.runs, 100))
        if sim.config.prompt is not None:
            keep("words", measure_words(sim, footage, held, 48))
    if not args.only_prompts:
        ask_scenes(sim, args.scenes, keep)
    if args.ship:
        metrics = {k: result[k] for k in ("command", *QUESTIONS) if k in result}
        write_bundle("minecraft", sim, footage, run, metrics, f"{TRAINING} --runs runs --quick", args.history)


def _ask_offline(sim: Any, footage: Footage, calibration: Columns, held: Columns, keep: Any) -> None:
    with closing(Counter("measurements")) as on_progress:
        found = evaluate(sim, footage, EvalOptions(num_windows=48, quick=True), on_progress=on_progress)
    for name in ("fidelity", "control", "outcome"):
        keep(name, found[name])
    keep("speed", bench(sim))
    keep("dig", measure_dig(sim, footage.meta.state_names, calibration, held, 512))


if __name__ == "__main__":
    main()
