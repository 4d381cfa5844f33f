"""Commands around worlds: which there are, training one, dreaming a video in one."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from worldsim.cli import console


@dataclass(frozen=True, kw_only=True)
class Worlds:
    """List the worlds that came with the package and those trained here.

    Example: worldsim worlds
    """

    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Print the list."""
        from worldsim.checkpoint import list_worlds, screens_of

        cards = list_worlds()
        if self.json:
            return console.print_json({"worlds": cards})
        if not cards:
            return console.say("no worlds here yet; make one: worldsim record jump --out footage/jump --frames 20000")
        rows = [
            (c["name"], c["title"], c["preset"], "; ".join(screens_of(c)), f"{c['weights']['num_params']:,}", c["path"])
            for c in cards
        ]
        console.say(console.table(("world", "title", "preset", "frames", "parameters", "path"), rows))


@dataclass(frozen=True, kw_only=True)
class Train:
    """Learn the world of a footage folder: first its tokenizer, then its dynamics and outcomes.

    Several folders, each of another game, make one world of all of them, each at its own size.

    Example: worldsim train footage/jump --out runs/jump --preset tiny --minutes 10
    Example: worldsim train footage/jump --out runs/more --init runs/jump --minutes 30
    Example: worldsim train footage/jump footage/pong --out runs/both --minutes 20
    """

    data: Positional[tuple[Path, ...]]
    """The footage folder, or one of each game."""
    out: Path
    """Folder of the run; the learned world is saved in it as world/."""
    preset: Literal["tiny", "small", "base", "large"] = "tiny"
    """tiny: minutes on two cores; small: ten minutes on an accelerator; base and large: more of both."""
    minutes: float | None = None
    """How long to train; either this or --num-train-steps."""
    num_train_steps: int | None = None
    """How many steps to train."""
    text_encoder: Literal["words", "sentences"] = "words"
    """How captions are read: words alone, by an encoder that is trained with the world, or whole sentences too, by a
    frozen one of many languages (extra "text")."""
    seed: int = 0
    """The same seed, footage and steps give the same world on the same machine."""
    resume: bool = False
    """Go on with the run in --out, as if it had never stopped."""
    init: str | None = None
    """A world to go on from: a path, a name or a prompt. Its shape and tokenizer are kept, its dynamics learn on."""
    only_words: bool = False
    """Of the world to go on from, only how its first frame is read from words is learned on: after captions changed."""
    json: bool = False
    """Print one JSON object."""

    resume_hint = "the same command with --resume goes on from the last saved step"

    def run(self) -> None:
        """Train, and say what came out."""
        from worldsim.checkpoint import names_of
        from worldsim.train import fit, fit_games, read_sentences

        folders = list(self.data)
        if not folders:
            raise ValueError("training wants a footage folder, got none; make one with `worldsim record`.")
        if len(folders) > 1 and self.init is not None:
            raise ValueError("--init goes on with one game, got several footage folders; leave it out.")
        if self.only_words and self.init is None:
            raise ValueError("--only-words wants a world to go on from, --init.")
        preset = self.preset if self.text_encoder == "words" else read_sentences(self.preset)
        begin = partial(fit_games, folders)
        if len(folders) == 1:
            begin = partial(fit, folders[0], init=self.init, only_words=self.only_words)
        with closing(console.StageBars()) as on_progress:
            world = begin(
                self.out,
                preset=preset,
                minutes=self.minutes,
                num_train_steps=self.num_train_steps,
                seed=self.seed,
                resume=self.resume,
                on_progress=on_progress,
            )
        path = self.out / "world"
        if self.json:
            return console.print_json({**world.card, "path": str(path)})
        console.say(f"{path}: the world of {world.card['title']}, {world.card['weights']['num_params']:,} parameters")
        of = f"#{names_of(world.card)[0]}" if len(folders) > 1 else ""
        console.say(f"next: worldsim rollout {path}{of} --out dream.mp4 --side-by-side {folders[0]}")


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """Dream a video in a world.

    Example: worldsim rollout jump --out dream.mp4 --frames 200
    Example: worldsim rollout jump --out dream.gif --side-by-side footage/jump
    """

    world: Positional[str]
    """A path, the name of a world, or a prompt that is matched against the worlds here."""
    out: Path
    """The video to write: .mp4 or .gif."""
    frames: int = 128
    """Frames of the video, the one it starts from included."""
    prompt: str | None = None
    """Where to start: nothing (from pure noise), a picture, which is cut and scaled to the world's size, a short video
    of that size, a footage folder, or words, for a world that reads them. One of the world's starts where left out."""
    actions: str = "random"
    """random, noop, agent:PATH, or a file: one action a line, as a label, a number, or the numbers of a row."""
    seed: int = 0
    """Chooses the start, the random actions and the noise."""
    side_by_side: Path | None = None
    """A footage folder: the recorded frames left, the dream under the same actions right."""
    num_denoise_steps: int | None = None
    """Denoising steps a frame: 4, 2 or 1; the world's own where left out."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Dream, and write the video."""
        from worldsim.cli.dream import dream
        from worldsim.video import beside, check_video_path, write_video

        check_video_path(self.out)
        with closing(console.Counter("frames")) as on_progress:
            result = dream(
                self.world,
                num_frames=self.frames,
                prompt=self.prompt,
                actions=self.actions,
                seed=self.seed,
                real=self.side_by_side,
                num_denoise_steps=self.num_denoise_steps,
                on_progress=on_progress,
            )
        video = result.obs if result.real is None else beside([result.real, result.obs])
        write_video(self.out, video, fps=result.fps)
        if self.json:
            return console.print_json(
                {"path": str(self.out), "frames": len(video), "fps": result.fps, "seconds": result.seconds}
            )
        console.say(
            f"{self.out}: {len(video)} frames in {result.seconds:.1f} s, {len(video) / result.seconds:.0f} a second"
        )
