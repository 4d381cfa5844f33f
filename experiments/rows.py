"""What the table of results shows of experiments/results/*.json: one row a number, with what was asked and aimed at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

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


def above_copy_last_of(game: str) -> Pick:
    """The same of one game of several."""
    return lambda results: above_copy_last(results.get(game) or {})


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
    Row(
        "`jump`: player where the game has it, 32 dreamed frames",
        "world_jump",
        number("objects", "player_recall_free_32"),
        ".9",
        ".98",
    ),
    Row("`pong`: tokenizer PSNR, dB", "world_pong", number("fidelity", "psnr_tokenizer"), "38", "42", 2),
    Row("`pong`: ball recall of reconstructions", "world_pong", number("objects", "ball_recall"), ".99", "1"),
    Row("`pong`: ball recall, 32 dreamed frames", "world_pong", number("objects", "ball_recall_free_32"), ".9", ".99"),
    Row("`pong`: paddle error, 32 dreamed frames, px at 64", "world_pong", paddle_error, "1.0", ".5", 2),
    Row("`pong`: action following", "world_pong", number("control", "action_following"), ".95", ".99"),
    Row("`pong`: PSNR of 16 dreamed frames above copy-last, dB", "world_pong", above_copy_last, "3", "6", 2),
    Row(
        "Craftax-Classic, `tiny`, a fifth of the footage, 20 min of one core: action following",
        "craftax_cpu",
        number("summary", "action_following"),
        ".91 (an accelerator)",
        "",
    ),
    Row("the same: reward, average precision", "craftax_cpu", number("summary", "reward_ap"), ".92", ""),
    Row("the same: termination, average precision", "craftax_cpu", number("summary", "termination_ap"), ".04", ""),
    Row(
        "the same: Frechet distance, frames 1 to 16, 256 windows (real against real: .049)",
        "craftax_cpu",
        number("summary", "gfvd_16"),
        ".0016 (2,048 windows)",
        "",
    ),
    Row("`tiny`, batch 1, frames/s", "speed", number("tiny", "fps_batch_1"), "60", "150", 0),
    Row("`small`, batch 1, frames/s", "speed", number("small", "fps_batch_1"), "20", "56", 0),
    Row("`small`, batch 32, frames/s", "speed", number("small", "fps_batch_32"), "30", "90", 0),
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
    Row(
        "`minecraft`, 8.5 min of one H200: next frame, PSNR, dB",
        "minecraft",
        number("fidelity", "psnr_teacher_forced"),
        "26",
        "30",
        1,
    ),
    Row("the same: PSNR of 16 dreamed frames above copy-last, dB", "minecraft", above_copy_last, "2", "4", 2),
    Row("the same: action following", "minecraft", number("control", "action_following"), ".90", ".97"),
    Row(
        "the same: the picture moves against the camera", "minecraft", number("look", "sign_agrees_dream"), ".95", ".99"
    ),
    Row("the same: a quarter turn and back, 1 = as the game", "minecraft", number("away", "score"), ".5", ".9", 2),
    Row("the same: a dug block is gone, precision", "minecraft", number("dig", "precision_dream"), ".6", ".9", 2),
    Row("the same: recall", "minecraft", number("dig", "recall_dream"), ".6", ".9", 2),
    Row(
        "the same: biome found in dreams that were asked for it (chance: 1 / number of biomes)",
        "minecraft",
        number("words", "biome_recovered"),
        "3x chance",
        ".9",
        2,
    ),
    Row("the same: time of day, likewise", "minecraft", number("words", "time_recovered"), "3x chance", ".9", 2),
    Row(
        "the same: taken for Luanti by a judge of five games, from the word alone",
        "minecraft",
        number("game", "share_this_game"),
        ".95",
        "1",
    ),
    *(
        Row(
            f"`arcade`, four games in one, an hour of two cores, {title}: 16 dreamed frames above copy-last, dB",
            "arcade",
            above_copy_last_of(game),
            "",
            "",
            2,
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
