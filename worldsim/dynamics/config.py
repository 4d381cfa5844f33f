"""The shape of the dynamics."""

from __future__ import annotations

from dataclasses import dataclass

from worldsim.diffusion.schedule import num_step_sizes
from worldsim.nn.camera import CameraConfig
from worldsim.nn.words import PromptConfig


@dataclass(frozen=True, kw_only=True)
class DynamicsConfig:
    """The shape of the dynamics."""

    grid: tuple[int, int]
    """Rows and columns of latent tokens."""
    token_dim: int
    """Channels of a latent token."""
    pack: int = 1
    """Side of the square of cells that a token packs."""
    choice_sizes: tuple[int, ...] = ()
    """Number of options of each choice of the action."""
    num_buttons: int = 0
    """Number of buttons of the action."""
    axis_bounds: tuple[tuple[float, float], ...] = ()
    """Low and high of each axis of the action."""
    columns: tuple[int, ...] | None = None
    """Of one game of several: which of all games' controls each of its own is; None = all, in order."""
    width: int = 96
    """Channels of a token inside the transformer."""
    local_width: int = 32
    """Channels of a cell on the local path."""
    num_local: int = 1
    """Convolution blocks before the transformer; after it there is one more."""
    num_layers: int = 4
    """Layers, each an attention and a feed-forward."""
    time_every: int = 2
    """Every how many-th layer attends over time."""
    head_dim: int = 32
    """Channels of an attention head."""
    kv_groups: int = 1
    """Query heads that share one key head."""
    num_registers: int = 2
    """Tokens of a block that stand for nothing."""
    window: int = 12
    """Past frames that a frame attends to."""
    num_sinks: int = 0
    """First frames that stay visible after they left the window."""
    has_memory: bool = False
    """Whether one gated recurrence carries what left the window."""
    num_levels: int = 16
    """Finest sampling steps, a power of two."""
    past_level: int = 14
    """Level index at which the past is held in generation."""
    weighs: bool = False
    """Whether the network says, cell by cell, how much there is to change, and so how far a noisy view is trusted."""
    prompt: PromptConfig | None = None
    """What the world reads, where it reads prompts."""
    flow_width: int = 48
    """Channels of a cell of the net that tells what moves, where there is a camera."""
    least_change: float = 0.2
    """Where there is a camera: cells of a dreamed frame that differ less from what is in sight hardly change."""
    camera: CameraConfig | None = None
    """What the world is seen by, where the controls say how it turns."""

    def __post_init__(self):
        if self.width % (self.head_dim * self.kv_groups):
            raise ValueError(f"width must be a multiple of head_dim * kv_groups, got {self.width}.")
        if not 0 < self.past_level < self.num_levels:
            raise ValueError(f"past_level must be in 1..{self.num_levels - 1}, got {self.past_level}.")
        if self.columns is not None and not set(self.columns) <= set(range(self.num_controls)):
            raise ValueError(f"columns must be within 0..{self.num_controls - 1}, got {self.columns}.")
        num_step_sizes(self.num_levels)

    @property
    def action_size(self) -> int:
        """Columns of an action row."""
        return self.num_controls if self.columns is None else len(self.columns)

    @property
    def num_controls(self) -> int:
        """Choices, buttons and axes that the weights know."""
        return len(self.choice_sizes) + self.num_buttons + len(self.axis_bounds)

    def cell_side(self, size: tuple[int, int]) -> int:
        """Side of a cell of a picture of height and width `size`, in pixels; the last ones may reach past it."""
        return max(-(-n // (m * self.pack)) for n, m in zip(size, self.grid, strict=True))

    @property
    def num_latents(self) -> int:
        """Latent tokens of a frame."""
        return self.grid[0] * self.grid[1]

    @property
    def num_tokens(self) -> int:
        """Tokens of a block."""
        return 2 + self.num_registers + self.num_latents
