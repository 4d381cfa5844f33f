"""Measure a world. One question a file:

- `fidelity`: how near do dreamed frames stay to the recorded ones?
- `control`: does the world do what the actions say?
- `outcome`: does it know when there is a reward, and when it is over?
- `objects` (with `detector`): are ball, paddle and player there, and where the game has them?
- `perceptual` (with `efficientnet`): how near to the eye? Where the metrics extra is installed.
- `speed`: how fast does it run here?

`run.evaluate` asks all but `speed`; `dreams` draws the clips that they are asked on.
"""

from worldsim.evaluate.run import evaluate, write_json
from worldsim.evaluate.speed import bench, hardware

__all__ = ["bench", "evaluate", "hardware", "write_json"]
