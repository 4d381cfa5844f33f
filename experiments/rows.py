"""What the table of results shows of experiments/results/*.json: one row a number, with its target and its aim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from worldsim.evaluate.metric import Metric
from worldsim.evaluate.metrics import control, fidelity, objects, outcome, speed

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


def number(*path: str) -> Callable[[dict[str, Any]], Value | None]:
    """Pick the number at a path of keys, with the `_sd` beside it."""

    def pick(results: dict[str, Any]) -> Value | None:
        for key in path[:-1]:
            results = results.get(key) or {}
        value = results.get(path[-1])
        return None if value is None else Value(value, results.get(f"{path[-1]}_sd"))

    return pick


def above_chance(metric: Metric, *path: str) -> Pick:
    """Pick a number less that of a model that has learned nothing; the spread is the number's."""

    def pick(results: dict[str, Any]) -> Value | None:
        value, chance = number(*path, metric.key)(results), number(*path, str(metric.chance))(results)
        return None if value is None or chance is None else Value(value.mean - chance.mean, value.sd)

    return pick


def metric_row(
    who: str, file: str, metric: Metric, path: tuple[str, ...], at_least: str = "", aim: str = "", **how: Any
) -> Row:
    """The row of a metric in the numbers at a path of keys.

    Args:
        who: what was measured.
        file: of experiments/results.
        metric: says the label, the unit and the digits.
        path: keys of the section.
        at_least: what was asked for.
        aim: what was aimed at.
        how: `of`, what the `*` of the metric stands for; `above`, to show how far it is above chance; `digits`.
    """
    of, digits = how.get("of", ""), how.get("digits", metric.digits)
    label, unit = metric.label.format(of), f", {metric.unit}" if metric.unit else ""
    if how.get("above"):
        return Row(f"{who}: {label} above copy-last{unit}", file, above_chance(metric, *path), at_least, aim, 2)
    pick = number(*path, metric.key.replace("*", of))
    return Row(f"{who}: {label}{unit}", file, pick, at_least, aim, digits)


def paddle_error(results: dict[str, Any]) -> Value | None:
    """Mean distance of both paddles from their true places."""
    found = [number("objects", PADDLE_ERROR.key.replace("*", p))(results) for p in ("player", "enemy")]
    pair = [value for value in found if value is not None and value.sd is not None]
    return Value(*(sum(column) / 2 for column in zip(*pair))) if len(pair) == 2 else None


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


PADDLE_ERROR = objects.ERROR_32
FIDELITY, CONTROL, OBJECTS, SUMMARY = ("fidelity",), ("control",), ("objects",), ("summary",)
DEMO = "`make demo`, own world"
PLAYER, LATE, SHARP = (
    number("own_world", section, key)
    for section, key in (("presence", "player_60s"), ("control", "late_10s"), ("sharpness", "ratio_10s"))
)
CRAFTAX = "Craftax-Classic, `tiny`, a fifth of the footage, 20 min of one core"
ROWS = (
    Row(f"{DEMO}: the player in the picture over 60 s, dream over game", "demo", PLAYER, ".9", ".98"),
    metric_row(DEMO, "demo", control.ACTION_FOLLOWING, ("own_world", "control"), ".9", ".97"),
    Row(f"{DEMO}: keys in second 10 do what they do in the game", "demo", LATE, ".9", ".97"),
    Row(f"{DEMO}: sharpness after 10 s, dream over game", "demo", SHARP, ".8 to 1.25", ".95 to 1.05"),
    Row(
        "`snake`: the player in the picture over 60 s, dream over game",
        "world_snake",
        number("presence", "player_60s"),
        ".9",
        ".98",
    ),
    Row(
        "`snake`: the player comes back after leaving", "world_snake", number("presence", "player_returns"), ".8", ".95"
    ),
    metric_row("`snake`", "world_snake", control.ACTION_FOLLOWING, CONTROL, ".95", ".99"),
    metric_row("`jump`", "world_jump", fidelity.PSNR_TOKENIZER, FIDELITY, "36", "40"),
    metric_row("`jump`", "world_jump", control.ACTION_FOLLOWING, CONTROL, ".95", ".99"),
    metric_row("`jump`", "world_jump", fidelity.PSNR_16, FIDELITY, above=True),
    metric_row("`jump`", "world_jump", objects.RECALL_32, OBJECTS, ".9", ".98", of="player"),
    metric_row("`pong`", "world_pong", fidelity.PSNR_TOKENIZER, FIDELITY, "38", "42"),
    metric_row("`pong`", "world_pong", objects.RECALL, OBJECTS, ".99", "1", of="ball"),
    metric_row("`pong`", "world_pong", objects.RECALL_32, OBJECTS, ".9", ".99", of="ball"),
    Row(
        f"`pong`: {PADDLE_ERROR.label.format('paddle')}, {PADDLE_ERROR.unit}",
        "world_pong",
        paddle_error,
        "1.0",
        ".5",
        2,
    ),
    metric_row("`pong`", "world_pong", control.ACTION_FOLLOWING, CONTROL, ".95", ".99"),
    metric_row("`pong`", "world_pong", fidelity.PSNR_16, FIDELITY, "3", "6", above=True),
    metric_row(CRAFTAX, "craftax_cpu", control.ACTION_FOLLOWING, SUMMARY, ".91 (an accelerator)"),
    metric_row("the same", "craftax_cpu", outcome.REWARD_AP, SUMMARY, ".92", digits=3),
    metric_row("the same", "craftax_cpu", outcome.TERMINATION_AP, SUMMARY, ".04", digits=3),
    Row(
        "the same, 256 windows (real against real: .049): Frechet distance, frames 1 to 16",
        "craftax_cpu",
        number(*SUMMARY, "gfvd_16"),
        ".0016 (2,048 windows)",
        "",
    ),
    metric_row("`tiny`", "speed", speed.FPS_1, ("tiny",), "60", "150"),
    metric_row("`small`", "speed", speed.FPS_1, ("small",), "20", "56"),
    metric_row("`small`", "speed", speed.FPS, ("small",), "30", "90", of="32"),
    Row(
        "`small`, batch 32, steps/s that an agent imagines, four denoising steps",
        "speed",
        number("small", "imagination", "k4", "imagined_steps_batch_32"),
        "30",
        "90",
        0,
    ),
    Row(
        "the same, one denoising step",
        "speed",
        number("small", "imagination", "k1", "imagined_steps_batch_32"),
        "30",
        "90",
        0,
    ),
    Row(
        "Stable-Baselines3's PPO in the dream of a `pong` of two cores: return of the first fifth of the episodes",
        "sb3_ppo",
        number("return_first_fifth"),
        "",
        "",
        2,
    ),
    Row("the same, of the last fifth", "sb3_ppo", number("return_last_fifth"), "", "", 2),
    Row(
        "Luanti at 320x180: frames/s recorded, median of eight seeds",
        "luanti_recording",
        number("fps_median"),
        "60",
        "150",
        0,
    ),
    Row("the same seed and actions twice: blocks between the ways, at most", "luanti_recording", worst_way, "0", "0"),
    metric_row("`minecraft`, the valley", "world_minecraft", fidelity.PSNR_NEXT, FIDELITY, "26", "30"),
    metric_row("the same", "world_minecraft", fidelity.PSNR_16, FIDELITY, "2", "4", above=True),
    metric_row("the same", "world_minecraft", control.ACTION_FOLLOWING, CONTROL, ".90", ".97"),
    Row(
        "the same: the picture moves against the camera", "minecraft", number("look", "sign_agrees_dream"), ".95", ".99"
    ),
    Row("the same, after four seconds of dreaming", "minecraft", number("late", "sign_agrees_dream"), ".95", ".99"),
    Row(
        "the same: walking forward there, the picture grows", "minecraft", number("late", "forward_dream"), ".9", ".99"
    ),
    Row("the same: a quarter turn and back, 1 = as the game", "minecraft", number("away", "score"), ".5", ".9", 2),
    Row("as slowly as people turn", "minecraft", number("away_slow", "score"), ".5", ".9", 2),
    *(
        metric_row(
            f"`arcade`, four games in one, an hour of two cores, {title}",
            "arcade",
            fidelity.PSNR_16,
            (game, "fidelity"),
            above=True,
        )
        for game, title in (
            ("luanti", "Luanti 64x112"),
            ("jump", "Jump 64x64"),
            ("pong", "Pong 80x64"),
            ("doom-takecover", "Take Cover 48x64"),
        )
    ),
    *(
        Row(
            f"Take Cover at 48x64 by a world trained on {how}, the columns that squares lack: next frame, PSNR, dB",
            "native",
            lambda results, name=name: Value(*results[name]["next"]["sides"].values()),
            "",
            "",
            1,
        )
        for name, how in (("whole", "whole screens"), ("square", "48x48 squares"))
    ),
    Row(
        "`minecraft` in the page, two denoising steps, 60 ticks a second: frames/s drawn",
        "play_minecraft",
        number("fps_60", "fps"),
        "15",
        "30",
        0,
    ),
    Row("`pong` in the page, 60 ticks a second: frames/s drawn", "play", number("fps_60", "fps"), "30", "60", 0),
    Row("the same: key to frame, p50 / p95, ms", "play", latency("fps_60"), "60 / 120", "25 / 50"),
    Row("at the game's own 15 ticks a second: key to frame, ms", "play", latency("own_fps"), "60 / 120", "25 / 50"),
    Row("four players, 30 ticks a second: frames/s of the slowest", "play", number("four", "fps"), "10", "20", 0),
    Row("from command to first frame, programs cached, s", "play", number("start", "cached_s"), "5", "2", 1),
    Row("the same, cold, s", "play", number("start", "cold_s"), "30", "15", 1),
    Row("half an hour of play: growth of memory; drift of the ticks", "play", long_play, "2 %; none", ""),
    Row("kill -9 during recording", "kill_recording", recordings_killed, "0 lost", "0 lost"),
    Row("kill -9 during a checkpoint", "kill_checkpoint", checkpoints_killed, "0 lost", "0 lost"),
)


def mean_return(results: dict[str, Any]) -> str:
    """An agent's return in the real game, beside that of the policy of its recording."""
    agent, recording = results["main"], results[results["recording_policy"]]
    return " against ".join(Value(x["mean"], x["standard_error"]).show(1) for x in (agent, recording))


FIRST = (
    ("least present object over 60 s, dream over game", "presence", "worst_60s"),
    ("keys still do in second 10 of a dream what they do in the game", "control", "late_10s"),
    ("sharpness after 10 s, dream over game", "sharpness", "ratio_10s"),
    ("realism after 4 s, 0 = the game blurred, 1 = the game", "realism", "score_4s"),
    ("dream told from game after 4 s, AUROC, .5 = not at all", "realism", "auroc_4s"),
)
"""What README shows first of every shipped game."""
HEADLINE = (
    *(
        Row(f"`{name}`: {what}", f"world_{name}", number(section, key), "", "", 2)
        for what, section, key in FIRST
        for name in ("snake", "pong", "jump")
    ),
    Row("`make demo`: the player in the picture over 60 s, dream over game", "demo", PLAYER, "", "", 2),
    metric_row("`make demo`", "demo", control.ACTION_FOLLOWING, ("own_world", "control"), digits=2),
    Row("`make demo`: keys in second 10 do what they do in the game", "demo", LATE, "", "", 2),
    Row("`make demo`: sharpness after 10 s, dream over game", "demo", SHARP, "", "", 2),
    metric_row("`pong`", "world_pong", fidelity.PSNR_16, FIDELITY, above=True),
    metric_row("`snake`", "world_snake", control.ACTION_FOLLOWING, CONTROL),
    metric_row("`pong`", "world_pong", control.ACTION_FOLLOWING, CONTROL),
    Row("`pong` in the page: key to frame, p50 / p95, ms", "play", latency("fps_60"), "", ""),
    metric_row("`minecraft`", "world_minecraft", fidelity.PSNR_NEXT, FIDELITY),
    metric_row("`tiny`", "speed", speed.FPS_1, ("tiny",)),
    Row(
        "an agent that never played Freeway: return in the game, against the recording's policy",
        "agent_freeway",
        mean_return,
        "",
        "",
    ),
)
"""The numbers that README shows."""
