"""The denoiser of the next latent frame: `config` is its shape, `model` the network."""

from worldsim.dynamics.config import DynamicsConfig
from worldsim.dynamics.model import NUM_BEFORE, Cache, Dynamics, Past

__all__ = ["NUM_BEFORE", "Cache", "Dynamics", "DynamicsConfig", "Past"]
