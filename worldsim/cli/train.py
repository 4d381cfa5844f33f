"""`worldsim train`: learn a world from footage."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from worldsim.cli import console


@dataclass(frozen=True, kw_only=True)
class Train:
    """Learn a world from footage: first its tokenizer, then its dynamics and outcome heads.

    Several folders, each of another game, make one world of all of them, each at its own size.

    Example: worldsim train footage/jump --out runs/jump --preset tiny --minutes 10

    Example: worldsim train footage/jump --out runs/more --init runs/jump --minutes 30

    Example: worldsim train footage/jump footage/pong --out runs/both --minutes 20
    """

    data: Positional[tuple[Path, ...]]
    """The footage folder, or one of each game."""
    out: Path
    """Folder of the run; the learned world is saved in it as world/."""
    preset: str = "tiny"
    """A name of worldsim.train.PRESETS: tiny takes minutes on two cores, small ten minutes on an accelerator; game-h100
    and the like made the shipped worlds. A wrong name lists them all."""
    minutes: float | None = None
    """How long to train; either this or --num-train-steps. 10 where neither is given."""
    num_train_steps: int | None = None
    """How many steps to train."""
    text_encoder: Literal["words", "sentences"] = "words"
    """Encoder of the captions. words: single words, trained with the world; sentences: whole sentences in many
    languages, frozen (extra "text")."""
    seed: int = 0
    """The same seed, footage and steps give the same world on the same machine."""
    resume: bool = False
    """Go on with the run in --out, bit for bit as if it had never stopped."""
    init: str | None = None
    """A world to go on from: a path, a name or a prompt. Its shape and tokenizer are kept, its dynamics train on."""
    trains: tuple[str, ...] = ("dynamics",)
    """With --init: what is trained, while all else stays frozen: dynamics, first_frame, or only first_frame's
    first_frame/prompt_encoder, after captions changed."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Train, and print what came out."""
        from worldsim.train import Init, check_data, fit, read_sentences

        folders = list(self.data)
        if not folders:
            raise ValueError("expected a footage folder, got none; make one with `worldsim record`.")
        if self.init is None and self.trains != Train.trains:
            raise ValueError("expected --init beside --trains: a world to go on from.")
        preset = self.preset if self.text_encoder == "words" else read_sentences(self.preset)
        if self.init is None:
            console.note(*check_data(folders, preset).lines())
        with closing(console.StageBars()) as on_progress:
            world = fit(
                folders,
                self.out,
                preset=preset,
                minutes=self.minutes,
                num_train_steps=self.num_train_steps,
                seed=self.seed,
                resume=self.resume,
                init=None if self.init is None else Init(self.init, self.trains),
                on_progress=on_progress,
            )
        path = self.out / "world"
        of = f"#{world.card.games[0].name}" if world.card.games else ""
        console.report(
            self.json,
            {**world.card.to_json(), "path": str(path)},
            f"{path}: the world of {world.card.title}, {world.card.weights.num_params:,} parameters",
            "next: " + console.command("rollout", f"{path}{of}", "--out", "dream.mp4", "--side-by-side", folders[0]),
        )

    @property
    def resume_hint(self) -> str:
        """How to continue after an interruption."""
        return console.how_to_resume(self.out / "run.json")
