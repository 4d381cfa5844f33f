"""The denoiser of the next latent frame: its `config`, the `model`, the `cache` of its past, and its `prompt`."""

from worldsim.dynamics.cache import NUM_BEFORE, Cache, Past
from worldsim.dynamics.config import DynamicsConfig
from worldsim.dynamics.model import Dynamics

__all__ = ["NUM_BEFORE", "Cache", "Dynamics", "DynamicsConfig", "Past"]
