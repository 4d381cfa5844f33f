"""Recipes: the sizes of a world's modules and how each stage trains them. Named ones are in PRESETS.

A recipe is a value: change it by `dataclasses.replace`. Facts of the footage, such as frame size, controls, camera and
captions, are not in it; training fills them into the configs.

Learning rates are Muon's (Jordan et al. 2024) with updates of root mean square 0.2 per unit of rate; what is no matrix
takes a tenth of it by Adam. On two cores Muon reached the loss of AdamW in half of the steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from worldsim.model.camera.geometry import CameraConfig
from worldsim.model.dynamics import DynamicsConfig, ForecastConfig
from worldsim.model.outcome import OutcomeConfig
from worldsim.model.tokenizer import TokenizerConfig
from worldsim.text.prompt import PromptConfig


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """The batch size and the learning rate of one stage, by a warmup-stable-decay schedule."""

    batch_size: int
    """Frames (tokenizer, first frame) or windows (dynamics, flow) per step."""
    learning_rate: float = 0.02
    """Peak of the schedule."""
    warmup: float = 0.02
    """Fraction of the stage in which the rate rises."""
    decay: float = 0.3
    """Fraction of the stage, at its end, in which the rate falls to zero."""
    ema: float = 0.99
    """Decay of the moving average of the weights, per step."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The sizes of a world and how it is trained. `*_fraction` of stages are of the minutes or steps of a run."""

    tokenizer: TokenizerConfig = TokenizerConfig()
    dynamics: DynamicsConfig = DynamicsConfig()
    outcome: OutcomeConfig = OutcomeConfig()
    camera: CameraConfig = CameraConfig()
    """For footage with a camera: the sizes of its networks."""
    forecast: ForecastConfig | None = None
    """For footage without a camera: the network that predicts the next frame before the dynamics; None = no such."""
    prompt: PromptConfig | None = PromptConfig()
    """For footage with captions: the sizes of the text encoder; None never reads captions."""
    first_frame: DynamicsConfig | None = None
    """A model of its own for the first frame from text or noise; None leaves that to the dynamics."""
    tokenizer_stage: StageConfig = StageConfig(batch_size=64)
    dynamics_stage: StageConfig = StageConfig(batch_size=4)
    flow_stage: StageConfig = StageConfig(batch_size=8, learning_rate=0.004, decay=0.98)
    forecast_stage: StageConfig = StageConfig(batch_size=8, learning_rate=0.005, decay=0.98)
    surprise_stage: StageConfig = StageConfig(batch_size=16, decay=0.98)
    first_frame_stage: StageConfig = StageConfig(batch_size=32, decay=0.98, ema=0.998)
    tokenizer_fraction: float = 0.3
    flow_fraction: float = 0.2
    """For footage with a camera."""
    forecast_fraction: float = 0.45
    """For footage without a camera, where the recipe has a forecast."""
    surprise_fraction: float = 0.1
    """Where the forecast has surprises: of the network that draws them."""
    first_frame_fraction: float = 0.3
    """Where there is a first-frame model. The dynamics have what the others leave."""
    flow_frames: int = 4
    """Frames that FlowNet generates from each other before it is given real ones again."""
    forecast_frames: int = 4
    """Frames that the forecast makes of each other before it is given real ones again."""
    forecast_goes_on: float = 0.4
    """Fraction of the stage after which it does so; before, every frame is made of recorded ones."""
    forecast_noise: float = 0.2
    """Largest deviation of the noise on the frames that the forecast is made from; a dream's past has 1/15."""
    forecast_side: int = 12
    """Side, in cells, of the part of a frame that it is trained on at a time: mostly one where something changes."""
    forecast_margin: tuple[int, int] = (2, 2)
    """Rows and columns of cells at the edges of a part in which nothing is learned, as what comes from beyond is not
    seen: as many as things go in a frame. Where they are more than two the part is larger by as much."""
    pixel_metric_latents: bool = False
    """Whether latents are rescaled to the metric of pixels before the dynamics (`worldsim.train.pixel_metric`)."""
    frames: int = 16
    """Frames of a training window; more than the attention window, so that a full past is common."""
    single_frame_fraction: float = 0.3
    """Fraction of windows whose frames stand alone, so that a world can start from noise."""
    self_generated_fraction: float = 0.25
    """Fraction of windows with self-generated context, once the bootstrap loss has begun; without a camera."""
    refresh_count: int = 0
    """How often self-generated context is dreamed anew, over several frames, in equal parts of the stage; with 0 it is
    one prediction away from recorded frames, or, with a camera, dreamed before the stage."""
    pure_noise_fraction: float = 0.3
    """Fraction of frames that are predicted from pure noise, beside those that the uniform levels bring."""
    bootstrap_fraction: float = 0.25
    """Fraction of windows with the bootstrap loss."""
    bootstrap_start: float = 0.25
    """Fraction of the stage after which the bootstrap loss begins."""
    action_dropout: float = 0.1
    """Fraction of windows whose actions are hidden."""
    prompt_dropout: float = 0.12
    """Fraction of windows whose captions are hidden."""
    outcome_weight: float = 0.1
    """Weight of the outcome loss beside the denoising loss."""
    num_denoise_steps: int | None = None
    """Denoising steps of evaluation and of the world; None evaluates with four and chooses by CRPS.

    With 1, the single step from noise to data is trained on the frames themselves: the mean of all possible futures.
    """
    float16: bool = False
    """Whether all but the tokenizer is stored as float16."""
    num_evaluations: int = 8
    """How often a stage is evaluated on free-running frames; the best weights go into the bundle."""

    def __post_init__(self):
        for name in ("batch_size", "learning_rate"):
            for stage in self.stages.values():
                if getattr(stage, name) < (1 if name == "batch_size" else 0):
                    raise ValueError(f"expected a positive {name} in every stage, got {getattr(stage, name)}.")
        names = ("tokenizer", "flow", "forecast", "surprise", "first_frame")
        fractions = tuple(getattr(self, f"{name}_fraction") for name in names)
        if not all(0 <= x <= 1 for x in fractions):
            raise ValueError(f"expected fractions of stages within 0..1, got {fractions}.")

    @property
    def stages(self) -> dict[str, StageConfig]:
        """The settings of every stage that a run may have."""
        names = ("tokenizer", "flow", "forecast", "surprise", "dynamics", "first_frame")
        return {name: getattr(self, f"{name}_stage") for name in names}


_PACKED = TokenizerConfig(width=32, num_layers=(0, 0), num_local=2, patch=4, latent_channels=16, pack=4)
TINY = Recipe(
    tokenizer=_PACKED,
    dynamics=DynamicsConfig(width=96, num_layers=2, time_every=2, window=12, num_levels=16, context_tau=15),
    tokenizer_stage=StageConfig(batch_size=64),
    dynamics_stage=StageConfig(batch_size=4, decay=0.98),
    tokenizer_fraction=0.15,
    single_frame_fraction=0.1,
)
PIXELS = replace(
    TINY,
    tokenizer=TokenizerConfig(width=12, num_layers=(0, 0), patch=2, latent_channels=12, pack=8),
    dynamics=replace(TINY.dynamics, local_width=16),
    forecast=ForecastConfig(num_actions=3),
    forecast_fraction=0.5,
    surprise_fraction=0.2,
    num_denoise_steps=1,
)
SMALL = Recipe(
    tokenizer=replace(_PACKED, width=48, num_local=3),
    dynamics=DynamicsConfig(
        width=256, num_layers=8, time_every=4, kv_groups=2, window=28, has_memory=True, local_width=48, context_tau=15
    ),
    tokenizer_stage=StageConfig(batch_size=128),
    dynamics_stage=StageConfig(batch_size=32, ema=0.999),
    frames=32,
)
BASE = Recipe(
    tokenizer=TokenizerConfig(width=256, num_layers=(4, 4), pack=1),
    dynamics=DynamicsConfig(
        width=384,
        num_layers=12,
        time_every=4,
        head_dim=64,
        kv_groups=3,
        window=60,
        num_sinks=1,
        has_memory=True,
        num_registers=6,
        num_levels=64,
        context_tau=58,
    ),
    tokenizer_stage=StageConfig(batch_size=256, ema=0.999),
    dynamics_stage=StageConfig(batch_size=32, ema=0.999),
    frames=64,
)
_FRAME = replace(TINY.dynamics, num_layers=4, local_width=32, num_local=2, predicts_variance=True)
_WIDE = replace(TINY.dynamics, width=128, num_layers=4, local_width=48, num_local=2)
GAME = replace(
    TINY, dynamics_stage=replace(TINY.dynamics_stage, ema=0.998), num_evaluations=20, tokenizer_fraction=0.12
)
GAME_H100 = replace(
    GAME,
    dynamics=replace(_WIDE, window=16),
    frames=24,
    float16=True,
    tokenizer_fraction=0.2,
    num_evaluations=8,
    tokenizer_stage=StageConfig(batch_size=128),
    dynamics_stage=StageConfig(batch_size=32, learning_rate=0.015, decay=0.9, ema=0.998),
)
MINECRAFT = replace(
    GAME,
    dynamics=replace(TINY.dynamics, width=128, num_local=2, local_separable=True, predicts_variance=True, window=7),
    camera=CameraConfig(flow_separable=True, shrink_threshold=1.2, supersampling=2),
    first_frame=replace(_FRAME, width=192, local_separable=True),
    frames=8,
    pixel_metric_latents=True,
    tokenizer_fraction=0.055,
    flow_fraction=0.17,
    first_frame_fraction=0.15,
    dynamics_stage=replace(GAME.dynamics_stage, batch_size=8),
    single_frame_fraction=0.0,
    pure_noise_fraction=0.75,
    bootstrap_fraction=0.125,
    num_evaluations=12,
    num_denoise_steps=1,
    float16=True,
)
MINECRAFT_H100 = replace(
    MINECRAFT,
    dynamics=replace(_WIDE, predicts_variance=True, window=14),
    camera=CameraConfig(flow_width=64, shrink_threshold=0.7),
    first_frame=replace(_FRAME, width=224, local_width=48),
    frames=16,
    flow_frames=8,
    refresh_count=3,
    bootstrap_start=0.0,
    num_evaluations=8,
    tokenizer_fraction=0.05,
    flow_fraction=0.15,
    first_frame_fraction=0.4,
    flow_stage=StageConfig(batch_size=32, learning_rate=0.004, decay=0.9, ema=0.998),
    dynamics_stage=StageConfig(batch_size=32, learning_rate=0.015, decay=0.9, ema=0.998),
    first_frame_stage=StageConfig(batch_size=128, learning_rate=0.015, decay=0.95, ema=0.999),
)
PRESETS: dict[str, Recipe] = {
    "tiny": TINY,
    "pixels": PIXELS,
    "small": SMALL,
    "base": BASE,
    "game": GAME,
    "game-h100": GAME_H100,
    "minecraft": MINECRAFT,
    "minecraft-h100": MINECRAFT_H100,
}
"""tiny: minutes on two cores; pixels: the same, for games of small things that move by whole pixels; small: ten minutes
on an accelerator; base: more of both. The others made the shipped worlds: `game-h100` made jump and pong in 8 minutes
each, of which `game` is the version for two cores, 20 to 30 minutes; `minecraft` made minecraft in 41 on two cores,
and `minecraft-h100` is its version for an accelerator, 18 minutes."""


def get_recipe(preset: str | Recipe) -> Recipe:
    """Return a recipe, or the one of a preset's name.

    Raises:
        ValueError: there is no preset of that name.
    """
    if isinstance(preset, Recipe):
        return preset
    if preset not in PRESETS:
        raise ValueError(f"expected one of {', '.join(PRESETS)} for preset, got {preset!r}.")
    return PRESETS[preset]


def read_sentences(preset: str | Recipe) -> Recipe:
    """Return the recipe that reads whole captions by a frozen encoder, beside their words (extra "text")."""
    recipe = get_recipe(preset)
    return replace(recipe, prompt=replace(recipe.prompt or PromptConfig(), sentence=True))
