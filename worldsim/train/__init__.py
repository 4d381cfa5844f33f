"""Training: footage becomes a World.

`fit` is the block diagram. `recipes` says how large and how long, `games` what the footage fixes, `stages` what each
stage trains on which of the `losses`, `loop` runs a stage with checkpoints, `optimizer` takes its steps.
"""

from worldsim.train.fit import fit
from worldsim.train.init import Init
from worldsim.train.loop import Progress
from worldsim.train.preflight import Preflight, check_data
from worldsim.train.recipes import PRESETS, Recipe, StageConfig, read_sentences

__all__ = ["PRESETS", "Init", "Preflight", "Progress", "Recipe", "StageConfig", "check_data", "fit", "read_sentences"]
