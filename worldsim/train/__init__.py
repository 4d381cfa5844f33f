"""Training: a folder of footage becomes a World.

`presets` says how large and how long, `steps` is the mathematics of one step, `loop` runs a stage with checkpoints,
`stages` are the tokenizer's and the dynamics' parts, and `fit` puts them together, `fit_games` for
several games.
"""

from worldsim.train.fit import fit
from worldsim.train.games import fit_games
from worldsim.train.loop import Progress
from worldsim.train.presets import PRESETS, Preset, read_sentences

__all__ = ["PRESETS", "Preset", "Progress", "fit", "fit_games", "read_sentences"]
