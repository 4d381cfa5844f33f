"""The shape of the dynamics."""

from __future__ import annotations

from dataclasses import dataclass

from worldsim.diffusion.schedule import num_step_sizes
from worldsim.model.camera.geometry import CameraConfig
from worldsim.nn.embedding import Controls
from worldsim.text.prompt import PromptConfig


@dataclass(frozen=True, kw_only=True)
class DynamicsConfig:
    """The shape of the dynamics."""

    grid: tuple[int, int] = (1, 1)
    """Rows and columns of latent tokens. Training sets this, `token_dim`, `pack` and the controls from the footage."""
    token_dim: int = 1
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
    """Of one game of several: the place of each of its controls among those of all games; None = all, in order."""
    width: int = 96
    """Channels of a token inside the transformer."""
    local_width: int = 32
    """Channels of a cell on the local path."""
    num_local: int = 1
    """Convolution blocks before the transformer; after it there is one more."""
    num_layers: int = 4
    """Layers, each an attention and a feed-forward."""
    time_every: int = 2
    """Every n-th layer attends over time."""
    head_dim: int = 32
    """Channels of an attention head."""
    kv_groups: int = 1
    """Query heads that share one key head."""
    num_registers: int = 2
    """Register tokens of a block (Darcet et al. 2023, arXiv 2309.16588)."""
    window: int = 12
    """Past frames that a frame attends to."""
    num_sinks: int = 0
    """First frames that stay visible after they left the window."""
    has_memory: bool = False
    """Whether one gated recurrence carries what left the window."""
    num_levels: int = 16
    """Levels of the finest sampling, a power of two."""
    context_tau: int = 14
    """Level index of past frames: with a little noise, dynamics go on from frames that are not quite right."""
    predicts_variance: bool = False
    """Whether the network predicts, cell by cell, how much changes, and so the gain of the noisy view."""
    prompt: PromptConfig | None = None
    """The prompts that the world reads; None = it reads none."""
    camera: CameraConfig | None = None
    """The camera, where the frames are warped to predict the next one; None copies the last frame."""

    def __post_init__(self):
        if self.width % (self.head_dim * self.kv_groups):
            raise ValueError(f"width must be a multiple of head_dim * kv_groups, got {self.width}.")
        if not 0 < self.context_tau < self.num_levels:
            raise ValueError(f"context_tau must be in 1..{self.num_levels - 1}, got {self.context_tau}.")
        if self.columns is not None and not set(self.columns) <= set(range(self.num_controls)):
            raise ValueError(f"columns must be within 0..{self.num_controls - 1}, got {self.columns}.")
        num_step_sizes(self.num_levels)

    @property
    def controls(self) -> Controls:
        """The columns of an action row."""
        return Controls(self.choice_sizes, self.num_buttons, self.axis_bounds, self.columns)

    @property
    def action_size(self) -> int:
        """Columns of an action row."""
        return self.num_controls if self.columns is None else len(self.columns)

    @property
    def num_controls(self) -> int:
        """Choices, buttons and axes that the weights embed."""
        return len(self.choice_sizes) + self.num_buttons + len(self.axis_bounds)

    def cell_side(self, size: tuple[int, int]) -> int:
        """Return the side in pixels of a cell of frames of height and width `size`; the last ones may reach past it."""
        return max(-(-n // (m * self.pack)) for n, m in zip(size, self.grid, strict=True))

    @property
    def num_latents(self) -> int:
        """Latent tokens of a frame."""
        return self.grid[0] * self.grid[1]

    @property
    def num_tokens(self) -> int:
        """Tokens of a block."""
        return 2 + self.num_registers + self.num_latents
