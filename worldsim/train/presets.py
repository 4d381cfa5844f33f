"""How large and how long: presets are values, to be replaced field by field with `dataclasses.replace`.

Learning rates are Muon's (Jordan et al. 2024) with updates of root mean square 0.2 a unit of rate; what is no matrix
takes a tenth of it by Adam. On two cores Muon reached the loss of AdamW in half of the steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """How one stage learns."""

    batch_size: int
    """Frames (tokenizer) or windows (dynamics) a step."""
    learning_rate: float = 0.02
    """Peak of the schedule: short warm-up, constant, linear to zero."""
    warmup: float = 0.02
    """Share of the stage in which the rate rises."""
    decay: float = 0.3
    """Share of the stage at its end in which the rate falls to zero."""
    ema: float = 0.99
    """Decay of the moving average of the weights, a step."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A size of world and the way to train it."""

    tokenizer: dict[str, Any] = field(default_factory=dict)
    """Fields of TokenizerConfig other than the frame size."""
    dynamics: dict[str, Any] = field(default_factory=dict)
    """Fields of DynamicsConfig other than grid, token_dim and actions."""
    outcome: dict[str, Any] = field(default_factory=dict)
    """Fields of OutcomeConfig."""
    prompt: dict[str, Any] | None = field(default_factory=dict)
    """Fields of PromptConfig other than attributes and words, for footage with captions; None never reads them."""
    tokenizer_stage: StageConfig
    dynamics_stage: StageConfig
    flow_stage: StageConfig = StageConfig(batch_size=8, learning_rate=0.004, decay=0.98)
    """Where a camera is known; its batches are of windows."""
    flow_frames: int = 4
    """Frames that the flow makes of one another before it is shown true ones again."""
    opening: dict[str, Any] | None = None
    """Fields of the DynamicsConfig of a network for the first frame of all; None leaves that to the dynamics."""
    opening_stage: StageConfig = StageConfig(batch_size=32, decay=0.98, ema=0.998)
    opening_share: float = 0.3
    """Share of minutes or steps in which the opening is learned, where there is to be one."""
    tokenizer_share: float = 0.3
    """Share of minutes or steps that the tokenizer gets."""
    flow_share: float = 0.2
    """Share of minutes or steps in which the flow is learned, where a camera is known."""
    aligned: bool = False
    """Whether latents are measured by what they paint before the dynamics learn them (`worldsim.train.aligned`)."""
    frames: int = 16
    """Frames of a training window; more than the attention window, so that a full past is common."""
    single_share: float = 0.3
    """Share of windows whose frames stand alone, so that a world can start from nothing."""
    own_past_share: float = 0.25
    """Share of windows whose past is the dynamics' own guess of it, from when the bootstrap loss begins."""
    dreams: int = 0
    """How often, in equal parts of the stage, the training footage is dreamed anew by the weights of then.

    Where a camera is known: its past comes from the footage and from such dreams (`worldsim.train.glimpses`).
    """
    pure_share: float = 0.3
    """Share of frames that are predicted from pure noise, beside those that the uniform levels bring."""
    bootstrap_share: float = 0.25
    """Share of windows with the bootstrap loss."""
    bootstrap_from: float = 0.25
    """Share of the stage after which the bootstrap loss begins."""
    action_dropout: float = 0.1
    """Share of windows whose actions are hidden."""
    prompt_dropout: float = 0.12
    """Share of windows that are learned without their caption."""
    outcome_weight: float = 0.1
    """Weight of the outcome loss beside the denoising loss."""
    num_denoise_steps: int | None = None
    """Denoising steps that weights are judged with and frames drawn with; None judges with four and chooses by CRPS.

    With 1, the one step that goes all the way is learned from the frames themselves, wherever a frame is predicted from
    pure noise: the mean of all that could come.
    """
    half: bool = False
    """Whether all but the tokenizer is stored as float16, in half of the space."""
    num_evaluations: int = 8
    """How often a stage is judged by free-running frames; the best weights go into the bundle."""


PRESETS: dict[str, Preset] = {
    "tiny": Preset(
        tokenizer={"width": 32, "num_layers": (0, 0), "num_local": 2, "patch": 4, "latent_channels": 16, "pack": 4},
        dynamics={"width": 96, "num_layers": 2, "time_every": 2, "window": 12, "num_levels": 16, "past_level": 15},
        tokenizer_stage=StageConfig(batch_size=64),
        dynamics_stage=StageConfig(batch_size=4, decay=0.98),
        tokenizer_share=0.15,
        single_share=0.1,
    ),
    "small": Preset(
        tokenizer={"width": 48, "num_layers": (0, 0), "num_local": 3, "patch": 4, "latent_channels": 16, "pack": 4},
        dynamics={
            "width": 256,
            "num_layers": 8,
            "time_every": 4,
            "kv_groups": 2,
            "window": 28,
            "has_memory": True,
            "local_width": 48,
            "past_level": 15,
        },
        tokenizer_stage=StageConfig(batch_size=128),
        dynamics_stage=StageConfig(batch_size=32, ema=0.999),
        frames=32,
    ),
    "base": Preset(
        tokenizer={"width": 256, "num_layers": (4, 4), "pack": 1},
        dynamics={
            "width": 384,
            "num_layers": 12,
            "time_every": 4,
            "head_dim": 64,
            "kv_groups": 3,
            "window": 60,
            "num_sinks": 1,
            "has_memory": True,
            "num_registers": 6,
            "num_levels": 64,
            "past_level": 58,
        },
        tokenizer_stage=StageConfig(batch_size=256, ema=0.999),
        dynamics_stage=StageConfig(batch_size=32, ema=0.999),
        frames=64,
    ),
    "large": Preset(
        tokenizer={"width": 512, "num_layers": (6, 6), "head_dim": 64, "latent_channels": 32, "pack": 1},
        dynamics={
            "width": 1024,
            "num_layers": 24,
            "time_every": 4,
            "head_dim": 64,
            "kv_groups": 4,
            "window": 92,
            "num_sinks": 4,
            "has_memory": True,
            "num_registers": 6,
            "num_levels": 64,
            "past_level": 58,
        },
        tokenizer_stage=StageConfig(batch_size=256, ema=0.9995),
        dynamics_stage=StageConfig(batch_size=64, ema=0.9995),
        frames=96,
    ),
}


def read_sentences(preset: str | Preset) -> Preset:
    """Give the preset that reads whole captions by a frozen encoder, beside their words (extra "text")."""
    chosen = get_preset(preset) if isinstance(preset, str) else preset
    return replace(chosen, prompt={**(chosen.prompt or {}), "sentence": True})


def get_preset(name: str) -> Preset:
    """Find a preset by name.

    Raises:
        ValueError: there is none by that name.
    """
    if name not in PRESETS:
        raise ValueError(f"preset wants one of {', '.join(PRESETS)}, got {name!r}.")
    return PRESETS[name]
