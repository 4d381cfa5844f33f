"""`worldsim rollout`: dream a video."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from worldsim.cli import console


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """Dream a video in a world.

    Example: worldsim rollout jump --out dream.mp4 --frames 200

    Example: worldsim rollout jump --out dream.gif --side-by-side footage/jump

    Example: worldsim rollout jump --out played.mp4 --actions plan

    Example: worldsim rollout jump --out more.mp4 --from-state dream.state --save-state more.state
    """

    world: Positional[str]
    """A path, the name of a world, or a prompt that is matched against the worlds here."""
    out: Path
    """The video to write: .mp4 or .gif."""
    frames: int = 128
    """Frames of the video, the one it starts from included."""
    prompt: str | None = None
    """What to start from: "nothing" (noise), a picture, which is cut and scaled to the world's size, a short video of
    that size, a footage folder, or words, for a world that reads them. By default an initial context of the world."""
    actions: str = "random"
    """random, noop, plan, agent:PATH, or a file: one action a line, as a label, a number, or the numbers of a row. plan
    imagines a few plans every few frames and follows the one of most reward; it takes no training, and some seconds of
    computing for each second of video."""
    seed: int = 0
    """Seed of the initial context, the random actions, and the noise of the dream and of plans."""
    side_by_side: Path | None = None
    """A footage folder: the recorded frames left, the dream under the same actions right."""
    num_denoise_steps: int | None = None
    """Denoising steps a frame: 4, 2 or 1; the world's own by default."""
    from_state: Path | None = None
    """A file of --save-state to go on from."""
    save_state: Path | None = None
    """Where to write the state after the last frame."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Dream, and write the video."""
        from worldsim.rollout import dream
        from worldsim.video import check_video_path, side_by_side, write_video

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
                from_state=self.from_state,
                save_state=self.save_state,
                on_progress=on_progress,
            )
        video = result.obs if result.real is None else side_by_side([result.real, result.obs])
        write_video(self.out, video, fps=result.fps)
        count, seconds = len(video), result.seconds
        console.report(
            self.json,
            {"path": str(self.out), "frames": count, "fps": result.fps, "seconds": seconds, "begins": result.begins},
            f"{self.out}: {count} frames in {seconds:.1f} s, {count / seconds:.0f} a second, from a {result.begins} "
            "beginning",
        )
