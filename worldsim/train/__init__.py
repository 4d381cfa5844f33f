"""Training: a folder of footage becomes a World.

`presets` says how large and how long, `steps` is the mathematics of one step, `loop` runs a stage with checkpoints,
`stages` are the tokenizer's and the dynamics' parts, and `fit` puts them together.
"""

from worldsim.train.fit import fit
from worldsim.train.loop import Progress
from worldsim.train.presets import PRESETS, Preset, read_sentences

__all__ = ["PRESETS", "Preset", "Progress", "fit", "read_sentences"]
