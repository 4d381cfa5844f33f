"""Render experiments/results/*.json and the cards of the shipped worlds into the tables of README.md.

    python experiments/tables.py            # writes the tables between their markers
    python experiments/tables.py --check    # changes nothing; fails where README.md is out of date

A table stands between `<!-- table: NAME -->` and `<!-- end -->`. What has no results file yet is left out.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
PM = "\N{PLUS-MINUS SIGN}"


class Value(NamedTuple):
    """A number and its spread."""

    mean: float
    sd: float | None = None

    def show(self, digits: int) -> str:
        """Write it with this many digits after the point."""
        spread = "" if self.sd is None else f" {PM} {self.sd:.{digits}f}"
        return f"{self.mean:.{digits}f}{spread}"


Pick = Callable[[dict[str, Any]], Value | str | None]


class Row(NamedTuple):
    """One line of the table of results."""

    what: str
    file: str
    pick: Pick
    at_least: str
    aim: str
    digits: int = 3


def number(*path: str) -> Pick:
    """Pick the number at a path of keys, with the `_sd` beside it."""

    def pick(results: dict[str, Any]) -> Value | None:
        for key in path[:-1]:
            results = results.get(key) or {}
        value = results.get(path[-1])
        return None if value is None else Value(value, results.get(f"{path[-1]}_sd"))

    return pick


def above_copy_last(results: dict[str, Any]) -> Value | None:
    """PSNR over 16 dreamed frames less that of repeating the last context frame; the spread is the dream's."""
    fidelity = results.get("fidelity") or results.get("own_world") or {}
    if fidelity.get("psnr_free_16") is None:
        return None
    return Value(fidelity["psnr_free_16"] - fidelity["psnr_copy_last_16"], fidelity.get("psnr_free_16_sd"))


def paddle_error(results: dict[str, Any]) -> Value | None:
    """Mean distance of both paddles from their true places."""
    objects = results.get("objects") or {}
    pairs = [(objects.get(f"{p}_error_free_32"), objects.get(f"{p}_error_free_32_sd")) for p in ("player", "enemy")]
    if any(value is None for pair in pairs for value in pair):
        return None
    return Value(*(sum(column) / len(pairs) for column in zip(*pairs)))


def latency(setting: str) -> Pick:
    """From a key to the frame that answers it."""

    def pick(results: dict[str, Any]) -> str | None:
        found = results.get(setting)
        return found and f"{found['latency_p50_ms']:.0f} / {found['latency_p95_ms']:.0f}"

    return pick


def long_play(results: dict[str, Any]) -> str | None:
    """What half an hour did to memory and ticks."""
    soak = results.get("soak")
    return soak and f"{100 * soak['memory_growth']:.1f} %; {soak['tick_drift_ms']:.0f} ms in {soak['minutes']:.0f} min"


def worst_way(results: dict[str, Any]) -> str:
    """How far apart the same actions led, over all seeds, and the share of pixels that differed."""
    replays = results["replays"].values()
    pixels = 100 * sum(replay["pixels_differ"] for replay in replays) / len(replays)
    return f"{max(replay['blocks_apart'] for replay in replays):.3f}; {pixels:.1f} % of pixels differ"


def recordings_killed(results: dict[str, Any]) -> str:
    """What 20 kills did to recordings."""
    return f"{results['kills']} kills: {results['episodes_unreadable']} finished episodes lost"


def checkpoints_killed(results: dict[str, Any]) -> str:
    """What 20 kills did to checkpoints."""
    return f"{results['kills']} kills: {results['lost_finished_steps']} finished steps lost"


ROWS = (
    Row("`make demo`, own world: action following", "demo", number("own_world", "action_following"), ".75", ".95"),
    Row("`make demo`, own world: PSNR of 16 dreamed frames above copy-last, dB", "demo", above_copy_last, "2", "4", 2),
    Row("`jump`: tokenizer PSNR, dB", "world_jump", number("fidelity", "psnr_tokenizer"), "36", "40", 2),
    Row("`jump`: action following", "world_jump", number("control", "action_following"), ".95", ".99"),
    Row("`jump`: PSNR of 16 dreamed frames above copy-last, dB", "world_jump", above_copy_last, "", "", 2),
    Row("`jump`: player where the game has it, 32 dreamed frames", "world_jump",
        number("objects", "player_recall_free_32"), ".9", ".98"),
    Row("`pong`: tokenizer PSNR, dB", "world_pong", number("fidelity", "psnr_tokenizer"), "38", "42", 2),
    Row("`pong`: ball recall of reconstructions", "world_pong", number("objects", "ball_recall"), ".99", "1"),
    Row("`pong`: ball recall, 32 dreamed frames", "world_pong", number("objects", "ball_recall_free_32"), ".9", ".99"),
    Row("`pong`: paddle error, 32 dreamed frames, px at 64", "world_pong", paddle_error, "1.0", ".5", 2),
    Row("`pong`: action following", "world_pong", number("control", "action_following"), ".95", ".99"),
    Row("`pong`: PSNR of 16 dreamed frames above copy-last, dB", "world_pong", above_copy_last, "3", "6", 2),
    Row("Craftax-Classic, `tiny`, a fifth of the footage, 20 min of one core: action following", "craftax_cpu",
        number("summary", "action_following"), ".91 (an accelerator)", ""),
    Row("the same: reward, average precision", "craftax_cpu", number("summary", "reward_ap"), ".92", ""),
    Row("the same: termination, average precision", "craftax_cpu", number("summary", "termination_ap"), ".04", ""),
    Row("the same: Frechet distance, frames 1 to 16, 256 windows (real against real: .049)", "craftax_cpu",
        number("summary", "gfvd_16"), ".0016 (2,048 windows)", ""),
    Row("`tiny`, batch 1, frames/s", "speed", number("tiny", "fps_batch_1"), "60", "150", 0),
    Row("`small`, batch 1, frames/s", "speed", number("small", "fps_batch_1"), "20", "56", 0),
    Row("`small`, batch 32, frames/s", "speed", number("small", "fps_batch_32"), "30", "90", 0),
    Row("`small`, batch 32, steps/s that an agent imagines, four denoising steps", "speed",
        number("small", "imagination", "k4", "imagined_steps_batch_32"), "30", "90", 0),
    Row("the same, one denoising step", "speed",
        number("small", "imagination", "k1", "imagined_steps_batch_32"), "30", "90", 0),
    Row("Stable-Baselines3's PPO in the dream of `pong`: return of the first fifth of the episodes", "sb3_ppo",
        number("return_first_fifth"), "", "", 2),
    Row("the same, of the last fifth", "sb3_ppo", number("return_last_fifth"), "", "", 2),
    Row("Luanti at 320x180: frames/s recorded, median of eight seeds", "luanti_recording", number("fps_median"),
        "60", "150", 0),
    Row("the same seed and actions twice: blocks between the ways, at most", "luanti_recording", worst_way, "0", "0"),
    Row("`minecraft`, 75 min of two cores: next frame, PSNR, dB", "minecraft",
        number("fidelity", "psnr_teacher_forced"), "26", "30", 1),
    Row("the same: PSNR of 16 dreamed frames above copy-last, dB", "minecraft", above_copy_last, "2", "4", 2),
    Row("the same: action following", "minecraft", number("control", "action_following"), ".90", ".97"),
    Row("the same: the picture moves against the camera", "minecraft", number("look", "sign_agrees_dream"), ".95",
        ".99"),
    Row("the same: a quarter turn and back, 1 = as the game", "minecraft", number("away", "score"), ".5", ".9", 2),
    Row("the same: a dug block is gone, precision", "minecraft", number("dig", "precision_dream"), ".6", ".9", 2),
    Row("the same: recall", "minecraft", number("dig", "recall_dream"), ".6", ".9", 2),
    Row("the same: biome found in dreams that were asked for it (chance: 1 / number of biomes)", "minecraft",
        number("words", "biome_recovered"), "3x chance", ".9", 2),
    Row("the same: time of day, likewise", "minecraft", number("words", "time_recovered"), "3x chance", ".9", 2),
    Row("the same: taken for Luanti by a judge of five games, from the word alone", "minecraft",
        number("game", "share_this_game"), ".95", "1"),
    Row("`minecraft` in the page, two denoising steps, 60 ticks a second: frames/s drawn", "play_minecraft",
        number("fps_60", "fps"), "15", "30", 0),
    Row("`pong` in the page, 60 ticks a second: frames/s drawn", "play", number("fps_60", "fps"), "30", "60", 0),
    Row("the same: key to frame, p50 / p95, ms", "play", latency("fps_60"), "60 / 120", "25 / 50"),
    Row("at the game's own 15 ticks a second: key to frame, ms", "play", latency("own_fps"), "60 / 120", "25 / 50"),
    Row("four players, 30 ticks a second: frames/s of the slowest", "play", number("four", "fps"), "10", "20", 0),
    Row("from command to first frame, programs cached, s", "play", number("start", "cached_s"), "5", "2", 1),
    Row("the same, cold, s", "play", number("start", "cold_s"), "30", "15", 1),
    Row("half an hour of play: growth of memory; drift of the ticks", "play", long_play, "2 %; none", ""),
    Row("kill -9 during recording", "kill_recording", recordings_killed, "0 lost", "0 lost"),
    Row("kill -9 during a checkpoint", "kill_checkpoint", checkpoints_killed, "0 lost", "0 lost"),
)  # fmt: skip


def results_table(root: Path) -> list[str]:
    """Every measured row: number, what was asked, and the file that has it."""
    lines = ["| what | measured | asked for | aim | from |", "|---|---|---|---|---|"]
    for row in ROWS:
        path = root / "experiments" / "results" / f"{row.file}.json"
        value = row.pick(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
        if value is not None:
            shown = value if isinstance(value, str) else value.show(row.digits)
            file = f"[{row.file}](experiments/results/{row.file}.json)"
            lines.append(f"| {row.what} | {shown} | {row.at_least} | {row.aim} | {file} |")
    return lines


def worlds_table(root: Path) -> list[str]:
    """The shipped worlds, from their cards."""
    lines = ["| world | game | picture | parameters | trained | licence of the weights |", "|---|---|---|---|---|---|"]
    for path in sorted((root / "checkpoints").glob("*/card.json")):
        card = json.loads(path.read_text(encoding="utf-8"))
        training, (height, width) = card["training"], card["size"]
        cells = (
            f"[{card['name']}](checkpoints/{path.parent.name})",
            card["title"],
            f"{height}x{width}, {card['fps']:g} fps",
            f"{card['weights']['num_params'] / 1e6:.2f} M",
            f"{_minutes(training):.0f} min on {training['hardware']}",
            card["licence"]["weights"],
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


JUDGED: tuple[tuple[str, str, str, str, str, int], ...] = (
    # what, question, number, what knowing nothing scores, the best, digits
    ("PSNR of 64 dreamed frames, dB", "fidelity", "psnr_free_64", "psnr_copy_last_64", "psnr_tokenizer", 1),
    ("Frechet distance score, frames 1 to 64", "fidelity", "score_gfvd_64", "0", "1", 2),
    ("opposite keys part, the right way", "control", "opposite_direction", "0.5", "1", 2),
    ("frames from key to change", "control", "latency_frames", "", "1", 1),
    ("keys told from the dream by an inverse model", "control", "inverse_accuracy_dream", "inverse_accuracy_chance",
     "inverse_accuracy_real", 2),
    ("reward, average precision", "outcome", "reward_ap", "reward_base_rate", "1", 2),
    ("returns of dream and game, correlation", "outcome", "return_pearson", "0", "1", 2),
    ("CRPS skill, 19 dreams", "uncertainty", "crps_skill", "0", "1", 2),
    ("share that 90 % intervals hold", "uncertainty", "coverage_90", "", "0.9", 2),
    ("said uncertainty against next frame's error, Spearman", "uncertainty", "spearman_uncertainty_1", "0", "1", 2),
    ("foreign frames told, AUROC", "uncertainty", "auroc_foreign", "0.5", "1", 2),
    ("seconds until a dream collapses, of 600", "drift", "collapse_seconds_policy", "0", "600", 0),
    ("objects born without cause per 1,000 frames", "births", "born_per_1000", "", "born_per_1000_real", 1),
    ("objects gone without cause per 1,000 frames", "births", "gone_per_1000", "", "gone_per_1000_real", 1),
)  # fmt: skip


def judged_table(root: Path) -> list[str]:
    """The shipped worlds by the judge's questions: each number, and in brackets what stands for nothing and for all."""
    files = sorted((root / "experiments" / "results").glob("world_*.json"))
    results = {path.stem.removeprefix("world_"): json.loads(path.read_text(encoding="utf-8")) for path in files}
    links = [f"[{name}](experiments/results/world_{name}.json)" for name in results]
    lines = [f"| what (knowing nothing .. at best) | {' | '.join(links)} |", "|---" * (1 + len(links)) + "|"]
    for what, question, name, zero, one, digits in JUDGED:
        cells = [_between(found.get(question) or {}, name, (zero, one), digits) for found in results.values()]
        if any(cells):
            lines.append(f"| {what} | {' | '.join(cell or 'not measured' for cell in cells)} |")
    return lines


def _between(numbers: dict[str, Any], name: str, references: tuple[str, str], digits: int) -> str:
    """A number with its spread, and its references."""
    value = number(name)(numbers)
    if not isinstance(value, Value):
        return ""
    ends = [f"{numbers[x]:.{digits}f}" if x in numbers and numbers[x] is not None else x for x in references]
    return f"{value.show(digits)} ({' .. '.join(ends).strip()})"


def phyworld_table(root: Path) -> list[str]:
    """PhyWorld's scenes: velocity error in and out of the distribution, beside the parser's floor."""
    path = root / "experiments" / "results" / "phyworld.json"
    lines = ["| scene | in distribution | out of it | parser's floor, in, out | a still film, in, out | trained |"]
    lines.append("|---|---|---|---|---|---|")
    for scene, found in (json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}).items():
        errors = [number(split, "velocity_error")(found) for split in ("in", "out")]
        cells = [value.show(3) if isinstance(value, Value) else "not measured" for value in errors]
        for end in ("floor", "copy_last"):
            cells.append(", ".join(f"{found[split][f'velocity_error_{end}']:.3f}" for split in ("in", "out")))
        lines.append(f"| {scene} | {' | '.join(cells)} | `{found['preset']}`, {found['minutes']:.0f} min |")
    return lines


def agents_table(root: Path) -> list[str]:
    """Agents that learned in the dream, in the real game beside those who did not."""
    lines = [
        "| game | agent | the recording's policy | random keys | what the dream promised | from |",
        "|---" * 6 + "|",
    ]
    for path in sorted((root / "experiments" / "results").glob("agent_*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        cells = [_mean(found.get(name)) for name in ("main", found["recording_policy"], "random")]
        dream = found["main"]["dream"]
        promised = f"{dream['mean']:.1f} in {dream['mean_length']:.0f} steps"
        name = path.stem.removeprefix("agent_").replace("_", "-")
        lines.append(f"| {name} | {' | '.join(cells)} | {promised} | [{path.stem}](experiments/results/{path.name}) |")
    return lines


def dreams_table(root: Path) -> list[str]:
    """Agents of one world by how they dreamed, where several were trained: what each promised itself and got."""
    lines = [
        "| game | objective | steps a frame | temperature | cloning | minutes | promised | real |",
        "|---" * 8 + "|",
    ]
    for path in sorted((root / "experiments" / "results").glob("agent_*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        agents = [found[name] for name in found if isinstance(found[name], dict) and "training" in found[name]]
        for agent in agents if len(agents) > 1 else []:
            how = agent["training"]
            cut = "" if how["max_uncertainty"] is None else f", cut above {how['max_uncertainty']}"
            cells = [
                path.stem.removeprefix("agent_").replace("_", "-"), how["objective"] + cut,
                str(how["num_denoise_steps"] or "own"), f"{how['noise_scale']:g}", f"{how['clone_share']:g}",
                f"{how['minutes']:.0f}", f"{agent['dream']['mean']:.0f} in {agent['dream']['mean_length']:.0f} steps",
                _mean(agent),
            ]  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _mean(found: dict[str, Any] | None) -> str:
    """A mean return with its standard error."""
    return f"{found['mean']:.2f} {PM} {found['standard_error']:.2f}" if found else "not measured"


TABLES: dict[str, Callable[[Path], list[str]]] = {
    "worlds": worlds_table, "results": results_table, "judged": judged_table, "phyworld": phyworld_table,
    "agents": agents_table, "dreams": dreams_table,
}  # fmt: skip


def _minutes(training: dict) -> float:
    """All the training of a world, of those that it went on from too."""
    return training["minutes"] + (_minutes(training["init"]) if "init" in training else 0.0)


def render(text: str, root: Path) -> str:
    """Put every table between its markers.

    Raises:
        ValueError: a marker names no table, or a table has no place.
    """
    pattern = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
    found = {match[2] for match in pattern.finditer(text)}
    if found != set(TABLES):
        raise ValueError(f"README.md wants one place for each of the tables {sorted(TABLES)}, has {sorted(found)}.")

    def fill(match: re.Match) -> str:
        lines = TABLES[match[2]](root)
        return match[1] + ("\n".join(lines) + "\n" if len(lines) > 2 else "") + match[3]

    return pattern.sub(fill, text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether README.md is up to date")
    args = parser.parse_args()
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    wanted = render(text, ROOT)
    if wanted == text:
        return
    if args.check:
        sys.exit("README.md is not what experiments/results say; run: python experiments/tables.py")
    readme.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
